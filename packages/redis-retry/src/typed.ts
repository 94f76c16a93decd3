import type { RetryPolicy } from '@outlast/core-retry';
import type {
  ClusterNode,
  Cluster as DriverCluster,
  Redis as DriverRedis,
  RedisCommander,
} from 'ioredis';
import { Cluster as ClusterClass } from './cluster.js';
import type { ClusterHealth } from './cluster-health.js';
import type { Health } from './health.js';
import type { CommandOptions } from './narrow.js';
import type { OnceOptions } from './once.js';
import type { RetryClusterOptions, RetryRedisOptions } from './options.js';
import { type RedisArguments, Redis as RedisClass, type ScriptDefinition } from './redis.js';

/** How replies are shaped: the option `replyMapping` of ioredis 6. */
export type ReplyMapping = 'legacy' | 'resp3';

// ioredis 5 has no other mapping than 'legacy', and its classes have no parameter: its users, whose compiler
// looks into declarations of others, would be told so.
// biome-ignore lint/suspicious/noTsIgnore: there is an error with ioredis 5 only.
/** @ts-ignore */
type DriverRedisOf<M extends ReplyMapping> = [M] extends ['legacy'] ? DriverRedis : DriverRedis<M>;
// biome-ignore lint/suspicious/noTsIgnore: there is an error with ioredis 5 only.
/** @ts-ignore */
type DriverClusterOf<M extends ReplyMapping> = [M] extends ['legacy']
  ? DriverCluster
  : DriverCluster<M>;

type Chosen<M extends ReplyMapping, Given> = Given extends { replyMapping: infer Other }
  ? [Extract<Other, ReplyMapping>] extends [never]
    ? M
    : Extract<Other, ReplyMapping>
  : M;
type ChosenInCluster<M extends ReplyMapping, Given> = Given extends { redisOptions: infer Options }
  ? Chosen<M, Options>
  : M;

type RedisOptionsOf<M extends ReplyMapping> = RetryRedisOptions & { replyMapping?: M };
type ClusterOptionsOf<M extends ReplyMapping> = RetryClusterOptions & {
  redisOptions?: RetryClusterOptions['redisOptions'] & { replyMapping?: M };
};

/** The commands of a client under one operation id. */
export type OnceCommands<M extends ReplyMapping = 'legacy'> = Pick<
  DriverRedisOf<M>,
  Exclude<keyof RedisCommander & keyof DriverRedis, 'multi' | 'exec' | 'pipeline'>
>;

/** What our clients have more than the driver's. */
interface Methods<M extends ReplyMapping> {
  /** The policy of this client: `policy.on('retry' | 'down' | 'up' | 'exhausted' | …, listener)`. */
  readonly policy: RetryPolicy;
  /** Defines a command that runs a script; what became of it when its answer is lost is unknown, unless it says so. */
  defineCommand(name: string, definition: ScriptDefinition): void;
  /**
   * The commands of this client under an operation id: each is applied once, however often its answer is
   * lost and whoever repeats it under the same id within `ttlMs`. One script does the command and stores
   * its reply; a repetition gets the stored reply. In a Cluster the reply lies in the slot of the
   * command's first key.
   *
   * @throws OptionError for an empty id, and (as rejections) for commands that block, have no key, or
   *   differ from the one that ran under this id
   */
  exactlyOnce(id: string, options?: OnceOptions): OnceCommands<M>;
  /**
   * The same client, with options for the commands that are issued through it:
   * `redis.with({ signal, totalTimeoutMs: 500, idempotent: true }).incr('visits')`.
   *
   * @throws OptionError for an unknown key or a bad value
   */
  with(options: CommandOptions): this;
}

/** What `Redis` has more than the driver's. */
interface RedisMethods<M extends ReplyMapping> extends Methods<M> {
  /** A client of the same class and options; what is given overrides them. */
  duplicate<Given extends Partial<RetryRedisOptions> | undefined = undefined>(
    override?: Given,
  ): Redis<Chosen<M, Given>>;
  /** Asks the server a small question: three attempts, without patience. Never rejects. */
  healthCheck(): Promise<Health>;
}

/** What `Cluster` has more than the driver's. */
interface ClusterMethods<M extends ReplyMapping> extends Methods<M> {
  /** A Cluster of the same class and options; what is given overrides them. */
  duplicate<Given extends Partial<RetryClusterOptions> | undefined = undefined>(
    overrideStartupNodes?: ClusterNode[],
    overrideOptions?: Given,
  ): Cluster<ChosenInCluster<M, Given>>;
  /** Asks the Cluster a small question: three attempts, without patience. Never rejects. */
  healthCheck(): Promise<ClusterHealth>;
}

/** A client; what it answers depends on its `replyMapping`, as the driver's does. */
export type Redis<M extends ReplyMapping = 'legacy'> = RedisMethods<M> & DriverRedisOf<M>;

/** A client of a Cluster; what it answers depends on its `replyMapping`, as the driver's does. */
export type Cluster<M extends ReplyMapping = 'legacy'> = ClusterMethods<M> & DriverClusterOf<M>;

/** The class `Redis`. */
interface RedisConstructor
  extends Omit<typeof DriverRedis, 'prototype' | 'createClient' | 'Cluster'> {
  new <M extends ReplyMapping = 'legacy'>(
    port: number,
    host: string,
    options: RedisOptionsOf<M>,
  ): Redis<M>;
  new <M extends ReplyMapping = 'legacy'>(path: string, options: RedisOptionsOf<M>): Redis<M>;
  new <M extends ReplyMapping = 'legacy'>(port: number, options: RedisOptionsOf<M>): Redis<M>;
  new (port: number, host: string): Redis;
  new <M extends ReplyMapping = 'legacy'>(options: RedisOptionsOf<M>): Redis<M>;
  new (port: number): Redis;
  new (path: string): Redis;
  new (): Redis;
  readonly prototype: Redis;
  readonly Cluster: ClusterConstructor;
  /** As `new Redis(…)`, for those who come from node-redis. */
  createClient(...args: RedisArguments): Redis;
}

/** The class `Cluster`. */
interface ClusterConstructor extends Omit<typeof DriverCluster, 'prototype'> {
  new <M extends ReplyMapping = 'legacy'>(
    startupNodes: ClusterNode[],
    options?: ClusterOptionsOf<M>,
  ): Cluster<M>;
  readonly prototype: Cluster;
}

/**
 * `Redis` of ioredis that outlasts restarts, failovers and cut wires, and never doubles a command. What
 * was never sent waits for its server; what was sent and may run again does; the rest surfaces with the
 * driver's own error, marked *outcome unknown* (`isOutcomeUnknown`).
 *
 * Takes the arguments of ioredis' own; ours are under the key `retry` of its options.
 *
 * @throws OptionError for a bad option, environment variable or URL
 */
export const Redis: RedisConstructor = RedisClass as unknown as RedisConstructor;

/**
 * `Cluster` of ioredis that outlasts dead nodes, failovers and moving slots, and never doubles a command.
 * Takes the arguments of ioredis' own; ours are under the key `retry` of its options.
 *
 * @throws OptionError for a bad option or environment variable
 */
export const Cluster: ClusterConstructor = ClusterClass as unknown as ClusterConstructor;
