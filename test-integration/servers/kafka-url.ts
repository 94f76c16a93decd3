import { Kafka, logLevel } from 'kafkajs';
import { given } from './given.js';
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

class GivenKafka extends given(KafkaBroker, 'KAFKA_URL', 'broker') {
  constructor(id: number, host: string, port: number) {
    super({ id, host, port, proxied: [] });
  }
}
