import { Kafka, logLevel } from '@outlast/kafka-retry';
import type { Address, Client } from './client.js';

export function outlastClient(
  { brokers, ...who }: Address,
  sample: (error: unknown) => void,
): Client {
  const sasl = { mechanism: 'plain' as const, ...who };
  const kafka = new Kafka({ brokers, sasl, logLevel: logLevel.NOTHING });
  // for the search for the password: errors that were survived count too
  kafka.policy.on('retry', ({ error }) => sample(error));
  const producer = kafka.producer();
  return {
    send: async (topic, messages) => {
      await producer.connect();
      return producer.send({ topic, messages });
    },
    end: () => producer.disconnect(),
  };
}
