import { BREAKER_OPTIONS, type CircuitBreakerOptions } from './breaker-options.js';
import { OptionError } from './errors.js';
import { RETRY_OPTIONS, type RetryOptions } from './options.js';
import { invalidOption, type Known, unknownOption } from './options-check.js';

/** How a value of the object becomes one of the option. */
type Read = (name: string, value: unknown) => unknown;

/** Other names of options, and how their values are read. */
export type Aliases<T> = Readonly<Record<string, readonly [keyof T, Read]>>;

export const inSeconds: Read = (name, value) => {
  if (typeof value === 'number' && value >= 0 && value < 1e12) return value * 1000;
  throw invalidOption(name, value, 'a number of seconds, 0 or more');
};
export const asIs: Read = (_name, value) => value;
const onceMore: Read = (name, value) => {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return (value as number) + 1;
  throw invalidOption(name, value, 'a whole number of retries, 0 or more');
};

const onConsole: Read = (name, value) => {
  if (typeof value === 'boolean') return value && console;
  throw invalidOption(name, value, 'true or false');
};

// The snake_case keys are those of the dictionaries in Python retry modules; durations in seconds.
const RETRY_ALIASES: Aliases<RetryOptions> = {
  max_attempts: ['maxAttempts', asIs],
  max_retries: ['maxAttempts', onceMore],
  base_delay: ['baseDelayMs', inSeconds],
  initial_delay: ['baseDelayMs', inSeconds],
  sleep_time: ['baseDelayMs', inSeconds],
  max_delay: ['maxDelayMs', inSeconds],
  backoff_factor: ['backoffFactor', asIs],
  exponential_base: ['backoffFactor', asIs],
  backoff: ['backoffFactor', asIs],
  jitter_factor: ['jitter', asIs],
  attempt_timeout: ['attemptTimeoutMs', inSeconds],
  total_timeout: ['totalTimeoutMs', inSeconds],
  operation_name: ['operation', asIs],
  retryable_error_categories: ['retryCategories', asIs],
  exceptions: ['retryOn', asIs],
  retryable_exceptions: ['retryOn', asIs],
  non_retryable_errors: ['neverRetry', asIs],
  log_tries: ['logger', onConsole],
};

const BREAKER_ALIASES: Aliases<CircuitBreakerOptions> = {
  failure_threshold: ['failureThreshold', asIs],
  failure_rate: ['failureRate', asIs],
  window_calls: ['windowCalls', asIs],
  window: ['windowMs', inSeconds],
  minimum_calls: ['minimumCalls', asIs],
  slow_call: ['slowCallMs', inSeconds],
  slow_call_rate: ['slowCallRate', asIs],
  reset_timeout: ['resetTimeoutMs', inSeconds],
  recovery_timeout: ['resetTimeoutMs', inSeconds],
  open_timeout_increment_factor: ['openTimeoutIncrementFactor', asIs],
  max_open_timeout: ['maxOpenTimeoutMs', inSeconds],
  jitter_factor: ['jitter', asIs],
  half_open_max_calls: ['halfOpenMaxCalls', asIs],
  success_threshold: ['successThreshold', asIs],
  // Seed 000's time after which a half-open breaker that heard nothing of its probe may probe again.
  retry_timeout: ['probeLeaseMs', inSeconds],
  vote_per: ['votePer', asIs],
};

/**
 * Reads retry options from a plain object, as it comes out of a configuration file: camelCase keys in
 * milliseconds, or snake_case keys in seconds (`max_retries` counts the calls after the first).
 *
 * @throws OptionError for an unknown key, a bad value, or two keys for one option
 */
export function retryOptionsFromObject(
  object: Readonly<Record<string, unknown>>,
  where = 'retry',
): RetryOptions {
  return optionsFromObject(object, where, RETRY_OPTIONS, RETRY_ALIASES);
}

/**
 * Reads a breaker's options from a plain object: camelCase keys in milliseconds, or snake_case keys in
 * seconds (`recovery_timeout` is `resetTimeoutMs`).
 *
 * @throws OptionError for an unknown key, a bad value, or two keys for one option
 */
export function breakerOptionsFromObject(
  object: Readonly<Record<string, unknown>>,
  where = 'breaker',
): CircuitBreakerOptions {
  return optionsFromObject(object, where, BREAKER_OPTIONS, BREAKER_ALIASES);
}

/** Options under their own names or under aliases. */
export function optionsFromObject<T extends object>(
  object: Readonly<Record<string, unknown>>,
  where: string,
  known: Known<T>,
  aliases: Aliases<T>,
): T {
  if (typeof object !== 'object' || object === null || Array.isArray(object)) {
    throw invalidOption(where, object, 'an object of options');
  }
  const options: Partial<Record<keyof T, unknown>> = {};
  const from: Partial<Record<keyof T, string>> = {};
  for (const [key, value] of Object.entries(object)) {
    if (value === undefined || value === null) continue;
    const name = where === '' ? key : `${where}.${key}`;
    const [target, read] = lookUp(key, name, known, aliases);
    if (from[target] !== undefined) {
      throw new OptionError(name, `says the same as ${from[target]}. Keep one of them.`);
    }
    from[target] = name;
    options[target] = read(name, value);
    const valid = known[target]?.(options[target]);
    if (valid !== undefined) throw invalidOption(name, value, valid);
  }
  return options as T;
}

function lookUp<T extends object>(
  key: string,
  name: string,
  known: Known<T>,
  aliases: Aliases<T>,
): readonly [keyof T, Read] {
  if (Object.hasOwn(known, key)) return [key as keyof T, asIs];
  const alias = Object.hasOwn(aliases, key) ? aliases[key] : undefined;
  if (alias !== undefined) return alias;
  throw unknownOption(name, key, [...Object.keys(known), ...Object.keys(aliases)]);
}
