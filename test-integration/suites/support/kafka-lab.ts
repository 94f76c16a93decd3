import { Kafka } from '@outlast/kafka-retry';
import { type KafkaConfig, logLevel, Kafka as Plain } from 'kafkajs';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import {
  type FaultProxy,
  type KafkaApi,
  kafkaRequest,
  type Swallowing,
  startProxy,
  swallowEvery,
} from '../../faults/index.js';
import {
  isSkipped,
  type KafkaBroker,
  type KafkaCluster,
  type LoggedMessage,
  type Skipped,
  type TakeKafkaOptions,
  type TopicOptions,
  takeKafka,
  waitFor,
} from '../../servers/index.js';

type OurOptions = Partial<ConstructorParameters<typeof Kafka>[0]>;

/** What a topic holds, against what was said of it. */
export interface Count {
  /** Acknowledged, and not there. */
  readonly lost: string[];
  /** There more than once; as often as it is too much. */
  readonly doubled: string[];
  /** There, and neither acknowledged nor of unknown outcome. */
  readonly strangers: string[];
  readonly messages: LoggedMessage[];
}

/**
 * Real brokers, a fault proxy before each of them for each test, and clients that are closed after it. After
 * each test every broker runs again, and must hold no connection of ours any more: what leaks fails the test
 * that leaked it.
 */
export class KafkaLab {
  /** Why there is nothing to test against; empty if there is. */
  readonly reason: string;
  /** Before each broker, in the order of `cluster.brokers`; new for each test. */
  proxies: FaultProxy[] = [];
  readonly #taken: KafkaCluster | Skipped;
  readonly #clients = new Set<{ disconnect(): Promise<unknown> }>();
  #names = 0;

  constructor(taken: KafkaCluster | Skipped) {
    this.#taken = taken;
    this.reason = isSkipped(taken) ? taken.skipped : '';
  }

  get cluster(): KafkaCluster {
    return this.#taken as KafkaCluster;
  }

  /** The only broker, or the first. */
  get broker(): KafkaBroker {
    return this.cluster.first;
  }

  /** Before the only broker, or the first. */
  get proxy(): FaultProxy {
    return this.proxies[0] as FaultProxy;
  }

  /** Call it first in the `describe`. `groups`: whether a group is to have met the coordinator before. */
  use({ groups = true }: { groups?: boolean } = {}): void {
    beforeAll(async () => {
      if (groups) await this.cluster.warmUpGroups();
    });
    beforeEach(async () => {
      this.proxies = await Promise.all(
        this.cluster.brokers.map((broker) => startProxy(broker.proxyOptions())),
      );
    });
    afterEach(async () => {
      await this.heal();
      await Promise.all([...this.#clients].map((client) => client.disconnect().catch(() => {})));
      this.#clients.clear();
      await waitFor(async () => (await this.cluster.connections()) === 0, {
        what: 'the brokers to be rid of all our connections',
      });
      await Promise.all(this.proxies.map((proxy) => proxy.close()));
    });
    afterAll(() => this.cluster.dispose());
  }

  /** No fault any more, and every broker runs. */
  async heal(): Promise<void> {
    for (const broker of this.cluster.brokers) {
      if (broker.pid !== undefined) await broker.resume();
    }
    await this.cluster.start();
    await Promise.all(this.proxies.map((proxy) => proxy.heal()));
  }

  /** Ours, through the proxies. Track what it makes. */
  kafka(options: OurOptions = {}): Kafka {
    return new Kafka({
      brokers: this.cluster.proxiedAddresses(),
      logLevel: logLevel.NOTHING,
      ...options,
    });
  }

  /** The driver's own, through the proxies, to compare with. */
  plain(options: Partial<KafkaConfig> = {}): Plain {
    return new Plain({
      brokers: this.cluster.proxiedAddresses(),
      logLevel: logLevel.NOTHING,
      ...options,
    });
  }

  /** The driver's own past the proxies. */
  direct(options: Partial<KafkaConfig> = {}): Plain {
    return this.plain({ brokers: this.cluster.addresses, ...options });
  }

  /** Disconnected after the test: a producer, a consumer, an admin. */
  track<T extends { disconnect(): Promise<unknown> }>(client: T): T {
    this.#clients.add(client);
    return client;
  }

  /** A name that no other test has, for a topic that is not made, or for a group. */
  name(prefix = 'topic'): string {
    this.#names += 1;
    return `${prefix}-${process.pid}-${this.#names}`;
  }

  /** A new topic, every partition of it led and in step. */
  async topic(options: TopicOptions = {}): Promise<string> {
    const topic = this.name();
    await this.cluster.createTopic(topic, options);
    return topic;
  }

  /** Every message that the topic holds, by partition and offset. */
  log(topic: string): Promise<LoggedMessage[]> {
    return this.cluster.log(topic);
  }

  /** The values that one partition holds, in order; all of them if none is named, partition by partition. */
  async values(topic: string, partition?: number): Promise<string[]> {
    const log = await this.log(topic);
    return log
      .filter((one) => partition === undefined || one.partition === partition)
      .map(({ value }) => `${value}`);
  }

  /** Holds what callers were told against the log; a message is known by its value. */
  async count(
    topic: string,
    acknowledged: Iterable<string>,
    unknown: Iterable<string> = [],
  ): Promise<Count> {
    const messages = await this.log(topic);
    const there = new Map<string, number>();
    const doubled: string[] = [];
    for (const { value } of messages) {
      const id = `${value}`;
      const times = (there.get(id) ?? 0) + 1;
      there.set(id, times);
      if (times > 1) doubled.push(id);
    }
    const told = new Set(acknowledged);
    const known = new Set([...told, ...unknown]);
    return {
      lost: [...told].filter((id) => !there.has(id)),
      doubled,
      strangers: [...there.keys()].filter((id) => !known.has(id)),
      messages,
    };
  }

  /** A request of this kind on the wire, for `proxy.arm`; ours and the driver's alike. */
  request(api: KafkaApi, clientId?: string): ReturnType<typeof kafkaRequest> {
    return kafkaRequest(api, clientId);
  }

  /** Before every broker, the answer to each n-th Produce is swallowed and its connection reset. */
  swallow(nth: number, clientId?: string): Swallowing {
    const bytes = kafkaRequest('produce', clientId);
    const all = this.proxies.map((proxy) => swallowEvery(proxy, nth, bytes));
    return {
      get swallowed() {
        return all.reduce((sum, one) => sum + one.swallowed, 0);
      },
      stop() {
        for (const one of all) one.stop();
      },
    };
  }

  /** How many requests of a kind pass from here on, over all proxies; but for those that an older fault strikes. */
  watch(api: KafkaApi, clientId?: string): () => number {
    const match = kafkaRequest(api, clientId);
    const watching = this.proxies.map((proxy) =>
      proxy.random({ random: () => 1, rate: 0, faults: ['silence'], match }),
    );
    return () => watching.reduce((sum, { matched }) => sum + matched, 0);
  }

  /** Every connection through every proxy is reset; returns how many there were. */
  resetAll(): number {
    return this.proxies.reduce((sum, proxy) => sum + proxy.cutAll(), 0);
  }

  /** Nobody gets a connection through any proxy, and those there are, are reset. */
  refuseAll(): void {
    for (const proxy of this.proxies) proxy.refuse();
    this.resetAll();
  }
}

/** A cluster of its own for a suite; without one, `reason` says why and what would cure it. */
export async function openKafkaLab(options: TakeKafkaOptions = {}): Promise<KafkaLab> {
  const second = process.env['OUTLAST_KAFKA_MAJOR'] === 'second';
  const taken = await takeKafka({ own: true, ...(second && { version: 'second' }), ...options });
  if (isSkipped(taken)) console.warn(taken.skipped);
  return new KafkaLab(taken);
}
