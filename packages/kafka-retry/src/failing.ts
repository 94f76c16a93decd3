import { backoffDelay, type RetryEvent, type RetryPolicy } from '@outlast/core-retry';
import type { Place } from './fate.js';
import type { Failed } from './provenance.js';

const OPERATION = 'kafka.consume';

interface Stuck {
  failures: number;
  delayMs: number;
  /** Monotonic. */
  readonly since: number;
}

/** Which messages have failed that are still to be handled, and how often. */
export class Failing {
  private readonly policy: RetryPolicy;
  /** By partition, then by offset: several in a batch, else one. */
  private readonly stuck = new Map<string, Map<string, Stuck>>();

  constructor(policy: RetryPolicy) {
    this.policy = policy;
  }

  /** The number of the attempt that begins now, from 1. */
  attempt(topic: string, partition: number, offset: string): number {
    if (this.stuck.size === 0) return 1;
    const stuck = this.stuck.get(`${partition}:${topic}`)?.get(offset);
    return (stuck?.failures ?? 0) + 1;
  }

  /** @returns how long its partition waits, in milliseconds */
  failed(topic: string, partition: number, offset: string, error: unknown): number {
    const { settings } = this.policy;
    const key = `${partition}:${topic}`;
    const now = settings.clock.now();
    const all = this.stuck.get(key) ?? new Map<string, Stuck>();
    const stuck = all.get(offset) ?? { failures: 0, delayMs: settings.baseDelayMs, since: now };
    this.stuck.set(key, all.set(offset, stuck));
    stuck.failures += 1;
    stuck.delayMs = backoffDelay(settings, stuck.failures, stuck.delayMs, settings.random);
    this.report(error, stuck.failures, stuck.delayMs);
    return stuck.delayMs;
  }

  /** It has gone well at last. */
  passed(place: Place, attempts: number): void {
    const stuck = this.take(place);
    if (stuck === undefined || !this.policy.hears('success')) return;
    const { clock } = this.policy.settings;
    this.policy.emit({
      type: 'success',
      operation: OPERATION,
      at: clock.wallNow(),
      attempts,
      maxAttempts: Infinity,
      elapsedMs: clock.now() - stuck.since,
    });
  }

  /** It waits in a retry topic for its next attempt. */
  postponed({ error, attempts }: Failed, place: Place, delayMs: number): void {
    this.take(place);
    this.report(error, attempts, delayMs);
  }

  /** It has been given up: it stands among the dead letters, or is skipped, or has stopped the consumer. */
  exhausted({ error, attempts }: Failed, place: Place): void {
    const stuck = this.take(place);
    if (!this.policy.hears('exhausted')) return;
    const { clock, classify } = this.policy.settings;
    this.policy.emit({
      type: 'exhausted',
      operation: OPERATION,
      at: clock.wallNow(),
      attempts,
      elapsedMs: clock.now() - (stuck?.since ?? clock.now()),
      reason: 'exhausted',
      failure: classify(error, 'sent'),
      error,
      failures: [],
    });
  }

  /** What stands before this offset is not to be handled any more. */
  forget(topic: string, partition: number, before: string): void {
    if (this.stuck.size === 0) return;
    const key = `${partition}:${topic}`;
    const all = this.stuck.get(key);
    if (all === undefined) return;
    for (const offset of all.keys()) if (BigInt(offset) < BigInt(before)) all.delete(offset);
    if (all.size === 0) this.stuck.delete(key);
  }

  private take({ topic, partition, offset }: Place): Stuck | undefined {
    const key = `${partition}:${topic}`;
    const all = this.stuck.get(key);
    const stuck = all?.get(offset);
    all?.delete(offset);
    if (all?.size === 0) this.stuck.delete(key);
    return stuck;
  }

  private report(error: unknown, attempt: number, delayMs: number): void {
    const { clock, classify, onRetry } = this.policy.settings;
    if (!this.policy.hears('retry') && onRetry === undefined) return;
    const event: RetryEvent = {
      type: 'retry',
      operation: OPERATION,
      at: clock.wallNow(),
      attempt,
      maxAttempts: Infinity,
      delayMs,
      failure: classify(error, 'sent'),
      error,
    };
    this.policy.emit(event);
    try {
      onRetry?.(event);
    } catch {
      // A hook that throws changes nothing.
    }
  }
}
