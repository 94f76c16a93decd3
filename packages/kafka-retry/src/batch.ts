import { Part } from './publish.js';
import { encodeBatch, type RecordData, recordBytes, stampBatch } from './record-batch.js';
import type { Numbered, Stamp } from './sequence.js';

/** How a batch is to be sent; what differs in it never shares one. */
export interface BatchOptions {
  readonly acks: number;
  /** How long the broker waits for its replicas, in milliseconds. */
  readonly timeoutMs: number;
  readonly compression: number;
}

/** What is sent to one partition at once: encoded once, the same bytes at every attempt. */
export class Batch implements Numbered {
  parts: readonly Part[];
  count = 0;
  /** At most, and before compression. */
  bytes = 0;
  readonly options: BatchOptions;
  stamp: Stamp | undefined;
  unknown = false;
  /** How often it has been answered by a code that is asked again before it is believed. */
  asked = 0;
  attempts = 0;
  /** Requests that were not answered in time: each allows the next one more. */
  timeouts = 0;
  private encoded: Buffer | undefined;
  private stampedAs: Stamp | undefined;

  constructor(parts: readonly Part[], options: BatchOptions) {
    this.parts = parts;
    this.options = options;
    this.measure();
  }

  /** Whether somebody still waits for it. */
  get wanted(): boolean {
    return this.parts.some((part) => !part.ended);
  }

  /** Whether all that it says is written down already. */
  get ready(): boolean {
    return this.encoded !== undefined;
  }

  /** Encodes it; a promise only if it is compressed. */
  encode(): void | Promise<void> {
    if (this.encoded !== undefined) return;
    const records: RecordData[] = [];
    for (const part of this.parts) for (const record of part.records) records.push(record);
    const encoded = encodeBatch(records, this.options.compression);
    if (Buffer.isBuffer(encoded)) {
      this.encoded = encoded;
      return;
    }
    return encoded.then((bytes) => {
      this.encoded = bytes;
    });
  }

  /** The bytes under their numbers. {@link encode} must have ended. */
  stamped(): Buffer {
    const bytes = this.encoded as Buffer;
    if (this.stampedAs !== this.stamp || this.stamp === undefined) {
      stampBatch(bytes, this.stamp);
      this.stampedAs = this.stamp;
    }
    return bytes;
  }

  /** Takes out what nobody waits for any more; nothing of the batch may ever have been stored. */
  shrink(): void {
    this.parts = this.parts.filter((part) => !part.ended);
    this.encoded = undefined;
    this.stampedAs = undefined;
    this.measure();
  }

  /** The first half as a batch, and the rest as parts. */
  halves(): [Batch, Part[]] {
    const middle = Math.ceil(this.count / 2);
    const first: Part[] = [];
    const second: Part[] = [];
    let taken = 0;
    for (const part of this.parts) {
      const room = middle - taken;
      taken += part.records.length;
      if (part.records.length <= room) first.push(part);
      else if (room <= 0) second.push(part);
      else {
        const [a, b] = partAt(part, room);
        first.push(a);
        second.push(b);
      }
    }
    const half = new Batch(first, this.options);
    half.attempts = this.attempts;
    return [half, second];
  }

  private measure(): void {
    this.count = 0;
    this.bytes = 0;
    for (const part of this.parts) {
      this.count += part.records.length;
      this.bytes += part.bytes;
    }
  }
}

/** One part as two, in its publish too. */
function partAt(part: Part, at: number): [Part, Part] {
  const { publish, topic, partition, records, indexes } = part;
  const cut = (from: number, to: number): Part => {
    const some = records.slice(from, to);
    const bytes = some.reduce((sum, record) => sum + recordBytes(record), 0);
    const piece = new Part(publish, topic, partition, some, indexes.slice(from, to), bytes);
    piece.ended = part.ended;
    piece.ending = part.ending;
    return piece;
  };
  const pieces: [Part, Part] = [cut(0, at), cut(at, records.length)];
  publish.parts = publish.parts.flatMap((one) => (one === part ? pieces : [one]));
  if (!part.ended) publish.open += 1;
  return pieces;
}
