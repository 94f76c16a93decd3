import type { Jitter } from './backoff.js';
import { OptionError } from './errors.js';
import type { RetryOptions } from './options.js';
import { invalidOption, nearest } from './options-check.js';

/** What the environment can set: policy options, and how long a connector waits for its service. */
export interface EnvironmentOptions
  extends Pick<
    RetryOptions,
    | 'maxAttempts'
    | 'baseDelayMs'
    | 'maxDelayMs'
    | 'backoffFactor'
    | 'attemptTimeoutMs'
    | 'totalTimeoutMs'
  > {
  readonly jitter?: Jitter;
  /** How long an operation waits while its service cannot be reached, in milliseconds. */
  readonly waitMs?: number;
}

type Environment = Readonly<Record<string, string | undefined>>;
type Read = (name: string, text: string) => Partial<EnvironmentOptions>;

const VARIABLES: Readonly<Record<string, Read>> = {
  MAX_ATTEMPTS: (name, text) => ({ maxAttempts: wholeNumber(name, text) }),
  BASE_DELAY: (name, text) => ({ baseDelayMs: seconds(name, text, 0) }),
  MAX_DELAY: (name, text) => ({ maxDelayMs: seconds(name, text, 0) }),
  WAIT: (name, text) => ({ waitMs: seconds(name, text, 0) }),
  BACKOFF_FACTOR: (name, text) => ({ backoffFactor: number(name, text, 1, 1000) }),
  JITTER: (name, text) => ({ jitter: jitter(name, text) }),
  ATTEMPT_TIMEOUT: (name, text) => ({ attemptTimeoutMs: seconds(name, text, 0.001) }),
  TOTAL_TIMEOUT: (name, text) => ({ totalTimeoutMs: seconds(name, text, 0.001) }),
  ENABLED: (name, text) => (boolean(name, text) ? {} : { maxAttempts: 1, waitMs: 0 }),
};

/**
 * Reads retry options from environment variables `<PREFIX>_MAX_ATTEMPTS`, `_BASE_DELAY`, `_MAX_DELAY`,
 * `_WAIT`, `_BACKOFF_FACTOR`, `_JITTER`, `_ATTEMPT_TIMEOUT`, `_TOTAL_TIMEOUT` and `_ENABLED`; durations in
 * seconds. Each variable is searched prefix by prefix, first found wins; an empty one counts as unset.
 *
 * @returns only the keys that are set, durations in milliseconds
 * @throws OptionError naming the variable, its value and what is valid
 * @example retryOptionsFromEnv(['PG_RETRY', 'DB_RETRY', 'DATABASE_RETRY'])
 */
export function retryOptionsFromEnv(
  prefixes: readonly string[],
  env: Environment = process.env,
): EnvironmentOptions {
  const options: Partial<EnvironmentOptions> = {};
  for (const [suffix, read] of Object.entries(VARIABLES)) {
    for (const prefix of prefixes) {
      const name = `${prefix}_${suffix}`;
      const text = env[name]?.trim();
      if (text === undefined || text === '') continue;
      // ENABLED=false stands last in the table, so that it overrides the others.
      Object.assign(options, read(name, text));
      break;
    }
  }
  if (prefixes[0] !== undefined) refuseTypingErrors(prefixes[0], env);
  return options;
}

// Only under the first prefix, which is ours alone: DB_RETRY_… may have other readers.
function refuseTypingErrors(prefix: string, env: Environment): void {
  const known = Object.keys(VARIABLES).map((suffix) => `${prefix}_${suffix}`);
  for (const name of Object.keys(env)) {
    if (!name.startsWith(`${prefix}_`) || known.includes(name) || !env[name]) continue;
    const near = nearest(name, known);
    if (near !== undefined) {
      throw new OptionError(name, `is not an environment variable of ours. Did you mean ${near}?`);
    }
  }
}

function number(name: string, text: string, min: number, max: number, unit = ''): number {
  const value = /^[+-]?(\d+\.?\d*|\.\d+)$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  const bounds = max < 1e9 ? `from ${min} to ${max}` : `${min} or more`;
  throw invalidOption(name, text, `a number${unit}, ${bounds}`);
}

function seconds(name: string, text: string, min: number): number {
  return number(name, text, min, 1e12, ' of seconds') * 1000;
}

function wholeNumber(name: string, text: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw invalidOption(name, text, 'a whole number, 1 or more');
}

function jitter(name: string, text: string): Jitter {
  if (text === 'full' || text === 'equal' || text === 'decorrelated') return text;
  if (text === 'true' || text === 'false') return text === 'true';
  const value = /^(0?\.\d+|0|1|1\.0+|0\.)$/.test(text) ? Number(text) : Number.NaN;
  if (value >= 0 && value <= 1) return value;
  throw invalidOption(
    name,
    text,
    "a ratio from 0 to 1, 'true', 'false', 'full', 'equal' or 'decorrelated'",
  );
}

function boolean(name: string, text: string): boolean {
  const value = text.toLowerCase();
  if (['true', '1', 'yes', 'on'].includes(value)) return true;
  if (['false', '0', 'no', 'off'].includes(value)) return false;
  throw invalidOption(name, text, "'true' or 'false'");
}
