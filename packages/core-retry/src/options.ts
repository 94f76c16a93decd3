import type { Attempt } from './attempt.js';
import type { Jitter } from './backoff.js';
import type { Bulkhead } from './bulkhead.js';
import type { CircuitBreaker } from './circuit-breaker.js';
import { type Clock, systemClock } from './clock.js';
import { OptionError } from './errors.js';
import type { PolicyEvent, RetryEvent } from './events.js';
import {
  CATEGORIES,
  type Category,
  type Classify,
  classifyError,
  type Failure,
} from './failure.js';
import type { ErrorClass } from './judge.js';
import { type Logger, logEvents } from './logger.js';
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
  /** Errors of these classes are transient, others are not: replaces the classifier's verdict. */
  readonly retryOn?: readonly ErrorClass[];
  /** Failures of these categories are transient, others are not; beside `retryOn`, either is enough. */
  readonly retryCategories?: readonly Category[];
  /** Errors of these classes are never retried, whatever the other options say. */
  readonly neverRetry?: readonly ErrorClass[];
  /** Replaces the verdict whether the error is transient, `retryOn` and `retryCategories` included, never the question whether it was applied. */
  readonly retryIf?: (error: unknown, attempt: Attempt) => boolean;
  /**
   * Whether a value is to be treated as a failure. When the attempts are used up, the last value is
   * returned. One that is thrown away is disposed of, if it has `Symbol.dispose` or `Symbol.asyncDispose`.
   */
  retryResult?(value: unknown): boolean;
  /**
   * What the caller gets instead of the error, when the operation failed for good: not if it was
   * cancelled or closed. What it throws surfaces. Its own time is not bounded by `totalTimeoutMs`.
   */
  fallback?(error: unknown): unknown;
  /** The delay before one retry instead of the backoff; undefined leaves it to the backoff. */
  readonly delayMs?: (failure: Failure, attempt: Attempt) => number | undefined;
  /** Bound on retries in relation to traffic. Default false: none. */
  readonly budget?: RetryBudget | false;
  /** Refuses calls while the service is known to be ill. Default false: none. */
  readonly breaker?: CircuitBreaker | false;
  /** Bound on operations at a time; a slot is held over all retries. Default false: none. */
  readonly bulkhead?: Bulkhead | false;
  /** Gets a line for each retry, recovery and failure: pino, winston, console or their like. Default false. */
  readonly logger?: Logger | false;
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

/** What a manager counts of each operation. */
export interface Tally {
  successes: number;
  failures: number;
  retries: number;
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
  readonly retryOn: readonly ErrorClass[] | undefined;
  readonly retryCategories: readonly Category[] | undefined;
  readonly neverRetry: readonly ErrorClass[] | undefined;
  readonly retryResult: ((value: unknown) => boolean) | undefined;
  readonly fallback: ((error: unknown) => unknown) | undefined;
  readonly delayMs: ((failure: Failure, attempt: Attempt) => number | undefined) | undefined;
  readonly budget: RetryBudget | undefined;
  readonly breaker: CircuitBreaker | undefined;
  readonly bulkhead: Bulkhead | undefined;
  /** The logger, as a listener. */
  readonly log: ((event: PolicyEvent) => void) | undefined;
  readonly tally: Tally | undefined;
  /** Whether a call that succeeds at once has nothing to settle but its vote and its place in the count. */
  readonly light: boolean;
  /** Whether a deadline, a timeout or a signal bounds every call. */
  readonly bounded: boolean;
  readonly onRetry: ((event: RetryEvent) => void) | undefined;
  readonly signal: AbortSignal | undefined;
  readonly unref: boolean;
  readonly operation: string | undefined;
  readonly clock: Clock;
  readonly random: () => number;
}

// By shape, so that nobody pays for what he does not use.
const instanceLike = (what: string, methods: readonly string[]): Check => {
  return (value) =>
    value === false || hasMethods(value, methods) ? undefined : `a ${what}, or false`;
};

const isClasses: Check = (value) =>
  Array.isArray(value) && value.every((one) => typeof one === 'function')
    ? undefined
    : 'an array of error classes';

const isCategories: Check = (value) =>
  Array.isArray(value) && value.every((one) => CATEGORIES.includes(one))
    ? undefined
    : `an array of categories: ${CATEGORIES.join(', ')}`;

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
  retryOn: isClasses,
  retryCategories: isCategories,
  neverRetry: isClasses,
  retryResult: callable,
  fallback: callable,
  budget: instanceLike('RetryBudget', ['deposit', 'withdraw']),
  breaker: instanceLike('CircuitBreaker', ['wait', 'admit', 'settle', 'refusal', 'on']),
  bulkhead: instanceLike('Bulkhead', ['tryEnter', 'enter', 'leave']),
  logger: instanceLike('logger with the methods info, warn and error', ['info', 'warn', 'error']),
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
  retryOn: undefined,
  retryCategories: undefined,
  neverRetry: undefined,
  retryResult: undefined,
  fallback: undefined,
  budget: undefined,
  breaker: undefined,
  bulkhead: undefined,
  log: undefined,
  tally: undefined,
  light: true,
  bounded: false,
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
  const totalTimeoutMs = Math.min(options.totalTimeoutMs ?? Infinity, base.totalTimeoutMs);
  const attemptTimeoutMs = options.attemptTimeoutMs ?? base.attemptTimeoutMs;
  const signal = options.signal ?? base.signal;
  const { logger } = options;
  const breaker = orNone(options.breaker, base.breaker);
  const bulkhead = orNone(options.bulkhead, base.bulkhead);
  const retryResult = options.retryResult ?? base.retryResult;
  const settings: Settings = {
    maxAttempts: options.maxAttempts ?? base.maxAttempts,
    baseDelayMs: options.baseDelayMs ?? base.baseDelayMs,
    maxDelayMs: options.maxDelayMs ?? base.maxDelayMs,
    backoffFactor: options.backoffFactor ?? base.backoffFactor,
    jitter: options.jitter ?? base.jitter,
    attemptTimeoutMs,
    // Of policy and call the shorter counts: a narrower caller cannot widen its host's bound.
    totalTimeoutMs,
    idempotent: options.idempotent ?? base.idempotent,
    classify: options.classify ?? base.classify,
    retryIf: options.retryIf ?? base.retryIf,
    delayMs: options.delayMs ?? base.delayMs,
    retryOn: options.retryOn ?? base.retryOn,
    retryCategories: options.retryCategories ?? base.retryCategories,
    neverRetry: options.neverRetry ?? base.neverRetry,
    retryResult,
    fallback: options.fallback ?? base.fallback,
    budget: orNone(options.budget, base.budget),
    breaker,
    bulkhead,
    log: logger === undefined ? base.log : logger === false ? undefined : logEvents(logger),
    tally: base.tally,
    light: retryResult === undefined && bulkhead === undefined && breaker?.timed !== true,
    bounded: totalTimeoutMs !== Infinity || attemptTimeoutMs !== Infinity || signal !== undefined,
    onRetry: options.onRetry ?? base.onRetry,
    signal,
    unref: options.unref ?? base.unref,
    operation: options.operation ?? base.operation,
    clock: options.clock ?? base.clock,
    random: options.random ?? base.random,
  };
  checkBounded(where, settings.maxAttempts, settings.totalTimeoutMs, settings.signal);
  return Object.freeze(settings);
}

function orNone<T>(given: T | false | undefined, base: T | undefined): T | undefined {
  return given === false ? undefined : (given ?? base);
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
