import type { IHeaders, KafkaMessage } from 'kafkajs';
import type { Kafka } from './kafka.js';
import { ownHeaders, readProvenance } from './provenance.js';
import { type Range, readerOf } from './topic-reader.js';

/** A message that a consumer has given up, as it stands in its dead-letter topic. */
export interface DeadLetter {
  /** Where the letter stands. */
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  /** When it was written, in milliseconds since 1970. */
  readonly timestamp: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  /** The message's own. */
  readonly headers: IHeaders;
  /** Where it stood, and when it was written there. */
  readonly original: {
    readonly topic: string;
    readonly partition: number;
    readonly offset: string;
    readonly timestamp: string;
  };
  /** The group that has given it up. */
  readonly group: string;
  readonly error: string;
  readonly attempts: number;
  readonly stack?: string;
  /** How often it has been replayed. */
  readonly replays: number;
}

/** The header of a record without key and value that says: the letter at this offset of this partition has been replayed. */
export const REPLAYED = 'x-dlt-replayed-offset';

/** What the letters stand in now: partition by partition, from the first that is kept to the last. */
export async function rangesOf(kafka: Kafka, topic: string): Promise<Range[]> {
  const admin = kafka.admin();
  try {
    await admin.connect();
    const offsets = await admin.fetchTopicOffsets(topic);
    return offsets
      .map(({ partition, low, high }) => ({ partition, from: low, to: high }))
      .sort((a, b) => a.partition - b.partition);
  } finally {
    await admin.disconnect();
  }
}

/** The letters that were there when it was called, in order; read twice, for marks stand behind what they mark. */
export async function* lettersOf(
  kafka: Kafka,
  topic: string,
  signal?: AbortSignal,
): AsyncGenerator<DeadLetter> {
  const reader = readerOf(kafka);
  try {
    await reader.check(topic);
    for (const range of await rangesOf(kafka, topic)) {
      const replays = new Map<string, number>();
      for await (const messages of reader.read(topic, range, signal)) {
        for (const { headers } of messages) {
          const offset = headers?.[REPLAYED];
          if (offset !== undefined) replays.set(`${offset}`, (replays.get(`${offset}`) ?? 0) + 1);
        }
      }
      for await (const messages of reader.read(topic, range, signal)) {
        for (const message of messages) {
          const letter = letterOf(topic, range.partition, message, replays);
          if (letter !== undefined) yield letter;
        }
      }
    }
  } finally {
    reader.close();
  }
}

/** Undefined for what is none: a mark, or something that somebody else has written. */
function letterOf(
  topic: string,
  partition: number,
  message: KafkaMessage,
  replays: ReadonlyMap<string, number>,
): DeadLetter | undefined {
  const { offset, key, value, headers } = message;
  const provenance = readProvenance('x-dlt-', headers);
  if (provenance === undefined) return undefined;
  const { group, error, attempts, stack, ...original } = provenance;
  return {
    ...{ topic, partition, offset, key, value, original, group, error, attempts },
    timestamp: Number(message.timestamp),
    headers: ownHeaders('x-dlt-', headers),
    ...(stack !== undefined && { stack }),
    replays: replays.get(offset) ?? 0,
  };
}
