import type { RetryPolicy } from '@outlast/core-retry';
import type { RedisOptions } from 'ioredis';
import { DriverRedisClass, driverRedis, type RedisInternals, redisInternals } from './driver.js';
import { checkHealth, type Health } from './health.js';
import { GUARD, type Guarded, guard, hooks } from './hooks.js';
import { type CommandOptions, narrowed } from './narrow.js';
import { exactlyOnce, type OnceClient, type OnceCommands, type OnceOptions } from './once.js';
import {
  checkUrl,
  clientSettings,
  type RedisRetryOptions,
  type RetryRedisOptions,
  refuseTypingErrors,
} from './options.js';
import { rememberScript } from './verdict.js';

/**
 * `Redis` of ioredis that outlasts restarts, failovers and cut wires, and never doubles a command. What
 * was never sent waits for its server; what was sent and may run again does; the rest surfaces with the
 * driver's own error, marked *outcome unknown* (`isOutcomeUnknown`).
 *
 * Takes the arguments of ioredis' own; ours are under the key `retry` of its options.
 *
 * @throws OptionError for a bad option, environment variable or URL
 */
export class Redis extends DriverRedisClass {
  /** As `new Redis(…)`, for those who come from node-redis. */
  static override createClient(...args: ConstructorParameters<typeof Redis>): Redis {
    return new Redis(...args);
  }

  constructor(port: number, host: string, options: RetryRedisOptions);
  constructor(path: string, options: RetryRedisOptions);
  constructor(port: number, options: RetryRedisOptions);
  constructor(port: number, host: string);
  constructor(options: RetryRedisOptions);
  constructor(port: number);
  constructor(path: string);
  constructor();
  constructor(...args: unknown[]) {
    super(...(args as unknown as [number, string]));
  }

  /** The policy of this client: `policy.on('retry' | 'down' | 'up' | 'exhausted' | …, listener)`. */
  get policy(): RetryPolicy {
    return guardOf(this).policy;
  }

  /**
   * Resolves when commands can be sent; waits out an outage for as long as patience lasts (`waitMs`).
   * Rejects with the latest error of connecting.
   */
  override connect(callback?: (error?: Error | null) => void): Promise<void> {
    const internals = redisInternals(this);
    const { status } = internals;
    const it = guardOf(this);
    const first = driverRedis.connect.call(internals);
    // The driver calls it too, for every dial; those are not waited for.
    const patient = status === 'wait' || status === 'end';
    const promise = patient ? first.catch((error: Error) => it.whenReady(error)) : first;
    if (callback !== undefined) promise.then(() => callback(null), callback);
    return promise;
  }

  /** A client of the same class and options; what is given overrides them. */
  override duplicate(override?: Partial<RetryRedisOptions>): Redis;
  // biome-ignore lint/suspicious/noExplicitAny: stands for the driver's own generic type; the overload above is what is seen.
  override duplicate(override?: Partial<RedisOptions>): any;
  override duplicate(override?: Partial<RetryRedisOptions>): unknown {
    const { settings } = guardOf(this);
    const { maxRetriesPerRequest, commandTimeoutMs, given } = settings;
    return new (this.constructor as typeof Redis)({
      ...this.options,
      maxRetriesPerRequest,
      commandTimeout: commandTimeoutMs,
      retryStrategy: guardOf(this).ownStrategy,
      ...(given === undefined ? undefined : { retry: given }),
      ...override,
    } as RetryRedisOptions);
  }

  /** Defines a command that runs a script; what became of it when its answer is lost is unknown, unless it says so. */
  override defineCommand(name: string, definition: ScriptDefinition): void {
    rememberScript(guardOf(this).settings.verdict, name, definition);
    driverRedis.defineCommand.call(redisInternals(this), name, definition);
  }

  /**
   * The commands of this client under an operation id: each is applied once, however often its answer is
   * lost and whoever repeats it under the same id within `ttlMs`. One script does the command and stores
   * its reply; a repetition gets the stored reply.
   *
   * @throws OptionError for an empty id, and (as rejections) for commands that block, have no key, or
   *   differ from the one that ran under this id
   */
  exactlyOnce(id: string, options?: OnceOptions): OnceCommands {
    return exactlyOnce(this as unknown as OnceClient, id, options);
  }

  /**
   * The same client, with options for the commands that are issued through it:
   * `redis.with({ signal, totalTimeoutMs: 500, idempotent: true }).incr('visits')`.
   *
   * @throws OptionError for an unknown key or a bad value
   */
  with(options: CommandOptions): this {
    return narrowed(this, options);
  }

  /** Asks the server a small question: three attempts, without patience. Never rejects. */
  healthCheck(): Promise<Health> {
    return checkHealth((question) => this[question](), guardOf(this));
  }
}

/** A script, and what may be done with it. */
export interface ScriptDefinition {
  readonly lua: string;
  readonly numberOfKeys?: number;
  /** It changes nothing: it may run again, and in a Cluster on a replica. */
  readonly readOnly?: boolean;
  /** It may run again although its first run may have taken effect. Default false. */
  readonly idempotent?: boolean;
}

const LOADING_CHECK_MS = 250;

function guardOf(client: Redis) {
  return (client as unknown as Guarded)[GUARD];
}

/** Runs within the driver's constructor, before it connects. */
function parseOptions(this: RedisInternals, ...args: unknown[]): void {
  let retry: RedisRetryOptions | undefined;
  const given: Record<string, unknown> = {};
  const forDriver = args.map((arg) => {
    if (typeof arg === 'string') checkUrl(arg);
    if (typeof arg !== 'object' || arg === null) return arg;
    refuseTypingErrors(arg);
    const { retry: ours, ...rest } = arg as RetryRedisOptions;
    retry ??= ours;
    for (const [key, value] of Object.entries(rest)) {
      if (value !== undefined && !(key in given)) given[key] = value;
    }
    return rest;
  });
  driverRedis.parseOptions.apply(this, forDriver);
  const explicit = (key: string): unknown => (key in given ? this.options[key] : undefined);
  const settings = clientSettings(retry, {
    maxRetriesPerRequest: explicit('maxRetriesPerRequest') as number | null | undefined,
    commandTimeout: this.options['commandTimeout'] as number | undefined,
    autoResendUnfulfilledCommands: this.options['autoResendUnfulfilledCommands'] as boolean,
  });
  // A load is asked about often, for the answer is what everybody waits for.
  if (!('maxLoadingRetryTime' in given)) this.options['maxLoadingRetryTime'] = LOADING_CHECK_MS;
  guard(this, driverRedis, settings, explicit('retryStrategy'));
}

for (const [name, value] of Object.entries({ ...hooks, parseOptions })) {
  Object.defineProperty(Redis.prototype, name, { value, configurable: true, writable: true });
}
