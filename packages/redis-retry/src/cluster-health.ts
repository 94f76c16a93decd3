import { RetryPolicy, retryInfo } from '@outlast/core-retry';
import { classifyRedis } from './classify.js';
import type { ClusterGuard } from './cluster-guard.js';
import { connectionClosed } from './errors.js';

/** What a health page shows of a Cluster. */
export interface ClusterHealth {
  readonly ok: boolean;
  /** How long the check took, in milliseconds. */
  readonly ms: number;
  readonly attempts: number;
  /** The driver's error, if it failed. */
  readonly error?: unknown;
  readonly details: {
    /** The client's own: `ready`, `reconnecting`, … */
    readonly status: string;
    /** Nodes to which there is a connection. */
    readonly nodes: number;
    /** Commands that wait for the Cluster. */
    readonly waiting: number;
    /** The nodes' word for it: `ok` or `fail`. */
    readonly state?: string;
  };
}

const ATTEMPT_TIMEOUT_MS = 5000;

/** Three attempts, 0.5 s to 5 s between them, without patience. */
export async function checkClusterHealth(
  ask: (section: 'INFO') => Promise<unknown>,
  guard: ClusterGuard,
): Promise<ClusterHealth> {
  const { client, policy, outage } = guard;
  const { clock, random } = policy.settings;
  const own = new RetryPolicy({
    maxAttempts: 3,
    baseDelayMs: 500,
    maxDelayMs: 5000,
    attemptTimeoutMs: ATTEMPT_TIMEOUT_MS,
    operation: 'redis.healthCheck',
    classify: classifyRedis,
    clock,
    random,
  });
  const start = clock.now();
  const details = () => ({
    status: client.status,
    nodes: client.nodes().filter(({ status }) => status === 'ready').length,
    waiting: client.offlineQueue.length,
  });
  let attempts = 0;
  try {
    const state = await own.execute(async (attempt) => {
      attempts = attempt.number;
      if (outage.isDown) throw outage.error ?? connectionClosed();
      const info = String(await ask('INFO'));
      const found = /^cluster_state:(\w+)/m.exec(info)?.[1];
      if (found !== 'ok') throw new Error(`CLUSTERDOWN The cluster's state is ${found}.`);
      return found;
    });
    const ms = clock.now() - start;
    return { ok: true, ms, attempts, details: { ...details(), state } };
  } catch (error) {
    const ms = clock.now() - start;
    attempts = retryInfo(error)?.attempts ?? attempts;
    return { ok: false, ms, attempts, error, details: details() };
  }
}
