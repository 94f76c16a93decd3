import pg from 'pg';
import { type Client, POOL_SIZE } from './client.js';
import { inTransaction } from './in-transaction.js';
import { keepAlive } from './keep-alive.js';

/** The driver's own pool, as its documentation has it. */
export function plainClient(url: string): Client {
  const pool = new pg.Pool({ connectionString: url, max: POOL_SIZE });
  keepAlive(pool);
  return {
    query: (text, values) => pool.query(text, values),
    transaction: (work) => inTransaction(pool, work),
    end: () => pool.end(),
  };
}
