import driver, { type Connection } from 'mysql2/promise';
import { connectPatiently, promiseOf } from './create-connection.js';
import { inPlaceOf } from './default-export.js';
import type { PromiseFace } from './faces.js';
import type { RetryConnectionOptions, RetryPoolOptions } from './options.js';
import { makePool } from './pool.js';
import { PromisePool } from './promise-pool.js';

export * from 'mysql2/promise';
export * from './ours.js';
export { PromisePool };

/** The pool of promises that outlasts the outages of its server. Same methods, events and errors. */
export interface Pool extends PromiseFace {}

/**
 * A pool of connections, as the driver's; `.pool` is its face with callbacks.
 *
 * @throws OptionError naming the option or environment variable, the value and what is valid
 */
export function createPool(connectionUri: string): Pool;
export function createPool(options: RetryPoolOptions): Pool;
export function createPool(options: string | RetryPoolOptions): Pool {
  const implementation = typeof options === 'string' ? undefined : promiseOf(options);
  return makePool(options).promise(implementation) as unknown as Pool;
}

/**
 * One connection: waits out an outage while it connects. Nothing is replayed on it; its errors are marked.
 *
 * @throws OptionError (as a rejection) naming the option or variable, the value and what is valid
 */
export function createConnection(connectionUri: string): Promise<Connection>;
export function createConnection(options: RetryConnectionOptions): Promise<Connection>;
export function createConnection(options: string | RetryConnectionOptions): Promise<Connection> {
  return connectPatiently(options) as Promise<Connection>;
}

const drop: typeof driver = inPlaceOf(driver, { createPool, createConnection, PromisePool });
export default drop;
