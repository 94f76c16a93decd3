import type { RetryPolicy } from '@outlast/core-retry';
import { promises } from './driver.js';
import type { Health } from './health.js';
import type { RetryPool } from './pool.js';
import type { Answer } from './reads.js';
import type { TransactionBody, TransactionOptions } from './transaction-call.js';

/** The driver's pool of promises, over ours of callbacks. */
export class PromisePool extends promises.PromisePool {
  declare readonly pool: RetryPool;

  get policy(): RetryPolicy {
    return this.pool.policy;
  }

  query(sql: unknown, values?: unknown): Promise<Answer> {
    if (typeof values === 'function') throw callbackRefused();
    return this.pool.answer('query', sql, values).catch(restack);
  }

  execute(sql: unknown, values?: unknown): Promise<Answer> {
    if (typeof values === 'function') throw callbackRefused();
    return this.pool.answer('execute', sql, values).catch(restack);
  }

  transaction<T>(fn: TransactionBody<T>, options?: TransactionOptions): Promise<T> {
    return this.pool.transaction(fn, options);
  }

  createMarkerTable(table?: string): Promise<void> {
    return this.pool.createMarkerTable(table);
  }

  healthCheck(): Promise<Health> {
    return this.pool.healthCheck();
  }
}

function callbackRefused(): Error {
  return new Error('Callback function is not available with promise clients.');
}

/** Leads the stack of a driver's error back to the caller, as the driver itself does. */
function restack(error: unknown): never {
  if (error instanceof Error && Object.isExtensible(error)) Error.captureStackTrace(error);
  throw error;
}
