import pRetry from 'p-retry';
import pg from 'pg';
import { type Client, POOL_SIZE } from './client.js';
import { inTransaction } from './in-transaction.js';
import { keepAlive } from './keep-alive.js';

const FIVE_TRIES = { retries: 4, minTimeout: 100, factor: 2 };

export function handWrittenRetry(url: string): Client {
  const pool = new pg.Pool({ connectionString: url, max: POOL_SIZE });
  keepAlive(pool);
  return {
    query: (text, values) => pRetry(() => pool.query(text, values), FIVE_TRIES),
    transaction: (work) => pRetry(() => inTransaction(pool, work), FIVE_TRIES),
    end: () => pool.end(),
  };
}
