import { randomUUID } from 'node:crypto';
import type { IHeaders } from 'kafkajs';
import type { KafkaCluster } from './kafka-cluster.js';
import { waitFor } from './wait.js';

/** One message as the log holds it. */
export interface LoggedMessage {
  readonly partition: number;
  readonly offset: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly timestamp: number;
  readonly headers: IHeaders;
}

/** So many fetches in a row without anything: what is still missing are marks of transactions, not messages. */
const EMPTY_FETCHES = 20;
const READ_MS = 60_000;

/** Reads a topic from its first to its last offset, with a group that nobody else is in. */
export async function readTopic(cluster: KafkaCluster, topic: string): Promise<LoggedMessage[]> {
  const offsets = await cluster.ask((admin) => admin.fetchTopicOffsets(topic));
  const left = new Map(
    offsets
      .filter(({ low, high }) => Number(high) > Number(low))
      .map(({ partition, high }) => [partition, Number(high)]),
  );
  const consumer = cluster.client().consumer({
    groupId: `outlast-reader-${randomUUID()}`,
    maxWaitTimeInMs: 100,
    maxBytesPerPartition: 16 * 1024 * 1024,
    maxBytes: 64 * 1024 * 1024,
  });
  const found: LoggedMessage[] = [];
  let joined = false;
  let empty = 0;
  consumer.on('consumer.group_join', () => {
    joined = true;
  });
  consumer.on('consumer.fetch', ({ payload }) => {
    empty = payload.numberOfBatches === 0 ? empty + 1 : 0;
  });
  try {
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch }) => {
        const { partition } = batch;
        for (const { offset, key, value, timestamp, headers = {} } of batch.messages) {
          const common = { offset: Number(offset), timestamp: Number(timestamp), headers };
          found.push({ partition, key, value, ...common });
        }
        if (Number(batch.lastOffset()) + 1 >= (left.get(partition) ?? 0)) left.delete(partition);
      },
    });
    await waitFor(() => joined && (left.size === 0 || empty >= EMPTY_FETCHES), {
      timeoutMs: READ_MS,
      everyMs: 5,
      what: `all messages of ${topic}`,
    });
  } finally {
    await consumer.disconnect();
  }
  return found.sort((a, b) => a.partition - b.partition || a.offset - b.offset);
}
