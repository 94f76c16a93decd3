import type { Stamp } from './sequence.js';
import { internals } from './wire.js';

/** One message as it will stand in a batch. */
export interface RecordData {
  readonly key: Buffer | string | null;
  readonly value: Buffer | string | null;
  readonly headers: readonly (readonly [string, Buffer | string | null])[];
  /** Milliseconds since 1970. */
  readonly timestamp: number;
  /** Bytes of everything in it but its two deltas and its length. */
  readonly bodyBytes: number;
}

// Length, timestamp delta and offset delta at their longest.
const MOST_VARINTS = 5 + 10 + 5;
const HEADER_BYTES = 61;
const ATTRIBUTES_AT = 21;
const CRC_AT = 17;
const MAGIC = 2;

/** The bytes that a message takes in a batch, at most. */
export function recordBytes(record: RecordData): number {
  return record.bodyBytes + MOST_VARINTS;
}

/** Bytes of what no delta changes: attributes, key, value, headers. */
export function bodyBytes(
  key: RecordData['key'],
  value: RecordData['value'],
  headers: RecordData['headers'],
): number {
  let bytes = 1 + sizeOfBytes(key) + sizeOfBytes(value) + sizeOfVarInt(headers.length);
  for (const [name, content] of headers) bytes += sizeOfBytes(name) + sizeOfBytes(content);
  return bytes;
}

/**
 * A record batch (magic 2) without its stamp, see {@link stampBatch}. Encoded once: what is sent again is
 * the same bytes. Source: Kafka's protocol guide, "Record Batch".
 *
 * @throws what the codec throws, as kafkajs does for one that is not installed
 */
export function encodeBatch(
  records: readonly RecordData[],
  compression: number,
): Buffer | Promise<Buffer> {
  const first = (records[0] as RecordData).timestamp;
  let most = HEADER_BYTES;
  let newest = first;
  for (const record of records) {
    most += recordBytes(record);
    if (record.timestamp > newest) newest = record.timestamp;
  }
  const bytes = Buffer.allocUnsafe(most);
  let at = HEADER_BYTES;
  for (let i = 0; i < records.length; i++) at = writeRecord(bytes, at, records[i], i, first);
  writeHeader(bytes, compression, records.length, first, newest);
  if (compression === 0) return bytes.subarray(0, at);
  return compress(bytes, at, compression);
}

async function compress(bytes: Buffer, end: number, compression: number): Promise<Buffer> {
  const codec = internals.lookupCodec(compression);
  if (codec === null) throw new RangeError(`There is no compression of type ${compression}.`);
  const packed = await codec.compress({ buffer: bytes.subarray(HEADER_BYTES, end) });
  return Buffer.concat([bytes.subarray(0, HEADER_BYTES), packed]);
}

/** Writes who sends the batch and under which numbers; undefined for a batch without any. */
export function stampBatch(batch: Buffer, stamp: Stamp | undefined): void {
  batch.writeInt32BE(batch.length - 12, 8);
  batch.writeBigInt64BE(stamp?.producerId ?? -1n, 43);
  batch.writeInt16BE(stamp?.epoch ?? -1, 51);
  batch.writeInt32BE(stamp?.sequence ?? -1, 53);
  batch.writeUInt32BE(internals.crc32C(batch.subarray(ATTRIBUTES_AT)), CRC_AT);
}

function writeHeader(
  bytes: Buffer,
  compression: number,
  count: number,
  first: number,
  newest: number,
): void {
  bytes.writeBigInt64BE(0n, 0);
  bytes.writeInt32BE(-1, 12);
  bytes.writeInt8(MAGIC, 16);
  bytes.writeInt16BE(compression & 7, ATTRIBUTES_AT);
  bytes.writeInt32BE(count - 1, 23);
  bytes.writeBigInt64BE(BigInt(first), 27);
  bytes.writeBigInt64BE(BigInt(newest), 35);
  bytes.writeInt32BE(count, 57);
}

function writeRecord(
  bytes: Buffer,
  start: number,
  record: RecordData | undefined,
  index: number,
  first: number,
): number {
  if (record === undefined) return start;
  const { key, value, headers, timestamp } = record;
  const delta = timestamp - first;
  const size = record.bodyBytes + sizeOfVarInt(delta) + sizeOfVarInt(index);
  let at = writeVarInt(bytes, start, size);
  bytes[at++] = 0;
  at = writeVarInt(bytes, at, delta);
  at = writeVarInt(bytes, at, index);
  at = writeBytes(bytes, at, key);
  at = writeBytes(bytes, at, value);
  at = writeVarInt(bytes, at, headers.length);
  for (const [name, content] of headers) {
    at = writeBytes(bytes, at, name);
    at = writeBytes(bytes, at, content);
  }
  return at;
}

function writeBytes(bytes: Buffer, at: number, content: Buffer | string | null): number {
  if (content === null) return writeVarInt(bytes, at, -1);
  if (typeof content === 'string') {
    const begin = writeVarInt(bytes, at, Buffer.byteLength(content));
    return begin + bytes.write(content, begin);
  }
  const begin = writeVarInt(bytes, at, content.length);
  content.copy(bytes, begin);
  return begin + content.length;
}

// ZigZag without bit operations: a difference of two times has more than 32 bits.
function zigZag(value: number): number {
  return value < 0 ? -2 * value - 1 : 2 * value;
}

function writeVarInt(bytes: Buffer, start: number, value: number): number {
  let rest = zigZag(value);
  let at = start;
  while (rest > 127) {
    bytes[at++] = (rest % 128) | 128;
    rest = Math.floor(rest / 128);
  }
  bytes[at++] = rest;
  return at;
}

function sizeOfVarInt(value: number): number {
  let rest = zigZag(value);
  let size = 1;
  while (rest > 127) {
    rest = Math.floor(rest / 128);
    size += 1;
  }
  return size;
}

function sizeOfBytes(content: Buffer | string | null): number {
  if (content === null) return 1;
  const size = typeof content === 'string' ? Buffer.byteLength(content) : content.length;
  return sizeOfVarInt(size) + size;
}
