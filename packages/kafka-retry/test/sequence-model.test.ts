import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Numbered, Sequence } from '../src/sequence.js';
import { judge } from '../src/verdicts.js';
import { type Copy, ModelBroker } from './model-broker.js';

/** What may become of one attempt. */
const FATES = [
  'answered',
  'request lost',
  'reply lost',
  'comes late',
  'reply lost and a copy comes late',
  'refused (19)',
  'appended, then 6',
  'not appended, then 6',
  'a thawed leader says 45',
  'given up now',
] as const;
type Fate = (typeof FATES)[number];

interface Step {
  readonly size: number;
  readonly fates: readonly Fate[];
  /** How many of the copies that are on their way arrive after it. */
  readonly arrivals: number;
}

type Outcome = 'applied' | 'not-applied' | 'unknown';

/** A client of one partition with one batch in flight, against the model, under the given fates. */
class Simulation {
  readonly broker = new ModelBroker();
  readonly outcomes = new Map<number, Outcome>();
  private producers = 0;
  private readonly late: Copy[] = [];
  private readonly sequence: Sequence;
  private readonly bump: boolean;
  private ids = 0;
  /** Unknown although no copy can exist: must stay empty. */
  readonly unfounded: number[] = [];

  constructor(start: number, bump: boolean) {
    this.sequence = new Sequence(this.identity(), start);
    this.bump = bump;
  }

  send({ size, fates, arrivals }: Step): void {
    const ids = Array.from({ length: size }, () => this.ids++);
    const batch: Numbered & { asked: number } = {
      count: size,
      stamp: undefined,
      unknown: false,
      asked: 0,
    };
    let mayExist = false;
    const end = (outcome: Outcome): void => {
      if (outcome === 'unknown' && !mayExist) this.unfounded.push(...ids);
      for (const id of ids) this.outcomes.set(id, outcome);
    };
    // When the fates are used up, everything goes well.
    for (let attempt = 0; ; attempt++) {
      const fate = fates[attempt] ?? 'answered';
      if (this.sequence.needsIdentity) this.sequence.renew(this.identity());
      if (fate === 'given up now') {
        if (batch.unknown) this.sequence.giveUp(batch, this.bump);
        else this.sequence.takeBack(batch);
        end(batch.unknown ? 'unknown' : 'not-applied');
        break;
      }
      const copy = { stamp: this.sequence.number(batch), ids };
      const code = this.attempt(copy, fate);
      if (code === undefined) {
        batch.unknown = true;
        mayExist = true;
        continue;
      }
      if (code === 6) mayExist = true;
      const verdict = judge(code, batch);
      if (verdict === 'retry') continue;
      if (verdict === 'start-over' || verdict === 'renew') {
        this.sequence.startOver(batch, verdict === 'start-over' && this.bump);
        continue;
      }
      if (verdict === 'give-up') this.sequence.giveUp(batch, this.bump);
      if (verdict === 'refuse') this.sequence.takeBack(batch);
      end(verdict === 'stored' ? 'applied' : verdict === 'give-up' ? 'unknown' : 'not-applied');
      break;
    }
    this.deliver(arrivals);
  }

  deliver(count: number): void {
    for (const copy of this.late.splice(0, count)) this.broker.append(copy);
  }

  /** The code that the client sees; undefined for none. */
  private attempt(copy: Copy, fate: Fate): number | undefined {
    switch (fate) {
      case 'request lost':
        return undefined;
      case 'reply lost':
        this.broker.append(copy);
        return undefined;
      case 'comes late':
        this.late.push(copy);
        return undefined;
      case 'reply lost and a copy comes late':
        this.broker.append(copy);
        this.late.push(copy);
        return undefined;
      case 'refused (19)':
        return 19;
      case 'appended, then 6':
        this.broker.append(copy);
        return 6;
      case 'not appended, then 6':
        return 6;
      case 'a thawed leader says 45':
        return 45;
      default:
        return this.broker.append(copy);
    }
  }

  private identity() {
    this.producers += 1;
    return { producerId: BigInt(this.producers), epoch: 0 };
  }
}

const step: fc.Arbitrary<Step> = fc.record({
  size: fc.integer({ min: 1, max: 4 }),
  fates: fc.oneof(
    fc.array(fc.constantFrom(...FATES), { maxLength: 9 }),
    // Six times the same doubt, so that it is believed.
    fc.array(fc.constant<Fate>('a thawed leader says 45'), { minLength: 5, maxLength: 8 }),
  ),
  arrivals: fc.integer({ min: 0, max: 3 }),
});

describe('sequence numbers against a broker that loses, delays and forgets', () => {
  it.each([
    ['a broker that lets the client raise its epoch', true],
    ['one that does not', false],
  ])('never lose, never double, never reorder (%s)', (_, bump) => {
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 1, maxLength: 30 }),
        fc.constantFrom(0, 2 ** 31 - 7),
        (steps, start) => {
          const simulation = new Simulation(start, bump);
          for (const one of steps) simulation.send(one);
          simulation.deliver(Infinity);
          const { log } = simulation.broker;
          const times = (id: number): number => log.filter((one) => one === id).length;
          for (const [id, outcome] of simulation.outcomes) {
            if (outcome === 'applied') expect(times(id)).toBe(1);
            if (outcome === 'not-applied') expect(times(id)).toBe(0);
            if (outcome === 'unknown') expect(times(id)).toBeLessThanOrEqual(1);
          }
          expect(simulation.unfounded).toEqual([]);
          // A new producer id fences nothing off: without the bump a late copy may come last.
          if (bump) expect(log).toEqual([...log].sort((a, b) => a - b));
        },
      ),
      { numRuns: 3000 },
    );
  });
});
