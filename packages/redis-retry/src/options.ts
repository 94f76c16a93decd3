import { OptionError, RetryPolicy } from '@outlast/core-retry';
import {
  type ConnectorDefaults,
  type ConnectorRetryOptions,
  connectorOptions,
  connectorOptionsFromEnv,
  duration,
  invalidOption,
  nearest,
  redact,
  unknownOption,
  wholeNumber,
} from '@outlast/core-retry/connector';
import type { ClusterOptions, RedisOptions } from 'ioredis';
import { classifyRedis } from './classify.js';
import { type IdempotentCommand, idempotentCommands, type VerdictOptions } from './verdict.js';

const ENV_PREFIXES: readonly string[] = ['REDIS_RETRY'];

/** Four attempts, 0.5 s to 10 s between them. */
const DEFAULTS: ConnectorDefaults = { maxAttempts: 4, baseDelayMs: 500, maxDelayMs: 10_000 };

const DEFAULT_MAX_QUEUED = 100_000;
const DEFAULT_LIVENESS_MS = 10_000;

/** What is under the key `retry`. Durations in milliseconds. */
export interface RedisRetryOptions extends ConnectorRetryOptions {
  /**
   * Commands and scripts (by the name given to `defineCommand`) that may run again although the first
   * run may have taken effect: a name, or a function of the name and the arguments.
   */
  readonly idempotentCommands?: readonly IdempotentCommand[];
  /**
   * Whether a command runs again whose state is the same then but whose count lies (DEL, SADD, HSET:
   * 0 instead of 1). Default `'replay'`; `'unknown'` surfaces its error.
   */
  readonly countReplies?: 'replay' | 'unknown';
  /**
   * What becomes of a blocking pop whose connection is lost. Default `'unknown'`, for the server may have
   * popped; `'resend'` is what plain ioredis does, and may lose an element.
   */
  readonly blocking?: 'unknown' | 'resend';
  /** How many commands may wait while Redis cannot be reached. Default 100 000. */
  readonly maxQueued?: number;
  /**
   * How long the oldest command may be silent, in milliseconds, before it is looked whether its host still
   * takes connections. If it does not, twice in a row, the connection is dropped; a server that is only
   * slow is waited for. Default 10 000; `Infinity` never looks.
   */
  readonly livenessMs?: number;
}

/** Everything that `Redis` of ioredis takes, and ours. */
export interface RetryRedisOptions extends RedisOptions {
  readonly retry?: RedisRetryOptions;
}

/** Everything that `Cluster` of ioredis takes, and ours. */
export interface RetryClusterOptions extends ClusterOptions {
  readonly retry?: RedisRetryOptions;
}

/** What a client needs to know of its options. */
export interface ClientSettings {
  readonly policy: RetryPolicy;
  /** How long a command waits while Redis cannot be reached. */
  readonly waitMs: number;
  readonly maxQueued: number;
  readonly livenessMs: number;
  readonly verdict: VerdictOptions;
  /** What the caller had set of `maxRetriesPerRequest`. */
  readonly maxRetriesPerRequest: number | null | undefined;
  /** What the caller had set of `commandTimeout`: the limit of a whole operation. */
  readonly commandTimeoutMs: number | undefined;
  /** For those that are duplicated from this one. */
  readonly given: RedisRetryOptions | undefined;
}

type DriverOptions = Pick<
  RedisOptions,
  'maxRetriesPerRequest' | 'commandTimeout' | 'autoResendUnfulfilledCommands'
>;

/** @throws OptionError naming the option or variable, the value and what is valid */
export function clientSettings(
  retry: RedisRetryOptions | undefined,
  driver: DriverOptions,
): ClientSettings {
  const {
    idempotentCommands: list,
    countReplies,
    blocking,
    maxQueued,
    livenessMs,
    ...rest
  } = checked(retry);
  oneOf('retry.countReplies', countReplies, ['replay', 'unknown']);
  oneOf('retry.blocking', blocking, ['unknown', 'resend']);
  const valid = maxQueued === undefined ? undefined : wholeNumber(0, true)(maxQueued);
  if (valid !== undefined) throw invalidOption('retry.maxQueued', maxQueued, valid);
  const bad =
    livenessMs === undefined ? undefined : duration({ min: 1, infinite: true })(livenessMs);
  if (bad !== undefined) throw invalidOption('retry.livenessMs', livenessMs, bad);
  const { policy, waitMs } = makePolicy(rest);
  return {
    policy,
    waitMs: patience(waitMs, rest, driver.maxRetriesPerRequest),
    maxQueued: maxQueued ?? DEFAULT_MAX_QUEUED,
    livenessMs: livenessMs ?? DEFAULT_LIVENESS_MS,
    verdict: {
      commands: idempotentCommands(list),
      scripts: new Map(),
      counts: countReplies !== 'unknown',
      blocking: blocking === 'resend',
      resend: driver.autoResendUnfulfilledCommands !== false,
      idempotent: policy.settings.idempotent,
    },
    maxRetriesPerRequest: driver.maxRetriesPerRequest,
    commandTimeoutMs: driver.commandTimeout,
    given: retry,
  };
}

/**
 * A retry policy with the classifier, the environment and the defaults of this package, for what is not
 * wrapped: other clients, own protocols. `idempotent` is false unless said otherwise.
 *
 * @throws OptionError naming the option or variable, the value and what is valid
 */
export function redisRetry(options?: ConnectorRetryOptions): RetryPolicy {
  return makePolicy(options).policy;
}

function makePolicy(options: ConnectorRetryOptions | undefined): {
  readonly policy: RetryPolicy;
  readonly waitMs: number;
} {
  const { retry, waitMs } = connectorOptions(options, ENV_PREFIXES, DEFAULTS);
  const policy = new RetryPolicy({
    classify: classifyRedis,
    // The first retry after a lost connection is paced by the reconnect.
    delayMs: ({ category }, { number }) => (category === 'network' && number === 1 ? 0 : undefined),
    ...retry,
  });
  return { policy, waitMs };
}

/**
 * `maxRetriesPerRequest` counts the reconnects of a connection, and in ioredis not even those of one
 * command; here it is the time that they would have taken. `null` waits without bound.
 */
function patience(
  waitMs: number,
  options: ConnectorRetryOptions,
  retries: number | null | undefined,
): number {
  const environment = connectorOptionsFromEnv(ENV_PREFIXES);
  const given =
    options.waitMs ?? environment.waitMs ?? options.maxAttempts ?? environment.maxAttempts;
  if (retries === undefined || given !== undefined) return waitMs;
  if (retries === null || retries < 0) return Infinity;
  let total = 0;
  // The schedule of ioredis 6, without its jitter.
  for (let n = 0; n < Math.min(retries, 10_000); n++) total += Math.min(50 * 2 ** n, 5000);
  return total;
}

function checked(retry: RedisRetryOptions | undefined): RedisRetryOptions {
  if (retry === undefined) return {};
  if (typeof retry !== 'object' || retry === null || Array.isArray(retry)) {
    throw invalidOption('retry', retry, 'an object of options');
  }
  for (const key of Object.keys(retry)) {
    const near = nearest(key, OWN_KEYS);
    if (near !== undefined && !OWN_KEYS.includes(key)) {
      throw unknownOption(`retry.${key}`, key, OWN_KEYS);
    }
  }
  return retry;
}

const OWN_KEYS = ['idempotentCommands', 'countReplies', 'blocking', 'maxQueued', 'livenessMs'];

function oneOf(option: string, value: unknown, valid: readonly string[]): void {
  if (value === undefined || valid.includes(value as string)) return;
  throw invalidOption(option, value, valid.map((one) => `'${one}'`).join(' or '));
}

/** Whether a name is all but `retry`, which the driver would ignore in silence. */
export function refuseTypingErrors(options: object): void {
  for (const key of Object.keys(options)) {
    if (key.length > 3 && key !== 'retry' && nearest(key, ['retry']) !== undefined) {
      throw unknownOption(key, key, ['retry']);
    }
  }
}

/**
 * ioredis takes any URL and connects to its host, whatever its scheme.
 *
 * @throws OptionError for a scheme that is not Redis'
 */
export function checkUrl(url: string): void {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(url)?.[1];
  if (scheme === undefined || /^rediss?$/i.test(scheme)) return;
  throw new OptionError(
    'url',
    `must begin with redis:// or rediss://, got ${redact(url).slice(0, 100)}`,
  );
}
