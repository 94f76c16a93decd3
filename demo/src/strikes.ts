import { setTimeout as sleep } from 'node:timers/promises';
import type { ArmedFault, FaultKind, FaultProxy, Pattern } from '@outlast/test-integration/faults';
import type { Lane } from './drill.js';
import { seeded } from './random.js';

/** How long replies are swallowed before the wire is cut, ms. */
const SWALLOW_MS = 5;
/** Whoever had a success within the last so many ms is at work. */
const WORKING_MS = 50;

/** What the proxies do to single requests, how often, and which quotas it counts for. */
export interface StrikeKind {
  readonly bytes: Pattern;
  /** `swallow`: the server gets this request and all that follow, no reply comes back, then the wire is cut. */
  readonly fault: FaultKind | 'swallow';
  readonly weight: number;
  readonly counts: readonly string[];
  /** For `cut-after`: what counts as the answer. Default any byte. */
  readonly answered?: Pattern;
  /** For `hold`. */
  readonly holdMs?: number;
}

/** A lane with the proxy that stands before its server. */
export interface Struck {
  readonly lane: Lane;
  readonly proxy: FaultProxy;
}

/** Single requests broken, in every lane the same ones: each strike is drawn once and armed in all proxies. */
export class Strikes {
  readonly #kinds: readonly StrikeKind[];
  readonly #struck: readonly Struck[];
  readonly #random: () => number;
  readonly #armed = new Set<ArmedFault>();
  readonly #last = new Map<Lane, ArmedFault>();

  constructor(kinds: readonly StrikeKind[], struck: readonly Struck[], seed: number) {
    this.#kinds = kinds;
    this.#struck = struck;
    this.#random = seeded(seed);
  }

  /** How many have hit a request, over all lanes. */
  get fired(): number {
    return [...this.#armed].filter((one) => one.fired > 0).length;
  }

  /**
   * The next matching request of each lane is hit. A lane that has not yet met its last strike, or not yet got
   * over it, gets no other: else one that comes back slowly would never get a word through.
   */
  strike(): void {
    const kind = this.#draw();
    for (const { lane, proxy } of this.#struck) {
      if (this.#last.get(lane)?.live || lane.ledger.gapMs > WORKING_MS) continue;
      const { bytes, fault, answered, holdMs } = kind;
      const armed = proxy.arm({
        when: { bytes },
        fault: fault === 'swallow' ? 'silence' : fault,
        ...(answered && { answered }),
        ...(holdMs !== undefined && { holdMs }),
      });
      this.#armed.add(armed);
      this.#last.set(lane, armed);
      if (fault === 'swallow') void cutLater(armed, proxy);
      note(lane, kind, armed);
    }
  }

  /** Those that found nothing to hit are withdrawn; waits for what is under way. */
  async settle(): Promise<void> {
    const fired = [...this.#armed].filter((one) => one.fired > 0).map((one) => one.hit);
    for (const one of this.#armed) one.disarm();
    await Promise.all(fired);
  }

  #draw(): StrikeKind {
    const all = this.#kinds.reduce((sum, { weight }) => sum + weight, 0);
    let left = this.#random() * all;
    for (const kind of this.#kinds) {
      left -= kind.weight;
      if (left < 0) return kind;
    }
    return this.#kinds[0] as StrikeKind;
  }
}

async function cutLater(armed: ArmedFault, proxy: FaultProxy): Promise<void> {
  const { connection } = await armed.hit;
  await sleep(SWALLOW_MS);
  proxy.cut(connection);
}

function note(lane: Lane, { fault, counts }: StrikeKind, armed: ArmedFault): void {
  void armed.hit.then(({ delivered }) => {
    // an answer that was never given was not lost
    if (fault === 'cut-after' && !delivered) return;
    for (const name of counts) lane.hits.set(name, (lane.hits.get(name) ?? 0) + 1);
  });
}
