import { Kafka } from '@outlast/kafka-retry';
import type { KafkaCluster } from '@outlast/test-integration/servers';
import { logLevel, Kafka as Plain } from 'kafkajs';
import { compare, print, type Result, type Subject } from './harness.js';

const TOPIC = 'to-be-read';
const MESSAGES = 50_000;
const BATCH = 1_000;
/** No slower than 0.95 of kafkajs. */
const AT_MOST = 1.053;

/** A consumer, as far as it is measured. */
interface Reader {
  subscribe(what: { topic: string; fromBeginning: boolean }): Promise<void>;
  run(config: { autoCommit: boolean; eachMessage: () => Promise<void> }): Promise<void>;
  seek(place: { topic: string; partition: number; offset: string }): void;
  connect(): Promise<void>;
  disconnect(): Promise<void>;
}

/** Handlers that do nothing, over the same messages of one partition again and again. */
export async function benchConsumer(cluster: KafkaCluster): Promise<Result> {
  await fill(cluster);
  const config = { brokers: cluster.addresses, logLevel: logLevel.NOTHING };
  const of = (groupId: string) => ({ groupId, maxWaitTimeInMs: 100 });
  const plain = await subject('kafkajs', new Plain(config).consumer(of('plain')));
  const ours = await subject('kafka-retry', new Kafka(config).consumer(of('ours')));
  const gate = { subject: 'kafka-retry', against: 'kafkajs', atMost: AT_MOST };
  const title = `kafka: a consumer of ${MESSAGES} messages of 100 bytes, eachMessage`;
  const result = await compare(title, plain, [ours], [gate], 0);
  print(result);
  await plain.end();
  await ours.end();
  return result;
}

async function fill(cluster: KafkaCluster): Promise<void> {
  await cluster.createTopic(TOPIC);
  const producer = cluster.client().producer();
  await producer.connect();
  const messages = Array.from({ length: BATCH }, () => ({ value: Buffer.alloc(100, 'x') }));
  for (let n = 0; n < MESSAGES; n += BATCH) await producer.send({ topic: TOPIC, messages });
  await producer.disconnect();
}

/** One reading of all messages a round, from the first that arrives to the last; the search for them does not count. */
async function subject(
  name: string,
  consumer: Reader,
): Promise<Subject & { end(): Promise<void> }> {
  let count = 0;
  let first = 0;
  let all = (_: number): void => {};
  let read = new Promise<number>((resolve) => {
    all = resolve;
  });
  const eachMessage = async (): Promise<void> => {
    if (count === 0) first = performance.now();
    count++;
    if (count === MESSAGES) all(performance.now() - first);
  };
  await consumer.connect();
  await consumer.subscribe({ topic: TOPIC, fromBeginning: true });
  await consumer.run({ autoCommit: false, eachMessage });
  await read;
  return {
    name,
    run: async () => {
      count = 0;
      read = new Promise<number>((resolve) => {
        all = resolve;
      });
      consumer.seek({ topic: TOPIC, partition: 0, offset: '0' });
      return ((await read) * 1e6) / MESSAGES;
    },
    end: () => consumer.disconnect(),
  };
}
