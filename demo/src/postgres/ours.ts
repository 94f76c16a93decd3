import { Pool } from '@outlast/pg-retry';
import { type Client, POOL_SIZE } from './client.js';

export function outlastClient(url: string, sample: (error: unknown) => void): Client {
  const pool = new Pool({ connectionString: url, max: POOL_SIZE });
  // for the search for the password: errors that were survived count too
  pool.policy.on('retry', ({ error }) => sample(error));
  return {
    query: (text, values) => pool.query(text, values),
    resolvedWrite: (text, values) => pool.query({ text, values, resolveWrites: true }),
    transaction: (work) => pool.transaction((tx) => work((text, values) => tx.query(text, values))),
    end: () => pool.end(),
  };
}
