import { scheduleLength } from './backoff.js';
import { breakerOptionsFromEnv } from './breaker-env.js';
import type { CircuitBreakerOptions } from './breaker-options.js';
import { CircuitBreaker } from './circuit-breaker.js';
import { DEFAULTS, RETRY_OPTIONS, type RetryOptions } from './options.js';
import { type Check, checkOptions, duration, hasMethods } from './options-check.js';
import { connectorOptionsFromEnv } from './options-env.js';
import { RetryBudget } from './retry-budget.js';

/** What every connector takes under its key `retry`: the options of a policy, and its patience. */
export interface ConnectorRetryOptions extends Omit<RetryOptions, 'breaker'> {
  /**
   * How long an operation waits while its service cannot be reached, in milliseconds. Default 30 000;
   * if `maxAttempts` is given and this is not, what that schedule would have slept.
   */
  readonly waitMs?: number;
  /**
   * Refuses operations while the service is known to be ill: a breaker, options of one, or true for one
   * with defaults. Default: none, unless `<SERVICE>_BREAKER_…` variables ask for one.
   */
  readonly breaker?: CircuitBreaker | CircuitBreakerOptions | boolean;
}

/** The figures in which connectors differ. */
export interface ConnectorDefaults {
  readonly maxAttempts: number;
  readonly baseDelayMs: number;
  readonly maxDelayMs: number;
}

const DEFAULT_WAIT_MS = 30_000;
const isBreaker: Check = (value) =>
  typeof value === 'boolean' || (typeof value === 'object' && value !== null)
    ? undefined
    : 'a CircuitBreaker, options of one, true or false';
const KNOWN = { ...RETRY_OPTIONS, breaker: isBreaker, waitMs: duration({ infinite: true }) };

/**
 * Options in code over the environment over the connector's defaults. A connector has a budget of its
 * own and replays nothing that it does not know to be safe.
 *
 * @throws OptionError naming the option or variable, the value and what is valid
 */
export function connectorOptions(
  options: ConnectorRetryOptions | undefined,
  prefixes: readonly string[],
  defaults: ConnectorDefaults,
  env?: Readonly<Record<string, string | undefined>>,
): { readonly retry: RetryOptions; readonly waitMs: number } {
  checkOptions('retry', options ?? {}, KNOWN);
  const given = withoutUndefined(options ?? {});
  const { waitMs: givenWait, breaker: givenBreaker, ...code } = given;
  const { waitMs: envWait, ...environment } = connectorOptionsFromEnv(prefixes, env);
  const merged = { ...defaults, ...environment, ...code };
  const retry: RetryOptions = {
    idempotent: false,
    ...merged,
    breaker: breakerOf(givenBreaker, prefixes, merged, env),
    budget: merged.budget ?? new RetryBudget(merged.clock ? { clock: merged.clock } : {}),
  };
  const attemptsGiven = code.maxAttempts ?? environment.maxAttempts;
  const schedule = { ...DEFAULTS, ...merged };
  const waitMs =
    givenWait ??
    envWait ??
    (attemptsGiven === undefined ? DEFAULT_WAIT_MS : scheduleLength(schedule, attemptsGiven));
  return { retry, waitMs };
}

/** A breaker, where somebody asks for one. */
function breakerOf(
  given: ConnectorRetryOptions['breaker'],
  prefixes: readonly string[],
  shared: RetryOptions,
  env: Readonly<Record<string, string | undefined>> | undefined,
): CircuitBreaker | false {
  const service = (prefixes[0] ?? '').replace(/_RETRY$/, '');
  const environment = breakerOptionsFromEnv(service, env);
  if (given === false || (given === undefined && !environment)) return false;
  if (hasMethods(given, ['admit', 'refusal'])) return given as CircuitBreaker;
  const code = typeof given === 'object' ? given : undefined;
  const { clock, random } = shared;
  return new CircuitBreaker({
    name: service.toLowerCase() || 'breaker',
    ...(clock && { clock }),
    ...(random && { random }),
    ...(environment || undefined),
    ...code,
  });
}

function withoutUndefined<T extends object>(options: T): T {
  if (typeof options !== 'object' || options === null) return options;
  return Object.fromEntries(Object.entries(options).filter(([, v]) => v !== undefined)) as T;
}
