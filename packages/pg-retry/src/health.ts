import { askHealth, type HealthReport } from '@outlast/core-retry/connector';
import type driver from 'pg';
import { classifyPg } from './classify.js';
import type { PoolCore } from './pool-core.js';

/** What a health page shows. */
export interface Health extends HealthReport<HealthDetails> {}

interface HealthDetails {
  readonly total: number;
  readonly idle: number;
  readonly waiting: number;
  readonly serverVersion?: string;
  /** A standby. */
  readonly inRecovery?: boolean;
}

const QUESTION = `select current_setting('server_version') as version, pg_is_in_recovery() as recovery`;

/** Asks the server a small question, without patience. Never rejects. */
export function checkHealth(core: PoolCore, pool: driver.Pool): Promise<Health> {
  return askHealth({
    operation: 'pg.healthCheck',
    policy: core.policy,
    classify: classifyPg,
    ask: (attempt) => {
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
    },
    details: (answer) => {
      const row = answer?.rows[0] as { version: string; recovery: boolean } | undefined;
      return {
        total: pool.totalCount,
        idle: pool.idleCount,
        waiting: pool.waitingCount,
        ...(row && { serverVersion: row.version, inRecovery: row.recovery }),
      };
    },
  });
}
