import type { Clock } from '@outlast/core-retry';
import { onAbort } from '@outlast/core-retry/connector';
import type { EachBatchPayload } from 'kafkajs';
import type { Guard } from './guards.js';
import type { Pauses } from './pauses.js';

/** So many batches of one partition within the time that an idle fetch takes: fetches are quick. */
const BUSY_BATCHES = 3;

/**
 * Partitions whose time has not come. kafkajs notices a resumed partition only at its next fetch, which may take
 * `earlyMs` where nothing arrives: so they are fetched before their time, and wait here for the rest of it, each batch
 * for `earlyMs` at most. While another partition is busy that would hold it up, and is not needed: fetches are quick.
 */
export class Waiting {
  readonly earlyMs: number;
  private readonly pauses: Pauses;
  private readonly clock: Clock;
  private readonly seen = new Map<string, number[]>();

  constructor(pauses: Pauses, clock: Clock, earlyMs: number) {
    this.pauses = pauses;
    this.clock = clock;
    this.earlyMs = earlyMs;
  }

  /**
   * True if the batch is not to be handled now; it will be fetched again.
   *
   * @param isRetry whether it begins with a message that has failed: those do not make a partition busy
   */
  async isEarly(payload: EachBatchPayload, guard: Guard, isRetry: boolean): Promise<boolean> {
    const { topic, partition } = payload.batch;
    // A fetch that was under way when it was paused.
    if (this.pauses.isAsked(topic, partition)) return true;
    const leftMs = this.pauses.leftMs(topic, partition);
    if (leftMs > 0) return this.wait(leftMs, payload, guard);
    if (!isRetry) this.note(topic, partition);
    return false;
  }

  /** As {@link isEarly}, for so many milliseconds from now. */
  async wait(
    leftMs: number,
    { batch, isRunning }: EachBatchPayload,
    guard: Guard,
  ): Promise<boolean> {
    const { topic, partition } = batch;
    const waitedMs = guard.waitedMs + leftMs;
    if (waitedMs > this.earlyMs || this.isBusyWithout(topic, partition)) {
      this.pauses.hold(topic, partition, leftMs, leftMs <= this.earlyMs);
      return true;
    }
    guard.waitedMs = waitedMs;
    await new Promise<void>((resolve) => {
      const timer = this.clock.setTimeout(() => {
        off();
        resolve();
      }, leftMs);
      const off = onAbort(guard.signal, () => {
        timer.cancel();
        resolve();
      });
    });
    if (guard.signal.aborted || !isRunning()) return true;
    this.pauses.release(topic, partition);
    return false;
  }

  private note(topic: string, partition: number): void {
    const key = `${partition}:${topic}`;
    const times = this.seen.get(key);
    if (times === undefined) this.seen.set(key, [this.clock.now()]);
    else if (times.push(this.clock.now()) > BUSY_BATCHES) times.shift();
  }

  private isBusyWithout(topic: string, partition: number): boolean {
    const own = `${partition}:${topic}`;
    const since = this.clock.now() - this.earlyMs;
    for (const [key, times] of this.seen) {
      if (key !== own && times.length === BUSY_BATCHES && (times[0] as number) > since) return true;
    }
    return false;
  }
}
