import { askHealth, type HealthReport } from '@outlast/core-retry/connector';
import { classifyRedis } from './classify.js';
import type { ClusterGuard } from './cluster-guard.js';
import { connectionClosed } from './errors.js';

/** What a health page shows of a Cluster. */
export interface ClusterHealth extends HealthReport<ClusterHealthDetails> {}

interface ClusterHealthDetails {
  /** The client's own: `ready`, `reconnecting`, … */
  readonly status: string;
  /** Nodes to which there is a connection. */
  readonly nodes: number;
  /** Commands that wait for the Cluster. */
  readonly waiting: number;
  /** The nodes' word for it: `ok` or `fail`. */
  readonly state?: string;
}

/** Asks the nodes, without patience. Never rejects. */
export function checkClusterHealth(
  ask: (section: 'INFO') => Promise<unknown>,
  guard: ClusterGuard,
): Promise<ClusterHealth> {
  const { client, policy, outage } = guard;
  return askHealth({
    operation: 'redis.healthCheck',
    policy,
    classify: classifyRedis,
    ask: async () => {
      if (outage.isDown) throw outage.error ?? connectionClosed();
      const info = String(await ask('INFO'));
      const state = /^cluster_state:(\w+)/m.exec(info)?.[1];
      if (state !== 'ok') throw new Error(`CLUSTERDOWN The cluster's state is ${state}.`);
      return { state };
    },
    details: (answer) => ({
      status: client.status,
      nodes: client.nodes().filter(({ status }) => status === 'ready').length,
      waiting: client.offlineQueue.length,
      ...answer,
    }),
  });
}
