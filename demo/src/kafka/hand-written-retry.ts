import { Kafka, logLevel } from 'kafkajs';
import pRetry from 'p-retry';
import type { Address, Client } from './client.js';

const FIVE_TRIES = { retries: 4, minTimeout: 100, factor: 2 };

export function handWrittenRetry({ brokers, ...who }: Address): Client {
  const sasl = { mechanism: 'plain' as const, ...who };
  // fail at once and leave the repeating to the loop
  const kafka = new Kafka({ brokers, sasl, retry: { retries: 0 }, logLevel: logLevel.NOTHING });
  const producer = kafka.producer();
  return {
    send: (topic, messages) =>
      pRetry(async () => {
        await producer.connect();
        return producer.send({ topic, messages });
      }, FIVE_TRIES),
    end: () => producer.disconnect(),
  };
}
