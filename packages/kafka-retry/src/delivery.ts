import type { RecordMetadata } from 'kafkajs';
import type { TopicRecords } from './placement.js';
import type { Publish } from './publish.js';

/** One `send` under a spool: its caller, its messages, and what is known of them. */
export class Delivery {
  readonly acks: number;
  readonly timeoutMs: number;
  readonly compression: number;
  readonly records: readonly TopicRecords[];
  /** Its number in the spool, once it is durable there. */
  number: number | undefined;
  /** Whether it is being written to the spool. */
  keeping = false;
  /** Whether the spool could not take it: it ends as without one. */
  unkept = false;
  /** Whether it is in the log. */
  stored = false;
  /** How its publish ended badly, while it was being written to the spool. */
  failure: { readonly error: unknown } | undefined;
  /** Its publish, while the engine has it. */
  publish: Publish | undefined;
  private caller: Caller | undefined;

  constructor(
    options: { readonly acks: number; readonly timeoutMs: number; readonly compression: number },
    records: readonly TopicRecords[],
    caller?: Caller,
  ) {
    this.acks = options.acks;
    this.timeoutMs = options.timeoutMs;
    this.compression = options.compression;
    this.records = records;
    this.caller = caller;
  }

  resolve(metadata: RecordMetadata[]): void {
    this.caller?.resolve(metadata);
    this.caller = undefined;
  }

  reject(error: unknown): void {
    this.caller?.reject(error);
    this.caller = undefined;
  }

  /** What a caller is told of messages that are in the spool: their topics, and no offset yet. */
  metadata(): RecordMetadata[] {
    const topics = new Set(this.records.map(({ topic }) => topic));
    return [...topics].map((topicName) => ({ topicName, partition: -1, errorCode: 0 }));
  }
}

interface Caller {
  readonly resolve: (metadata: RecordMetadata[]) => void;
  readonly reject: (error: unknown) => void;
}
