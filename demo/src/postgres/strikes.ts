import {
  type ArmedFault,
  type FaultKind,
  type FaultProxy,
  POSTGRES_READY,
} from '@outlast/test-integration/faults';
import type { Lane, Quota } from '../drill.js';
import { seeded } from '../random.js';

/** What the proxies do to single requests, how often, and which quota it counts for. */
interface StrikeKind {
  readonly bytes: string;
  readonly fault: FaultKind;
  readonly weight: number;
  readonly counts: string;
}

const BEFORE = 'writes cut before the server got them';
const AFTER = 'writes executed, answer lost';
const COMMITS = 'COMMITs lost';
const MIDDLE = 'transactions cut in the middle';
const LATE = 'of them held back for 1.2 s';
const HOLD_MS = 1_200;

/** How many of each a lane must have met. */
export const QUOTAS: readonly Quota[] = [
  { name: AFTER, least: 20 },
  { name: BEFORE, least: 20 },
  { name: COMMITS, least: 5 },
  { name: LATE, least: 1 },
  { name: MIDDLE, least: 1 },
];

const KINDS: readonly StrikeKind[] = [
  { bytes: "'write'", fault: 'cut-before', weight: 30, counts: BEFORE },
  { bytes: "'write'", fault: 'cut-after', weight: 30, counts: AFTER },
  { bytes: 'COMMIT\0', fault: 'cut-before', weight: 10, counts: COMMITS },
  { bytes: 'COMMIT\0', fault: 'cut-after', weight: 14, counts: COMMITS },
  { bytes: 'COMMIT\0', fault: 'hold', weight: 6, counts: COMMITS },
  { bytes: "'transaction'", fault: 'cut-before', weight: 10, counts: MIDDLE },
];

/** A lane with the proxy that stands before its server. */
export interface Struck {
  readonly lane: Lane;
  readonly proxy: FaultProxy;
}

/** Single requests broken, in every lane the same ones: each strike is drawn once and armed in all proxies. */
export class Strikes {
  readonly #struck: readonly Struck[];
  readonly #random: () => number;
  readonly #armed = new Set<ArmedFault>();

  constructor(struck: readonly Struck[], seed: number) {
    this.#struck = struck;
    this.#random = seeded(seed);
  }

  /** How many have hit a request, over all lanes. */
  get fired(): number {
    return [...this.#armed].filter((one) => one.fired > 0).length;
  }

  /** The next matching request of each lane is hit. */
  strike(): void {
    const kind = this.#draw();
    for (const { lane, proxy } of this.#struck) {
      const armed = proxy.arm({
        when: { bytes: kind.bytes },
        fault: kind.fault,
        answered: POSTGRES_READY,
        holdMs: HOLD_MS,
      });
      this.#armed.add(armed);
      this.#note(lane, kind, armed);
    }
  }

  /** Those that found nothing to hit are withdrawn; waits for held requests to be delivered. */
  async settle(): Promise<void> {
    const fired = [...this.#armed].filter((one) => one.fired > 0).map((one) => one.hit);
    for (const one of this.#armed) one.disarm();
    await Promise.all(fired);
  }

  #note(lane: Lane, { fault, counts }: StrikeKind, armed: ArmedFault): void {
    const add = (name: string): void => {
      lane.hits.set(name, (lane.hits.get(name) ?? 0) + 1);
    };
    void armed.hit.then(({ delivered }) => {
      // an answer that was never given was not lost
      if (fault === 'cut-after' && !delivered) return;
      add(counts);
      if (fault === 'hold') add(LATE);
    });
  }

  #draw(): StrikeKind {
    const all = KINDS.reduce((sum, { weight }) => sum + weight, 0);
    let left = this.#random() * all;
    for (const kind of KINDS) {
      left -= kind.weight;
      if (left < 0) return kind;
    }
    return KINDS[0] as StrikeKind;
  }
}
