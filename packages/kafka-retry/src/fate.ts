import type { RetryPolicy } from '@outlast/core-retry';
import type { Alerts } from './alerts.js';
import type { Destinations } from './destinations.js';
import { protocolError } from './errors.js';
import type { Failing } from './failing.js';
import type { Forwarder } from './forwarder.js';
import type { Pauses } from './pauses.js';
import type { Failed } from './provenance.js';
import { atMost } from './time-limit.js';

/** Where a message was read. */
export interface Place {
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
}

export interface FateOptions {
  readonly policy: RetryPolicy;
  readonly alerts: Alerts;
  readonly destinations: Destinations;
  readonly failing: Failing;
  readonly forwarder: Forwarder;
  readonly pauses: Pauses;
  readonly onFailure: 'retry' | 'skip' | 'stop';
  /** Stops the consumer. */
  readonly stop: () => void;
  readonly isStopped: () => boolean;
}

const UNKNOWN_TOPIC = 3;
/** A topic that takes longer to take a message blocks the message's partition only. */
const QUICK_MS = 1000;

type Next = 'retry-topic' | 'dead-letter' | 'skip' | 'stop' | undefined;

/** What becomes of a message that has failed: it stays, and its partition waits; or it goes where it was said to. */
export class Fate {
  private readonly options: FateOptions;
  /** What is on its way elsewhere, or has arrived, without its partition having gone on. */
  private readonly leaving = new Map<string, 'under way' | 'arrived'>();

  constructor(options: FateOptions) {
    this.options = options;
  }

  /** Whether attempts end at all. */
  get ends(): boolean {
    return this.next(0, false) !== undefined;
  }

  /** Whether so many attempts at a message are all. */
  isUsedUp({ attempts, error }: Failed): boolean {
    return attempts >= this.options.policy.settings.maxAttempts || this.isHopeless(error);
  }

  /** True if it was written elsewhere after its partition had been let go. */
  hasLeft(topic: string, partition: number, offset: string): boolean {
    if (this.leaving.size === 0) return false;
    const key = keyOf(topic, partition, offset);
    const arrived = this.leaving.get(key) === 'arrived';
    if (arrived) this.leaving.delete(key);
    return arrived;
  }

  /** The group has other members now: who has a partition, and from where, is open. */
  rejoined(): void {
    for (const [key, state] of this.leaving) if (state === 'arrived') this.leaving.delete(key);
  }

  /** Whether it is on its way elsewhere, or has arrived there. */
  isLeaving(topic: string, partition: number, offset: string): boolean {
    return this.leaving.size > 0 && this.leaving.has(keyOf(topic, partition, offset));
  }

  /** @returns true if the message is done with; false if its partition waits */
  async of(failed: Failed, place: Place): Promise<boolean> {
    const stage = this.options.destinations.stageOf(place.topic);
    if (stage === 0 && !this.isUsedUp(failed)) return this.stays(place, failed.error);
    return this.end(failed, place);
  }

  /** Attempts at it are used up. */
  async end(failed: Failed, place: Place): Promise<boolean> {
    const { failing, alerts, destinations } = this.options;
    const next = this.next(destinations.stageOf(place.topic), this.isHopeless(failed.error));
    const where = `message ${failed.message.offset} of ${failed.topic}, partition ${failed.partition}`;
    switch (next) {
      case undefined:
        return this.stays(place, failed.error);
      case 'skip':
        failing.exhausted(failed, place);
        alerts.raise('message-skipped', `The ${where} was skipped.`, failed.error);
        return true;
      case 'stop':
        failing.exhausted(failed, place);
        alerts.raise(
          'consumer-stopped',
          `The consumer was stopped: its handler failed at the ${where}, where it begins when it runs again.`,
          failed.error,
        );
        this.options.stop();
        return false;
      case 'dead-letter':
        return this.leave(place, () => this.bury(failed, place));
      case 'retry-topic':
        return this.leave(place, () => this.postpone(failed, place));
    }
  }

  /** Its partition waits for it. */
  stays({ topic, partition, offset }: Place, error: unknown): false {
    const { pauses, failing, isStopped } = this.options;
    // Whoever takes the partition next begins there; a timer would only keep the process alive.
    if (!isStopped()) {
      pauses.hold(topic, partition, failing.failed(topic, partition, offset, error));
    }
    return false;
  }

  /** The caller has said that another attempt is of no use. */
  private isHopeless(error: unknown): boolean {
    return this.options.policy.settings.neverRetry?.some((one) => error instanceof one) ?? false;
  }

  private next(stage: number, final: boolean): Next {
    const { destinations, onFailure } = this.options;
    if (stage < destinations.delaysMs.length && !final) return 'retry-topic';
    if (destinations.options.deadLetter !== undefined) return 'dead-letter';
    return onFailure === 'retry' ? undefined : onFailure;
  }

  private async bury(failed: Failed, place: Place): Promise<void> {
    const { forwarder, alerts, failing, destinations } = this.options;
    const { topic } = destinations.options.deadLetter as { topic: string };
    try {
      await forwarder.write(topic, 'x-dlt-', failed);
    } catch (error) {
      const text = `The dead-letter topic ${topic} does not take messages: they are kept, and block their partitions.`;
      if (!this.options.isStopped()) alerts.raise('dead-letter-refused', text, error, topic);
      throw error;
    }
    alerts.clear('dead-letter-refused', topic);
    failing.exhausted(failed, place);
  }

  private async postpone(failed: Failed, place: Place): Promise<void> {
    const { forwarder, alerts, failing, destinations, policy } = this.options;
    const name = destinations.after(place.topic);
    if (!destinations.isRead(name)) {
      destinations.alertMissing(name);
      throw protocolError(UNKNOWN_TOPIC, `"${name}"`);
    }
    const delayMs = destinations.delaysMs[destinations.stageOf(place.topic)] as number;
    try {
      const dueAt = policy.settings.clock.wallNow() + delayMs;
      await forwarder.write(name, 'x-retry-', failed, dueAt);
    } catch (error) {
      const text = `The retry topic ${name} does not take messages: they are kept, and block their partitions.`;
      if (!this.options.isStopped()) alerts.raise('retry-topic-refused', text, error, name);
      throw error;
    }
    alerts.clear('retry-topic-refused', name);
    failing.postponed(failed, place, delayMs);
  }

  private async leave(place: Place, write: () => Promise<void>): Promise<boolean> {
    const { pauses, policy, isStopped } = this.options;
    const { topic, partition } = place;
    const writing = write().then(
      () => undefined,
      (error: unknown) => ({ error }),
    );
    const result = await atMost(QUICK_MS, writing, policy.settings.clock);
    if (result === undefined) return true;
    if (result !== 'late') return this.stays(place, result.error);
    const key = keyOf(topic, partition, place.offset);
    this.leaving.set(key, 'under way');
    pauses.hold(topic, partition, Infinity);
    void writing.then((end) => {
      if (end === undefined) this.leaving.set(key, 'arrived');
      else this.leaving.delete(key);
      if (isStopped()) return;
      if (end === undefined) pauses.release(topic, partition);
      else this.stays(place, end.error);
    });
    return false;
  }
}

function keyOf(topic: string, partition: number, offset: string): string {
  return `${partition}:${offset}:${topic}`;
}
