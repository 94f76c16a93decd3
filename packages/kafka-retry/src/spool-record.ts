import type { Message } from 'kafkajs';
import type { TopicRecords } from './placement.js';
import { bodyBytes, type RecordData } from './record-batch.js';

/** One `send` as it stands in the spool: what it takes to publish it again, its times and message ids included. */
export interface SpooledSend {
  readonly acks: number;
  readonly timeoutMs: number;
  readonly compression: number;
  readonly records: readonly TopicRecords[];
}

const NONE = -1;

/** A key that was a text is one again: partitioners may look. */
const TEXT_KEY = 1;
const BYTES_KEY = 0;

export function encodeSend({ acks, timeoutMs, compression, records }: SpooledSend): Buffer {
  const writer = new Writer();
  writer.int(acks);
  writer.int(timeoutMs);
  writer.int(compression);
  writer.int(records.length);
  for (const one of records) {
    writer.bytes(one.topic);
    writer.int(one.records.length);
    one.records.forEach((record, i) => {
      writer.int(one.messages[i]?.partition ?? NONE);
      writer.double(record.timestamp);
      writer.int(typeof record.key === 'string' ? TEXT_KEY : BYTES_KEY);
      writer.bytes(record.key);
      writer.bytes(record.value);
      writer.int(record.headers.length);
      for (const [name, content] of record.headers) {
        writer.bytes(name);
        writer.bytes(content);
      }
    });
  }
  return writer.end();
}

/** @throws RangeError for what {@link encodeSend} has not written */
export function decodeSend(payload: Buffer): SpooledSend {
  const reader = new Reader(payload);
  const acks = reader.int();
  const timeoutMs = reader.int();
  const compression = reader.int();
  const records: TopicRecords[] = [];
  let firstIndex = 0;
  for (let left = reader.int(); left > 0; left--) {
    const topic = reader.text();
    const pairs: { record: RecordData; message: Message }[] = [];
    for (let more = reader.int(); more > 0; more--) pairs.push(readMessage(reader));
    records.push({
      topic,
      messages: pairs.map(({ message }) => message),
      records: pairs.map(({ record }) => record),
      firstIndex,
    });
    firstIndex += pairs.length;
  }
  return { acks, timeoutMs, compression, records };
}

function readMessage(reader: Reader): { record: RecordData; message: Message } {
  const partition = reader.int();
  const timestamp = reader.double();
  const isText = reader.int() === TEXT_KEY;
  const keyBytes = reader.bytes();
  const key = isText && keyBytes !== null ? keyBytes.toString() : keyBytes;
  const value = reader.bytes();
  const headers: [string, Buffer | null][] = [];
  for (let left = reader.int(); left > 0; left--) headers.push([reader.text(), reader.bytes()]);
  const record = { key, value, headers, timestamp, bodyBytes: bodyBytes(key, value, headers) };
  const message: Message = {
    key,
    value,
    timestamp: String(timestamp),
    headers: headersOf(headers),
    ...(partition !== NONE && { partition }),
  };
  return { record, message };
}

/** As kafkajs has them: what occurs several times is an array. */
function headersOf(pairs: readonly [string, Buffer | null][]): NonNullable<Message['headers']> {
  const headers: Record<string, Buffer | Buffer[]> = {};
  for (const [name, content] of pairs) {
    if (content === null) continue;
    const before = headers[name];
    if (before === undefined) headers[name] = content;
    else headers[name] = [...(Array.isArray(before) ? before : [before]), content];
  }
  return headers;
}

class Writer {
  private readonly pieces: Buffer[] = [];

  int(value: number): void {
    const piece = Buffer.allocUnsafe(4);
    piece.writeInt32BE(value);
    this.pieces.push(piece);
  }

  double(value: number): void {
    const piece = Buffer.allocUnsafe(8);
    piece.writeDoubleBE(value);
    this.pieces.push(piece);
  }

  bytes(content: Buffer | string | null): void {
    if (content === null) {
      this.int(NONE);
      return;
    }
    const piece = typeof content === 'string' ? Buffer.from(content) : content;
    this.int(piece.length);
    this.pieces.push(piece);
  }

  end(): Buffer {
    return Buffer.concat(this.pieces);
  }
}

class Reader {
  private at = 0;
  private readonly payload: Buffer;

  constructor(payload: Buffer) {
    this.payload = payload;
  }

  int(): number {
    this.at += 4;
    return this.payload.readInt32BE(this.at - 4);
  }

  double(): number {
    this.at += 8;
    return this.payload.readDoubleBE(this.at - 8);
  }

  bytes(): Buffer | null {
    const length = this.int();
    if (length === NONE) return null;
    this.at += length;
    if (length < 0 || this.at > this.payload.length) throw new RangeError('It is cut short.');
    return this.payload.subarray(this.at - length, this.at);
  }

  text(): string {
    return (this.bytes() ?? Buffer.alloc(0)).toString();
  }
}
