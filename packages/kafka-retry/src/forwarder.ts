import type { KafkaMessage } from 'kafkajs';
import type { RetryProducer } from './producer.js';
import { type Failed, type Lengths, type Prefix, provenanceHeaders } from './provenance.js';

const MOST: Lengths = { error: 1000, stack: 4000 };
const LEAST: Lengths = { error: 100, stack: 0 };
const TOO_LARGE = 10;

/**
 * Writes messages that a handler has failed to another topic: key, value and headers byte by byte, and where they
 * came from in headers of ours.
 */
export class Forwarder {
  private readonly groupId: string;
  private readonly makeProducer: () => RetryProducer;
  private producer: RetryProducer | undefined;

  constructor(groupId: string, makeProducer: () => RetryProducer) {
    this.groupId = groupId;
    this.makeProducer = makeProducer;
  }

  /** Resolves when the message is in the log of the topic. */
  async write(topic: string, prefix: Prefix, failed: Failed, dueAt?: number): Promise<void> {
    this.producer ??= this.makeProducer();
    const { producer } = this;
    const send = (lengths: Lengths): Promise<unknown> => {
      const { key, value, headers } = failed.message as KafkaMessage;
      const ours = provenanceHeaders(prefix, this.groupId, failed, lengths);
      const due = dueAt !== undefined && { [`${prefix}due`]: String(Math.round(dueAt)) };
      const message = { key, value, headers: { ...headers, ...ours, ...due } };
      return producer.send({ topic, messages: [message] });
    };
    try {
      await send(MOST);
    } catch (error) {
      if ((error as { code?: unknown }).code !== TOO_LARGE) throw error;
      // A message that just fitted does not fit with everything that we have to say of it.
      await send(LEAST);
    }
  }

  /** @param graceMs how long it waits for what is under way, in milliseconds */
  async close(graceMs = 0): Promise<void> {
    const { producer } = this;
    this.producer = undefined;
    await producer?.disconnect({ graceMs });
  }
}
