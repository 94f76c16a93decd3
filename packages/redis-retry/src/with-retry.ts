import type { RetryPolicy } from '@outlast/core-retry';
import { OptionError } from '@outlast/core-retry';
import type { Cluster as DriverCluster, Redis as DriverRedis, RedisOptions } from 'ioredis';
import type { ClusterInternals } from './cluster-driver.js';
import type { ClusterHealth } from './cluster-health.js';
import { redisInternals } from './driver.js';
import type { Base } from './guard.js';
import { checkHealth, type Health } from './health.js';
import { GUARD, type Guarded, guard, hooks } from './hooks.js';
import { type CommandOptions, narrowed } from './narrow.js';
import { exactlyOnce, type OnceClient, type OnceCommands, type OnceOptions } from './once.js';
import { clientSettings, type RedisRetryOptions } from './options.js';
import { rememberScript } from './verdict.js';
import { watchCluster } from './with-retry-cluster.js';

/** What a client has more once it is watched over. */
export interface Retrying {
  readonly policy: RetryPolicy;
  with(options: CommandOptions): this;
  exactlyOnce(id: string, options?: OnceOptions): OnceCommands;
  healthCheck(): Promise<Health>;
}

/** What a Cluster has more once it is watched over. */
export interface RetryingCluster extends Omit<Retrying, 'healthCheck'> {
  healthCheck(): Promise<ClusterHealth>;
}

/**
 * Watches over a client that somebody else made: a framework's, a library's. The client itself is changed
 * and returned; what it sends, loses and repeats from here on is decided as in our own `Redis` or
 * `Cluster`. Its options `maxRetriesPerRequest`, `commandTimeout` and `retryStrategy` mean what they mean
 * there. What a Cluster had lost before, and is about to send again, it sends as the driver would.
 *
 * @throws OptionError for a bad option, and for what is no client of ioredis
 */
export function withRetry<T extends DriverCluster>(
  client: T,
  options?: RedisRetryOptions,
): T & RetryingCluster;
export function withRetry<T extends DriverRedis>(
  client: T,
  options?: RedisRetryOptions,
): T & Retrying;
export function withRetry(
  client: DriverRedis | DriverCluster,
  options?: RedisRetryOptions,
): unknown {
  const internals = redisInternals(client);
  if (typeof internals?.sendCommand !== 'function' || internals.offlineQueue === undefined) {
    throw new OptionError('withRetry(client)', 'must be a Redis or a Cluster of ioredis.');
  }
  return client.isCluster
    ? watchCluster(client as unknown as ClusterInternals, options)
    : watchRedis(client as DriverRedis, options);
}

function watchRedis<T extends DriverRedis>(client: T, options?: RedisRetryOptions): T & Retrying {
  const internals = redisInternals(client);
  if ((internals as Partial<Guarded>)[GUARD] !== undefined) return client as T & Retrying;
  const given = internals.options;
  const defaults = defaultsOf(client);
  const settings = clientSettings(options, {
    maxRetriesPerRequest: (given['maxRetriesPerRequest'] === defaults['maxRetriesPerRequest']
      ? undefined
      : given['maxRetriesPerRequest']) as number | null | undefined,
    commandTimeout: given['commandTimeout'] as number | undefined,
    autoResendUnfulfilledCommands: given['autoResendUnfulfilledCommands'] as boolean,
  });
  const base = Object.fromEntries(
    Object.keys(hooks).map((name) => [name, internals[name as keyof Base]]),
  ) as unknown as Base;
  const { defineCommand } = internals;
  const { duplicate } = client;
  const { retryStrategy, maxRetriesPerRequest } = given;
  guard(
    internals,
    base,
    settings,
    retryStrategy === defaults['retryStrategy'] ? undefined : retryStrategy,
  );
  const it = (internals as Guarded)[GUARD];
  const own: Record<string, unknown> = {
    ...hooks,
    defineCommand(name: string, definition: object): void {
      rememberScript(settings.verdict, name, definition);
      defineCommand.call(internals, name, definition);
    },
    duplicate(override?: object): DriverRedis {
      const original = {
        maxRetriesPerRequest,
        retryStrategy,
        commandTimeout: settings.commandTimeoutMs,
      };
      return watchRedis(
        duplicate.call(client, { ...original, ...override } as Partial<RedisOptions>),
        options,
      );
    },
    policy: settings.policy,
    with: (narrowing: CommandOptions) => narrowed(client, narrowing),
    exactlyOnce: (id: string, once?: OnceOptions) =>
      exactlyOnce(client as unknown as OnceClient, id, once),
    healthCheck: () => checkHealth((question) => client[question](), it),
  };
  for (const [name, value] of Object.entries(own)) {
    Object.defineProperty(client, name, { value, configurable: true, writable: true });
  }
  it.adopt();
  return client as T & Retrying;
}

/** The defaults of the client's own copy of the driver: what equals them has been chosen by nobody. */
function defaultsOf(client: DriverRedis): Record<string, unknown> {
  return (client.constructor as { defaultOptions?: Record<string, unknown> }).defaultOptions ?? {};
}
