import type { Jitter } from './backoff.js';
import type { BreakerSnapshot } from './breaker-store.js';
import { readSnapshot } from './breaker-store.js';
import { type Clock, systemClock } from './clock.js';
import { OptionError } from './errors.js';
import { type Classify, classifyError } from './failure.js';
import {
  type Check,
  callable,
  checkOptions,
  duration,
  fraction,
  invalidOption,
  isClock,
  isJitter,
  type Known,
  nonEmptyText,
  oneOf,
  wholeNumber,
} from './options-check.js';

/** Options of a `CircuitBreaker`. Durations are milliseconds. */
export interface CircuitBreakerOptions {
  /** So many failures in a row open it. Default 5; with `failureRate`, none unless given. */
  readonly failureThreshold?: number;
  /** Opens when this share (0 to 1, inclusive) of the completed calls in the window failed. */
  readonly failureRate?: number;
  /** The window holds so many of the latest calls, a million at most. Default 100, unless `windowMs` is given. */
  readonly windowCalls?: number;
  /** The window holds the calls of so many milliseconds. */
  readonly windowMs?: number;
  /** No rate is looked at below so many calls in the window. Default 10, or `windowCalls` if that is less. */
  readonly minimumCalls?: number;
  /** A call that took so long is slow, whatever its end. Needs `slowCallRate`. */
  readonly slowCallMs?: number;
  /** Opens when this share (0 to 1, inclusive) of the completed calls in the window was slow. */
  readonly slowCallRate?: number;
  /** How long it stays open the first time. Default 60 000. */
  readonly resetTimeoutMs?: number;
  /** Each time it opens again without having closed, it stays open so many times longer. Default 1.5. */
  readonly openTimeoutIncrementFactor?: number;
  /** Hard bound on the open time. Default 300 000, or `resetTimeoutMs` if that is more. */
  readonly maxOpenTimeoutMs?: number;
  /** How open times are spread, so that a fleet does not probe as one. Default 0.1; `false` is exact. */
  readonly jitter?: Jitter;
  /** So many probes at a time when half-open. Default 1. */
  readonly halfOpenMaxCalls?: number;
  /** So many probes must succeed to close it. Default 1. */
  readonly successThreshold?: number;
  /** A probe that takes longer gives its place to another and has no vote any more. Default 60 000. */
  readonly probeLeaseMs?: number;
  /** In a policy: whether an operation with all its retries is one vote, or each attempt is. Default `operation`. */
  readonly votePer?: 'operation' | 'attempt';
  /** What an error means; a policy's breaker asks the policy. Default: that of a bare policy. */
  readonly classify?: Classify;
  /** How events and errors name it. Default `breaker`. */
  readonly name?: string;
  /** The state to begin with, from `snapshot()` of an earlier breaker. */
  readonly snapshot?: BreakerSnapshot;
  readonly clock?: Clock;
  /** Uniform in [0, 1). Default Math.random. */
  readonly random?: () => number;
}

/** Options with every default filled in; shared by all breakers that were made with the same ones. */
export interface BreakerSettings {
  /** Infinity for none. */
  readonly failureThreshold: number;
  /** Infinity for none, as for the slow calls. */
  readonly failureRate: number;
  readonly slowCallRate: number;
  readonly slowCallMs: number;
  readonly windowCalls: number | undefined;
  readonly windowMs: number | undefined;
  readonly minimumCalls: number;
  readonly resetTimeoutMs: number;
  readonly openTimeoutIncrementFactor: number;
  readonly maxOpenTimeoutMs: number;
  readonly jitter: Jitter;
  readonly halfOpenMaxCalls: number;
  readonly successThreshold: number;
  readonly probeLeaseMs: number;
  readonly votePer: 'operation' | 'attempt';
  readonly classify: Classify;
  readonly clock: Clock;
  readonly random: () => number;
}

const isShare: Check = (value) =>
  typeof value === 'number' && value > 0 && value <= 1 ? undefined : 'a number above 0, up to 1';

// A byte each, taken when the breaker is made.
const MOST_WINDOW_CALLS = 1_000_000;

const isWindowCalls: Check = (value) =>
  wholeNumber(1)(value) === undefined && (value as number) <= MOST_WINDOW_CALLS
    ? undefined
    : `a whole number from 1 to ${MOST_WINDOW_CALLS}`;

const isSnapshot: Check = (value) => {
  const read = readSnapshot(value);
  return typeof read === 'string' ? `a snapshot of a breaker (${read})` : undefined;
};

/** The checks of {@link CircuitBreakerOptions}. */
export const BREAKER_OPTIONS: Known<CircuitBreakerOptions> = {
  failureThreshold: wholeNumber(1),
  failureRate: isShare,
  windowCalls: isWindowCalls,
  windowMs: duration({ min: 1 }),
  minimumCalls: wholeNumber(1),
  slowCallMs: duration(),
  slowCallRate: isShare,
  resetTimeoutMs: duration({ min: 1 }),
  openTimeoutIncrementFactor: fraction(1, 1000),
  maxOpenTimeoutMs: duration({ min: 1 }),
  jitter: isJitter,
  halfOpenMaxCalls: wholeNumber(1),
  successThreshold: wholeNumber(1),
  probeLeaseMs: duration({ min: 1 }),
  votePer: oneOf('operation', 'attempt'),
  classify: callable,
  name: nonEmptyText,
  snapshot: isSnapshot,
  clock: isClock,
  random: callable,
};

const DEFAULT_WINDOW_CALLS = 100;
const DEFAULT_MINIMUM_CALLS = 10;
const DEFAULT_MAX_OPEN_MS = 300_000;

/**
 * Validates a breaker's options and fills them in.
 *
 * @throws OptionError naming the option, the value and what is valid
 */
export function resolveBreaker(where: string, options: CircuitBreakerOptions): BreakerSettings {
  checkOptions(where, options, BREAKER_OPTIONS);
  const { failureRate, slowCallRate, slowCallMs, windowMs } = options;
  const rated = failureRate !== undefined || slowCallRate !== undefined;
  const refuse = (key: string, problem: string): never => {
    throw new OptionError(where === '' ? key : `${where}.${key}`, problem);
  };
  if ((slowCallMs === undefined) !== (slowCallRate === undefined)) {
    const [given, missing] =
      slowCallMs === undefined ? ['slowCallRate', 'slowCallMs'] : ['slowCallMs', 'slowCallRate'];
    refuse(given as string, `needs ${missing} beside it.`);
  }
  if (options.windowCalls !== undefined && windowMs !== undefined) {
    refuse('windowMs', 'and windowCalls exclude one another. Keep one of them.');
  }
  for (const key of ['windowCalls', 'windowMs', 'minimumCalls'] as const) {
    if (options[key] !== undefined && !rated) {
      refuse(key, 'has no meaning without failureRate or slowCallRate.');
    }
  }
  const windowCalls =
    windowMs === undefined ? (options.windowCalls ?? DEFAULT_WINDOW_CALLS) : undefined;
  const minimumCalls =
    options.minimumCalls ?? Math.min(DEFAULT_MINIMUM_CALLS, windowCalls ?? Infinity);
  if (windowCalls !== undefined && minimumCalls > windowCalls) {
    refuse(
      'minimumCalls',
      `is ${minimumCalls}, which a window of ${windowCalls} calls never reaches.`,
    );
  }
  const resetTimeoutMs = options.resetTimeoutMs ?? 60_000;
  const maxOpenTimeoutMs =
    options.maxOpenTimeoutMs ?? Math.max(DEFAULT_MAX_OPEN_MS, resetTimeoutMs);
  if (maxOpenTimeoutMs < resetTimeoutMs) {
    const name = where === '' ? 'maxOpenTimeoutMs' : `${where}.maxOpenTimeoutMs`;
    throw invalidOption(name, maxOpenTimeoutMs, `resetTimeoutMs (${resetTimeoutMs} ms) or more`);
  }
  return Object.freeze({
    failureThreshold: options.failureThreshold ?? (failureRate === undefined ? 5 : Infinity),
    failureRate: failureRate ?? Infinity,
    slowCallRate: slowCallRate ?? Infinity,
    slowCallMs: slowCallMs ?? Infinity,
    windowCalls: rated ? windowCalls : undefined,
    windowMs,
    minimumCalls,
    resetTimeoutMs,
    openTimeoutIncrementFactor: options.openTimeoutIncrementFactor ?? 1.5,
    maxOpenTimeoutMs,
    jitter: options.jitter ?? 0.1,
    halfOpenMaxCalls: options.halfOpenMaxCalls ?? 1,
    successThreshold: options.successThreshold ?? 1,
    probeLeaseMs: options.probeLeaseMs ?? 60_000,
    votePer: options.votePer ?? 'operation',
    classify: options.classify ?? classifyError,
    clock: options.clock ?? systemClock,
    random: options.random ?? Math.random,
  });
}
