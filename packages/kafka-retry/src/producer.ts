import { ClosedError, type RetryPolicy } from '@outlast/core-retry';
import type {
  CompressionTypes,
  Transaction as DriverTransaction,
  Logger,
  Message,
  Producer,
  ProducerEvents,
  RecordMetadata,
} from 'kafkajs';
import { Delivery } from './delivery.js';
import { KafkaJSError, KafkaJSNonRetriableError } from './driver.js';
import { askCommit } from './end-transaction.js';
import { Engine } from './engine.js';
import type { EngineOptions } from './engine-options.js';
import { misuse } from './errors.js';
import { checkHealth, type Health } from './health.js';
import { listening, passOn } from './instrumentation.js';
import { bytesOf } from './memory.js';
import type { TopicRecords } from './placement.js';
import { Publish } from './publish.js';
import { recordOf } from './records.js';
import { checkBounds, type SendBounds } from './send-bounds.js';
import { Spooling, type SpoolSettings } from './spooling.js';
import { type SessionOptions, TransactionSession } from './transaction-session.js';
import { type TransactionBody, type TransactionOptions, Transactions } from './transactions.js';
import { internals } from './wire.js';

/** What kafkajs' `send` takes, and ours. */
export interface SendRecord extends SendBounds {
  readonly topic: string;
  readonly messages: Message[];
  /** -1 all replicas (default), 1 the leader only, 0 nobody. Only -1 is safe from loss and copies. */
  readonly acks?: number;
  /** How long the broker waits for its replicas, in milliseconds. Default 30 000. */
  readonly timeout?: number;
  readonly compression?: CompressionTypes;
}

/** What kafkajs' `sendBatch` takes, and ours. */
export interface SendBatchRecord extends SendBounds {
  readonly topicMessages?: { readonly topic: string; readonly messages: Message[] }[];
  readonly acks?: number;
  readonly timeout?: number;
  readonly compression?: CompressionTypes;
}

/** kafkajs' producer, and what ours has more. */
export interface RetryProducer
  extends Omit<Producer, 'send' | 'sendBatch' | 'disconnect' | 'transaction'> {
  send(record: SendRecord): Promise<RecordMetadata[]>;
  sendBatch(batch: SendBatchRecord): Promise<RecordMetadata[]>;
  /** kafkajs' own: begins one, which is yours to commit or abort. Nothing of it is run again. */
  transaction(): Promise<DriverTransaction>;
  /**
   * Begins a transaction, runs `fn`, and commits. What fails before the commit was sent is run again, `fn` and
   * all; one whose answer was lost is asked for.
   *
   * @throws CommitOutcomeUnknownError if it cannot be found out whether it was committed; otherwise it was not
   */
  transaction<T>(fn: TransactionBody<T>, options?: TransactionOptions): Promise<T>;
  /** Resolves when everything that has been sent by now has ended, well or not; with a spool: when it is acknowledged. */
  flush(): Promise<void>;
  /**
   * Takes nothing more, waits for what is under way, and closes.
   *
   * @param options.graceMs how long it waits; then what is left rejects with `ClosedError`. Default 30 000.
   */
  disconnect(options?: { readonly graceMs?: number }): Promise<void>;
  /** Who tells what happens: `producer.policy.on('down', …)`. The client's own. */
  readonly policy: RetryPolicy;
  healthCheck(): Promise<Health>;
}

const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_GRACE_MS = 30_000;

/** What a producer needs beside its engine's options. */
export interface ProducerOptions extends EngineOptions {
  readonly logger: Logger;
  /** How long `connect()` waits for a broker, in milliseconds. */
  readonly waitMs: number;
  /** Whether the caller has asked for sequence numbers himself, and so refuses other `acks` than -1. */
  readonly numbersAsked: boolean;
  readonly spool: SpoolSettings | undefined;
  /** How to have kafkajs' producer for transactions, if there is a `transactionalId`. */
  readonly transactional: Omit<SessionOptions, 'watch'> | undefined;
}

type Status = 'new' | 'connected' | 'disconnecting' | 'disconnected';

/** kafkajs' face over our engine. Its functions need no `this`, as kafkajs' do. */
export function createProducer(options: ProducerOptions): RetryProducer {
  const { policy, logger } = options;
  const { clock } = policy.settings;
  const emitter = options.wire.instrumentationEmitter;
  const { events } = internals.producerEvents;
  let status: Status = 'new';
  let engine: Engine | undefined;

  const running = (): Engine => {
    if (engine === undefined && (status === 'disconnecting' || status === 'disconnected')) {
      throw new ClosedError('The producer');
    }
    engine ??= new Engine(spooling === undefined ? options : { ...options, keeper: spooling });
    return engine;
  };
  const spooling =
    options.spool && new Spooling({ ...options, settings: options.spool, engine: running });

  const transactions =
    options.transactional && transactionsOf(options.transactional, options, running);

  const publish = (
    record: Omit<SendBatchRecord, 'topicMessages'>,
    topicMessages: SendBatchRecord['topicMessages'] & object,
  ): Promise<RecordMetadata[]> => {
    return new Promise((resolve, reject) => {
      if (status === 'disconnecting') {
        throw new KafkaJSNonRetriableError(
          `The producer is disconnecting; therefore, it can't safely accept messages anymore`,
        );
      }
      if (status === 'disconnected') throw new KafkaJSError('The producer is disconnected');
      const { acks = -1, timeout = DEFAULT_TIMEOUT_MS, compression = 0, signal } = record;
      checkBounds(record);
      checkAcks(acks, options.numbersAsked);
      if (signal?.aborted) throw signal.reason;
      const total = Math.min(record.totalTimeoutMs ?? Infinity, options.totalTimeoutMs);
      const kind = { acks, timeoutMs: timeout, compression };
      const withId =
        options.messageIds ||
        spooling !== undefined ||
        (acks !== 0 && (acks !== -1 || !options.idempotent));
      const records = recordsOf(topicMessages, clock.wallNow(), withId);
      const now = clock.now();
      if (records.length === 0) resolve([]);
      else if (spooling !== undefined) {
        const delivery = new Delivery(kind, records, { resolve, reject });
        spooling.accept(delivery, now, { deadline: now + total, signal });
      } else {
        const one = new Publish(kind, now, total, resolve, reject);
        one.bytes = bytesOf(records);
        running().accept(one, records, signal);
      }
    });
  };

  const producer = {
    policy,
    events: events as unknown as ProducerEvents,

    connect: async (): Promise<void> => {
      const fresh = status === 'disconnected' || status === 'new';
      if (status === 'disconnected') status = 'new';
      transactions?.reopen();
      await spooling?.open();
      await running().reach(options.waitMs);
      if (fresh && status === 'new') {
        status = 'connected';
        emitter.emit(events['CONNECT'] as string);
      }
    },

    disconnect: async ({ graceMs = DEFAULT_GRACE_MS } = {}): Promise<void> => {
      if (status === 'disconnected') return;
      status = 'disconnecting';
      await transactions?.close((work) => atMost(graceMs, work, clock));
      const ending = engine;
      if (ending !== undefined) {
        if (spooling === undefined) await atMost(graceMs, ending.settled(), clock);
        else await spooling.beforeClose(ending, graceMs);
        ending.close();
      }
      await spooling?.close();
      if (engine === ending) engine = undefined;
      status = 'disconnected';
      emitter.emit(events['DISCONNECT'] as string);
    },

    flush: async (): Promise<void> => {
      await engine?.settled();
      await spooling?.flushed();
    },

    send: ({ topic, messages, ...record }: SendRecord): Promise<RecordMetadata[]> =>
      publish(record, [{ topic, messages }]),

    sendBatch: ({ topicMessages = [], ...record }: SendBatchRecord): Promise<RecordMetadata[]> =>
      publish(record, topicMessages),

    isIdempotent: (): boolean => options.idempotent,

    logger: (): Logger => logger,

    on: listening('producer', internals.producerEvents, emitter, logger),

    transaction: async (fn?: TransactionBody<unknown>, bounds?: TransactionOptions) => {
      if (transactions === undefined) {
        throw new KafkaJSNonRetriableError(
          'Must provide transactional id for transactional producer',
        );
      }
      return fn === undefined ? transactions.begin() : transactions.run(fn, bounds);
    },

    healthCheck: (): Promise<Health> => checkHealth(policy, engine ?? new Engine(options), !engine),
  };
  return producer as unknown as RetryProducer;
}

function transactionsOf(
  transactional: Omit<SessionOptions, 'watch'>,
  { policy, waitMs, totalTimeoutMs, once, wire }: ProducerOptions,
  running: () => Engine,
): Transactions {
  const { transactionalId } = transactional.config;
  const { clock } = policy.settings;
  const watch = (driver: Producer): void =>
    passOn(driver, internals.producerEvents, wire.instrumentationEmitter);
  return new Transactions({
    policy,
    transactionalId,
    waitMs,
    totalTimeoutMs,
    once,
    open: () => new TransactionSession({ ...transactional, watch }),
    reach: (limitMs) => running().reach(limitMs),
    askCommit: (body, limitMs, signal) => {
      const { connections, metadata } = running();
      return askCommit({ connections, metadata, clock, transactionalId, body, limitMs, signal });
    },
  });
}

function checkAcks(acks: unknown, numbersAsked: boolean): void {
  if (acks !== -1 && acks !== 0 && acks !== 1) {
    throw misuse(`acks must be -1, 0 or 1, not ${String(acks)}`);
  }
  if (numbersAsked && acks !== -1) {
    throw misuse(
      `Not requiring ack for all messages invalidates the idempotent producer's EoS guarantees`,
    );
  }
}

/** @throws KafkaJSNonRetriableError for what cannot be sent, before anything is */
function recordsOf(
  topicMessages: readonly { readonly topic: string; readonly messages: readonly Message[] }[],
  now: number,
  withId: boolean,
): TopicRecords[] {
  const all: TopicRecords[] = [];
  let firstIndex = 0;
  for (const { topic, messages } of topicMessages) {
    if (typeof topic !== 'string' || topic === '') throw misuse('Invalid topic');
    if (!Array.isArray(messages)) {
      throw misuse(`Invalid messages array [${typeof messages}] for topic "${topic}"`);
    }
    if (messages.length === 0) continue;
    const records = messages.map((message) => recordOf(topic, message, now, withId));
    all.push({ topic, messages, records, firstIndex });
    firstIndex += messages.length;
  }
  return all;
}

async function atMost(
  ms: number,
  work: Promise<void>,
  clock: RetryPolicy['settings']['clock'],
): Promise<void> {
  if (ms === Infinity) return work;
  let stop: (() => void) | undefined;
  const over = new Promise<void>((resolve) => {
    const timer = clock.setTimeout(resolve, ms);
    stop = () => timer.cancel();
  });
  await Promise.race([work, over]);
  stop?.();
}
