import { type RetryOptions, RetryPolicy } from '@outlast/core-retry';
import {
  type Check,
  type ConnectorDefaults,
  type ConnectorRetryOptions,
  connectorDelay,
  connectorOptions,
  duration,
  EXTRA_KEYS,
  flag,
  invalidOption,
  type Known,
  nearest,
  type QueryExtras,
  queryExtras,
  unknownOption,
} from '@outlast/core-retry/connector';
import type { ConnectionOptions, PoolOptions, QueryOptions } from 'mysql2';
import { classifyMysql } from './classify.js';
import { type Host, hostList, type Target } from './hosts.js';

/** The environment variables that are read, first found wins: `MYSQL_RETRY_MAX_ATTEMPTS` and so on. */
const ENV_PREFIXES: readonly string[] = ['MYSQL_RETRY', 'DB_RETRY', 'DATABASE_RETRY'];

/** Four attempts, 1 s to 30 s between them. */
const DEFAULTS: ConnectorDefaults = { maxAttempts: 4, baseDelayMs: 1000, maxDelayMs: 30_000 };

/** What is ours in the options of a pool. Durations in milliseconds. */
interface RetryPoolExtras {
  /** Policy options: attempts, delays, budget, patience (`waitMs`). */
  readonly retry?: ConnectorRetryOptions;
  /**
   * Runs a single INSERT, REPLACE, UPDATE or DELETE on an InnoDB table, given to the pool, as a transaction
   * with a commit marker, so that its outcome can be found out when its answer is lost. Costs three round
   * trips. Default false.
   */
  readonly resolveWrites?: boolean;
  /** How long an operation waits for a connection of a busy pool. Default: for ever, as the driver. */
  readonly acquireTimeoutMs?: number;
  /** A connection that was idle for longer is pinged before it is used. Default 5000; Infinity: never. */
  readonly pingAfterIdleMs?: number;
  /**
   * A statement that has been silent for so long makes us ask its server, on another connection, whether it
   * still knows of it; two noes in a row, and its connection is given up. Default 10 000; Infinity: never.
   */
  readonly livenessMs?: number;
  /** Servers, in order of preference: `'db1:3306'` or `{ host, port }`. Takes the place of `host` and `port`. */
  readonly hosts?: readonly (string | Host)[];
  /** Which of `hosts` will do: one that takes writes (`primary`), one that does not (`replica`), or `any`. Default `primary`. */
  readonly target?: Target;
}

/** Everything that the driver's `createPool` takes, and ours. */
export type RetryPoolOptions = PoolOptions & RetryPoolExtras;

/** Everything that the driver's `createConnection` takes, and ours. */
export type RetryConnectionOptions = ConnectionOptions & Pick<RetryPoolExtras, 'retry'>;

/** The driver's options of a statement, and ours. */
export type RetryQueryOptions = QueryOptions & QueryExtras;

const OWN_KEYS: readonly (keyof RetryPoolExtras)[] = [
  'retry',
  'resolveWrites',
  'acquireTimeoutMs',
  'pingAfterIdleMs',
  'livenessMs',
  'hosts',
  'target',
];
// Names of the driver's that are close to ours and are not meant to be ours.
const DRIVER_KEYS = new Set([
  'host',
  'port',
  'ssl',
  'trace',
  'flags',
  'debug',
  'uri',
  'user',
  'pool',
]);
const DRIVER_QUERY_KEYS: ReadonlySet<string> = new Set([
  'sql',
  'values',
  'attributes',
  'namedPlaceholders',
  'timeout',
  'nestTables',
  'typeCast',
  'rowsAsArray',
  'infileStreamFactory',
  'supportBigNumbers',
  'bigNumberStrings',
  'dateStrings',
  'timezone',
]);

const positive = duration({ min: 1, infinite: true });
const isTarget: Check = (value) =>
  value === 'primary' || value === 'replica' || value === 'any'
    ? undefined
    : "'primary', 'replica' or 'any'";
const isFlag: Check = flag;
const CHECKS: Known<Omit<RetryPoolExtras, 'retry' | 'hosts'>> = {
  resolveWrites: isFlag,
  acquireTimeoutMs: positive,
  pingAfterIdleMs: duration({ infinite: true }),
  livenessMs: positive,
  target: isTarget,
};

export interface PoolSettings {
  /** The caller's options without our keys; never the object itself. */
  readonly driver: string | PoolOptions;
  readonly policy: RetryPolicy;
  readonly waitMs: number;
  readonly resolveWrites: boolean;
  readonly acquireTimeoutMs: number;
  readonly pingAfterIdleMs: number;
  readonly livenessMs: number;
  /** Empty: the one that the driver's own options name. */
  readonly hosts: readonly Host[];
  readonly target: Target;
}

/** @throws OptionError naming the option or variable, the value and what is valid */
export function poolSettings(options: string | RetryPoolOptions): PoolSettings {
  const text = typeof options === 'string';
  if (!text && (typeof options !== 'object' || options === null)) {
    throw invalidOption('createPool(options)', options, 'a URI or an object of options');
  }
  const { retry, hosts, ...rest } = text ? ({} as RetryPoolOptions) : options;
  const own: Record<string, unknown> = {};
  const driver: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(rest)) {
    if (Object.hasOwn(CHECKS, key)) own[key] = value;
    else {
      refuseTypingError(key);
      driver[key] = value;
    }
  }
  for (const [key, check] of Object.entries(CHECKS)) {
    const valid = own[key] === undefined ? undefined : check?.(own[key]);
    if (valid !== undefined) throw invalidOption(key, own[key], valid);
  }
  const extras = own as Omit<RetryPoolExtras, 'retry' | 'hosts'>;
  const { policy, waitMs } = makePolicy(retry);
  return {
    driver: text ? options : driverOptions(driver),
    policy,
    waitMs,
    resolveWrites: extras.resolveWrites ?? false,
    acquireTimeoutMs: extras.acquireTimeoutMs ?? Infinity,
    pingAfterIdleMs: extras.pingAfterIdleMs ?? 5000,
    livenessMs: extras.livenessMs ?? 10_000,
    hosts: hosts === undefined ? [] : hostList(hosts),
    target: extras.target ?? (hosts === undefined ? 'any' : 'primary'),
  };
}

export interface ConnectionSettings {
  /** The caller's options without our key; never the object itself. */
  readonly driver: string | ConnectionOptions;
  readonly policy: RetryPolicy;
  readonly waitMs: number;
}

/** @throws OptionError naming the option or variable, the value and what is valid */
export function connectionSettings(options: string | RetryConnectionOptions): ConnectionSettings {
  if (typeof options !== 'string' && (typeof options !== 'object' || options === null)) {
    throw invalidOption('createConnection(options)', options, 'a URI or an object of options');
  }
  if (typeof options === 'string') return { driver: options, ...makePolicy(undefined) };
  const { retry, ...driver } = options;
  return { driver: driverOptions({ ...driver }), ...makePolicy(retry) };
}

// The driver writes into `ssl`, and the caller's is not to be changed.
function driverOptions(driver: Record<string, unknown>): PoolOptions {
  const { ssl } = driver;
  return typeof ssl === 'object' && ssl !== null ? { ...driver, ssl: { ...ssl } } : driver;
}

/**
 * A retry policy with the classifier, the environment and the defaults of this package: for knex,
 * sequelize and clients that somebody else made. `idempotent` is false unless said otherwise.
 *
 * @throws OptionError naming the option or variable, the value and what is valid
 */
export function mysqlRetry(options?: RetryOptions): RetryPolicy {
  return makePolicy(options).policy;
}

function makePolicy(options: ConnectorRetryOptions | undefined): {
  readonly policy: RetryPolicy;
  readonly waitMs: number;
} {
  const { retry, waitMs } = connectorOptions(options, ENV_PREFIXES, DEFAULTS);
  const { baseDelayMs = DEFAULTS.baseDelayMs, random = Math.random } = retry;
  const policy = new RetryPolicy({
    classify: classifyMysql,
    delayMs: (failure, { number }) => connectorDelay(failure, number, baseDelayMs, random),
    ...retry,
  });
  return { policy, waitMs };
}

/** A statement's options, ours apart from the driver's. */
export interface SplitOptions {
  readonly extras: QueryExtras | undefined;
  /** The caller's object where it has none of ours, else a copy without them. */
  readonly driver: object;
}

/**
 * Takes our keys out of a statement's options.
 *
 * @throws OptionError for a flag that is no boolean, and for a name that is all but one of ours
 */
export function splitOptions(options: object): SplitOptions {
  const extras = queryExtras(options, DRIVER_QUERY_KEYS);
  if (extras === undefined) return { extras, driver: options };
  const driver: Record<string, unknown> = { ...options };
  for (const key of EXTRA_KEYS) delete driver[key];
  return { extras, driver };
}

function refuseTypingError(key: string): void {
  if (DRIVER_KEYS.has(key)) return;
  const near = nearest(key, OWN_KEYS);
  if (near !== undefined) throw unknownOption(key, key, OWN_KEYS);
}
