import type { ICustomPartitioner, Message, PartitionMetadata } from 'kafkajs';
import { misuse } from './errors.js';
import type { TopicState } from './metadata.js';
import { Part, type Publish } from './publish.js';
import { type RecordData, recordBytes } from './record-batch.js';

/** The messages of a publish for one topic, checked, with no partition yet. */
export interface TopicRecords {
  readonly topic: string;
  readonly messages: readonly Message[];
  readonly records: readonly RecordData[];
  /** The caller's number of the first. */
  readonly firstIndex: number;
}

/** A partition that the topic does not have. */
export interface Missing {
  readonly topic: string;
  readonly partition: unknown;
  readonly count: number;
}

/** The error for it, in kafkajs' class. kafkajs resolves such a send and drops its message. */
export function noSuchPartition({ topic, partition, count }: Missing): Error {
  return misuse(
    `There is no partition ${String(partition)} of topic "${topic}": it has ${count}, from 0. Nothing was sent to it.`,
  );
}

/**
 * Chooses the partition of each message, once. What goes to one partition stays together, in order, in parts
 * of at most `maxBytes`.
 *
 * @returns the parts, or the first partition that does not exist
 * @throws what the partitioner throws
 */
export function placeRecords(
  publish: Publish,
  { topic, messages, records, firstIndex }: TopicRecords,
  state: TopicState,
  partitioner: ReturnType<ICustomPartitioner>,
  maxBytes: number,
): Part[] | Missing {
  // Not a copy, as in kafkajs: it may be long, and this is asked for each message.
  const partitionMetadata = state.partitions as PartitionMetadata[];
  const [only] = records;
  if (records.length === 1 && only !== undefined) {
    const message = messages[0] as Message;
    const partition = partitioner({ topic, partitionMetadata, message });
    if (!exists(state, partition)) return { topic, partition, count: state.partitions.length };
    return [new Part(publish, topic, partition, records, [firstIndex], recordBytes(only))];
  }
  const open = new Map<number, { records: RecordData[]; indexes: number[]; bytes: number }>();
  const parts: Part[] = [];
  const close = (partition: number): void => {
    const piece = open.get(partition);
    if (piece === undefined) return;
    open.delete(partition);
    parts.push(new Part(publish, topic, partition, piece.records, piece.indexes, piece.bytes));
  };
  for (let i = 0; i < records.length; i++) {
    const record = records[i] as RecordData;
    const message = messages[i] as Message;
    const partition = partitioner({ topic, partitionMetadata, message });
    if (!exists(state, partition)) {
      return { topic, partition, count: state.partitions.length };
    }
    const bytes = recordBytes(record);
    const begun = open.get(partition);
    if (begun !== undefined && begun.bytes + bytes > maxBytes) close(partition);
    const piece = open.get(partition) ?? { records: [], indexes: [], bytes: 0 };
    open.set(partition, piece);
    piece.records.push(record);
    piece.indexes.push(firstIndex + i);
    piece.bytes += bytes;
  }
  for (const partition of [...open.keys()]) close(partition);
  return parts;
}

function exists(state: TopicState, partition: unknown): boolean {
  if (!Number.isSafeInteger(partition)) return false;
  if (state.partitions[partition as number]?.partitionId === partition) return true;
  return state.partitions.some(({ partitionId }) => partitionId === partition);
}
