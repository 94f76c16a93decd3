import { OutlastError } from '@outlast/core-retry';
import { CONNECTION_CLOSED } from './driver.js';

/** Too many commands wait for a server that cannot be reached. Nothing was sent. */
export class QueueFullError extends OutlastError {
  constructor(maxQueued: number) {
    super(
      'OUTLAST_QUEUE_FULL',
      `${maxQueued} commands wait already for a Redis that cannot be reached. Send less while it is down, or raise retry.maxQueued.`,
    );
  }
}

/** True for {@link QueueFullError}, also from another copy of the package. */
export function isQueueFullError(error: unknown): error is QueueFullError {
  return (error as { code?: unknown } | null)?.code === 'OUTLAST_QUEUE_FULL';
}

/** What the driver says of a connection that is gone; `cause` is the socket's error, if there was one. */
export function connectionClosed(cause?: unknown): Error {
  return new Error(CONNECTION_CLOSED, cause === undefined ? undefined : { cause });
}

/** What the driver says of a command that took too long. */
export function commandTimedOut(): Error {
  return new Error('Command timed out');
}

/** As the driver makes it for a connection that does not come about in time. */
export function connectTimedOut(): Error {
  return Object.assign(new Error('connect ETIMEDOUT'), {
    code: 'ETIMEDOUT',
    errorno: 'ETIMEDOUT',
    syscall: 'connect',
  });
}

/** As the driver makes it; its class is not among its exports. */
export function tooManyRetries(retries: number, cause: unknown): Error {
  const error = new Error(
    `Reached the max retries per request limit (which is ${retries}). Refer to "maxRetriesPerRequest" option for details.`,
    { cause },
  );
  Object.defineProperty(error, 'name', { value: 'MaxRetriesPerRequestError', configurable: true });
  return error;
}
