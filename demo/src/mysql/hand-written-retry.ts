import mysql, { type ResultSetHeader } from 'mysql2/promise';
import pRetry from 'p-retry';
import { type Client, POOL_SIZE } from './client.js';
import { inTransaction } from './in-transaction.js';

const FIVE_TRIES = { retries: 4, minTimeout: 100, factor: 2 };

export function handWrittenRetry(uri: string): Client {
  const pool = mysql.createPool({ uri, connectionLimit: POOL_SIZE });
  return {
    query: (sql, values) =>
      pRetry(async () => (await pool.query<ResultSetHeader>(sql, values))[0], FIVE_TRIES),
    transaction: (work) => pRetry(() => inTransaction(pool, work), FIVE_TRIES),
    end: () => pool.end(),
  };
}
