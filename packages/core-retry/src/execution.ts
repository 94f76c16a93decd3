import { AttemptState } from './attempt.js';
import type { CallOptions, Work } from './call.js';
import type { Timer } from './clock.js';
import type { DeadlineQueue, Expiring } from './deadline.js';
import { AttemptTimeoutError, DeadlineExceededError } from './errors.js';
import type { Reason } from './marks.js';
import { type Host, Operation } from './operation.js';
import type { Settings } from './options.js';
import { onAbort } from './signal-hub.js';

/** What the policy lends to its executions. */
export interface ExecutionHost extends Host {
  readonly deadlines: DeadlineQueue;
  /** The one length that `deadlines` holds; other lengths get a timer of their own. */
  readonly deadlineMs: number;
}

/**
 * One call of `execute`: the success path. Everything that a failure needs is made when the first
 * failure comes.
 */
export class Execution<T> implements Expiring {
  expiresAt: number = Infinity;
  previous: Expiring | undefined = undefined;
  next: Expiring | undefined = undefined;
  private readonly host: ExecutionHost;
  private readonly settings: Settings;
  private readonly call: CallOptions<T>;
  private readonly work: Work<T>;
  private readonly start: number;
  private attempt: AttemptState | undefined;
  private operation: Operation<T> | undefined;
  private bounds: Bounds<T> | undefined;

  constructor(
    host: ExecutionHost,
    settings: Settings,
    call: CallOptions<T>,
    work: Work<T>,
    start: number,
  ) {
    this.host = host;
    this.settings = settings;
    this.call = call;
    this.work = work;
    this.start = start;
  }

  /** Without a deadline, a signal or attempt timeouts there is nothing to race against. */
  async run(): Promise<T> {
    const attempt = new AttemptState(1, Infinity, this.settings.clock);
    this.attempt = attempt;
    if (this.host.emitter.active) this.announceFirst();
    try {
      const value = await this.work(attempt);
      if (this.host.emitter.active) this.announceSuccess();
      return value;
    } catch (error) {
      return await this.recover(error);
    }
  }

  /** The caller is answered when the work, the deadline or the signal ends first. */
  runBounded(
    timeoutMs: number,
    attemptTimeoutMs: number,
    signals: readonly AbortSignal[],
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const bounds: Bounds<T> = {
        resolve,
        reject,
        timeoutMs,
        attemptTimeoutMs,
        timer: undefined,
        unwatch: undefined,
        answered: false,
        lateAttempt: undefined,
      };
      this.bounds = bounds;
      this.expiresAt = this.start + timeoutMs;
      const attempt = new AttemptState(1, this.expiresAt, this.settings.clock);
      this.attempt = attempt;
      for (const signal of signals) {
        if (signal.aborted) {
          // Nothing was called, so nothing can have been sent.
          attempt.phase = 'acquire';
          return this.abandon('cancelled', signal.reason);
        }
      }
      this.arm(bounds, signals);
      if (this.host.emitter.active) this.announceFirst();
      this.attemptOnce(attempt).then(
        (value) => this.succeed(value),
        (error: unknown) => {
          if (bounds.answered) return;
          this.recover(error).then(
            (value) => this.succeed(value),
            (surfaced: unknown) => this.fail(surfaced),
          );
        },
      );
    });
  }

  expire(): void {
    this.abandon('deadline', new DeadlineExceededError(this.name, this.bounds?.timeoutMs ?? 0));
  }

  private get name(): string {
    return this.call.operation ?? this.settings.operation ?? (this.work.name || 'operation');
  }

  private async recover(firstError: unknown): Promise<T> {
    const operation = this.operationNow();
    let error = firstError;
    for (let number = 2; ; number++) {
      const found = await operation.afterFailure(error, error === this.bounds?.lateAttempt);
      if (found !== undefined) return found.value;
      // The caller has been answered; this promise goes nowhere.
      if (operation.abandoned) return undefined as T;
      const attempt = new AttemptState(number, this.expiresAt, this.settings.clock);
      this.attempt = attempt;
      operation.began(attempt);
      try {
        const value = await (this.bounds === undefined
          ? this.work(attempt)
          : this.attemptOnce(attempt));
        if (this.host.emitter.active && !operation.abandoned) this.announceSuccess();
        return value;
      } catch (thrown) {
        if (operation.abandoned) return undefined as T;
        error = thrown;
      }
    }
  }

  private operationNow(): Operation<T> {
    this.operation ??= new Operation(
      this.host,
      this.settings,
      this.call,
      this.attempt as AttemptState,
      this.start,
      this.expiresAt,
      this.name,
    );
    return this.operation;
  }

  /** Calls the work once, bounded by `attemptTimeoutMs`; a throw before the first await rejects too. */
  private attemptOnce(attempt: AttemptState): Promise<T> {
    const bounds = this.bounds as Bounds<T>;
    let promise: Promise<T>;
    try {
      const result = this.work(attempt);
      promise = result instanceof Promise ? result : Promise.resolve(result);
    } catch (error) {
      return Promise.reject(error);
    }
    const { attemptTimeoutMs } = bounds;
    if (attemptTimeoutMs === Infinity) return promise;
    return new Promise((resolve, reject) => {
      const timer = this.settings.clock.setTimeout(
        () => {
          const error = new AttemptTimeoutError(this.name, attempt.number, attemptTimeoutMs);
          bounds.lateAttempt = error;
          attempt.abort(error);
          reject(error);
        },
        attemptTimeoutMs,
        { unref: true },
      );
      promise.then(resolve, reject).finally(() => timer.cancel());
    });
  }

  private arm(bounds: Bounds<T>, signals: readonly AbortSignal[]): void {
    const { clock } = this.settings;
    if (bounds.timeoutMs === this.host.deadlineMs && bounds.timeoutMs !== Infinity) {
      this.host.deadlines.add(this);
    } else if (bounds.timeoutMs !== Infinity) {
      bounds.timer = clock.setTimeout(() => this.expire(), bounds.timeoutMs, { unref: true });
    }
    if (signals.length > 0) {
      const offs = signals.map((signal) =>
        onAbort(signal, (reason) => this.abandon('cancelled', reason)),
      );
      bounds.unwatch = () => {
        for (const off of offs) off();
      };
    }
  }

  private abandon(reason: Reason, thrown: unknown): void {
    const bounds = this.bounds as Bounds<T>;
    if (bounds.answered) return;
    const surfacing = this.operationNow().abandon(reason, thrown);
    this.fail(surfacing);
    this.host.deadlines.settle();
  }

  private succeed(value: T): void {
    const bounds = this.bounds as Bounds<T>;
    if (bounds.answered) return;
    this.disarm(bounds);
    if (this.operation === undefined && this.host.emitter.active) this.announceSuccess();
    bounds.resolve(value);
  }

  private fail(error: unknown): void {
    const bounds = this.bounds as Bounds<T>;
    if (bounds.answered) return;
    this.disarm(bounds);
    this.host.deadlines.settle();
    bounds.reject(error);
  }

  private disarm(bounds: Bounds<T>): void {
    bounds.answered = true;
    if (bounds.timeoutMs === this.host.deadlineMs) this.host.deadlines.remove(this);
    bounds.timer?.cancel();
    bounds.unwatch?.();
  }

  private announceFirst(): void {
    if (!this.host.emitter.has('attempt')) return;
    this.host.emitter.emit({
      type: 'attempt',
      operation: this.name,
      at: this.settings.clock.wallNow(),
      attempt: 1,
      maxAttempts: this.call.maxAttempts ?? this.settings.maxAttempts,
    });
  }

  private announceSuccess(): void {
    if (!this.host.emitter.has('success')) return;
    const { clock } = this.settings;
    this.host.emitter.emit({
      type: 'success',
      operation: this.name,
      at: clock.wallNow(),
      attempts: this.attempt?.number ?? 1,
      elapsedMs: clock.now() - this.start,
    });
  }
}

/** What bounds an execution, and how its caller is answered. */
interface Bounds<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
  readonly timeoutMs: number;
  readonly attemptTimeoutMs: number;
  timer: Timer | undefined;
  unwatch: (() => void) | undefined;
  answered: boolean;
  /** The error of the attempt that was given up last, for only that one must be stopped. */
  lateAttempt: AttemptTimeoutError | undefined;
}
