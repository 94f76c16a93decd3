import type { AttemptState } from './attempt.js';
import type { CallOptions, Work } from './call.js';
import type { Timer } from './clock.js';
import type { DeadlineQueue, Expiring } from './deadline.js';
import { AttemptTimeoutError, DeadlineExceededError } from './errors.js';
import { Execution } from './execution.js';
import type { Reason } from './marks.js';
import type { Host } from './operation.js';
import type { Settings } from './options.js';
import { onAbort } from './signal-hub.js';

/** What the policy lends to executions with bounds. */
export interface BoundedHost extends Host {
  readonly deadlines: DeadlineQueue;
  /** The one length that `deadlines` holds; other lengths get a timer of their own. */
  readonly deadlineMs: number;
}

/**
 * An execution whose caller is answered when the work, the deadline or a signal ends first. The race is
 * run by hand: `Promise.race` and a timer for each call would cost more than the call.
 */
export class BoundedExecution<T> extends Execution<T> implements Expiring {
  readonly expiresAt: number;
  previous: Expiring | undefined;
  next: Expiring | undefined;
  private readonly bounds: BoundedHost;
  private readonly timeoutMs: number;
  private readonly attemptTimeoutMs: number;
  private answered = false;
  private resolve!: (value: T) => void;
  private reject!: (error: unknown) => void;
  private timer: Timer | undefined;
  private unwatch: (() => void) | undefined;
  private lateAttempt: AttemptTimeoutError | undefined;

  constructor(
    host: BoundedHost,
    settings: Settings,
    call: CallOptions<T>,
    work: Work<T>,
    start: number,
    timeoutMs: number,
    attemptTimeoutMs: number,
  ) {
    super(host, settings, call, work, start, start + timeoutMs);
    this.expiresAt = start + timeoutMs;
    this.bounds = host;
    this.timeoutMs = timeoutMs;
    this.attemptTimeoutMs = attemptTimeoutMs;
  }

  runWith(signals: readonly AbortSignal[]): Promise<T> {
    return new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
      for (const signal of signals) {
        if (signal.aborted) {
          // Nothing was called, so nothing can have been sent.
          this.phase = 'acquire';
          return this.abandon('cancelled', signal.reason);
        }
      }
      this.arm(signals);
      if (this.host.emitter.active) this.announceFirst();
      this.callOnce(this).then(
        (value) => this.succeed(value),
        (error: unknown) => {
          if (!this.answered) this.goOn(error);
        },
      );
    });
  }

  expire(): void {
    this.abandon('deadline', new DeadlineExceededError(this.name, this.timeoutMs));
  }

  /** Calls the work, bounded by `attemptTimeoutMs`; a throw before its first await rejects too. */
  protected override callOnce(attempt: AttemptState): Promise<T> {
    let promise: Promise<T>;
    try {
      const result = this.work(attempt);
      promise = result instanceof Promise ? result : Promise.resolve(result);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.attemptTimeoutMs === Infinity ? promise : this.inTime(attempt, promise);
  }

  protected override timedOutWith(error: unknown): boolean {
    return error === this.lateAttempt;
  }

  private inTime(attempt: AttemptState, promise: Promise<T>): Promise<T> {
    const { attemptTimeoutMs } = this;
    return new Promise((resolve, reject) => {
      const late = (): void => {
        const error = new AttemptTimeoutError(this.name, attempt.number, attemptTimeoutMs);
        this.lateAttempt = error;
        attempt.abort(error);
        reject(error);
      };
      const timer = this.settings.clock.setTimeout(late, attemptTimeoutMs, { unref: true });
      const settle = (): void => timer.cancel();
      promise.then(settle, settle);
      promise.then(resolve, reject);
    });
  }

  private arm(signals: readonly AbortSignal[]): void {
    if (this.timeoutMs === this.bounds.deadlineMs && this.timeoutMs !== Infinity) {
      this.bounds.deadlines.add(this);
    } else if (this.timeoutMs !== Infinity) {
      const expire = (): void => this.expire();
      this.timer = this.settings.clock.setTimeout(expire, this.timeoutMs, { unref: true });
    }
    if (signals.length === 0) return;
    const cancel = (reason: unknown): void => this.abandon('cancelled', reason);
    const offs = signals.map((signal) => onAbort(signal, cancel));
    this.unwatch = () => {
      for (const off of offs) off();
    };
  }

  private goOn(error: unknown): void {
    this.recover(error).then(
      (value) => this.succeed(value),
      (surfaced: unknown) => this.fail(surfaced),
    );
  }

  private abandon(reason: Reason, thrown: unknown): void {
    if (!this.answered) this.fail(this.operationNow().abandon(reason, thrown));
  }

  private succeed(value: T): void {
    if (this.answered) return;
    this.disarm();
    if (this.operation === undefined && this.host.emitter.active) this.announceSuccess();
    this.resolve(value);
  }

  private fail(error: unknown): void {
    if (this.answered) return;
    this.disarm();
    this.bounds.deadlines.settle();
    this.reject(error);
  }

  private disarm(): void {
    this.answered = true;
    if (this.timeoutMs === this.bounds.deadlineMs) this.bounds.deadlines.remove(this);
    this.timer?.cancel();
    this.unwatch?.();
  }
}
