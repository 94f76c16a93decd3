import type { Attempt } from './attempt.js';
import type { Failure } from './failure.js';
import {
  checkBounded,
  RETRY_OPTIONS,
  type RetryOptions,
  resolveOptions,
  type Settings,
} from './options.js';
import { callable, invalidOption, unknownOption } from './options-check.js';

/** What became of work whose answer was lost. */
export type Resolution<T> =
  | { readonly outcome: 'applied'; readonly value: T }
  | { readonly outcome: 'not-applied' }
  | { readonly outcome: 'unknown' };

/** The work itself; called once an attempt. */
export type Work<T> = (attempt: Attempt) => T | PromiseLike<T>;

/** Options of one call: any option of the policy, narrowed, and what only the call knows. */
export interface CallOptions<T = unknown> extends RetryOptions {
  /**
   * Asked for a transient failure of unknown outcome that may not be replayed, under the operation's
   * deadline. *applied* ends the operation with its value, *not-applied* makes it retryable; *unknown*,
   * or a throw, surfaces the error.
   */
  readonly resolve?: (
    failure: Failure,
    attempt: Attempt,
  ) => Resolution<T> | PromiseLike<Resolution<T>>;
  /**
   * Stops, on the other side, an attempt that took longer than `attemptTimeoutMs`; awaited before
   * anything else is tried, so its own waits must be bounded.
   */
  readonly stop?: (attempt: Attempt) => unknown;
  retryResult?(value: T): boolean;
  fallback?(error: unknown): T | PromiseLike<T>;
}

/** What thinking over a failure reads from a call; any call has it. */
export type CallFacts = Pick<RetryOptions, 'classify' | 'idempotent' | 'maxAttempts'>;

// What an execution reads from the call itself: these cost no resolution of options.
const HOT: ReadonlySet<string> = new Set([
  'operation',
  'idempotent',
  'resolve',
  'stop',
  'classify',
  'signal',
  'maxAttempts',
  'totalTimeoutMs',
  'attemptTimeoutMs',
]);

/**
 * The settings under which a call runs: the policy's own, unless it narrows what is rarely narrowed.
 *
 * @throws OptionError for an unknown key or a bad value
 */
export function narrow(call: CallOptions, settings: Settings): Settings {
  let cold = false;
  for (const key in call) {
    const value: unknown = call[key as keyof CallOptions];
    if (value === undefined) continue;
    const hook = key === 'resolve' || key === 'stop';
    if (!hook && !Object.hasOwn(RETRY_OPTIONS, key)) {
      throw unknownOption(key, key, [...Object.keys(RETRY_OPTIONS), 'resolve', 'stop']);
    }
    const check = hook ? callable : RETRY_OPTIONS[key as keyof RetryOptions];
    const valid = check?.(value);
    if (valid !== undefined) throw invalidOption(key, value, valid);
    cold ||= !HOT.has(key);
  }
  if (cold) {
    const { resolve: _resolve, stop: _stop, ...options } = call;
    return resolveOptions('', options, settings);
  }
  if (call.maxAttempts === Infinity) {
    const timeout = Math.min(call.totalTimeoutMs ?? Infinity, settings.totalTimeoutMs);
    checkBounded('', Infinity, timeout, call.signal ?? settings.signal);
  }
  return settings;
}
