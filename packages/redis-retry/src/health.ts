import { RetryPolicy, retryInfo } from '@outlast/core-retry';
import { classifyRedis } from './classify.js';
import { connectionClosed } from './errors.js';
import type { Guard } from './guard.js';

/** What a health page shows. */
export interface Health {
  readonly ok: boolean;
  /** How long the check took, in milliseconds. */
  readonly ms: number;
  readonly attempts: number;
  /** The driver's error, if it failed. */
  readonly error?: unknown;
  readonly details: {
    /** The client's own: `ready`, `reconnecting`, … */
    readonly status: string;
    /** Commands that wait for Redis. */
    readonly waiting: number;
    /** Commands that wait for their answer. */
    readonly inFlight: number;
    readonly serverVersion?: string;
    /** `master` or `slave`. */
    readonly role?: string;
  };
}

const ATTEMPT_TIMEOUT_MS = 5000;

/** Three attempts, 0.5 s to 5 s between them, without patience. */
export async function checkHealth(
  ask: (question: 'ping' | 'info') => Promise<unknown>,
  guard: Guard,
): Promise<Health> {
  const { client, policy } = guard;
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
    waiting: client.offlineQueue.length,
    inFlight: client.commandQueue.length,
  });
  let attempts = 0;
  try {
    const info = await own.execute(async (attempt) => {
      attempts = attempt.number;
      attempt.phase = 'acquire';
      const { outage } = guard;
      // A check that waited for its server would answer when there is nothing left to say.
      if (outage.isDown) throw outage.error ?? connectionClosed();
      attempt.phase = 'sent';
      await ask('ping');
      return String(await ask('info').catch(() => ''));
    });
    const version = /^redis_version:(\S+)/m.exec(info)?.[1];
    const role = /^role:(\S+)/m.exec(info)?.[1];
    return {
      ok: true,
      ms: clock.now() - start,
      attempts,
      details: {
        ...details(),
        ...(version === undefined ? undefined : { serverVersion: version }),
        ...(role === undefined ? undefined : { role }),
      },
    };
  } catch (error) {
    const ms = clock.now() - start;
    attempts = retryInfo(error)?.attempts ?? attempts;
    return { ok: false, ms, attempts, error, details: details() };
  }
}
