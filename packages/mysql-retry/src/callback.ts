import driver, { type Connection } from 'mysql2';
import { connectPatiently, makeConnection } from './create-connection.js';
import { inPlaceOf } from './default-export.js';
import type { CallbackFace } from './faces.js';
import type { RetryConnectionOptions, RetryPoolOptions } from './options.js';
import { makePool, RetryPool } from './pool.js';

export * from 'mysql2';
export * from './ours.js';

/** The pool of callbacks that outlasts the outages of its server. Same methods, events and errors. */
export interface Pool extends CallbackFace {}
export const Pool: typeof RetryPool = RetryPool;

/**
 * A pool of connections, as the driver's; `.promise()` is its face of promises.
 *
 * @throws OptionError naming the option or environment variable, the value and what is valid
 */
export function createPool(connectionUri: string): CallbackFace;
export function createPool(options: RetryPoolOptions): CallbackFace;
export function createPool(options: string | RetryPoolOptions): CallbackFace {
  return makePool(options) as unknown as CallbackFace;
}

/**
 * One connection, as the driver's: it is there at once, and connects by itself. It waits out an outage while
 * it connects; what it is asked meanwhile waits with it. Nothing is replayed on it; its errors are marked.
 *
 * @throws OptionError naming the option or environment variable, the value and what is valid
 */
export function createConnection(connectionUri: string): Connection;
export function createConnection(options: RetryConnectionOptions): Connection;
export function createConnection(options: string | RetryConnectionOptions): Connection {
  return makeConnection(options) as unknown as Connection;
}

/** As {@link createConnection}. */
export function connect(options: string | RetryConnectionOptions): Connection {
  return createConnection(options as RetryConnectionOptions);
}

const drop: typeof driver = inPlaceOf(driver, {
  createPool,
  createConnection,
  connect,
  Pool,
  createPoolPromise: (options: string | RetryPoolOptions): unknown => makePool(options).promise(),
  createConnectionPromise: connectPatiently,
});
export default drop;
