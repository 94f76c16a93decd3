import type { BreakerState } from './events.js';

const BREAKER_STATES: readonly BreakerState[] = ['closed', 'open', 'half-open', 'isolated'];

/** What one source has told of its breakers, and of services that it cannot reach; by label. */
export interface Watch {
  readonly breakers: Map<string, BreakerState>;
  readonly down: Map<string, number>;
}

/**
 * States for gauges, asked for when somebody looks. Sources that use the same name are added up, and
 * one that is closed takes its own with it: what nobody watches must not alarm for ever.
 */
export class LiveStates {
  private readonly watches = new Set<Watch>();

  join(): Watch {
    const watch: Watch = { breakers: new Map(), down: new Map() };
    this.watches.add(watch);
    return watch;
  }

  leave(watch: Watch): void {
    this.watches.delete(watch);
  }

  /** How many breakers of a name are in a state; every state of every name that was heard of. */
  *breakers(): Generator<readonly [name: string, state: BreakerState, count: number]> {
    const names = new Map<string, Map<BreakerState, number>>();
    for (const { breakers } of this.watches) {
      for (const [name, state] of breakers) {
        const counts = names.get(name) ?? new Map<BreakerState, number>();
        names.set(name, counts.set(state, (counts.get(state) ?? 0) + 1));
      }
    }
    for (const [name, counts] of names) {
      for (const state of BREAKER_STATES) yield [name, state, counts.get(state) ?? 0];
    }
  }

  /** How many clients of a name cannot reach their service. */
  down(): ReadonlyMap<string, number> {
    const sum = new Map<string, number>();
    for (const { down } of this.watches) {
      for (const [name, count] of down) sum.set(name, (sum.get(name) ?? 0) + count);
    }
    return sum;
  }
}

/** Counts a service out or in; an `up` whose `down` was not heard counts nothing. */
export function countDown(watch: Watch, name: string, by: 1 | -1): void {
  watch.down.set(name, Math.max(0, (watch.down.get(name) ?? 0) + by));
}
