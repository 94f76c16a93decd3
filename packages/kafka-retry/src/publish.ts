import type { Failure, Outcome } from '@outlast/core-retry';
import type { RecordMetadata } from 'kafkajs';
import type { PartitionReply } from './produce-request.js';
import type { RecordData } from './record-batch.js';

/** What became of one message of a `send` that rejected. */
export interface MessageResult {
  readonly topic: string;
  readonly partition: number;
  readonly outcome: 'applied' | Outcome;
  /** Where it stands, if it was applied and the broker says it. */
  readonly offset?: string;
  readonly error?: unknown;
}

/** How an attempt of a batch ended badly. */
export interface Trouble {
  readonly error: Error;
  readonly failure: Failure;
  readonly attempt: number;
}

/** Why a part of a publish ended without being stored, as far as is known. */
export interface Ending {
  readonly error: unknown;
  readonly outcome: Outcome;
}

/** The messages of one publish that go to one partition together. */
export class Part {
  readonly publish: Publish;
  readonly topic: string;
  readonly partition: number;
  readonly records: readonly RecordData[];
  /** The caller's numbers of the messages, for results. */
  readonly indexes: readonly number[];
  readonly bytes: number;
  /** Whether its publish has been told what became of it. */
  ended = false;
  ending: Ending | undefined;
  baseOffset: string | undefined;
  reply: PartitionReply | undefined;

  constructor(
    publish: Publish,
    topic: string,
    partition: number,
    records: readonly RecordData[],
    indexes: readonly number[],
    bytes: number,
  ) {
    this.publish = publish;
    this.topic = topic;
    this.partition = partition;
    this.records = records;
    this.indexes = indexes;
    this.bytes = bytes;
  }
}

/** One call of `send` or `sendBatch`: one promise, however many messages. */
export class Publish {
  readonly acks: number;
  readonly timeoutMs: number;
  readonly compression: number;
  /** Monotonic, in milliseconds. */
  readonly startedAt: number;
  /** Infinity once it is kept elsewhere, too. */
  totalTimeoutMs: number;
  bytes = 0;
  /** Whether its bytes count as waiting: not before there is room for them. */
  held = false;
  parts: Part[] = [];
  /** Parts whose fate is open. */
  open = 0;
  /** Whether it has ended, for its caller. */
  ended = false;
  attempts = 0;
  /** What its breaker has admitted it with; 0 for none. */
  ticket = 0;
  /** Failed attempts, the latest at most 9. */
  readonly troubles: Trouble[] = [];
  readonly delaysMs: number[] = [];
  unwatch: (() => void) | undefined;
  readonly resolve: (metadata: RecordMetadata[]) => void;
  readonly reject: (error: unknown) => void;

  constructor(
    options: { readonly acks: number; readonly timeoutMs: number; readonly compression: number },
    startedAt: number,
    totalTimeoutMs: number,
    resolve: (metadata: RecordMetadata[]) => void,
    reject: (error: unknown) => void,
  ) {
    this.acks = options.acks;
    this.timeoutMs = options.timeoutMs;
    this.compression = options.compression;
    this.startedAt = startedAt;
    this.totalTimeoutMs = totalTimeoutMs;
    this.resolve = resolve;
    this.reject = reject;
  }

  get deadline(): number {
    return this.startedAt + this.totalTimeoutMs;
  }

  /** Folded over all parts: unknown once any is. */
  get outcome(): Outcome {
    return this.parts.some((part) => part.ending?.outcome === 'unknown')
      ? 'unknown'
      : 'not-applied';
  }

  /** As kafkajs resolves: one entry a partition, with the offset of the caller's own first message. */
  metadata(): RecordMetadata[] {
    if (this.acks === 0) return [];
    const first = this.parts[0];
    if (this.parts.length === 1 && first !== undefined) return [entryOf(first)];
    const entries = new Map<string, RecordMetadata>();
    for (const part of this.parts) {
      const key = `${part.partition}:${part.topic}`;
      if (!entries.has(key)) entries.set(key, entryOf(part));
    }
    return [...entries.values()];
  }

  /** What became of each message, in the caller's order. */
  results(): MessageResult[] {
    const results: MessageResult[] = [];
    for (const part of this.parts) {
      const { topic, partition, ending, baseOffset } = part;
      part.indexes.forEach((index, i) => {
        results[index] =
          ending === undefined
            ? {
                topic,
                partition,
                outcome: 'applied',
                ...(baseOffset !== undefined && { offset: offsetAfter(baseOffset, i) }),
              }
            : { topic, partition, outcome: ending.outcome, error: ending.error };
      });
    }
    return results;
  }
}

function entryOf({ topic, partition, baseOffset, reply }: Part): RecordMetadata {
  return {
    topicName: topic,
    partition,
    errorCode: 0,
    ...(baseOffset !== undefined && { baseOffset }),
    ...(reply !== undefined && { logAppendTime: reply.logAppendTime }),
    ...(reply?.logStartOffset !== undefined && { logStartOffset: reply.logStartOffset }),
  };
}

/** Offsets are texts, for they have 63 bits. */
export function offsetAfter(base: string, messages: number): string {
  if (messages === 0) return base;
  return base.length < 16
    ? String(Number(base) + messages)
    : String(BigInt(base) + BigInt(messages));
}
