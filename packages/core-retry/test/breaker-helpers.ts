import {
  type BreakerEvent,
  CircuitBreaker,
  type CircuitBreakerOptions,
  type Failure,
} from '@outlast/core-retry';
import { ManualClock } from '@outlast/core-retry/testing';
import { rejection, settled } from './helpers.js';

/** A clock whose time of day can be set, as an operator or NTP does it. */
export class SteppedClock extends ManualClock {
  stepMs = 0;

  override wallNow(): number {
    return super.wallNow() + this.stepMs;
  }
}

/** A breaker on a clock that stands still, without jitter, and what it tells. */
export function breakerBench(options: CircuitBreakerOptions = {}) {
  const clock = new SteppedClock(5000);
  const breaker = new CircuitBreaker({ clock, random: () => 0.5, jitter: false, ...options });
  const events: BreakerEvent[] = [];
  breaker.on('breaker', (event) => events.push(event));
  return {
    clock,
    breaker,
    events,
    /** `closed > open: 5 consecutive failures` */
    get changes(): string[] {
      return events.map(({ from, to, reason }) => `${from} > ${to}: ${reason}`);
    },
    pass: (ms: number): void => clock.sleepSync(ms),
    ok: (ms = 0): Promise<string> =>
      breaker.execute(() => {
        clock.sleepSync(ms);
        return 'value';
      }),
    fail: async (times = 1, error: unknown = new Error('down')): Promise<void> => {
      for (let i = 0; i < times; i++) {
        const end = await settled(
          breaker.execute(() => {
            throw error;
          }),
        );
        if (end.ok) throw new Error('it did not fail');
      }
    },
  };
}

/** Begins a call whose end is decided later. */
export function pendingCall(breaker: CircuitBreaker, options?: { signal?: AbortSignal }) {
  let succeed: (value: string) => void = () => {};
  let fail: (error: unknown) => void = () => {};
  const promise = breaker.execute(
    () =>
      new Promise<string>((resolve, reject) => {
        succeed = resolve;
        fail = reject;
      }),
    options,
  );
  promise.catch(() => {});
  return {
    promise,
    succeed: async (): Promise<void> => {
      succeed('value');
      await promise;
    },
    fail: async (error: unknown = new Error('down')): Promise<void> => {
      fail(error);
      await rejection(promise);
    },
  };
}

/** An error that `byFailure` understands. */
export function failing(failure: Partial<Failure> = {}): Error & { failure: Failure } {
  return Object.assign(new Error(failure.category ?? 'network'), {
    failure: { category: 'network', transient: true, outcome: 'unknown', ...failure } as Failure,
  });
}

/** A classifier for errors that say themselves what they are. */
export const byFailure = (error: unknown): Failure => (error as { failure: Failure }).failure;
