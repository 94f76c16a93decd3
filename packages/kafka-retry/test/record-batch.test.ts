import { createRequire } from 'node:module';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  bodyBytes,
  encodeBatch,
  type RecordData,
  recordBytes,
  stampBatch,
} from '../src/record-batch.js';
import { internals } from '../src/wire.js';

const load = createRequire(import.meta.url);
const Decoder = load('kafkajs/src/protocol/decoder');
const decodeBatch = load('kafkajs/src/protocol/recordBatch/v0/decoder');

function record(fields: Partial<RecordData>): RecordData {
  const { key = null, value = null, headers = [], timestamp = 1_700_000_000_000 } = fields;
  return { key, value, headers, timestamp, bodyBytes: bodyBytes(key, value, headers) };
}

const bytes = fc.oneof(
  fc.constant(null),
  fc.string({ maxLength: 200 }),
  fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array)),
);
// kafkajs trips over headers that are named as what every object has.
const name = fc.string({ maxLength: 20 }).map((text) => `h-${text}`);
const header = fc.tuple(name, bytes);
const records = fc.array(
  fc
    .record({
      key: bytes,
      value: bytes,
      headers: fc.uniqueArray(header, { maxLength: 4, selector: ([key]) => key }),
      timestamp: fc.integer({ min: 0, max: 4_000_000_000_000 }),
    })
    .map(record),
  { minLength: 1, maxLength: 20 },
);
const asBuffer = (content: Buffer | string | null) =>
  content === null ? null : Buffer.from(content as string);

describe('a record batch', () => {
  it.each([0, 1])('is read back by kafkajs as it was written (compression %i)', async (codec) => {
    await fc.assert(
      fc.asyncProperty(records, async (given) => {
        const batch = await encodeBatch(given, codec);
        stampBatch(batch, { producerId: 2n ** 40n, epoch: 3, sequence: 2 ** 31 - 1 });
        if (codec === 0) {
          const most = given.reduce((sum, one) => sum + recordBytes(one), 61);
          expect(batch.length).toBeLessThanOrEqual(most);
        }
        const decoded = await decodeBatch(new Decoder(batch));
        expect(decoded).toMatchObject({
          producerId: `${2n ** 40n}`,
          producerEpoch: 3,
          firstSequence: 2 ** 31 - 1,
          lastOffsetDelta: given.length - 1,
        });
        expect(decoded.records).toHaveLength(given.length);
        for (const [i, one] of given.entries()) {
          const read = decoded.records[i];
          expect(read.key).toEqual(asBuffer(one.key));
          expect(read.value).toEqual(asBuffer(one.value));
          expect(Number(read.timestamp)).toBe(one.timestamp);
          expect(read.headers).toEqual(
            Object.fromEntries(one.headers.map(([name, value]) => [name, asBuffer(value)])),
          );
        }
      }),
      { numRuns: codec === 0 ? 300 : 50 },
    );
  });

  it('carries a checksum over everything after it, whatever its stamp', () => {
    const batch = encodeBatch([record({ value: 'x' })], 0) as Buffer;
    for (const stamp of [undefined, { producerId: 1n, epoch: 0, sequence: 0 }]) {
      stampBatch(batch, stamp);
      expect(batch.readUInt32BE(17)).toBe(internals.crc32C(batch.subarray(21)));
      expect(batch.readInt32BE(8)).toBe(batch.length - 12);
    }
  });

  it('says that a codec is missing', async () => {
    await expect(async () => encodeBatch([record({ value: 'x' })], 2)).rejects.toThrow(/Snappy/);
    await expect(async () => encodeBatch([record({ value: 'x' })], 9)).rejects.toThrow(RangeError);
  });
});
