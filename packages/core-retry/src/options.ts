import type { Attempt } from './attempt.js';
import type { Jitter } from './backoff.js';
import { type Clock, systemClock } from './clock.js';
import { OptionError } from './errors.js';
import type { RetryEvent } from './events.js';
import { type Classify, classifyError, type Failure } from './failure.js';
import {
  abortSignal,
  type Check,
  callable,
  checkOptions,
  duration,
  flag,
  fraction,
  hasMethods,
  isClock,
  isJitter,
  type Known,
  nonEmptyText,
  wholeNumber,
} from './options-check.js';
import type { RetryBudget } from './retry-budget.js';

/** Options of a policy; a call may narrow any of them. Durations are milliseconds. */
export interface RetryOptions {
  /** All calls, the first included. Default 3. Infinity needs `totalTimeoutMs` or a `signal`. */
  readonly maxAttempts?: number;
  /** Delay before the first retry. Default 1000. */
  readonly baseDelayMs?: number;
  /** Hard bound on every delay. Default 30 000. */
  readonly maxDelayMs?: number;
  /** Each delay is this many times the one before. Default 2. */
  readonly backoffFactor?: number;
  /** How delays are spread. Default 0.5: over 1 ± 0.5 of the delay. */
  readonly jitter?: Jitter;
  /** Bound on one attempt. Default none. */
  readonly attemptTimeoutMs?: number;
  /** Bound on everything: attempts, delays, resolving. Default none. */
  readonly totalTimeoutMs?: number;
  /** Whether running the operation twice is safe. Default true: a bare policy is the caller's word for it. */
  readonly idempotent?: boolean;
  /** What an error means. Default: network codes, system codes, programmer's errors. */
  readonly classify?: Classify;
  /** Replaces the verdict whether the error is transient, never the question whether it was applied. */
  readonly retryIf?: (error: unknown, attempt: Attempt) => boolean;
  /** The delay before one retry instead of the backoff; undefined leaves it to the backoff. */
  readonly delayMs?: (failure: Failure, attempt: Attempt) => number | undefined;
  /** Bound on retries in relation to traffic. Default false: none. */
  readonly budget?: RetryBudget | false;
  /** Told before each retry; what it throws is ignored. */
  readonly onRetry?: (event: RetryEvent) => void;
  /** Aborts the operation, with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Whether the process may exit while a retry sleeps. Default false. */
  readonly unref?: boolean;
  /** How events and messages name the operation. Default: the function's name, or `operation`. */
  readonly operation?: string;
  readonly clock?: Clock;
  /** Uniform in [0, 1). Default Math.random. */
  readonly random?: () => number;
}

/** Options with every default filled in. */
export interface Settings {
  readonly maxAttempts: number;
  readonly baseDelayMs: number;
  readonly maxDelayMs: number;
  readonly backoffFactor: number;
  readonly jitter: Jitter;
  /** Infinity for none. */
  readonly attemptTimeoutMs: number;
  /** Infinity for none. */
  readonly totalTimeoutMs: number;
  readonly idempotent: boolean;
  readonly classify: Classify;
  readonly retryIf: ((error: unknown, attempt: Attempt) => boolean) | undefined;
  readonly delayMs: ((failure: Failure, attempt: Attempt) => number | undefined) | undefined;
  readonly budget: RetryBudget | undefined;
  readonly onRetry: ((event: RetryEvent) => void) | undefined;
  readonly signal: AbortSignal | undefined;
  readonly unref: boolean;
  readonly operation: string | undefined;
  readonly clock: Clock;
  readonly random: () => number;
}

// By shape, so that nobody pays for what he does not use.
const isBudget: Check = (value) =>
  value === false || hasMethods(value, ['deposit', 'withdraw'])
    ? undefined
    : 'a RetryBudget, or false';

/** The checks of {@link RetryOptions}; connectors add their own keys to them. */
export const RETRY_OPTIONS: Known<RetryOptions> = {
  maxAttempts: wholeNumber(1, true),
  baseDelayMs: duration(),
  maxDelayMs: duration(),
  backoffFactor: fraction(1, 1000),
  jitter: isJitter,
  attemptTimeoutMs: duration({ min: 1, infinite: true }),
  totalTimeoutMs: duration({ min: 1, infinite: true }),
  idempotent: flag,
  classify: callable,
  retryIf: callable,
  delayMs: callable,
  budget: isBudget,
  onRetry: callable,
  signal: abortSignal,
  unref: flag,
  operation: nonEmptyText,
  clock: isClock,
  random: callable,
};

/** The defaults of a bare policy. */
export const DEFAULTS: Settings = Object.freeze({
  maxAttempts: 3,
  baseDelayMs: 1000,
  maxDelayMs: 30_000,
  backoffFactor: 2,
  jitter: 0.5,
  attemptTimeoutMs: Infinity,
  totalTimeoutMs: Infinity,
  idempotent: true,
  classify: classifyError,
  retryIf: undefined,
  delayMs: undefined,
  budget: undefined,
  onRetry: undefined,
  signal: undefined,
  unref: false,
  operation: undefined,
  clock: systemClock,
  random: Math.random,
});

/**
 * Validates options and fills them in.
 *
 * @throws OptionError naming the option, the value and what is valid
 */
export function resolveOptions(where: string, options: RetryOptions, base: Settings): Settings {
  checkOptions(where, options, RETRY_OPTIONS);
  const settings: Settings = {
    maxAttempts: options.maxAttempts ?? base.maxAttempts,
    baseDelayMs: options.baseDelayMs ?? base.baseDelayMs,
    maxDelayMs: options.maxDelayMs ?? base.maxDelayMs,
    backoffFactor: options.backoffFactor ?? base.backoffFactor,
    jitter: options.jitter ?? base.jitter,
    attemptTimeoutMs: options.attemptTimeoutMs ?? base.attemptTimeoutMs,
    // Of policy and call the shorter counts: a narrower caller cannot widen its host's bound.
    totalTimeoutMs: Math.min(options.totalTimeoutMs ?? Infinity, base.totalTimeoutMs),
    idempotent: options.idempotent ?? base.idempotent,
    classify: options.classify ?? base.classify,
    retryIf: options.retryIf ?? base.retryIf,
    delayMs: options.delayMs ?? base.delayMs,
    budget: options.budget === false ? undefined : (options.budget ?? base.budget),
    onRetry: options.onRetry ?? base.onRetry,
    signal: options.signal ?? base.signal,
    unref: options.unref ?? base.unref,
    operation: options.operation ?? base.operation,
    clock: options.clock ?? base.clock,
    random: options.random ?? base.random,
  };
  checkBounded(where, settings.maxAttempts, settings.totalTimeoutMs, settings.signal);
  return Object.freeze(settings);
}

export function checkBounded(
  where: string,
  maxAttempts: number,
  totalTimeoutMs: number,
  signal: AbortSignal | undefined,
): void {
  if (maxAttempts === Infinity && totalTimeoutMs === Infinity && signal === undefined) {
    throw new OptionError(
      where === '' ? 'maxAttempts' : `${where}.maxAttempts`,
      'may be Infinity only together with totalTimeoutMs or a signal, for something must end it.',
    );
  }
}
