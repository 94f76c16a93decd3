import { OptionError } from './errors.js';
import type { RetryOptions } from './options.js';
import { RETRY_OPTIONS } from './options.js';
import { invalidOption, unknownOption } from './options-check.js';

type Key = keyof RetryOptions;
type Read = (name: string, value: unknown) => unknown;

const inSeconds: Read = (name, value) => {
  if (typeof value === 'number' && value >= 0 && value < 1e12) return value * 1000;
  throw invalidOption(name, value, 'a number of seconds, 0 or more');
};
const asIs: Read = (_name, value) => value;
const onceMore: Read = (name, value) => {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return (value as number) + 1;
  throw invalidOption(name, value, 'a whole number of retries, 0 or more');
};

// The snake_case keys are those of the dictionaries in Python retry modules; durations in seconds.
const SNAKE_CASE: Readonly<Record<string, readonly [Key, Read]>> = {
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
  if (typeof object !== 'object' || object === null || Array.isArray(object)) {
    throw invalidOption(where, object, 'an object of options');
  }
  const options: Partial<Record<Key, unknown>> = {};
  const from: Partial<Record<Key, string>> = {};
  for (const [key, value] of Object.entries(object)) {
    if (value === undefined || value === null) continue;
    const [target, read] = lookUp(key, where);
    const name = `${where}.${key}`;
    if (from[target] !== undefined) {
      throw new OptionError(name, `says the same as ${where}.${from[target]}. Keep one of them.`);
    }
    from[target] = key;
    options[target] = read(name, value);
    const valid = RETRY_OPTIONS[target]?.(options[target]);
    if (valid !== undefined) throw invalidOption(name, value, valid);
  }
  return options as RetryOptions;
}

function lookUp(key: string, where: string): readonly [Key, Read] {
  if (Object.hasOwn(RETRY_OPTIONS, key)) return [key as Key, asIs];
  if (Object.hasOwn(SNAKE_CASE, key)) return SNAKE_CASE[key] as readonly [Key, Read];
  throw unknownOption(`${where}.${key}`, key, [
    ...Object.keys(RETRY_OPTIONS),
    ...Object.keys(SNAKE_CASE),
  ]);
}
