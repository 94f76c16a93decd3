import type { Clock, Timer } from '@outlast/core-retry';
import type { Consumer, EachBatchPayload } from 'kafkajs';

type Topics = Parameters<Consumer['pause']>[0];

interface Hold {
  readonly topic: string;
  readonly partition: number;
  /** Monotonic. */
  readonly dueAt: number;
  timer: Timer | undefined;
  /** Whether kafkajs has been told to pause it. */
  paused: boolean;
}

/**
 * Which partitions are paused, and by whom: the caller's pauses are his own, and ours end by time. A partition
 * goes on when neither holds it.
 */
export class Pauses {
  private readonly driver: Consumer;
  private readonly clock: Clock;
  private readonly earlyMs: number;
  /** Ours. */
  private readonly held = new Map<string, Hold>();
  /** The caller's; a topic without a partition means all of them. */
  private readonly wanted = new Set<string>();

  /** @param earlyMs how long kafkajs may take to notice that a partition has been resumed */
  constructor(driver: Consumer, clock: Clock, earlyMs: number) {
    this.driver = driver;
    this.clock = clock;
    this.earlyMs = earlyMs;
  }

  /**
   * Pauses a partition for so many milliseconds, or until it is released. It is fetched again somewhat before that,
   * for a fetch that is under way lasts: whoever gets it waits for what {@link leftMs} says.
   *
   * @param exact resumes it when the time has come and not before: for when fetches are quick
   */
  hold(topic: string, partition: number, ms: number, exact = false): void {
    this.release(topic, partition);
    const dueAt = this.clock.now() + ms;
    const hold: Hold = { topic, partition, dueAt, timer: undefined, paused: false };
    this.held.set(keyOf(topic, partition), hold);
    const pausedMs = exact ? ms : ms - this.earlyMs;
    if (pausedMs <= 0) return;
    hold.paused = true;
    this.tell('pause', topic, partition);
    if (pausedMs === Infinity) return;
    hold.timer = this.clock.setTimeout(() => this.resumeHeld(hold), pausedMs);
  }

  /** It need not wait any more. */
  release(topic: string, partition: number): void {
    const key = keyOf(topic, partition);
    const hold = this.held.get(key);
    if (hold === undefined) return;
    this.held.delete(key);
    hold.timer?.cancel();
    this.resumeHeld(hold);
  }

  /** How long the partition has still to wait, in milliseconds; 0 if it has not. */
  leftMs(topic: string, partition: number): number {
    if (this.held.size === 0) return 0;
    const key = keyOf(topic, partition);
    const hold = this.held.get(key);
    if (hold === undefined) return 0;
    const left = hold.dueAt - this.clock.now();
    if (left > 0) return left;
    this.held.delete(key);
    return 0;
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
    this.pauseHeld();
  }

  /** kafkajs forgets all pauses when it starts again after a crash. */
  renew(): void {
    for (const key of this.wanted) {
      const [partition, topic] = split(key);
      const one = partition === '*' ? { topic } : { topic, partitions: [Number(partition)] };
      this.driver.pause([one as Topics[number]]);
    }
    this.pauseHeld();
  }

  /** No timer any more. */
  clear(): void {
    for (const { timer } of this.held.values()) timer?.cancel();
    this.held.clear();
  }

  private resumeHeld(hold: Hold): void {
    if (!hold.paused) return;
    hold.paused = false;
    const { topic, partition } = hold;
    if (!this.isAsked(topic, partition)) this.tell('resume', topic, partition);
  }

  private pauseHeld(): void {
    for (const { topic, partition, paused } of this.held.values()) {
      if (paused) this.tell('pause', topic, partition);
    }
  }

  private tell(what: 'pause' | 'resume', topic: string, partition: number): void {
    try {
      this.driver[what]([{ topic, partitions: [partition] }]);
    } catch {
      // Between a crash and its next start kafkajs has no partitions; afterwards none of them is paused.
    }
  }
}

function keyOf(topic: string, partition?: number): string {
  return `${partition ?? '*'}:${topic}`;
}

function split(key: string): [string, string] {
  const colon = key.indexOf(':');
  return [key.slice(0, colon), key.slice(colon + 1)];
}

function keysOf(topics: Topics): string[] {
  return topics.flatMap(({ topic, partitions }) =>
    partitions === undefined
      ? [keyOf(topic)]
      : partitions.map((partition) => keyOf(topic, partition)),
  );
}
