import { Stream } from 'node:stream';
import type driver from 'pg';
import { isFatal, isServerError } from './classify.js';
import { internals } from './driver.js';

/** What the driver tells a cursor or stream while it runs it. */
export interface Submittable {
  handleError(error: unknown, connection?: unknown): unknown;
  handleReadyForQuery?(connection?: unknown): unknown;
}

/** How a cursor or stream ended, told once. */
export interface Follower {
  /** @returns the error that it is told */
  failed(error: unknown): unknown;
  /** The server is ready for the next statement. */
  over(): void;
}

export function isSubmittable(value: unknown): value is Submittable {
  return typeof (value as { submit?: unknown } | null | undefined)?.submit === 'function';
}

const watched = new WeakSet<object>();

/** Listens in to what the driver tells a cursor or stream: there is no event that all of them have. */
export function follow(
  submittable: Submittable,
  client: driver.ClientBase,
  follower: Follower,
): void {
  if (!watched.has(client)) {
    watched.add(client);
    client.once('end', () => settleCloses(client));
  }
  const { handleError, handleReadyForQuery } = submittable;
  let ended = false;
  submittable.handleError = (error, connection) => {
    const told = ended ? error : follower.failed(error);
    ended = true;
    settleRead(submittable, told);
    return handleError.call(submittable, told, connection);
  };
  if (handleReadyForQuery === undefined) return;
  submittable.handleReadyForQuery = (connection) => {
    const result = handleReadyForQuery.call(submittable, connection);
    if (!ended) follower.over();
    ended = true;
    return result;
  };
}

/**
 * `close()` of a cursor, and with it the end of a stream, waits for the server to be ready once more; on a
 * connection that has broken it would wait for ever.
 */
function settleCloses(client: driver.ClientBase): void {
  const { connection } = internals(client);
  if (connection === undefined) return;
  const waiting = connection.rawListeners('readyForQuery');
  for (const listener of waiting) {
    // Only those that `once` has wrapped: the client's own listener stays.
    if ('listener' in listener) listener.call(connection);
  }
  connection.on('newListener', (event: unknown, listener: () => void) => {
    if (event === 'readyForQuery') setImmediate(listener);
  });
}

/** What we use of pg-cursor, also inside pg-query-stream, beyond their types: 2.5 … 2.22. */
interface CursorInternals {
  state?: string;
  _cb?: ((error: unknown) => void) | null;
  cursor?: CursorInternals;
}

/** A cursor that has had its last row hears no error any more, and whoever reads from it would wait for ever. */
function settleRead(submittable: Submittable, error: unknown): void {
  const { cursor = submittable as CursorInternals } = submittable as CursorInternals;
  const { state, _cb: waiting } = cursor;
  if (state !== 'done' || typeof waiting !== 'function') return;
  cursor._cb = null;
  waiting(error);
}

/** Runs a cursor or stream on a client, which is released when the driver is done, and dropped if it broke. */
export function runSubmittable(
  client: driver.PoolClient,
  submittable: Submittable,
  values: unknown,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    let result: unknown;
    let over = false;
    const failed = (error: unknown): void => {
      if (over) return;
      over = true;
      client.release(!isServerError(error) || isFatal(error));
      reject(error);
    };
    const answered = (error: unknown, value: unknown): void => {
      result = value;
      if (error) failed(error);
    };
    (client.query as (...args: unknown[]) => unknown)(submittable, values, answered);
    follow(submittable, client, {
      failed: (error) => {
        // After the stream itself has been told.
        process.nextTick(failed, error);
        return error;
      },
      over: () => {
        if (over) return;
        over = true;
        client.release();
        resolve(result);
      },
    });
  });
}

/** It never got a client: who reads from a stream must not wait for ever, but nobody listening is no crash. */
export function giveUp(submittable: unknown, error: unknown): void {
  if (!(submittable instanceof Stream) || submittable.listenerCount('error') === 0) return;
  (submittable as Stream & { destroy?(error: unknown): void }).destroy?.(error);
}
