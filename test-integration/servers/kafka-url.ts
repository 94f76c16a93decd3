import { Kafka, logLevel } from 'kafkajs';
import { KafkaBroker } from './kafka-broker.js';
import { KafkaCluster } from './kafka-cluster.js';

/** A cluster that runs already and that we may only talk to: KAFKA_URL, `host:port` or several of them. */
export async function kafkaAt(addresses: string): Promise<KafkaCluster> {
  const seeds = addresses
    .split(',')
    .map((one) => one.trim().replace(/^\w+:\/\//, ''))
    .filter(Boolean);
  const kafka = new Kafka({ brokers: seeds, logLevel: logLevel.NOTHING });
  const admin = kafka.admin();
  await admin.connect();
  try {
    const { brokers } = await admin.describeCluster();
    const given = brokers.map(({ nodeId, host, port }) => new GivenKafka(nodeId, host, port));
    // a broker tells no version
    return new KafkaCluster({ brokers: given, version: 'unknown', major: 0, source: 'url' });
  } finally {
    await admin.disconnect();
  }
}

class GivenKafka extends KafkaBroker {
  constructor(id: number, host: string, port: number) {
    super({ id, host, port, proxied: [] });
  }

  get pid(): undefined {
    return undefined;
  }

  async logText(): Promise<string> {
    return this.#refuse('shows no log');
  }

  async stop(): Promise<void> {
    this.#refuse('cannot be stopped');
  }

  async start(): Promise<void> {
    this.#refuse('cannot be started');
  }

  async kill9(): Promise<void> {
    this.#refuse('cannot be killed');
  }

  async pause(): Promise<void> {
    this.#refuse('cannot be paused');
  }

  async resume(): Promise<void> {
    this.#refuse('cannot be resumed');
  }

  async dispose(): Promise<void> {}

  #refuse(what: string): never {
    throw new Error(
      `The broker given by KAFKA_URL ${what}: unset KAFKA_URL to let the tests start one of their own.`,
    );
  }
}
