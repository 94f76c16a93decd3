import { type Clock, ClosedError, type RetryPolicy, type Timer } from '@outlast/core-retry';
import { Reconnect } from '@outlast/core-retry/connector';
import { classifyKafka } from './classify.js';
import type { Metadata } from './metadata.js';
import type { PartitionQueue } from './partition-queue.js';

/** Whom the hunt serves. */
export interface HuntHost {
  readonly metadata: Metadata;
  readonly policy: RetryPolicy;
  /** Topics that somebody wants to write to and that are not known yet. */
  wantedTopics(): Iterable<string>;
  /** Metadata has come: gives partitions to what had none; true if something still has none. */
  place(): boolean;
  /** Sends the queue on its way; false if its leader is not known. */
  dispatch(queue: PartitionQueue): boolean;
  /** No broker can be reached. */
  wentDown(error: unknown): void;
  /** The brokers answer, and their answer is no: final for whoever waits. */
  refused(error: unknown): void;
}

const FIRST_POLL_MS = 50;
const LONGEST_POLL_MS = 500;

/**
 * One loop a client that looks for leaders, alive only while somebody waits for one: metadata is asked for until
 * every queue that has stalled knows where to go. While no broker answers it waits as every connector does.
 */
export class Hunt {
  readonly reconnect: Reconnect;
  private readonly host: HuntHost;
  private readonly clock: Clock;
  private readonly stalled = new Set<PartitionQueue>();
  private running = false;
  /** Somebody has come since the loop last looked. */
  private asked = false;
  private closed = false;
  private pollMs = FIRST_POLL_MS;
  private wake: (() => void) | undefined;
  private timer: Timer | undefined;
  private outage: AbortController | undefined;

  constructor(host: HuntHost) {
    this.host = host;
    this.clock = host.policy.settings.clock;
    this.reconnect = new Reconnect({
      service: 'kafka',
      probe: () => host.metadata.refresh(host.wantedTopics()),
      isPermanent,
      policy: host.policy,
    });
  }

  /** The queue is sent on its way once its leader is known, and not before `delayMs` have passed. */
  stall(queue: PartitionQueue, delayMs: number): void {
    queue.notBefore = this.clock.now() + delayMs;
    queue.stalled = true;
    this.stalled.add(queue);
    this.pollMs = FIRST_POLL_MS;
    this.begin();
  }

  /** Something waits for metadata. */
  begin(): void {
    this.asked = true;
    this.wake?.();
    if (this.running || this.closed) return;
    this.running = true;
    this.run()
      .catch((error: unknown) => this.host.refused(error))
      .finally(() => {
        this.running = false;
        if (this.asked) this.begin();
      });
  }

  /** Nobody waits for anything any more. */
  rest(): void {
    for (const queue of this.stalled) queue.stalled = false;
    this.stalled.clear();
    this.outage?.abort();
    this.wake?.();
  }

  /** `connect()`: waits until the brokers answer, at most `limitMs`. */
  async reach(limitMs: number): Promise<void> {
    try {
      await this.host.metadata.refresh();
      this.reconnect.succeeded();
    } catch (error) {
      if (isPermanent(error)) throw error;
      this.reconnect.failed(error);
      await this.reconnect.wait(limitMs);
    }
  }

  close(): void {
    this.closed = true;
    this.stalled.clear();
    this.reconnect.close(new ClosedError('The producer'));
    this.wake?.();
  }

  private async run(): Promise<void> {
    this.pollMs = FIRST_POLL_MS;
    while (!this.closed) {
      this.asked = false;
      if (!(await this.refresh())) return;
      const waits = this.host.place();
      this.dispatchDue();
      if (this.stalled.size === 0 && !waits) return;
      await this.sleep(waits);
    }
  }

  /** False if there is nobody left to refresh for. */
  private async refresh(): Promise<boolean> {
    try {
      await this.host.metadata.refresh(this.host.wantedTopics());
      this.reconnect.succeeded();
      return true;
    } catch (error) {
      if (this.closed) return false;
      if (isPermanent(error)) {
        this.refuse(error);
        return false;
      }
      this.reconnect.failed(error);
      this.host.wentDown(error);
    }
    this.outage = new AbortController();
    try {
      await this.reconnect.wait(Infinity, this.outage.signal);
      // They are back: whoever waited for his time has waited long enough.
      for (const queue of this.stalled) queue.notBefore = 0;
      return true;
    } catch (error) {
      if (!this.closed && !this.outage.signal.aborted) this.refuse(error);
      return false;
    } finally {
      this.outage = undefined;
    }
  }

  private refuse(error: unknown): void {
    for (const queue of this.stalled) queue.stalled = false;
    this.stalled.clear();
    this.host.refused(error);
  }

  private dispatchDue(): void {
    const now = this.clock.now();
    for (const queue of this.stalled) {
      if (queue.hasWork && queue.notBefore > now) continue;
      this.stalled.delete(queue);
      queue.stalled = false;
      if (!queue.hasWork || this.host.dispatch(queue)) continue;
      queue.stalled = true;
      this.stalled.add(queue);
      // One that has just been added again is not to be visited again now.
      queue.notBefore = now + this.pollMs;
    }
  }

  private sleep(leaderless: boolean): Promise<void> {
    const now = this.clock.now();
    let delayMs = leaderless ? this.pollMs : Infinity;
    for (const queue of this.stalled) delayMs = Math.min(delayMs, queue.notBefore - now);
    this.pollMs = Math.min(this.pollMs * 2, LONGEST_POLL_MS);
    return new Promise((resolve) => {
      const wake = (): void => {
        this.timer?.cancel();
        this.wake = undefined;
        resolve();
      };
      this.wake = wake;
      this.timer = this.clock.setTimeout(wake, Math.max(1, delayMs));
    });
  }
}

/** Whether the brokers' answer is final: wrong credentials, wrong addresses. */
function isPermanent(error: unknown): boolean {
  return !classifyKafka(error, 'connect').transient;
}
