import { Kafka } from '@outlast/kafka-retry';
import { type KafkaCluster, startKafka } from '@outlast/test-integration/servers';
import { logLevel, Kafka as Plain } from 'kafkajs';
import { compare, print, type Result, type Subject, workers } from './harness.js';
import { heapUsed } from './heap.js';
import { benchConsumer } from './kafka-consumer.js';

const MS_PER_ROUND = 300;
const VALUE = Buffer.alloc(100, 'x');
const BATCH = Array.from({ length: 500 }, () => ({ value: VALUE }));

const KAFKAJS = 'kafkajs';
const IDEMPOTENT = 'kafkajs, idempotent';
const OURS = 'kafka-retry';

/** So many messages are offered while nobody takes them. */
const OFFERED = 1_000_000;
const MAX_QUEUE_BYTES = 32 * 1024 * 1024;
/** The option is about what the producer keeps; the promises that its callers hold come on top. */
const CALLERS_SHARE = 1.25;

/** A producer, as far as it is measured. */
interface Sender {
  connect(): Promise<void>;
  send(record: { topic: string; messages: { value: Buffer }[] }): Promise<unknown>;
  disconnect(): Promise<void>;
}

type Operation = () => Promise<unknown>;

/** How our producer and our consumer do beside kafkajs' own, on one broker, every message acknowledged by it (`acks: -1`). */
export async function benchKafka(): Promise<{ readonly ok: boolean; readonly results: Result[] }> {
  await using cluster = await startKafka();
  const brokers = cluster.addresses;
  const quiet = { brokers, logLevel: logLevel.NOTHING };
  const plain: Sender = new Plain(quiet).producer();
  const idempotent: Sender = new Plain(quiet).producer({ idempotent: true });
  const ours: Sender = new Kafka(quiet).producer();
  for (const sender of [plain, idempotent, ours]) await sender.connect();
  const results: Result[] = [];
  for (const partitions of [1, 12]) {
    const topic = `of-${partitions}`;
    await cluster.createTopic(topic, { partitions });
    const on = `${partitions} partition${partitions > 1 ? 's' : ''}`;
    const one = (sender: Sender) => () => sender.send({ topic, messages: [{ value: VALUE }] });
    const many = (sender: Sender) => () => sender.send({ topic, messages: BATCH });
    const single = async (
      count: number,
      times: number,
      name: string = KAFKAJS,
      sender: Sender = plain,
    ): Promise<void> => {
      const what = `single sends, ${count === 1 ? 'one after the other' : `${count} at once`}, ${on}`;
      const [baseline, mine] = [sender, ours].map(one) as [Operation, Operation];
      results.push(
        await versus(what, workers(name, count, baseline), workers(OURS, count, mine), times),
      );
    };
    await single(1, 0.95);
    await single(50, 8);
    await single(500, 15);
    if (partitions > 1) continue;
    await single(50, 28, IDEMPOTENT, idempotent);
    results.push(
      await versus(
        `batches of 500, one after the other, ${on}`,
        workers(KAFKAJS, 1, many(plain)),
        workers(OURS, 1, many(ours)),
        0.95,
      ),
    );
  }
  for (const sender of [plain, idempotent, ours]) await sender.disconnect();
  results.push(await benchConsumer(cluster));
  return { ok: (await memory(cluster)) && results.every(holds), results };
}

async function versus(
  what: string,
  baseline: Subject,
  ours: Subject,
  atLeast: number,
): Promise<Result> {
  // four times the speed is a quarter of the time
  const gate = { subject: ours.name, against: baseline.name, atMost: round3(1 / atLeast) };
  const result = await compare(`kafka: ${what}`, baseline, [ours], [gate], MS_PER_ROUND);
  print(result);
  return result;
}

function holds({ rows }: Result): boolean {
  return rows.every(({ ok }) => ok !== false);
}

/** Offered a million messages while the broker is away, the producer keeps what its option says, and refuses the rest. */
async function memory(cluster: KafkaCluster): Promise<boolean> {
  const topic = 'of-1';
  const kafka = new Kafka({ brokers: cluster.addresses, logLevel: logLevel.NOTHING });
  const producer = kafka.producer({ maxQueueBytes: MAX_QUEUE_BYTES, overflow: 'reject' });
  await producer.send({ topic, messages: [{ value: VALUE }] });
  await cluster.first.pause();
  const before = await held();
  let refused = 0;
  let most = 0;
  for (let n = 1; n <= OFFERED; n++) {
    producer.send({ topic, messages: [{ value: Buffer.alloc(100, 'x') }] }).catch(() => {
      refused++;
    });
    // the application has other things to do, too
    if (n % 1_000 === 0) await new Promise((resolve) => setImmediate(resolve));
    if (n % 100_000 === 0) most = Math.max(most, (await held()) - before);
  }
  await cluster.first.resume();
  await producer.flush();
  await producer.disconnect();
  const mb = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(0)} MB`;
  const limit = MAX_QUEUE_BYTES * CALLERS_SHARE;
  const ok = most <= limit && refused > 0;
  console.log(
    `\nkafka: ${OFFERED} messages of 100 bytes offered to a broker that is away, maxQueueBytes ${mb(MAX_QUEUE_BYTES)}: ${refused} refused, kept ${mb(most)}  ${ok ? '≤' : '>'} ${mb(limit)} ${ok ? 'ok' : 'MISSED'}`,
  );
  return ok;
}

async function held(): Promise<number> {
  const heap = await heapUsed();
  return heap + process.memoryUsage().external;
}

function round3(value: number): number {
  return Math.round(value * 1000) / 1000;
}
