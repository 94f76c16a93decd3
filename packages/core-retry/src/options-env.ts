import {
  boolean,
  type Environment,
  jitter,
  number,
  readVariables,
  seconds,
  type Variables,
  wholeNumber,
} from './env-values.js';
import type { RetryOptions } from './options.js';

/** The options of a policy that the environment can set. */
export interface EnvironmentOptions
  extends Pick<
    RetryOptions,
    | 'maxAttempts'
    | 'baseDelayMs'
    | 'maxDelayMs'
    | 'backoffFactor'
    | 'jitter'
    | 'attemptTimeoutMs'
    | 'totalTimeoutMs'
  > {}

/** The same, and how long a connector waits for its service. */
export interface ConnectorEnvironment extends EnvironmentOptions {
  /** How long an operation waits while its service cannot be reached, in milliseconds. */
  readonly waitMs?: number;
}

const VARIABLES: Variables<ConnectorEnvironment> = {
  MAX_ATTEMPTS: (name, text) => ({ maxAttempts: wholeNumber(name, text) }),
  BASE_DELAY: (name, text) => ({ baseDelayMs: seconds(name, text, 0) }),
  MAX_DELAY: (name, text) => ({ maxDelayMs: seconds(name, text, 0) }),
  WAIT: (name, text) => ({ waitMs: seconds(name, text, 0) }),
  BACKOFF_FACTOR: (name, text) => ({ backoffFactor: number(name, text, 1, 1000) }),
  JITTER: (name, text) => ({ jitter: jitter(name, text) }),
  ATTEMPT_TIMEOUT: (name, text) => ({ attemptTimeoutMs: seconds(name, text, 0.001) }),
  TOTAL_TIMEOUT: (name, text) => ({ totalTimeoutMs: seconds(name, text, 0.001) }),
  // Last, so that it overrides the others.
  ENABLED: (name, text) => (boolean(name, text) ? {} : { maxAttempts: 1, waitMs: 0 }),
};

/**
 * Reads retry options from environment variables `<PREFIX>_MAX_ATTEMPTS`, `_BASE_DELAY`, `_MAX_DELAY`,
 * `_WAIT`, `_BACKOFF_FACTOR`, `_JITTER`, `_ATTEMPT_TIMEOUT`, `_TOTAL_TIMEOUT` and `_ENABLED`; durations in
 * seconds. Each variable is searched prefix by prefix, first found wins; an empty one counts as unset.
 *
 * @returns only the keys that are set, durations in milliseconds; `_WAIT` is checked, and is a connector's affair
 * @throws OptionError naming the variable, its value and what is valid
 * @example retryOptionsFromEnv(['PG_RETRY', 'DB_RETRY', 'DATABASE_RETRY'])
 */
export function retryOptionsFromEnv(
  prefixes: readonly string[],
  env: Environment = process.env,
): EnvironmentOptions {
  const { waitMs: _waitMs, ...options } = connectorOptionsFromEnv(prefixes, env);
  return options;
}

/** As {@link retryOptionsFromEnv}, with a connector's patience. */
export function connectorOptionsFromEnv(
  prefixes: readonly string[],
  env: Environment = process.env,
): ConnectorEnvironment {
  return readVariables<ConnectorEnvironment>(VARIABLES, prefixes, env);
}
