import { invalidOption, nonEmptyText, redact, unknownOption } from '@outlast/core-retry/connector';
import type { KafkaMessage } from 'kafkajs';
import type { RetryProducer } from './producer.js';

/** Where a message goes whose attempts are used up. */
export interface DeadLetterOptions {
  /** It must be there: a topic that is missing, or refuses, means that the message is kept and tried again. */
  readonly topic: string;
}

/** What was being handled, and how it ended. */
export interface Failed {
  readonly topic: string;
  readonly partition: number;
  readonly message: KafkaMessage;
  readonly error: unknown;
  readonly attempts: number;
}

const PREFIX = 'x-dlt-';
const MOST_ERROR = 1000;
const MOST_STACK = 4000;
const LEAST_ERROR = 100;
const TOO_LARGE = 10;

/** @throws OptionError for what is no topic */
export function checkDeadLetter(options: unknown): void {
  if (typeof options !== 'object' || options === null) {
    throw invalidOption('deadLetter', options, 'an object: { topic }');
  }
  for (const key of Object.keys(options)) {
    if (key !== 'topic') throw unknownOption(`deadLetter.${key}`, key, ['topic']);
  }
  const { topic } = options as { topic?: unknown };
  const valid = nonEmptyText(topic);
  if (valid !== undefined) throw invalidOption('deadLetter.topic', topic, valid);
}

/**
 * Writes messages that were given up to a topic of their own: key, value and headers byte by byte, and where
 * they came from in headers of ours. A message is lost to its group only when its letter is acknowledged.
 */
export class DeadLetters {
  private readonly topic: string;
  private readonly groupId: string;
  private readonly makeProducer: () => RetryProducer;
  private producer: RetryProducer | undefined;

  constructor(options: DeadLetterOptions, groupId: string, makeProducer: () => RetryProducer) {
    this.topic = options.topic;
    this.groupId = groupId;
    this.makeProducer = makeProducer;
  }

  /** Resolves when the letter is in the log of its topic. */
  async write(failed: Failed): Promise<void> {
    this.producer ??= this.makeProducer();
    try {
      await this.send(this.producer, failed, MOST_ERROR, MOST_STACK);
    } catch (error) {
      if ((error as { code?: unknown }).code !== TOO_LARGE) throw error;
      // A message that just fitted does not fit with everything that we have to say of it.
      await this.send(this.producer, failed, LEAST_ERROR, 0);
    }
  }

  async close(): Promise<void> {
    const { producer } = this;
    this.producer = undefined;
    await producer?.disconnect({ graceMs: 0 });
  }

  private async send(
    producer: RetryProducer,
    { topic, partition, message, error, attempts }: Failed,
    mostError: number,
    mostStack: number,
  ): Promise<void> {
    const stack = error instanceof Error ? (error.stack ?? '') : '';
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    await producer.send({
      topic: this.topic,
      messages: [
        {
          key: message.key,
          value: message.value,
          headers: {
            ...message.headers,
            [`${PREFIX}original-topic`]: topic,
            [`${PREFIX}original-partition`]: String(partition),
            [`${PREFIX}original-offset`]: message.offset,
            [`${PREFIX}original-timestamp`]: message.timestamp,
            [`${PREFIX}group`]: this.groupId,
            [`${PREFIX}error`]: cut(text, mostError),
            [`${PREFIX}attempts`]: String(attempts),
            ...(mostStack > 0 && stack !== '' && { [`${PREFIX}stack`]: cut(stack, mostStack) }),
          },
        },
      ],
    });
  }
}

function cut(text: string, most: number): string {
  return redact(text).slice(0, most);
}
