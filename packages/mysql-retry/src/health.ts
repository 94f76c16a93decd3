import { RetryPolicy, retryInfo } from '@outlast/core-retry';
import { classifyMysql } from './classify.js';
import { type CorePool, dropSocket, type PoolConnection } from './driver.js';
import { ask } from './identity.js';
import type { PoolCore } from './pool-core.js';

/** What a health page shows. */
export interface Health {
  readonly ok: boolean;
  /** How long the check took, in milliseconds. */
  readonly ms: number;
  readonly attempts: number;
  /** The driver's error, if it failed. */
  readonly error?: unknown;
  readonly details: {
    readonly total: number;
    readonly idle: number;
    readonly waiting: number;
    readonly serverVersion?: string;
    /** It takes no writes. */
    readonly readOnly?: boolean;
  };
}

const QUESTION = 'SELECT VERSION() AS version, @@global.read_only AS readOnly';
const ATTEMPT_TIMEOUT_MS = 5000;

/** Asks the server a small question: three attempts, 0.5 s to 5 s between them, without patience. */
export async function checkHealth(
  core: PoolCore,
  pool: CorePool,
  parked: () => number,
): Promise<Health> {
  const { clock, random } = core.policy.settings;
  const policy = new RetryPolicy({
    maxAttempts: 3,
    baseDelayMs: 500,
    maxDelayMs: 5000,
    attemptTimeoutMs: ATTEMPT_TIMEOUT_MS,
    operation: 'mysql.healthCheck',
    idempotent: true,
    classify: classifyMysql,
    clock,
    random,
  });
  const start = clock.now();
  let attempts = 0;
  const details = () => ({
    total: pool._allConnections.length,
    idle: pool._freeConnections.length,
    waiting: pool._connectionQueue.length + parked(),
  });
  try {
    const row = await policy.execute(async (attempt) => {
      attempts = attempt.number;
      attempt.phase = 'acquire';
      const connection = await checkOut(core, attempt.signal);
      attempt.phase = 'sent';
      const drop = (): void => dropSocket(connection);
      attempt.signal.addEventListener('abort', drop, { once: true });
      try {
        const [answer] = await ask<{ version: string; readOnly: number }>(connection, QUESTION);
        return answer;
      } finally {
        if (!attempt.signal.aborted) connection.release();
      }
    });
    return {
      ok: true,
      ms: clock.now() - start,
      attempts,
      details: {
        ...details(),
        serverVersion: String(row?.version),
        readOnly: Number(row?.readOnly) !== 0,
      },
    };
  } catch (error) {
    return {
      ok: false,
      ms: clock.now() - start,
      attempts: retryInfo(error)?.attempts ?? attempts,
      error,
      details: details(),
    };
  }
}

function checkOut(core: PoolCore, signal: AbortSignal): Promise<PoolConnection> {
  return new Promise((resolve, reject) => {
    core.connector.checkOut((error, connection) => {
      if (connection === undefined) reject(core.connector.judged(error));
      else if (signal.aborted) connection.release();
      else resolve(connection);
    });
  });
}
