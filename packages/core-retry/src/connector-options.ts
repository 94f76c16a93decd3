import { scheduleLength } from './backoff.js';
import { DEFAULTS, RETRY_OPTIONS, type RetryOptions } from './options.js';
import { checkOptions, duration } from './options-check.js';
import { retryOptionsFromEnv } from './options-env.js';
import { RetryBudget } from './retry-budget.js';

/** What every connector takes under its key `retry`: the options of a policy, and its patience. */
export interface ConnectorRetryOptions extends RetryOptions {
  /**
   * How long an operation waits while its service cannot be reached, in milliseconds. Default 30 000;
   * if `maxAttempts` is given and this is not, what that schedule would have slept.
   */
  readonly waitMs?: number;
}

/** The figures in which connectors differ. */
export interface ConnectorDefaults {
  readonly maxAttempts: number;
  readonly baseDelayMs: number;
  readonly maxDelayMs: number;
}

const DEFAULT_WAIT_MS = 30_000;
const KNOWN = { ...RETRY_OPTIONS, waitMs: duration({ infinite: true }) };

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
  const { waitMs: givenWait, ...code } = given;
  const { waitMs: envWait, ...environment } = retryOptionsFromEnv(prefixes, env);
  const merged = { ...defaults, ...environment, ...code };
  const retry: RetryOptions = {
    idempotent: false,
    ...merged,
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

function withoutUndefined<T extends object>(options: T): T {
  if (typeof options !== 'object' || options === null) return options;
  return Object.fromEntries(Object.entries(options).filter(([, v]) => v !== undefined)) as T;
}
