import { Kafka, logLevel } from '@outlast/kafka-retry';
import { kafkaRequest, type Pattern } from '../../faults/index.js';
import { isSkipped, type KafkaCluster, takeKafka } from '../../servers/index.js';
import { connectorContract } from './connector-contract.js';

/** A producer only writes. What the contract calls a read is a message to a topic that nobody counts. */
const READ = 'anybody';
const WRITTEN = 'written';
/** Takes no message that is longer than a few bytes. */
const NARROW = 'narrow';

/** What the log holds of each write; read again only when there is more of it. */
class Counter {
  readonly #cluster: KafkaCluster;
  readonly #admin;
  #seen = -1;
  #writes = new Map<string, number>();
  #connected: Promise<void> | undefined;

  constructor(cluster: KafkaCluster) {
    this.#cluster = cluster;
    this.#admin = cluster.client().admin();
  }

  async writes(): Promise<ReadonlyMap<string, number>> {
    this.#connected ??= this.#admin.connect();
    await this.#connected;
    const [offsets] = await this.#admin.fetchTopicOffsets(WRITTEN);
    const held = Number(offsets?.high);
    if (held === this.#seen) return this.#writes;
    const writes = new Map<string, number>();
    for (const { value } of await this.#cluster.log(WRITTEN)) {
      writes.set(`${value}`, (writes.get(`${value}`) ?? 0) + 1);
    }
    this.#seen = held;
    this.#writes = writes;
    return writes;
  }

  async close(): Promise<void> {
    await this.#admin.disconnect();
  }
}

await connectorContract({
  name: 'kafka-retry',
  wire: { read: produceTo(READ), write: produceTo(WRITTEN) },
  resolves: true,
  refusedCode: 'ECONNREFUSED',
  async start() {
    const cluster = await takeKafka({ own: true });
    if (isSkipped(cluster)) return cluster;
    for (const topic of [READ, WRITTEN]) await cluster.createTopic(topic);
    await cluster.createTopic(NARROW, { settings: { 'max.message.bytes': 200 } });
    const { target, advertised } = cluster.first.proxied[0] as {
      target: number;
      advertised: number;
    };
    const counter = new Counter(cluster);
    return {
      port: target,
      proxyPort: advertised,
      stop: () => cluster.stop(),
      start: () => cluster.start(),
      kill9: () => cluster.kill9(),
      dispose: async () => {
        await counter.close();
        await cluster.dispose();
      },
      writes: () => counter.writes(),
      connections: () => cluster.connections(),
    };
  },
  makeClient(port, retry) {
    const kafka = new Kafka({
      brokers: [`127.0.0.1:${port}`],
      logLevel: logLevel.NOTHING,
      ...(retry && { retry }),
    });
    const producer = kafka.producer();
    const send = (topic: string, value: string, bounds?: object): Promise<unknown> =>
      producer.send({ topic, messages: [{ value }], ...bounds });
    return {
      policy: kafka.policy,
      read: (bounds) => send(READ, 'x', bounds),
      write: (id, bounds) => send(WRITTEN, id, bounds),
      refused: () => send(NARROW, 'x'.repeat(10_000)),
      // what is under way is not waited for
      close: () => producer.disconnect({ graceMs: 0 }),
    };
  },
  program: `
    import { Kafka, logLevel } from '@outlast/kafka-retry';
    const brokers = ['127.0.0.1:' + process.env.PORT];
    const producer = new Kafka({ brokers, logLevel: logLevel.NOTHING }).producer();
    const sending = producer.send({ topic: '${READ}', messages: [{ value: 'x' }] });
    console.log('waiting');
    await sending;
    console.log('done');
    await producer.disconnect();`,
});

/** A Produce request that carries something for this topic. */
function produceTo(topic: string): Pattern {
  const { source } = kafkaRequest('produce') as RegExp;
  return new RegExp(`${source}[\\x00-\\xff]{1,100}?${topic}`);
}
