import { type Admin, type ITopicConfig, Kafka, logLevel } from 'kafkajs';
import type { KafkaBroker } from './kafka-broker.js';
import { type LoggedMessage, readTopic } from './kafka-log.js';
import { waitFor } from './wait.js';

/** What a topic is made of. */
export interface TopicOptions {
  /** Default 1. */
  partitions?: number;
  /** Default: as many as there are brokers, three at most. */
  replicas?: number;
  /** Of the topic, such as `{ 'max.message.bytes': 1000 }`. */
  settings?: Record<string, string | number>;
}

/** One broker or several, and what only the tests may know of them: asked straight, past every proxy. */
export class KafkaCluster<B extends KafkaBroker = KafkaBroker> implements AsyncDisposable {
  readonly brokers: readonly B[];
  /** Such as `4.1.1`. */
  readonly version: string;
  /** 4 for 4.1.1. */
  readonly major: number;
  /** Where it came from. */
  readonly source: 'jars' | 'docker' | 'url';
  /** Whether it can be stopped, killed and paused; false only for one given by KAFKA_URL. */
  readonly controllable: boolean;

  constructor(of: {
    brokers: readonly B[];
    version: string;
    major: number;
    source: 'jars' | 'docker' | 'url';
  }) {
    this.brokers = of.brokers;
    this.version = of.version;
    this.major = of.major;
    this.source = of.source;
    this.controllable = of.source !== 'url';
  }

  /** The only broker, or the one with node id 1. */
  get first(): B {
    return this.brokers[0] as B;
  }

  /** What kafkajs takes as `brokers`, past every proxy. */
  get addresses(): string[] {
    return this.brokers.map(({ address }) => address);
  }

  /** The same behind the n-th proxy of each. */
  proxiedAddresses(n = 0): string[] {
    return this.brokers.map((broker) => broker.proxiedAddress(n));
  }

  broker(id: number): B {
    const found = this.brokers.find((one) => one.id === id);
    if (!found) throw new Error(`There is no broker ${id}.`);
    return found;
  }

  /** Starts those that are down. */
  async start(): Promise<void> {
    await Promise.all(
      this.brokers.filter(({ pid }) => pid === undefined).map((broker) => broker.start()),
    );
  }

  /** Stops those that run. */
  async stop(): Promise<void> {
    await Promise.all(
      this.brokers.filter(({ pid }) => pid !== undefined).map((broker) => broker.stop()),
    );
  }

  /** kill -9 of those that run. */
  async kill9(): Promise<void> {
    await Promise.all(
      this.brokers.filter(({ pid }) => pid !== undefined).map((broker) => broker.kill9()),
    );
  }

  /** kafkajs past every proxy, patient enough for a broker that has only just started. */
  client(): Kafka {
    return new Kafka({
      clientId: 'outlast-admin',
      brokers: this.addresses,
      logLevel: logLevel.NOTHING,
      retry: { retries: 60, initialRetryTime: 50, maxRetryTime: 300 },
    });
  }

  /** Something asked of the cluster, over a connection of its own. */
  async ask<T>(question: (admin: Admin) => Promise<T>): Promise<T> {
    const admin = this.client().admin();
    await admin.connect();
    try {
      return await question(admin);
    } finally {
      await admin.disconnect();
    }
  }

  /** Makes a topic and waits until every partition of it has a leader and all its replicas. */
  async createTopic(topic: string, options: TopicOptions = {}): Promise<void> {
    const { partitions = 1, replicas = Math.min(3, this.brokers.length), settings = {} } = options;
    const configEntries = Object.entries(settings).map(([name, value]) => ({
      name,
      value: String(value),
    }));
    const config: ITopicConfig = {
      topic,
      numPartitions: partitions,
      replicationFactor: replicas,
      configEntries,
    };
    await this.ask((admin) => admin.createTopics({ topics: [config], waitForLeaders: true }));
    await this.settled(topic);
  }

  /** Waits until every replica of a topic is in step; after faults this takes a moment. */
  async settled(topic: string, timeoutMs = 30_000): Promise<void> {
    await waitFor(
      async () =>
        (await this.partitions(topic)).every(
          ({ leader, replicas, isr }) => leader > 0 && isr.length === replicas.length,
        ),
      { timeoutMs, everyMs: 50, what: `every replica of ${topic} to be in step` },
    );
  }

  /** What the cluster says of each partition. */
  async partitions(
    topic: string,
  ): Promise<{ partition: number; leader: number; replicas: number[]; isr: number[] }[]> {
    const { topics } = await this.ask((admin) => admin.fetchTopicMetadata({ topics: [topic] }));
    return (topics[0]?.partitions ?? [])
      .map(({ partitionId, leader, replicas, isr }) => ({
        partition: partitionId,
        leader,
        replicas,
        isr,
      }))
      .sort((a, b) => a.partition - b.partition);
  }

  /** The broker that leads a partition now. */
  async leaderOf(topic: string, partition = 0): Promise<B> {
    const of = (await this.partitions(topic)).find((one) => one.partition === partition);
    if (!of) throw new Error(`${topic} has no partition ${partition}.`);
    return this.broker(of.leader);
  }

  /** How many offsets each partition holds: messages, but for the marks of transactions. */
  async held(topic: string): Promise<number[]> {
    const offsets = await this.ask((admin) => admin.fetchTopicOffsets(topic));
    return offsets
      .sort((a, b) => a.partition - b.partition)
      .map(({ low, high }) => Number(high) - Number(low));
  }

  /** Every message that a topic holds, by partition and offset; what was aborted is left out. */
  log(topic: string): Promise<LoggedMessage[]> {
    return readTopic(this, topic);
  }

  /**
   * Lets a throw-away group join, and with it makes the offsets topic: a first group may crash once with
   * GROUP_LOAD_IN_PROGRESS, and a test that counts crashes must not be the one that meets it.
   */
  async warmUpGroups(): Promise<void> {
    const topic = `warm-up-${process.pid}-${Date.now()}`;
    await this.createTopic(topic);
    await this.log(topic);
    await this.ask((admin) => admin.deleteTopics({ topics: [topic] }));
  }

  /** How many connections the proxies hold to all brokers. */
  async connections(): Promise<number> {
    const open = await Promise.all(this.brokers.map((broker) => broker.connections()));
    return open.reduce((sum, n) => sum + n, 0);
  }

  /** Ends all of it and removes what it left. May be called twice. */
  async dispose(): Promise<void> {
    await Promise.all(this.brokers.map((broker) => broker.dispose()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }
}
