import { createPool, type ResultSetHeader } from '@outlast/mysql-retry';
import { type Client, POOL_SIZE } from './client.js';

export function outlastClient(uri: string, sample: (error: unknown) => void): Client {
  const pool = createPool({ uri, connectionLimit: POOL_SIZE });
  // for the search for the password: errors that were survived count too
  pool.policy.on('retry', ({ error }) => sample(error));
  return {
    query: async (sql, values) => (await pool.query<ResultSetHeader>(sql, values))[0],
    resolvedWrite: async (sql, values) =>
      (await pool.query<ResultSetHeader>({ sql, values, resolveWrites: true }))[0],
    transaction: (work) =>
      pool.transaction(
        (tx) => work(async (sql, values) => (await tx.query<ResultSetHeader>(sql, values))[0]),
        { commitMarker: true },
      ),
    end: () => pool.end(),
  };
}
