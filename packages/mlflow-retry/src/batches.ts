import type { KeyValue } from './types.js';

/** What one request may carry. */
export interface Batch {
  readonly metrics: readonly {
    readonly key: string;
    readonly value: number | string;
    readonly timestamp: number;
    readonly step: number;
  }[];
  readonly params: readonly KeyValue[];
  readonly tags: readonly KeyValue[];
}

/** Limits of one request. Source: `mlflow/utils/validation.py` of 3.17.2, measured. */
const MOST_ENTITIES = 1000;
const MOST_PARAMS = 100;
const MOST_TAGS = 100;
const MOST_BYTES = 1_000_000;

// For what stands around the lists.
const ENVELOPE_BYTES = 1000;

/** Splits what is too much for one request; nothing at all is no request. */
export function batches(all: Batch): Batch[] {
  const rest = { metrics: [...all.metrics], params: [...all.params], tags: [...all.tags] };
  const found: Batch[] = [];
  while (rest.metrics.length + rest.params.length + rest.tags.length > 0) {
    const room = { entities: MOST_ENTITIES, bytes: MOST_BYTES - ENVELOPE_BYTES, taken: 0 };
    found.push({
      params: take(rest.params, MOST_PARAMS, room),
      tags: take(rest.tags, MOST_TAGS, room),
      metrics: take(rest.metrics, MOST_ENTITIES, room),
    });
  }
  return found;
}

function take<T>(
  from: T[],
  most: number,
  room: { entities: number; bytes: number; taken: number },
): T[] {
  let count = 0;
  while (count < from.length && count < most && room.entities > 0) {
    // Non-ASCII is counted as MLflow may count it: escaped.
    const bytes = JSON.stringify(from[count]).replace(/[^\x20-\x7e]/g, '\\u0000').length + 2;
    // What is too big alone goes alone, for the server to refuse.
    if (bytes > room.bytes && room.taken > 0) break;
    room.bytes -= bytes;
    room.entities -= 1;
    room.taken += 1;
    count += 1;
  }
  return from.splice(0, count);
}
