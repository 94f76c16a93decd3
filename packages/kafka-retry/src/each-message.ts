import type { EachBatchPayload, KafkaMessage } from 'kafkajs';
import type { MessageExtras, RetryRunConfig } from './consumer-options.js';
import type { ConsumerParts } from './consumer-parts.js';
import type { Guard } from './guards.js';
import { ownHeaders, type Provenance, readProvenance } from './provenance.js';

type Handler = NonNullable<RetryRunConfig['eachMessage']>;

/** Reading the clock costs more than a handler that does nothing. */
const CLOCK_EVERY = 16;

/** A message as its handler sees it, and as it was read. */
interface HandedOut {
  readonly topic: string;
  readonly partition: number;
  readonly message: KafkaMessage;
  readonly attemptsBefore: number;
  readonly readFrom?: NonNullable<MessageExtras['readFrom']>;
}

/** A handler of batches for kafkajs that hands messages out one by one. */
export function eachMessageOf(
  parts: ConsumerParts,
  config: RetryRunConfig,
  handler: Handler,
): (payload: EachBatchPayload) => Promise<void> {
  const { pauses, failing, fate, waiting, guards, destinations, heartbeatIntervalMs } = parts;
  const commits = config.autoCommit !== false && commitsWithin(config);

  const handOut = async (
    payload: EachBatchPayload,
    guard: Guard,
    done: (offset: string) => void,
  ): Promise<void> => {
    const { batch, isRunning, isStale } = payload;
    const { topic, partition } = batch;
    const { signal, heartbeat } = guard;
    const stage = destinations.stageOf(topic);
    const pause = pauses.asked(payload);
    let beatAt = performance.now();
    let count = 0;
    for (const read of batch.messages) {
      // Handlers that are done at once leave no time for timers.
      if (++count % CLOCK_EVERY === 0 && performance.now() - beatAt > heartbeatIntervalMs / 3) {
        beatAt = performance.now();
        await heartbeat();
      }
      if (!isRunning() || isStale() || guard.lost !== undefined) return;
      const { offset } = read;
      if (fate.isLeaving(topic, partition, offset)) {
        if (!fate.hasLeft(topic, partition, offset)) return pauses.hold(topic, partition, Infinity);
      } else {
        if (stage > 0) {
          const leftMs = dueAt(read) - parts.clock.wallNow();
          if (leftMs > 0 && (await waiting.wait(leftMs, payload, guard))) return;
        }
        const one = stage > 0 ? firstSeen(topic, partition, read) : undefined;
        const attempt = failing.attempt(topic, partition, offset) + (one?.attemptsBefore ?? 0);
        try {
          await handler(
            one === undefined
              ? { topic, partition, message: read, heartbeat, pause, signal, attempt }
              : { ...payloadOf(one), heartbeat, pause, signal, attempt },
          );
        } catch (error) {
          // What a rebalance broke off is nobody's failure; stopped is not failed either.
          if (guard.lost !== undefined || guard.left || parts.isStopped()) return;
          const { message = read, topic: from = topic, partition: of = partition } = one ?? {};
          const failed = { topic: from, partition: of, message, error, attempts: attempt };
          if (!(await fate.of(failed, { topic, partition, offset }))) return;
        }
        if (guard.left) return;
        if (attempt > 1) failing.passed({ topic, partition, offset }, attempt);
      }
      done(offset);
      if (commits) {
        guard.settle?.();
        await payload.commitOffsetsIfNecessary();
      }
      if (pauses.isAsked(topic, partition)) return;
    }
  };

  return (payload) =>
    guards.run(payload, async (guard) => {
      const { batch, resolveOffset } = payload;
      const { topic, partition, messages } = batch;
      const { offset } = messages[0] as KafkaMessage;
      failing.forget(topic, partition, offset);
      const isRetry = failing.attempt(topic, partition, offset) > 1;
      if (await waiting.isEarly(payload, guard, isRetry)) return;
      let handled: string | undefined;
      // kafkajs takes its time over each offset: it is told when it may want to commit.
      guard.settle = () => {
        if (handled !== undefined && !guard.left) resolveOffset(handled);
        handled = undefined;
      };
      try {
        await handOut(payload, guard, (offset) => {
          handled = offset;
        });
      } finally {
        guard.settle();
      }
    });
}

function payloadOf({ topic, partition, message, readFrom }: HandedOut) {
  return { topic, partition, message, ...(readFrom !== undefined && { readFrom }) };
}

/** A message of a retry topic as it stood at first: its handler need not know of retry topics. */
function firstSeen(topic: string, partition: number, read: KafkaMessage): HandedOut {
  const origin: Provenance | undefined = readProvenance('x-retry-', read.headers);
  // Somebody else has put it there.
  if (origin === undefined) return { topic, partition, message: read, attemptsBefore: 0 };
  const { offset, timestamp } = origin;
  const headers = ownHeaders('x-retry-', read.headers);
  return {
    topic: origin.topic,
    partition: origin.partition,
    message: { ...read, offset, timestamp, headers } as KafkaMessage,
    attemptsBefore: origin.attempts,
    readFrom: { topic, partition, offset: read.offset },
  };
}

/** By the time of day, in milliseconds; 0 if it does not say. */
function dueAt({ headers }: KafkaMessage): number {
  return Number(headers?.['x-retry-due']) || 0;
}

function commitsWithin({ autoCommitInterval, autoCommitThreshold }: RetryRunConfig): boolean {
  return (autoCommitInterval ?? null) !== null || (autoCommitThreshold ?? null) !== null;
}
