import type { TopicRecords } from './placement.js';
import { recordBytes } from './record-batch.js';

// What a waiting message takes in memory beside its content, and its send: measured, 160 and 1230 in all.
const RECORD_OVERHEAD_BYTES = 120;
const PUBLISH_OVERHEAD_BYTES = 1000;

/** What a send takes in memory. */
export function bytesOf(records: readonly TopicRecords[]): number {
  let bytes = PUBLISH_OVERHEAD_BYTES;
  for (const one of records) {
    for (const record of one.records) bytes += recordBytes(record) + RECORD_OVERHEAD_BYTES;
  }
  return bytes;
}
