import { OptionError } from '@outlast/core-retry';
import type { Admin } from 'kafkajs';
import type { Alerts } from './alerts.js';
import type { DeadLetterOptions, RetryTopicOptions } from './consumer-options.js';

/** What Kafka takes for the name of a topic. */
const VALID_NAME = /^[\w.-]{1,249}$/;

export interface DestinationsOptions {
  readonly groupId: string;
  readonly retryTopics: RetryTopicOptions | undefined;
  readonly deadLetter: DeadLetterOptions | undefined;
  readonly admin: () => Admin;
  readonly alerts: Alerts;
}

/** The topics that failed messages go to: their names, and whether they are there. */
export class Destinations {
  readonly options: DestinationsOptions;
  /** The retry topics by name: whose each is, and which of them, from 1. */
  private readonly stages = new Map<string, { readonly topic: string; readonly stage: number }>();
  private readonly read = new Set<string>();

  constructor(options: DestinationsOptions) {
    this.options = options;
  }

  get delaysMs(): readonly number[] {
    return this.options.retryTopics?.delaysMs ?? [];
  }

  /** Of the messages in this topic: how many retry topics they have come to; 0 in a topic of the caller's. */
  stageOf(topic: string): number {
    return this.stages.size === 0 ? 0 : (this.stages.get(topic)?.stage ?? 0);
  }

  /** The retry topic that comes after this topic, of the caller's or a retry topic. */
  after(topic: string): string {
    const at = this.stages.get(topic);
    return this.nameOf(at?.topic ?? topic, (at?.stage ?? 0) + 1);
  }

  private nameOf(topic: string, stage: number): string {
    return `${topic}.${this.options.groupId}.retry.${stage}`;
  }

  /** Whether somebody will read what is written there. */
  isRead(name: string): boolean {
    return this.read.has(name);
  }

  /** The retry topics that are not read yet. */
  get missing(): string[] {
    return [...this.stages.keys()].filter((name) => !this.read.has(name));
  }

  /** Whether a pattern may not match it: a consumer is not to read its own dead letters. */
  isOurs(topic: string): boolean {
    const { groupId, deadLetter } = this.options;
    return topic === deadLetter?.topic || /^\d+$/.test(topic.split(`.${groupId}.retry.`)[1] ?? '');
  }

  /** @throws OptionError if a name cannot be one of Kafka's */
  addTopics(topics: readonly string[]): void {
    for (const topic of topics) {
      for (let stage = 1; stage <= this.delaysMs.length; stage++) {
        const name = this.nameOf(topic, stage);
        if (!VALID_NAME.test(name)) {
          throw new OptionError(
            'retryTopics',
            `makes of the topic and the group the name '${name}', which Kafka does not take: letters, digits, '.', '_' and '-', 249 at most.`,
          );
        }
        this.stages.set(name, { topic, stage });
      }
    }
  }

  /** Topics by these patterns, and those that are named. */
  matching(patterns: readonly (string | RegExp)[]): Promise<string[]> {
    return this.ask(async (admin) => {
      const all = await admin.listTopics();
      const matched = patterns.flatMap((one) =>
        typeof one === 'string'
          ? [one]
          : all.filter((name) => one.test(name) && !this.isOurs(name)),
      );
      return [...new Set(matched)];
    });
  }

  /**
   * Looks which are there, and makes those that are to be made. What cannot be done is told as an alert.
   *
   * @returns the retry topics that are there and not read yet
   */
  async prepare(topics: readonly string[]): Promise<string[]> {
    const { deadLetter } = this.options;
    if (this.stages.size === 0 && deadLetter?.create !== true) return [];
    const found: string[] = [];
    let failure: unknown;
    try {
      await this.ask(async (admin) => {
        const there = new Set(await admin.listTopics());
        for (const topic of topics) {
          for (const name of this.wantedBy(topic)) {
            if (there.has(name) || !this.isToBeMade(name)) continue;
            try {
              await makeLike(admin, topic, name);
              there.add(name);
            } catch (error) {
              failure = error;
            }
          }
        }
        found.push(...this.missing.filter((name) => there.has(name)));
      });
    } catch (error) {
      failure = error;
    }
    for (const name of this.missing) if (!found.includes(name)) this.alertMissing(name, failure);
    return found;
  }

  areRead(names: readonly string[]): void {
    for (const name of names) {
      this.read.add(name);
      this.options.alerts.clear('retry-topic-missing', name);
    }
  }

  alertMissing(name: string, error?: unknown): void {
    const text = `The retry topic ${name} is not there: messages that should go to it are kept, and block their partitions. Make it, or say retryTopics.create.`;
    this.options.alerts.raise('retry-topic-missing', text, error, name);
  }

  private wantedBy(topic: string): string[] {
    const { deadLetter } = this.options;
    return [
      ...this.delaysMs.map((_, index) => this.nameOf(topic, index + 1)),
      ...(deadLetter === undefined ? [] : [deadLetter.topic]),
    ];
  }

  private isToBeMade(name: string): boolean {
    const { deadLetter, retryTopics } = this.options;
    return (name === deadLetter?.topic ? deadLetter.create : retryTopics?.create) === true;
  }

  private async ask<T>(question: (admin: Admin) => Promise<T>): Promise<T> {
    const admin = this.options.admin();
    try {
      await admin.connect();
      return await question(admin);
    } finally {
      await admin.disconnect();
    }
  }
}

/** Another member may make it at the same time: that is no error to kafkajs. */
async function makeLike(admin: Admin, topic: string, name: string): Promise<void> {
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
  const partitions = topics[0]?.partitions ?? [];
  await admin.createTopics({
    topics: [
      {
        topic: name,
        numPartitions: partitions.length,
        replicationFactor: partitions[0]?.replicas.length ?? 1,
      },
    ],
  });
}
