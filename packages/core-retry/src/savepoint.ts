import type { OpenTransaction } from './transaction-frame.js';

/**
 * A nested transaction: rolled back if `fn` throws, and the outer one goes on. Once the outer one is
 * beyond rescue its own error is thrown instead, for no savepoint is left to go back to.
 *
 * @param depth from 1: makes the name that its statements use
 * @param run one statement in the transaction
 * @throws what `fn` threw; the error that ended the transaction; what the statements fail with
 */
export async function savepoint<T>(
  transaction: OpenTransaction,
  depth: number,
  run: (sql: string) => Promise<unknown>,
  fn: () => T | PromiseLike<T>,
): Promise<T> {
  const name = `outlast_${depth}`;
  await run(`SAVEPOINT ${name}`);
  try {
    const value = await fn();
    if (transaction.poison !== undefined) throw transaction.poison.error;
    await run(`RELEASE SAVEPOINT ${name}`);
    return value;
  } catch (error) {
    if (transaction.poison !== undefined) throw transaction.poison.error;
    await run(`ROLLBACK TO SAVEPOINT ${name}`);
    await run(`RELEASE SAVEPOINT ${name}`);
    throw error;
  }
}
