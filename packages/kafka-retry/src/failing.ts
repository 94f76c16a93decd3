import { backoffDelay, type RetryEvent, type RetryPolicy } from '@outlast/core-retry';
import type { Failed } from './dead-letters.js';

const OPERATION = 'kafka.consume';

/** Which message each partition is stuck at, and how often it has failed. */
export class Failing {
  private readonly policy: RetryPolicy;
  private readonly stuck = new Map<
    string,
    { readonly offset: string; failures: number; delayMs: number; readonly since: number }
  >();

  constructor(policy: RetryPolicy) {
    this.policy = policy;
  }

  /** The number of the attempt that begins now, from 1. */
  attempt(topic: string, partition: number, offset: string): number {
    if (this.stuck.size === 0) return 1;
    const stuck = this.stuck.get(`${partition}:${topic}`);
    return stuck?.offset === offset ? stuck.failures + 1 : 1;
  }

  /** @returns how long its partition waits, in milliseconds */
  failed(topic: string, partition: number, offset: string, error: unknown): number {
    const { settings } = this.policy;
    const key = `${partition}:${topic}`;
    const before = this.stuck.get(key);
    const stuck =
      before?.offset === offset
        ? before
        : { offset, failures: 0, delayMs: settings.baseDelayMs, since: settings.clock.now() };
    this.stuck.set(key, stuck);
    stuck.failures += 1;
    stuck.delayMs = backoffDelay(settings, stuck.failures, stuck.delayMs, settings.random);
    this.report(error, stuck.failures, stuck.delayMs);
    return stuck.delayMs;
  }

  /** It has gone well at last. */
  passed(topic: string, partition: number, attempts: number): void {
    const key = `${partition}:${topic}`;
    const stuck = this.stuck.get(key);
    this.stuck.delete(key);
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

  /** It has been given up, and stands among the dead letters. */
  buried({ topic, partition, error, attempts }: Failed): void {
    const key = `${partition}:${topic}`;
    const since = this.stuck.get(key)?.since;
    this.stuck.delete(key);
    if (!this.policy.hears('exhausted')) return;
    const { clock, classify } = this.policy.settings;
    this.policy.emit({
      type: 'exhausted',
      operation: OPERATION,
      at: clock.wallNow(),
      attempts,
      elapsedMs: clock.now() - (since ?? clock.now()),
      reason: 'exhausted',
      failure: classify(error, 'sent'),
      error,
      failures: [],
    });
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
