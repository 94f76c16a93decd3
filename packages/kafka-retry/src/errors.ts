import { OutlastError } from '@outlast/core-retry';
import { KafkaJSNonRetriableError, KafkaJSProtocolError } from './driver.js';
import { internals } from './wire.js';

/**
 * More bytes wait for their brokers than `maxQueueBytes` allows, and `overflow` is `'reject'`. Made without a
 * stack, for it is the hot path of an outage.
 */
export class QueueFullError extends OutlastError {
  constructor(maxQueueBytes: number) {
    const message = `The messages that wait for their brokers fill the ${maxQueueBytes} bytes of maxQueueBytes. Send less while the brokers are away, raise it, or let send() wait with overflow: 'wait'.`;
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    // It holds no secret: it need not be looked through.
    super('OUTLAST_QUEUE_FULL', message, undefined, message);
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** True for {@link QueueFullError}, also from another copy of the package. */
export function isQueueFullError(error: unknown): error is QueueFullError {
  return (error as { code?: unknown } | null)?.code === 'OUTLAST_QUEUE_FULL';
}

/** Another process, or another producer of this one, has the spool's folder. */
export class SpoolLockedError extends OutlastError {
  constructor(folder: string, owner: string) {
    super(
      'OUTLAST_SPOOL_LOCKED',
      `The spool in ${folder} belongs to ${owner}. Give each producer a directory of its own, or end the other one.`,
    );
  }
}

/** True for {@link SpoolLockedError}, also from another copy of the package. */
export function isSpoolLockedError(error: unknown): error is SpoolLockedError {
  return (error as { code?: unknown } | null)?.code === 'OUTLAST_SPOOL_LOCKED';
}

/** The spool holds as much as it may, or its disk is full: the message was not taken. */
export class SpoolFullError extends OutlastError {
  constructor(why: string, options?: { readonly cause?: unknown }) {
    super(
      'OUTLAST_SPOOL_FULL',
      `The spool has no room: ${why}. Send less while the brokers are away, or give it more.`,
      options,
    );
  }
}

/** True for {@link SpoolFullError}, also from another copy of the package. */
export function isSpoolFullError(error: unknown): error is SpoolFullError {
  return (error as { code?: unknown } | null)?.code === 'OUTLAST_SPOOL_FULL';
}

/** The error that kafkajs makes of a code; a fresh one each time. */
export function protocolError(code: number, detail?: string): KafkaJSProtocolError {
  const known = internals.errorCodes.find((one) => one.code === code) ?? {
    message: `Unknown error code ${code}`,
    type: 'KAFKAJS_UNKNOWN_ERROR_CODE',
    code,
    retriable: false,
  };
  const message = detail === undefined ? known.message : `${known.message}: ${detail}`;
  return new KafkaJSProtocolError({ ...known, message } as unknown as Error);
}

/** What a caller has asked for and nobody can do; as kafkajs rejects it. */
export function misuse(message: string): KafkaJSNonRetriableError {
  return new KafkaJSNonRetriableError(message);
}
