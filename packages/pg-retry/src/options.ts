import { type RetryOptions, RetryPolicy } from '@outlast/core-retry';
import {
  type ConnectorDefaults,
  type ConnectorRetryOptions,
  connectorDelay,
  connectorOptions,
  duration,
  flag,
  invalidOption,
  nearest,
  unknownOption,
} from '@outlast/core-retry/connector';
import driverModule, { type PoolConfig } from 'pg';
import { classifyPg } from './classify.js';
import { type HostAddress, hostSettings, type Target } from './host-list.js';
import { Hosts } from './hosts.js';
import { LIVENESS_MS } from './liveness.js';
import { STALE_CODES } from './prepared.js';
import { targetedClient } from './target.js';

/** The environment variables that are read, first found wins: `PG_RETRY_MAX_ATTEMPTS` and so on. */
const ENV_PREFIXES: readonly string[] = ['PG_RETRY', 'DB_RETRY', 'DATABASE_RETRY'];

/** Five attempts, 1 s to 30 s between them. */
const DEFAULTS: ConnectorDefaults = {
  maxAttempts: 5,
  baseDelayMs: 1000,
  maxDelayMs: 30_000,
};

/** How long a connection may take to open, in milliseconds, if `connectionTimeoutMillis` does not say. */
export const CONNECT_TIMEOUT_MS = 10_000;

/** Everything that `pg.Pool` takes, and ours. */
export interface RetryPoolConfig extends PoolConfig {
  /** Policy options: attempts, delays, budget, patience (`waitMs`). Durations in milliseconds. */
  readonly retry?: ConnectorRetryOptions;
  /**
   * Runs a single INSERT, UPDATE, DELETE or MERGE of `pool.query` as a transaction of its own, so that
   * its outcome can be found out when its answer is lost. Costs two round trips. Default false.
   */
  readonly resolveWrites?: boolean;
  /**
   * Servers of one cluster, of which one that is as `target` says is used: `['a:5432', { host: 'b' }]`. A
   * dead, silent or wrong one means the next. Also from a URL with several hosts, as libpq has it.
   */
  readonly hosts?: readonly (string | HostAddress)[];
  /** What the server must be: libpq's `target_session_attrs`. Default `primary` where hosts are given. */
  readonly target?: Target;
  /** The same as `target`, by libpq's name. */
  readonly targetSessionAttrs?: Target;
  /**
   * How long a statement may be silent before its server is asked, on another connection, whether it is
   * still there; two refusals in a row end the statement's connection. In milliseconds, default 10 000;
   * Infinity never asks.
   */
  readonly livenessMs?: number;
}

const OWN_KEYS = ['retry', 'resolveWrites', 'hosts', 'target', 'targetSessionAttrs', 'livenessMs'];
// Names of the driver's that are close to ours and are not meant to be ours.
const DRIVER_KEYS = new Set([
  'Client',
  'Promise',
  'verify',
  'log',
  'min',
  'max',
  'ssl',
  'user',
  'host',
  'port',
  'types',
]);
// What pg reads of a query object.
export const DRIVER_QUERY_KEYS: ReadonlySet<string> = new Set([
  'text',
  'values',
  'name',
  'rowMode',
  'types',
  'query_timeout',
  'queryMode',
  'binary',
  'rows',
  'portal',
  'callback',
]);
export interface PoolSettings {
  /** The caller's object without our keys; never the object itself. */
  readonly driver: PoolConfig;
  readonly policy: RetryPolicy;
  readonly waitMs: number;
  readonly resolveWrites: boolean;
  readonly livenessMs: number;
  readonly hosts: Hosts | undefined;
}

/** @throws OptionError naming the option or variable, the value and what is valid */
export function poolSettings(config: RetryPoolConfig = {}): PoolSettings {
  const {
    retry,
    resolveWrites = false,
    livenessMs = LIVENESS_MS,
    hosts: listed,
    target,
    targetSessionAttrs,
    ...rest
  } = config;
  for (const key of Object.keys(rest)) refuseTypingError(key);
  const valid = flag(resolveWrites);
  if (valid !== undefined) throw invalidOption('resolveWrites', resolveWrites, valid);
  const period = duration({ min: 1, infinite: true })(livenessMs);
  if (period !== undefined) throw invalidOption('livenessMs', livenessMs, period);
  const { policy, waitMs } = makePolicy(retry);
  const found = hostSettings({ hosts: listed, target, targetSessionAttrs }, rest);
  const driver = keepHidden(config, found.driver);
  if (found.hosts === undefined) {
    return { driver, policy, waitMs, resolveWrites, livenessMs, hosts: undefined };
  }
  const hosts = new Hosts({
    ...found.hosts,
    clock: policy.settings.clock,
    judge: (error) => classifyPg(error, 'connect'),
  });
  const Client = targetedClient(clientOf(driver), () => hosts.wanted);
  return {
    driver: { ...driver, Client } as PoolConfig,
    policy,
    waitMs,
    resolveWrites,
    livenessMs,
    hosts,
  };
}

/**
 * A retry policy with the classifier, the environment and the defaults of this package: for knex,
 * sequelize and clients that somebody else made. `idempotent` is false unless said otherwise.
 *
 * @throws OptionError naming the option or variable, the value and what is valid
 */
export function pgRetry(options?: RetryOptions): RetryPolicy {
  return makePolicy(options).policy;
}

function makePolicy(options: ConnectorRetryOptions | undefined): {
  readonly policy: RetryPolicy;
  readonly waitMs: number;
} {
  const { retry, waitMs } = connectorOptions(options, ENV_PREFIXES, DEFAULTS);
  const { baseDelayMs = DEFAULTS.baseDelayMs, random = Math.random } = retry;
  const policy = new RetryPolicy({
    classify: classifyPg,
    delayMs: (failure, { number }) =>
      connectorDelay(failure, number, baseDelayMs, random) ??
      // What was prepared under a name and runs again without it has nothing to wait for.
      (STALE_CODES.has(failure.code) ? 0 : undefined),
    ...retry,
  });
  return { policy, waitMs };
}

function clientOf(driver: PoolConfig): new (config?: unknown) => driverModule.Client {
  const given = (driver as { Client?: unknown }).Client ?? driverModule.Client;
  return given as new (
    config?: unknown,
  ) => driverModule.Client;
}

function refuseTypingError(key: string): void {
  if (DRIVER_KEYS.has(key)) return;
  const near = nearest(key, OWN_KEYS);
  if (near !== undefined) throw unknownOption(key, key, OWN_KEYS);
}

// Own properties that are not enumerable (a hidden password) do not survive a spread.
function keepHidden(config: RetryPoolConfig, driver: PoolConfig): PoolConfig {
  const all = Object.getOwnPropertyDescriptors(config);
  for (const [key, descriptor] of Object.entries(all)) {
    if (!descriptor.enumerable) Object.defineProperty(driver, key, descriptor);
  }
  return driver;
}
