import { redact } from '@outlast/core-retry/connector';
import type { PartitionMetadata } from 'kafkajs';
import { type Address, addressKey } from './connection.js';
import type { Connections } from './connections.js';
import { KafkaJSConnectionError } from './driver.js';
import { misuse } from './errors.js';

interface MetadataReply {
  readonly brokers: readonly {
    readonly nodeId: number;
    readonly host: string;
    readonly port: number;
  }[];
  readonly clusterId?: string | null;
  readonly controllerId: number;
  readonly topicMetadata: readonly {
    readonly topicErrorCode: number;
    readonly topic: string;
    readonly partitionMetadata: readonly PartitionMetadata[];
  }[];
}

/** What is known of a topic. */
export interface TopicState {
  /** 0, or why it cannot be written to now. */
  readonly errorCode: number;
  /** By number. */
  readonly partitions: readonly PartitionMetadata[];
  /** Monotonic time since which it is said not to exist, in milliseconds. */
  readonly missingSince: number | undefined;
}

export interface MetadataOptions {
  readonly connections: Connections;
  readonly seeds: readonly string[] | (() => readonly string[] | Promise<readonly string[]>);
  readonly allowAutoTopicCreation: boolean;
  /** How long one broker may take to answer, in milliseconds. */
  readonly limitMs: number;
  readonly now: () => number;
}

const UNKNOWN_TOPIC = 3;

/**
 * Who leads which partition. Asked of the least suspect broker, then of the next, then of the seeds; each
 * topic's errors are its own (in kafkajs one missing topic fails the question for all).
 */
export class Metadata {
  /** When it was last answered, monotonic. */
  refreshedAt: number = -Infinity;
  clusterId: string | undefined;
  controllerId = -1;
  private readonly options: MetadataOptions;
  private readonly nodes = new Map<number, Address>();
  private readonly topics = new Map<string, TopicState>();
  private asking:
    | { readonly topics: ReadonlySet<string>; readonly answer: Promise<void> }
    | undefined;

  constructor(options: MetadataOptions) {
    this.options = options;
  }

  get brokers(): readonly (Address & { readonly nodeId: number })[] {
    return [...this.nodes].map(([nodeId, { host, port }]) => ({ nodeId, host, port }));
  }

  topic(name: string): TopicState | undefined {
    return this.topics.get(name);
  }

  /** Every topic that has been asked for. */
  get topicNames(): string[] {
    return [...this.topics.keys()];
  }

  /** Where the partition's leader listens, if it has one that is known. */
  leaderOf(topic: string, partition: number): Address | undefined {
    const partitions = this.topics.get(topic)?.partitions;
    const found = partitions?.[partition];
    const leader =
      found?.partitionId === partition
        ? found.leader
        : partitions?.find((one) => one.partitionId === partition)?.leader;
    return leader === undefined || leader < 0 ? undefined : this.nodes.get(leader);
  }

  /** Where anything may be asked: the least suspect broker first, the seeds last. */
  async candidates(): Promise<Address[]> {
    const { connections } = this.options;
    const known = connections.sorted([...this.nodes.values()]);
    const keys = new Set(known.map(addressKey));
    const seeds = (await this.seeds()).filter((seed) => !keys.has(addressKey(seed)));
    return [...known, ...connections.sorted(seeds)];
  }

  /**
   * Asks again, for these topics and all that were asked for before. Who asks while an answer that covers
   * his topics is under way gets that one.
   *
   * @throws the last broker's error, if none answered
   */
  refresh(topics: Iterable<string> = []): Promise<void> {
    const wanted = new Set([...this.topics.keys(), ...topics]);
    const under = this.asking;
    if (under !== undefined && [...wanted].every((topic) => under.topics.has(topic))) {
      return under.answer;
    }
    const answer = (under === undefined ? Promise.resolve() : under.answer.catch(() => {}))
      .then(() => this.ask([...wanted]))
      .finally(() => {
        if (this.asking?.answer === answer) this.asking = undefined;
      });
    this.asking = { topics: wanted, answer };
    return answer;
  }

  private async ask(topics: readonly string[]): Promise<void> {
    const { connections, limitMs, allowAutoTopicCreation } = this.options;
    let last: unknown;
    for (const address of await this.candidates()) {
      try {
        const reply = await connections.ask(address, limitMs, (connection) =>
          connection.ask<MetadataReply>(
            'Metadata',
            { topics: [] },
            { body: (version) => encodeQuestion(topics, allowAutoTopicCreation, version) },
          ),
        );
        this.learn(reply, topics);
        return;
      } catch (error) {
        last = error;
      }
    }
    throw last;
  }

  private learn(reply: MetadataReply, asked: readonly string[]): void {
    const now = this.options.now();
    this.refreshedAt = now;
    this.clusterId = reply.clusterId ?? undefined;
    this.controllerId = reply.controllerId;
    if (reply.brokers.length > 0) {
      this.nodes.clear();
      for (const { nodeId, host, port } of reply.brokers) this.nodes.set(nodeId, { host, port });
    }
    const wanted = new Set(asked);
    for (const { topic, topicErrorCode, partitionMetadata } of reply.topicMetadata) {
      if (!wanted.has(topic)) continue;
      const before = this.topics.get(topic);
      const sound = topicErrorCode === 0 && partitionMetadata.length > 0;
      this.topics.set(topic, {
        errorCode: topicErrorCode,
        // What was known of a topic still holds while its broker cannot say.
        partitions: sound
          ? [...partitionMetadata].sort((a, b) => a.partitionId - b.partitionId)
          : (before?.partitions ?? []),
        missingSince: topicErrorCode === UNKNOWN_TOPIC ? (before?.missingSince ?? now) : undefined,
      });
    }
  }

  /** Forgets a topic that is not there, so that it is not asked for again. */
  forget(topic: string): void {
    this.topics.delete(topic);
  }

  private async seeds(): Promise<Address[]> {
    const { seeds } = this.options;
    if (typeof seeds !== 'function') return parseSeeds(seeds);
    let found: unknown;
    try {
      found = await seeds();
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      throw Object.assign(
        new KafkaJSConnectionError(`Failed to connect: "config.brokers" threw: ${redact(text)}`),
        { cause: error },
      );
    }
    return parseSeeds(found);
  }
}

/** Of no topic at all it asks for the brokers only; kafkajs would ask for every topic there is. */
function encodeQuestion(topics: readonly string[], create: boolean, apiVersion: number): Buffer {
  const names = topics.map((topic) => Buffer.from(topic));
  const size = names.reduce((sum, name) => sum + 2 + name.length, 4);
  const question = Buffer.alloc(size + (apiVersion >= 4 ? 1 : 0));
  let at = question.writeInt32BE(names.length, 0);
  for (const name of names) {
    at = question.writeInt16BE(name.length, at);
    at += name.copy(question, at);
  }
  if (apiVersion >= 4) question.writeInt8(create ? 1 : 0, at);
  return question;
}

/**
 * @throws KafkaJSNonRetriableError, in kafkajs' words where it has some
 */
function parseSeeds(seeds: unknown): Address[] {
  if (seeds === undefined || seeds === null) {
    throw misuse('Failed to connect: brokers should not be null');
  }
  if (!Array.isArray(seeds)) throw misuse('Failed to connect: brokers must be an array');
  if (seeds.length === 0) throw misuse('Failed to connect: brokers array is empty');
  return seeds.map((seed: unknown, index) => {
    if (typeof seed !== 'string' || seed === '') {
      throw misuse(`Failed to connect: broker at index ${index} is invalid "${typeof seed}"`);
    }
    const [, host, port] = /^\[?([^/@]+?)\]?:(\d{1,5})$/.exec(seed) ?? [];
    if (host === undefined || Number(port) > 65_535 || Number(port) === 0) {
      throw misuse(`Failed to connect: broker at index ${index} must be written as host:port`);
    }
    return { host, port: Number(port) };
  });
}
