import type { PinnedNode } from './cluster-driver.js';
import {
  type ClusterHandlers,
  type ClusterInternals,
  type CommonError,
  driverCluster,
} from './cluster-driver.js';
import { watchSubscribers } from './cluster-gaps.js';
import { type ClusterBase, ClusterGuard } from './cluster-guard.js';
import { CONNECTION_CLOSED, type Command, type RedisInternals } from './driver.js';
import type { ClientSettings } from './options.js';

const GUARD: unique symbol = Symbol('outlast.clusterGuard');

interface GuardedCluster extends ClusterInternals {
  [GUARD]: ClusterGuard;
}

/** The guard of a Cluster, if it has one. */
export function clusterGuardOf(client: object): ClusterGuard {
  return (client as GuardedCluster)[GUARD];
}

/**
 * What takes the place of the driver's own methods, on our class or on a Cluster that somebody else made.
 */
export const clusterHooks: ClusterBase = {
  sendCommand(this: GuardedCluster, command: Command, stream?: object, node?: PinnedNode): unknown {
    return this[GUARD].send(command, stream, node);
  },

  delayUntilReady(this: GuardedCluster, callback: (error?: Error) => void): void {
    untilReady(this, this[GUARD], callback);
  },

  // The driver sends again whatever its connection was lost for. What comes here without our leave has been
  // decided about: a command that is to surface, or a pipeline, all of whose slots have had their verdicts.
  handleError(
    this: GuardedCluster,
    error: Error | CommonError,
    ttl: object,
    handlers: ClusterHandlers,
  ): void {
    const guard = this[GUARD];
    const ours = error instanceof Error ? !guard.redirecting : error.message === CONNECTION_CLOSED;
    if (ours) handlers.defaults();
    else guard.base.handleError.call(this, error, ttl, handlers);
  },

  disconnect(this: GuardedCluster, reconnect = false): void {
    const guard = this[GUARD];
    const waits = this.status === 'reconnecting' || this.status === 'close';
    if (!reconnect) guard.close();
    guard.base.disconnect.call(this, reconnect);
    // Between two attempts there is no node whose end could end the client: the driver would not.
    if (!reconnect && waits) this.setStatus('end');
  },

  /** Waits for what is on its way, but for no Cluster that cannot be reached. */
  quit(this: GuardedCluster, callback?: (error: null, reply: 'OK') => void): Promise<unknown> {
    const guard = this[GUARD];
    if (this.status === 'ready') {
      guard.quitting = true;
      return guard.base.quit.call(this, callback);
    }
    this.disconnect();
    callback?.(null, 'OK');
    return Promise.resolve('OK');
  },

  setStatus(this: GuardedCluster, status: string): void {
    const guard = this[GUARD] as ClusterGuard | undefined;
    if (guard !== undefined) {
      if (status === 'ready') guard.outage.ready();
      else if (status === 'close' && !guard.closed && !this.manuallyClosing) {
        guard.outage.failed(guard.nodeError);
      } else if (status === 'connecting' && this.status === 'end') guard.reopened();
    }
    (guard?.base ?? driverCluster).setStatus.call(this, status);
  },
};

/** A pipeline waits for the map of slots. */
function untilReady(
  client: ClusterInternals,
  guard: ClusterGuard,
  callback: (error?: Error) => void,
): void {
  const { clock } = guard.policy.settings;
  const until = clock.now() + guard.settings.waitMs;
  const wait = (): void => {
    guard.base.delayUntilReady.call(client, (error) => {
      const final = guard.closed || client.status === 'end' || clock.now() >= until;
      if (error === undefined || error === null || final) callback(error && guard.explained(error));
      else wait();
    });
  };
  wait();
}

/** Puts a guard on a Cluster, whose nodes it watches from here on. */
export function guardCluster(
  client: ClusterInternals,
  base: ClusterBase,
  settings: ClientSettings,
): ClusterGuard {
  const guard = new ClusterGuard(client, base, settings);
  Object.defineProperty(client, GUARD, { value: guard });
  // Nodes are made when their names have been looked up, which is later.
  client.connectionPool.prependListener('+node', (node: RedisInternals) => guard.adopt(node));
  watchSubscribers(client, settings.policy.settings.clock);
  // Without a listener the driver prints each failed attempt; what it is about is told by the commands.
  client.on('error', () => {});
  return guard;
}
