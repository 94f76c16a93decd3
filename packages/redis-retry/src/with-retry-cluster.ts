import type { ClusterInternals } from './cluster-driver.js';
import type { ClusterBase, ClusterGuard } from './cluster-guard.js';
import { checkClusterHealth } from './cluster-health.js';
import { clusterGuardOf, clusterHooks, guardCluster } from './cluster-hooks.js';
import type { RedisInternals } from './driver.js';
import { type CommandOptions, narrowed } from './narrow.js';
import { exactlyOnce, type OnceClient, type OnceOptions } from './once.js';
import { clientSettings, type RedisRetryOptions } from './options.js';
import { rememberScript } from './verdict.js';

interface MadeByOthers extends ClusterInternals {
  duplicate(nodes?: unknown[], options?: object): MadeByOthers;
  cluster(section: 'INFO'): Promise<unknown>;
}

/** `withRetry` of a Cluster. */
export function watchCluster(
  client: ClusterInternals,
  options: RedisRetryOptions | undefined,
): ClusterInternals {
  if (clusterGuardOf(client) !== undefined) return client;
  const { duplicate, defineCommand, cluster } = client as MadeByOthers;
  // Ours are the limits of each command; those of the connections to come would be the driver's.
  const { commandTimeout, maxRetriesPerRequest, ...redisOptions } =
    client.connectionPool.redisOptions;
  const settings = clientSettings(options, {
    commandTimeout: commandTimeout as number | undefined,
    maxRetriesPerRequest: maxRetriesPerRequest as number | null | undefined,
    autoResendUnfulfilledCommands: redisOptions['autoResendUnfulfilledCommands'] as boolean,
  });
  client.connectionPool.redisOptions = redisOptions;
  const base = Object.fromEntries(
    Object.keys(clusterHooks).map((name) => [name, client[name as keyof ClusterBase]]),
  ) as unknown as ClusterBase;
  const guard = guardCluster(client, base, settings);
  const own: Record<string, unknown> = {
    ...clusterHooks,
    defineCommand(name: string, definition: object): void {
      rememberScript(settings.verdict, name, definition);
      defineCommand.call(client, name, definition);
    },
    duplicate(nodes?: unknown[], override?: object): ClusterInternals {
      return watchCluster(duplicate.call(client, nodes, override), options);
    },
    policy: settings.policy,
    with: (narrowing: CommandOptions) => narrowed(client, narrowing),
    exactlyOnce: (id: string, once?: OnceOptions) =>
      exactlyOnce(client as unknown as OnceClient, id, once),
    healthCheck: () => checkClusterHealth((section) => cluster.call(client, section), guard),
  };
  for (const [name, value] of Object.entries(own)) {
    Object.defineProperty(client, name, { value, configurable: true, writable: true });
  }
  takeOver(client, guard);
  return client;
}

/** What the client holds is its user's. */
function takeOver(client: ClusterInternals, guard: ClusterGuard): void {
  guard.adopted = true;
  for (const node of client.connectionPool.getNodes('all')) {
    delete node.options['commandTimeout'];
    for (const { command } of heldBy(node)) guard.takeOver(command);
    guard.adopt(node);
  }
  const waiting = client.offlineQueue.toArray();
  while (client.offlineQueue.length > 0) client.offlineQueue.shift();
  for (const { command, stream, node } of waiting) guard.requeue(command, stream, node);
  if (client.status === 'reconnecting') guard.outage.failed(guard.nodeError);
}

function heldBy(node: RedisInternals): ReturnType<RedisInternals['commandQueue']['toArray']> {
  // What is on its way while a node is being greeted is the driver's own.
  const sent = node.status === 'ready' ? node.commandQueue.toArray() : [];
  return [...sent, ...node.offlineQueue.toArray()];
}
