import { askHealth, type HealthReport } from '@outlast/core-retry/connector';
import { classifyRedis } from './classify.js';
import { connectionClosed } from './errors.js';
import type { Guard } from './guard.js';

/** What a health page shows. */
export interface Health extends HealthReport<HealthDetails> {}

interface HealthDetails {
  /** The client's own: `ready`, `reconnecting`, … */
  readonly status: string;
  /** Commands that wait for Redis. */
  readonly waiting: number;
  /** Commands that wait for their answer. */
  readonly inFlight: number;
  readonly serverVersion?: string;
  /** `master` or `slave`. */
  readonly role?: string;
}

/** Asks, without patience. Never rejects. */
export function checkHealth(
  ask: (question: 'ping' | 'info') => Promise<unknown>,
  guard: Guard,
): Promise<Health> {
  const { client, policy } = guard;
  return askHealth({
    operation: 'redis.healthCheck',
    policy,
    classify: classifyRedis,
    ask: async (attempt) => {
      attempt.phase = 'acquire';
      const { outage } = guard;
      // A check that waited for its server would answer when there is nothing left to say.
      if (outage.isDown) throw outage.error ?? connectionClosed();
      attempt.phase = 'sent';
      await ask('ping');
      return String(await ask('info').catch(() => ''));
    },
    details: (info = '') => {
      const version = /^redis_version:(\S+)/m.exec(info)?.[1];
      const role = /^role:(\S+)/m.exec(info)?.[1];
      return {
        status: client.status,
        waiting: client.offlineQueue.length,
        inFlight: client.commandQueue.length,
        ...(version === undefined ? undefined : { serverVersion: version }),
        ...(role === undefined ? undefined : { role }),
      };
    },
  });
}
