import { randomUUID } from 'node:crypto';
import type { Message } from 'kafkajs';
import { misuse } from './errors.js';
import { bodyBytes, type RecordData } from './record-batch.js';

/** The header by which consumers know a copy. */
const MESSAGE_ID_HEADER = 'x-message-id';

/**
 * A message as it will be encoded: checked, measured, with its time.
 *
 * @param now milliseconds since 1970, for messages without a time of their own
 * @param withId whether it gets an `x-message-id`, unless it has one
 * @throws KafkaJSNonRetriableError for a message that cannot be sent
 */
export function recordOf(
  topic: string,
  message: Message,
  now: number,
  withId: boolean,
): RecordData {
  if (typeof message !== 'object' || message === null) {
    throw misuse(`Invalid message for topic "${topic}": ${kind(message)} is no message`);
  }
  const value = message.value === undefined ? invalid(topic, message) : message.value;
  const key = content(topic, 'key', message.key ?? null);
  const body = content(topic, 'value', value);
  const headers = headersOf(topic, message, withId);
  return {
    key,
    value: body,
    headers,
    timestamp: timeOf(topic, message.timestamp, now),
    bodyBytes: bodyBytes(key, body, headers),
  };
}

const NONE: RecordData['headers'] = [];

function headersOf(topic: string, message: Message, withId: boolean): RecordData['headers'] {
  const { headers } = message;
  if (headers === undefined || headers === null) {
    return withId ? [[MESSAGE_ID_HEADER, randomUUID()]] : NONE;
  }
  const pairs: [string, Buffer | string | null][] = [];
  for (const name of Object.keys(headers)) {
    const given: unknown = headers[name];
    if (given === undefined) continue;
    // An array is a header that occurs several times.
    for (const one of Array.isArray(given) ? given : [given]) {
      pairs.push([name, content(topic, `header "${name}"`, one)]);
    }
  }
  if (withId && headers[MESSAGE_ID_HEADER] === undefined) {
    pairs.push([MESSAGE_ID_HEADER, randomUUID()]);
  }
  return pairs;
}

function content(topic: string, what: string, given: unknown): Buffer | string | null {
  if (typeof given === 'string' || given === null || Buffer.isBuffer(given)) return given;
  if (given instanceof Uint8Array) {
    return Buffer.from(given.buffer, given.byteOffset, given.byteLength);
  }
  throw misuse(
    `Invalid message for topic "${topic}": its ${what} must be a string, a Buffer or null, not ${kind(given)}`,
  );
}

function timeOf(topic: string, given: unknown, now: number): number {
  if (given === undefined || given === null) return now;
  const time = Number(given);
  if (Number.isSafeInteger(time) && given !== '' && time >= 0) return time;
  throw misuse(
    `Invalid message for topic "${topic}": its timestamp must be milliseconds since 1970`,
  );
}

// The text that kafkajs has for it, without the message, which may hold anything.
function invalid(topic: string, message: Message): never {
  const key = typeof message.key === 'string' ? ` (key ${message.key.slice(0, 40)})` : '';
  throw misuse(`Invalid message without value for topic "${topic}"${key}`);
}

function kind(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'an array' : `a ${typeof value}`;
}
