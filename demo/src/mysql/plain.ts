import mysql, { type ResultSetHeader } from 'mysql2/promise';
import { type Client, POOL_SIZE } from './client.js';
import { inTransaction } from './in-transaction.js';

/** The driver's own pool, as its documentation has it. */
export function plainClient(uri: string): Client {
  const pool = mysql.createPool({ uri, connectionLimit: POOL_SIZE });
  return {
    query: async (sql, values) => (await pool.query<ResultSetHeader>(sql, values))[0],
    transaction: (work) => inTransaction(pool, work),
    end: () => pool.end(),
  };
}
