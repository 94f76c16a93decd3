import { askHealth, type HealthReport } from '@outlast/core-retry/connector';
import { classifyMysql } from './classify.js';
import { type CorePool, dropSocket, type PoolConnection } from './driver.js';
import { ask } from './identity.js';
import type { PoolCore } from './pool-core.js';

/** What a health page shows. */
export interface Health extends HealthReport<HealthDetails> {}

interface HealthDetails {
  readonly total: number;
  readonly idle: number;
  readonly waiting: number;
  readonly serverVersion?: string;
  /** It takes no writes. */
  readonly readOnly?: boolean;
}

const QUESTION = 'SELECT VERSION() AS version, @@global.read_only AS readOnly';

/** Asks the server a small question, without patience. Never rejects. */
export function checkHealth(core: PoolCore, pool: CorePool, parked: () => number): Promise<Health> {
  return askHealth({
    operation: 'mysql.healthCheck',
    policy: core.policy,
    classify: classifyMysql,
    ask: async (attempt) => {
      attempt.phase = 'acquire';
      const connection = await checkOut(core, attempt.signal);
      attempt.phase = 'sent';
      const drop = (): void => dropSocket(connection);
      attempt.signal.addEventListener('abort', drop, { once: true });
      try {
        const [answer] = await ask<{ version: string; readOnly: number }>(connection, QUESTION);
        return { serverVersion: String(answer?.version), readOnly: Number(answer?.readOnly) !== 0 };
      } finally {
        if (!attempt.signal.aborted) connection.release();
      }
    },
    details: (answer) => ({
      total: pool._allConnections.length,
      idle: pool._freeConnections.length,
      waiting: pool._connectionQueue.length + parked(),
      ...answer,
    }),
  });
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
