import type { Clock } from '@outlast/core-retry';
import { classifyKafka } from './classify.js';
import type { Address } from './connection.js';
import type { Connections } from './connections.js';
import { protocolError } from './errors.js';
import type { Metadata } from './metadata.js';

/** What became of a commit whose answer was lost. */
export type CommitFate =
  | { readonly fate: 'committed' }
  | { readonly fate: 'aborted' }
  | { readonly fate: 'unknown'; readonly why: string };

interface Asking {
  readonly connections: Connections;
  readonly metadata: Metadata;
  readonly clock: Clock;
  readonly transactionalId: string;
  /** The body of the lost request, sent again byte by byte. */
  readonly body: Buffer;
  readonly limitMs: number;
  readonly signal: AbortSignal | undefined;
}

const ANSWER_MS = 5000;
const FIRST_DELAY_MS = 20;
const LONGEST_DELAY_MS = 500;
const TRANSACTION_COORDINATOR = 1;

const COMMITTED = 0;
const INVALID_TXN_STATE = 48;
/** It still writes, loads, or has moved; 15 and 16 are also said after the commit was written to its log. */
const ASK_AGAIN: ReadonlySet<number> = new Set([14, 15, 16, 51]);

/**
 * Asks for the same commit again, under the same producer id and epoch: a coordinator that has committed says
 * so, one that has the transaction still open commits it now, one that has aborted it says INVALID_TXN_STATE.
 * One under whose id somebody else has begun since (47, 49, 90) does not know any more. Source: Kafka's
 * `TransactionCoordinator.endTransaction`.
 */
export async function askCommit(asking: Asking): Promise<CommitFate> {
  const { clock, limitMs, signal } = asking;
  const until = clock.now() + limitMs;
  let why = 'no coordinator answered in time';
  for (let delayMs = FIRST_DELAY_MS; ; delayMs = Math.min(2 * delayMs, LONGEST_DELAY_MS)) {
    try {
      const code = await ask(asking);
      if (code === COMMITTED) return { fate: 'committed' };
      if (code === INVALID_TXN_STATE) return { fate: 'aborted' };
      const { message } = protocolError(code);
      why = `its coordinator answers ${message}`;
      if (!ASK_AGAIN.has(code)) return { fate: 'unknown', why };
    } catch (error) {
      if (!classifyKafka(error, 'connect').transient) return { fate: 'unknown', why };
    }
    if (clock.now() + delayMs >= until || signal?.aborted) return { fate: 'unknown', why };
    await new Promise<void>((resolve) => clock.setTimeout(resolve, delayMs));
  }
}

async function ask({ connections, metadata, transactionalId, body }: Asking): Promise<number> {
  const coordinator = await find(connections, metadata, transactionalId);
  if (typeof coordinator === 'number') return coordinator;
  const reply = await connections.ask(coordinator, ANSWER_MS, (connection) =>
    connection.ask<{ errorCode: number }>('EndTxn', {}, { body: () => body }),
  );
  return reply.errorCode;
}

/** @returns where it listens, or the code with which brokers say that they do not know */
async function find(
  connections: Connections,
  metadata: Metadata,
  transactionalId: string,
): Promise<Address | number> {
  let last: unknown;
  for (const address of await metadata.candidates()) {
    try {
      const { errorCode, coordinator } = await connections.ask(address, ANSWER_MS, (connection) =>
        connection.ask<{ errorCode: number; coordinator: Address }>('GroupCoordinator', {
          groupId: transactionalId,
          coordinatorType: TRANSACTION_COORDINATOR,
        }),
      );
      return errorCode === 0 ? coordinator : errorCode;
    } catch (error) {
      last = error;
    }
  }
  throw last;
}
