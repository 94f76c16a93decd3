import { RetryPolicy, retryInfo } from '@outlast/core-retry';
import type driver from 'pg';
import { classifyPg } from './classify.js';
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
    /** A standby. */
    readonly inRecovery?: boolean;
  };
}

const QUESTION = `select current_setting('server_version') as version, pg_is_in_recovery() as recovery`;
const ATTEMPT_TIMEOUT_MS = 5000;

/** Asks the server a small question: three attempts, 0.5 s to 5 s between them, without patience. */
export async function checkHealth(core: PoolCore, pool: driver.Pool): Promise<Health> {
  const { clock, random } = core.policy.settings;
  const policy = new RetryPolicy({
    maxAttempts: 3,
    baseDelayMs: 500,
    maxDelayMs: 5000,
    attemptTimeoutMs: ATTEMPT_TIMEOUT_MS,
    operation: 'pg.healthCheck',
    classify: classifyPg,
    clock,
    random,
  });
  const start = clock.now();
  let attempts = 0;
  const details = () => ({
    total: pool.totalCount,
    idle: pool.idleCount,
    waiting: pool.waitingCount,
  });
  try {
    const result = await policy.execute((attempt) => {
      attempts = attempt.number;
      attempt.phase = 'acquire';
      return new Promise<driver.QueryResult>((resolve, reject) => {
        core.checkOut((error, client) => {
          if (client === undefined) return reject(core.connector.judged(error));
          attempt.phase = 'sent';
          if (attempt.signal.aborted) return client.release();
          attempt.signal.addEventListener('abort', () => client.release(true), { once: true });
          client.query(QUESTION).then(
            (answer) => {
              if (!attempt.signal.aborted) client.release();
              resolve(answer);
            },
            (failure: Error) => {
              if (!attempt.signal.aborted) client.release(failure);
              reject(failure);
            },
          );
        });
      });
    });
    const row = result.rows[0] as { version: string; recovery: boolean };
    return {
      ok: true,
      ms: clock.now() - start,
      attempts,
      details: { ...details(), serverVersion: row.version, inRecovery: row.recovery },
    };
  } catch (error) {
    const ms = clock.now() - start;
    return {
      ok: false,
      ms,
      attempts: retryInfo(error)?.attempts ?? attempts,
      error,
      details: details(),
    };
  }
}
