import type { Clock, Timer } from '@outlast/core-retry';
import type { Consumer, EachBatchPayload } from 'kafkajs';

type Topics = Parameters<Consumer['pause']>[0];

/**
 * Which partitions are paused, and by whom: the caller's pauses are his own, and ours end by time. A partition
 * goes on when neither holds it.
 */
export class Pauses {
  private readonly driver: Consumer;
  private readonly clock: Clock;
  /** Ours. */
  private readonly held = new Map<string, Timer>();
  /** The caller's; a topic without a partition means all of them. */
  private readonly wanted = new Set<string>();

  constructor(driver: Consumer, clock: Clock) {
    this.driver = driver;
    this.clock = clock;
  }

  /** Pauses a partition for so many milliseconds. */
  hold(topic: string, partition: number, ms: number): void {
    const key = keyOf(topic, partition);
    this.held.get(key)?.cancel();
    this.driver.pause([{ topic, partitions: [partition] }]);
    const release = (): void => {
      this.held.delete(key);
      if (!this.isAsked(topic, partition)) this.driver.resume([{ topic, partitions: [partition] }]);
    };
    this.held.set(key, this.clock.setTimeout(release, ms));
  }

  /** Whether the caller has paused it. */
  isAsked(topic: string, partition: number): boolean {
    if (this.wanted.size === 0) return false;
    return this.wanted.has(keyOf(topic)) || this.wanted.has(keyOf(topic, partition));
  }

  /** kafkajs' `pause` of a handler's payload. */
  asked({ batch: { topic, partition } }: EachBatchPayload): () => () => void {
    return () => {
      const topics = [{ topic, partitions: [partition] }];
      this.pause(topics);
      return () => this.resume(topics);
    };
  }

  pause(topics: Topics): void {
    this.driver.pause(topics);
    for (const key of keysOf(topics)) this.wanted.add(key);
  }

  resume(topics: Topics): void {
    for (const key of keysOf(topics)) this.wanted.delete(key);
    this.driver.resume(topics);
    // What we hold is not the caller's to release.
    for (const [key] of this.held) {
      const [partition, topic] = split(key);
      this.driver.pause([{ topic, partitions: [partition] }]);
    }
  }

  /** No timer any more. */
  clear(): void {
    for (const timer of this.held.values()) timer.cancel();
    this.held.clear();
  }
}

function keyOf(topic: string, partition?: number): string {
  return `${partition ?? '*'}:${topic}`;
}

function split(key: string): [number, string] {
  const colon = key.indexOf(':');
  return [Number(key.slice(0, colon)), key.slice(colon + 1)];
}

function keysOf(topics: Topics): string[] {
  return topics.flatMap(({ topic, partitions }) =>
    partitions === undefined
      ? [keyOf(topic)]
      : partitions.map((partition) => keyOf(topic, partition)),
  );
}
