import type { RetryPolicy } from '@outlast/core-retry';
import { type ClusterNode, type ClusterOptions, Cluster as DriverClusterClass } from 'ioredis';
import { type ClusterInternals, driverCluster } from './cluster-driver.js';
import { type ClusterHealth, checkClusterHealth } from './cluster-health.js';
import { clusterGuardOf, clusterHooks, guardCluster } from './cluster-hooks.js';
import { type CommandOptions, narrowed } from './narrow.js';
import { exactlyOnce, type OnceClient, type OnceCommands, type OnceOptions } from './once.js';
import {
  type ClientSettings,
  clientSettings,
  type RetryClusterOptions,
  refuseTypingErrors,
} from './options.js';
import type { ScriptDefinition } from './redis.js';
import { rememberScript } from './verdict.js';

/**
 * `Cluster` of ioredis that outlasts dead nodes, failovers and moving slots, and never doubles a command.
 * Takes the arguments of ioredis' own; ours are under the key `retry` of its options.
 *
 * @throws OptionError for a bad option or environment variable
 */
export class Cluster extends DriverClusterClass {
  constructor(startupNodes: ClusterNode[], options: RetryClusterOptions = {}) {
    const { settings, driver } = settingsOf(options);
    super(startupNodes, driver as never);
    guardCluster(this as unknown as ClusterInternals, driverCluster, settings);
  }

  /** The policy of this client: `policy.on('retry' | 'down' | 'up' | 'exhausted' | …, listener)`. */
  get policy(): RetryPolicy {
    return clusterGuardOf(this).policy;
  }

  /** A Cluster of the same class and options; what is given overrides them. */
  override duplicate(
    overrideStartupNodes: ClusterNode[] = [],
    overrideOptions: Partial<RetryClusterOptions> = {},
    // biome-ignore lint/suspicious/noExplicitAny: stands for the driver's own generic type.
  ): any {
    const internals = this as unknown as ClusterInternals;
    const { given, commandTimeoutMs, maxRetriesPerRequest } = clusterGuardOf(this).settings;
    const nodes = overrideStartupNodes.length > 0 ? overrideStartupNodes : internals.startupNodes;
    const options = { ...(internals.options as ClusterOptions), ...overrideOptions };
    return new (this.constructor as typeof Cluster)(nodes.slice(0) as ClusterNode[], {
      ...options,
      redisOptions: {
        ...(internals.options['redisOptions'] as object),
        ...(commandTimeoutMs === undefined ? undefined : { commandTimeout: commandTimeoutMs }),
        ...(maxRetriesPerRequest === undefined ? undefined : { maxRetriesPerRequest }),
        ...overrideOptions.redisOptions,
      },
      ...(given === undefined ? undefined : { retry: given }),
      ...(overrideOptions.retry === undefined ? undefined : { retry: overrideOptions.retry }),
    });
  }

  /** Defines a command that runs a script; what became of it when its answer is lost is unknown, unless it says so. */
  override defineCommand(name: string, definition: ScriptDefinition): void {
    rememberScript(clusterGuardOf(this).settings.verdict, name, definition);
    super.defineCommand(name, definition);
  }

  /** As `Redis.exactlyOnce`; the stored reply lies in the slot of the command's first key. */
  exactlyOnce(id: string, options?: OnceOptions): OnceCommands {
    return exactlyOnce(this as unknown as OnceClient, id, options);
  }

  /** As `Redis.with`. */
  with(options: CommandOptions): this {
    return narrowed(this, options);
  }

  /** Asks the Cluster a small question: three attempts, without patience. Never rejects. */
  healthCheck(): Promise<ClusterHealth> {
    return checkClusterHealth((section) => this.cluster(section), clusterGuardOf(this));
  }
}

function settingsOf(options: RetryClusterOptions): { settings: ClientSettings; driver: object } {
  refuseTypingErrors(options);
  const { retry, ...driver } = options;
  const { commandTimeout, maxRetriesPerRequest, ...redisOptions } = driver.redisOptions ?? {};
  const settings = clientSettings(retry, {
    commandTimeout,
    maxRetriesPerRequest,
    autoResendUnfulfilledCommands: redisOptions.autoResendUnfulfilledCommands,
  });
  return { settings, driver: { ...driver, redisOptions } };
}

for (const [name, value] of Object.entries(clusterHooks)) {
  Object.defineProperty(Cluster.prototype, name, { value, configurable: true, writable: true });
}
