import type { RetryPolicy } from '@outlast/core-retry';
import { type ClusterNode, type ClusterOptions, Cluster as DriverClusterClass } from 'ioredis';
import type { ClusterHandlers, ClusterInternals } from './cluster-driver.js';
import { ClusterGuard } from './cluster-guard.js';
import { type ClusterHealth, checkClusterHealth } from './cluster-health.js';
import { CONNECTION_CLOSED, type Command, type RedisInternals } from './driver.js';
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

const GUARD: unique symbol = Symbol('outlast.clusterGuard');
const driverCluster = DriverClusterClass.prototype as unknown as ClusterInternals;

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
    const internals = this as unknown as ClusterInternals;
    const guard = new ClusterGuard(internals, driverCluster, settings);
    Object.defineProperty(this, GUARD, { value: guard });
    // Nodes are made when their names have been looked up, which is later.
    internals.connectionPool.prependListener('+node', (node: RedisInternals) => guard.adopt(node));
    // Without a listener the driver prints each failed attempt; what it is about is told by the commands.
    this.on('error', () => {});
  }

  /** The policy of this client: `policy.on('retry' | 'down' | 'up' | 'exhausted' | …, listener)`. */
  get policy(): RetryPolicy {
    return guardOf(this).policy;
  }

  /** A Cluster of the same class and options; what is given overrides them. */
  override duplicate(
    overrideStartupNodes: ClusterNode[] = [],
    overrideOptions: Partial<RetryClusterOptions> = {},
    // biome-ignore lint/suspicious/noExplicitAny: stands for the driver's own generic type.
  ): any {
    const internals = this as unknown as ClusterInternals;
    const { given, commandTimeoutMs, maxRetriesPerRequest } = guardOf(this).settings;
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
    rememberScript(guardOf(this).settings.verdict, name, definition);
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
    return checkClusterHealth((section) => this.cluster(section), guardOf(this));
  }
}

function guardOf(client: Cluster): ClusterGuard {
  return (client as unknown as { [GUARD]: ClusterGuard })[GUARD];
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

/** What takes the place of the driver's own methods. */
const hooks = {
  sendCommand(this: Guarded, command: Command, stream?: object, node?: object): unknown {
    return this[GUARD].send(command, stream, node);
  },

  delayUntilReady(this: Guarded, callback: (error?: Error) => void): void {
    this[GUARD].untilReady(callback);
  },

  // For a pipeline the driver makes up an error that all of its slots have in common, and sends all of it
  // again. What of it may run again has been by then.
  handleError(this: Guarded, error: Error, ttl: object, handlers: ClusterHandlers): void {
    if (!(error instanceof Error) && (error as Error).message === CONNECTION_CLOSED) {
      handlers.defaults();
    } else driverCluster.handleError.call(this, error, ttl, handlers);
  },

  disconnect(this: Guarded, reconnect = false): void {
    const guard = this[GUARD];
    const waits = this.status === 'reconnecting' || this.status === 'close';
    if (!reconnect) guard.close();
    driverCluster.disconnect.call(this, reconnect);
    // Between two attempts there is no node whose end could end the client: the driver would not.
    if (!reconnect && waits) this.setStatus('end');
  },

  setStatus(this: Guarded, status: string): void {
    const guard = this[GUARD] as ClusterGuard | undefined;
    if (guard !== undefined) {
      if (status === 'ready') guard.outage.ready();
      else if (status === 'close' && !guard.closed && !this.manuallyClosing) {
        guard.outage.failed(guard.nodeError);
      } else if (status === 'connecting' && this.status === 'end') guard.closed = false;
    }
    driverCluster.setStatus.call(this, status);
  },
};

type Guarded = ClusterInternals & { [GUARD]: ClusterGuard };

for (const [name, value] of Object.entries(hooks)) {
  Object.defineProperty(Cluster.prototype, name, { value, configurable: true, writable: true });
}
