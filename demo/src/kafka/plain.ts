import { Kafka, logLevel } from 'kafkajs';
import type { Address, Client } from './client.js';

/** The driver as its documentation has it. */
export function plainClient({ brokers, ...who }: Address, idempotent = false): Client {
  const sasl = { mechanism: 'plain' as const, ...who };
  const kafka = new Kafka({ brokers, sasl, logLevel: logLevel.NOTHING });
  const producer = kafka.producer({ idempotent });
  return {
    send: async (topic, messages) => {
      await producer.connect();
      return producer.send({ topic, messages });
    },
    end: () => producer.disconnect(),
  };
}
