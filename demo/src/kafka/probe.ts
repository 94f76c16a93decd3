import { setTimeout as sleep } from 'node:timers/promises';
import type { KafkaCluster } from '@outlast/test-integration/servers';
import { Kafka, logLevel } from 'kafkajs';

const TOPIC = 'probe';
const EVERY_MS = 20;

/** Tells whether the broker takes messages, past every proxy. */
export class Probe {
  readonly #cluster: KafkaCluster;

  constructor(cluster: KafkaCluster) {
    this.#cluster = cluster;
  }

  /** Call it once, before anything is asked. */
  async prepare(): Promise<void> {
    await this.#cluster.createTopic(TOPIC);
  }

  /** Resolves when a message is stored; asks on new connections, for old ones may be dead. */
  async stored(): Promise<void> {
    const { addresses } = this.#cluster;
    const retry = { retries: 0 };
    for (;;) {
      const kafka = new Kafka({ brokers: addresses, logLevel: logLevel.NOTHING, retry });
      const producer = kafka.producer();
      try {
        await producer.connect();
        await producer.send({ topic: TOPIC, messages: [{ value: 'probe' }] });
        return;
      } catch {
        await sleep(EVERY_MS);
      } finally {
        await producer.disconnect().catch(() => {});
      }
    }
  }
}
