import {
  CircuitBreaker,
  type CircuitBreakerOptions,
  type RetryOptions,
  RetryPolicy,
} from '@outlast/core-retry';
import { failTimes, ManualClock } from '@outlast/core-retry/testing';
import { coded, RESET, settled } from './helpers.js';

/** A policy with a breaker of its own, both on one clock that stands still, without jitter. */
export function guarded(breaking: CircuitBreakerOptions = {}, options: RetryOptions = {}) {
  const clock = new ManualClock();
  const breaker = new CircuitBreaker({ clock, jitter: false, name: 'pg', ...breaking });
  const policy = new RetryPolicy({ clock, jitter: false, breaker, ...options });
  /** Runs one operation to its end; `errors` are what its attempts throw in turn. */
  const run = (errors: number | readonly unknown[], call = {}) => {
    const work = failTimes(errors, 'value');
    return clock.runUntilSettled(settled(policy.execute(work, call)));
  };
  return { clock, breaker, policy, run };
}

/** So many lost connections. */
export const reset = (n = 3): readonly Error[] => Array.from({ length: n }, () => coded(RESET));
