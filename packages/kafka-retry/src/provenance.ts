import { redact } from '@outlast/core-retry/connector';
import type { IHeaders, KafkaMessage } from 'kafkajs';

/** What was being handled, and how it ended: where it stood at first, and as it stood there. */
export interface Failed {
  readonly topic: string;
  readonly partition: number;
  readonly message: KafkaMessage;
  readonly error: unknown;
  /** Over all topics that it has been in. */
  readonly attempts: number;
}

/** Where a message stood at first, and what became of it there. */
export interface Provenance {
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  readonly timestamp: string;
  readonly group: string;
  readonly error: string;
  readonly attempts: number;
  readonly stack?: string;
}

/** Headers of dead letters, and of messages in retry topics: so that a dead letter may be retried in its turn. */
export type Prefix = 'x-dlt-' | 'x-retry-';

const WORDS = [
  'original-topic',
  'original-partition',
  'original-offset',
  'original-timestamp',
  'group',
  'error',
  'attempts',
  'stack',
  'due',
] as const;

/** How much of an error and its stack is kept, in UTF-16 units. */
export interface Lengths {
  readonly error: number;
  readonly stack: number;
}

export function provenanceHeaders(
  prefix: Prefix,
  group: string,
  { topic, partition, message, error, attempts }: Failed,
  lengths: Lengths,
): IHeaders {
  const stack = error instanceof Error ? (error.stack ?? '') : '';
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return {
    [`${prefix}original-topic`]: topic,
    [`${prefix}original-partition`]: String(partition),
    [`${prefix}original-offset`]: message.offset,
    [`${prefix}original-timestamp`]: message.timestamp,
    [`${prefix}group`]: group,
    [`${prefix}error`]: cut(text, lengths.error),
    [`${prefix}attempts`]: String(attempts),
    ...(lengths.stack > 0 && stack !== '' && { [`${prefix}stack`]: cut(stack, lengths.stack) }),
  };
}

/** Undefined if the message has no such headers: somebody else has written it. */
export function readProvenance(prefix: Prefix, headers: IHeaders = {}): Provenance | undefined {
  const text = (word: (typeof WORDS)[number]): string | undefined => {
    const value = headers[`${prefix}${word}`];
    return value === undefined ? undefined : String(Array.isArray(value) ? value.at(-1) : value);
  };
  const topic = text('original-topic');
  const partition = Number(text('original-partition'));
  const offset = text('original-offset');
  if (topic === undefined || topic === '' || offset === undefined) return undefined;
  if (!Number.isSafeInteger(partition) || !/^\d+$/.test(offset)) return undefined;
  const stack = text('stack');
  return {
    topic,
    partition,
    offset,
    timestamp: text('original-timestamp') ?? '',
    group: text('group') ?? '',
    error: text('error') ?? '',
    attempts: Number(text('attempts')) || 0,
    ...(stack !== undefined && { stack }),
  };
}

/** The headers that are the message's own. */
export function ownHeaders(prefix: Prefix, headers: IHeaders = {}): IHeaders {
  const ours = new Set<string>(WORDS.map((word) => `${prefix}${word}`));
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !ours.has(name)));
}

function cut(text: string, most: number): string {
  return redact(text).slice(0, most);
}
