import type { CircuitBreakerOptions } from './breaker-options.js';
import {
  boolean,
  type Environment,
  readVariables,
  seconds,
  type Variables,
  wholeNumber,
} from './env-values.js';

interface BreakerVariables
  extends Pick<CircuitBreakerOptions, 'failureThreshold' | 'resetTimeoutMs' | 'maxOpenTimeoutMs'> {
  readonly enabled?: boolean;
}

const VARIABLES: Variables<BreakerVariables> = {
  FAILURE_THRESHOLD: (name, text) => ({ failureThreshold: wholeNumber(name, text) }),
  RESET_TIMEOUT: (name, text) => ({ resetTimeoutMs: seconds(name, text, 0.001) }),
  MAX_OPEN_TIMEOUT: (name, text) => ({ maxOpenTimeoutMs: seconds(name, text, 0.001) }),
  ENABLED: (name, text) => ({ enabled: boolean(name, text) }),
};

/**
 * Reads a breaker's options from `<SERVICE>_BREAKER_FAILURE_THRESHOLD`, `_RESET_TIMEOUT`,
 * `_MAX_OPEN_TIMEOUT` (seconds) and `_ENABLED`.
 *
 * @returns only the options that are set; false if it is not enabled; undefined if no variable says anything
 * @throws OptionError naming the variable, its value and what is valid
 * @example breakerOptionsFromEnv('PG')
 */
export function breakerOptionsFromEnv(
  service: string,
  env: Environment = process.env,
): CircuitBreakerOptions | false | undefined {
  const found = readVariables<BreakerVariables>(VARIABLES, [`${service}_BREAKER`], env);
  const { enabled, ...options } = found;
  if (enabled === false) return false;
  return Object.keys(found).length === 0 ? undefined : options;
}
