import { OptionError, type RetryPolicy } from '@outlast/core-retry';
import type { KafkaMessage } from 'kafkajs';
import { Connections } from './connections.js';
import { protocolError } from './errors.js';
import { Metadata, type MetadataOptions } from './metadata.js';
import { internals, type WireOptions } from './wire.js';

/** A range of offsets: from the first on, up to the second, which is not part of it. */
export interface Range {
  readonly partition: number;
  readonly from: string;
  readonly to: string;
}

interface FetchReply {
  readonly responses: readonly {
    readonly partitions: readonly { readonly partition: number; readonly errorCode: number }[];
  }[];
}

export interface TopicReaderOptions {
  readonly wire: WireOptions;
  readonly seeds: MetadataOptions['seeds'];
  readonly policy: RetryPolicy;
}

const MAX_WAIT_MS = 500;
/** What one answer may hold; a single batch that is larger comes whole. */
const MAX_BYTES = 4 * 1024 * 1024;
const ANSWER_MS = 10_000;
const READ_COMMITTED = 1;
const NO_LEADER = 5;

/** Reads ranges of a topic without a group: no rebalance, nothing committed, no right to a group needed. */
export class TopicReader {
  private readonly policy: RetryPolicy;
  private readonly connections: Connections;
  private readonly metadata: Metadata;

  constructor({ wire, seeds, policy }: TopicReaderOptions) {
    const { clock } = policy.settings;
    const now = (): number => clock.now();
    this.policy = policy;
    this.connections = new Connections(wire, now);
    const { connections } = this;
    const limitMs = ANSWER_MS;
    this.metadata = new Metadata({
      connections,
      seeds,
      allowAutoTopicCreation: false,
      limitMs,
      now,
    });
  }

  /** What was committed in the range, in order; each answer of the broker as it comes. */
  async *read(topic: string, range: Range, signal?: AbortSignal): AsyncGenerator<KafkaMessage[]> {
    let next = BigInt(range.from);
    const end = BigInt(range.to);
    while (next < end) {
      const at = next;
      const batch = await this.policy.execute(() => this.fetch(topic, range.partition, at), {
        operation: 'kafka.read',
        // Reading changes nothing.
        idempotent: true,
        ...(signal !== undefined && { signal }),
      });
      const messages = batch.messages.filter(({ offset }) => BigInt(offset) < end);
      if (messages.length > 0) yield messages;
      // What is left out, marks of transactions and what they aborted, counts too.
      const last = BigInt(batch.lastOffset());
      next = last >= next ? last + 1n : next;
    }
  }

  /** @throws kafkajs' error for a topic that is not there, or not ours to read */
  async check(topic: string): Promise<void> {
    await this.policy.execute(() => this.metadata.refresh([topic]), { idempotent: true });
    const { errorCode } = this.metadata.topic(topic) ?? { errorCode: 0 };
    if (errorCode !== 0) throw protocolError(errorCode, `"${topic}"`);
  }

  close(): void {
    this.connections.close();
  }

  private async fetch(
    topic: string,
    partition: number,
    offset: bigint,
  ): Promise<{ messages: KafkaMessage[]; lastOffset(): string }> {
    let leader = this.metadata.leaderOf(topic, partition);
    if (leader === undefined) {
      await this.metadata.refresh([topic]);
      leader = this.metadata.leaderOf(topic, partition);
      const { errorCode } = this.metadata.topic(topic) ?? { errorCode: 0 };
      if (leader === undefined) throw protocolError(errorCode || NO_LEADER, `"${topic}"`);
    }
    const fetchOffset = String(offset);
    const question = {
      maxWaitTime: MAX_WAIT_MS,
      minBytes: 1,
      maxBytes: MAX_BYTES,
      isolationLevel: READ_COMMITTED,
      topics: [{ topic, partitions: [{ partition, fetchOffset, maxBytes: MAX_BYTES }] }],
      rackId: '',
    };
    try {
      const reply = await this.connections.ask(leader, ANSWER_MS, (connection) =>
        connection.ask<FetchReply>('Fetch', question),
      );
      const answer = reply.responses[0]?.partitions[0];
      if (answer === undefined || answer.errorCode !== 0) {
        throw protocolError(answer?.errorCode ?? -1, `"${topic}"`);
      }
      return new internals.Batch(topic, fetchOffset, answer);
    } catch (error) {
      // The leader may have moved.
      this.metadata.forget(topic);
      throw error;
    }
  }
}

const makers = new WeakMap<object, () => TopicReader>();

/** Lets the tools read with the connections that a client is configured for. */
export function registerReader(kafka: object, options: () => TopicReaderOptions): void {
  makers.set(kafka, () => new TopicReader(options()));
}

/** @throws OptionError for a client that is none of ours */
export function readerOf(kafka: object): TopicReader {
  const make = makers.get(kafka);
  if (make === undefined) {
    throw new OptionError('kafka', 'must be a Kafka of @outlast/kafka-retry.');
  }
  return make();
}
