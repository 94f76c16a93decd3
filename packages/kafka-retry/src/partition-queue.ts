import { Batch } from './batch.js';
import type { Part } from './publish.js';
import { Sequence } from './sequence.js';

const LEAST_COMPACTED = 4096;

/** What waits for one partition, in order, and the one batch of it that is under way. */
export class PartitionQueue {
  readonly topic: string;
  readonly partition: number;
  readonly sequence: Sequence = new Sequence();
  /** The batch that is sent until its fate is known; nothing overtakes it. */
  batch: Batch | undefined;
  /** Whether a request with its batch is out. */
  inFlight = false;
  /** Whether it waits for metadata, or for its time. */
  stalled = false;
  /** Not before this monotonic time is its batch sent again, in milliseconds. */
  notBefore = 0;
  /** Failed attempts since the last that went well. */
  failures = 0;
  /** Why its leader could not be reached, while that is so. */
  unreachable: Error | undefined;
  /** The bytes that a batch may have here: less once the broker has refused one for its size. */
  private maxBytes: number;
  private parts: (Part | undefined)[] = [];
  private head = 0;
  private compactAt = LEAST_COMPACTED;

  constructor(topic: string, partition: number, maxBatchBytes: number) {
    this.topic = topic;
    this.partition = partition;
    this.maxBytes = maxBatchBytes;
  }

  /** Whether there is anything to be sent. */
  get hasWork(): boolean {
    this.skipEnded();
    return this.batch !== undefined || this.head < this.parts.length;
  }

  push(part: Part): void {
    this.parts.push(part);
    if (this.parts.length < this.compactAt) return;
    this.parts = this.waiting();
    this.head = 0;
    this.compactAt = Math.max(LEAST_COMPACTED, 2 * this.parts.length);
  }

  /** The batch to be sent next: the one under way, or one made of what waits and fits together. */
  take(): Batch | undefined {
    if (this.batch !== undefined) return this.batch;
    this.skipEnded();
    const first = this.parts[this.head];
    if (first === undefined) return undefined;
    const { acks, timeoutMs, compression } = first.publish;
    const parts: Part[] = [];
    let bytes = 0;
    for (;;) {
      const part = this.parts[this.head];
      if (part === undefined) break;
      const { publish } = part;
      const alike =
        publish.acks === acks &&
        publish.timeoutMs === timeoutMs &&
        publish.compression === compression;
      if (!alike || (parts.length > 0 && bytes + part.bytes > this.maxBytes)) break;
      parts.push(part);
      bytes += part.bytes;
      this.advance();
    }
    this.batch = new Batch(parts, { acks, timeoutMs, compression });
    return this.batch;
  }

  /** The batch goes on as two, the first half first; nothing of it was ever stored. */
  split(batch: Batch): void {
    this.sequence.takeBack(batch);
    const [first, second] = batch.halves();
    this.maxBytes = Math.min(this.maxBytes, Math.ceil(batch.bytes / 2));
    this.batch = first;
    // Put in front of what waits.
    this.parts = [...second, ...this.parts.slice(this.head)];
    this.head = 0;
  }

  /** The batch is done with. */
  finish(): void {
    this.batch = undefined;
  }

  /** Everything that is not in the batch under way. */
  waiting(): Part[] {
    return this.parts.slice(this.head).filter((part): part is Part => part?.ended === false);
  }

  private advance(): void {
    this.parts[this.head] = undefined;
    this.head += 1;
    if (this.head === this.parts.length) {
      this.parts = [];
      this.head = 0;
    } else if (this.head > 1024 && this.head * 2 > this.parts.length) {
      this.parts = this.parts.slice(this.head);
      this.head = 0;
    }
    this.skipEnded();
  }

  /** What has been given up while it waited is not sent. */
  private skipEnded(): void {
    while (this.head < this.parts.length && this.parts[this.head]?.ended !== false) {
      this.parts[this.head] = undefined;
      this.head += 1;
    }
    if (this.head > 0 && this.head === this.parts.length) {
      this.parts = [];
      this.head = 0;
    }
  }
}
