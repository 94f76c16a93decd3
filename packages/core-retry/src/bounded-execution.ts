import { refused } from './admission.js';
import { AttemptState } from './attempt.js';
import type { CallOptions, Work } from './call.js';
import type { Timer } from './clock.js';
import type { DeadlineQueue, Expiring } from './deadline.js';
import { AttemptTimeoutError, DeadlineExceededError } from './errors.js';
import { announceFirst, ending, firstSucceeded, recover } from './execution.js';
import type { Reason } from './marks.js';
import { Operation, type SleepingHost } from './operation.js';
import type { Settings } from './options.js';
import { onAbort } from './signal-hub.js';
import { isUnwanted, nameOf, Unwanted } from './story.js';

/** What the policy lends to executions with bounds. */
export interface BoundedHost extends SleepingHost {
  readonly deadlines: DeadlineQueue;
  /** The one length that `deadlines` holds; other lengths get a timer of their own. */
  readonly deadlineMs: number;
}

/**
 * An execution whose caller is answered when the work, the deadline or a signal ends first. The race is
 * run by hand, for `Promise.race` and a timer for each call would cost more than the call; and it is its
 * own first attempt, which saves an object.
 */
export class BoundedExecution<T> extends AttemptState implements Expiring {
  previous: Expiring | undefined = undefined;
  next: Expiring | undefined = undefined;
  private readonly host: BoundedHost;
  private readonly settings: Settings;
  private readonly call: CallOptions<T>;
  private readonly work: Work<T>;
  private readonly start: number;
  private readonly attemptTimeoutMs: number;
  private readonly resolve: (value: T) => void;
  private readonly reject: (error: unknown) => void;
  /** The breaker's; 0 without one, or before it has admitted. */
  private ticket: number;
  /** Whether it holds a slot of the bulkhead, and has been counted by the budget. */
  private admitted = true;
  private answered = false;
  private operation: Operation<T> | undefined = undefined;
  private rare: Rare | undefined = undefined;
  // Of the attempt under way, if attempts are timed.
  private attemptTimer: Timer | undefined = undefined;

  constructor(
    host: BoundedHost,
    settings: Settings,
    call: CallOptions<T>,
    work: Work<T>,
    start: number,
    timeoutMs: number,
    attemptTimeoutMs: number,
    ticket: number,
    resolve: (value: T) => void,
    reject: (error: unknown) => void,
  ) {
    super(1, start + timeoutMs, settings.clock);
    this.host = host;
    this.settings = settings;
    this.call = call;
    this.work = work;
    this.start = start;
    this.attemptTimeoutMs = attemptTimeoutMs;
    this.ticket = ticket;
    this.resolve = resolve;
    this.reject = reject;
  }

  /** @param gate what has to be waited for before the first attempt; without it, the execution is admitted */
  begin(timeoutMs: number, signals: readonly AbortSignal[], gate: Gate | undefined): void {
    const { host } = this;
    this.admitted = gate === undefined;
    if (timeoutMs === host.deadlineMs) {
      if (timeoutMs !== Infinity) host.deadlines.add(this);
    } else this.setTimer(timeoutMs);
    if (signals.length > 0 && !this.watch(signals)) return;
    if (gate === undefined) this.callFirst();
    else this.pass(gate);
  }

  private callFirst(): void {
    const { host } = this;
    if (host.emitter.watched) {
      announceFirst(host.emitter, this.settings, this.call, this.work);
      // A listener may have aborted.
      if (this.answered) return;
    }
    this.callOnce(this).then(
      (value) => {
        if (this.answered) return;
        const { settings } = this;
        if (settings.retryResult === undefined || !isUnwanted(settings, value)) this.succeed(value);
        else this.goOn(new Unwanted(value));
      },
      (error: unknown) => this.goOn(error),
    );
  }

  private pass(gate: Gate): void {
    const { settings } = this;
    // Nothing is called before, so nothing can have been sent.
    this.phase = 'acquire';
    gate(settings, this.signal).then(
      (ticket) => {
        if (this.answered) {
          if (ticket !== 0) settings.breaker?.released(ticket);
          settings.bulkhead?.leave();
          return;
        }
        this.phase = 'sent';
        this.ticket = ticket;
        this.admitted = true;
        settings.budget?.deposit(settings.clock.now());
        this.callFirst();
      },
      (error) => {
        if (this.answered) return;
        const { host, call, work, start } = this;
        this.refuse(refused(host, settings, call, work, error, start));
      },
    );
  }

  private refuse(error: unknown): void {
    const { fallback } = this.settings;
    this.disarm();
    if (fallback === undefined) this.reject(error);
    else new Promise<T>((resolve) => resolve(fallback(error) as T)).then(this.resolve, this.reject);
  }

  expire(): void {
    const timeoutMs = Math.round(this.deadlineAt - this.start);
    this.abandon('deadline', new DeadlineExceededError(this.name, timeoutMs));
  }

  private get name(): string {
    return nameOf(this.settings, this.call, this.work);
  }

  /** Calls the work, bounded by `attemptTimeoutMs`; a throw before its first await rejects too. */
  private callOnce(attempt: AttemptState): Promise<T> {
    let promise: Promise<T>;
    try {
      const result = this.work(attempt);
      promise = result instanceof Promise ? result : Promise.resolve(result);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.attemptTimeoutMs === Infinity ? promise : this.inTime(attempt, promise);
  }

  private inTime(attempt: AttemptState, promise: Promise<T>): Promise<T> {
    const { attemptTimeoutMs } = this;
    return new Promise((resolve, reject) => {
      const late = (): void => {
        const error = new AttemptTimeoutError(this.name, attempt.number, attemptTimeoutMs);
        this.rarities().lateAttempt = error;
        attempt.abort(error);
        reject(error);
      };
      const timer = this.settings.clock.setTimeout(late, attemptTimeoutMs, { unref: true });
      this.attemptTimer = timer;
      const settle = (): void => timer.cancel();
      promise.then(settle, settle);
      promise.then(resolve, reject);
    });
  }

  private setTimer(timeoutMs: number): void {
    if (timeoutMs === Infinity) return;
    const expire = (): void => this.expire();
    const timer = this.settings.clock.setTimeout(expire, timeoutMs, { unref: true });
    this.rarities().timer = timer;
  }

  /** @returns false if one of them had aborted already: then nothing is to be called. */
  private watch(signals: readonly AbortSignal[]): boolean {
    for (const signal of signals) {
      if (!signal.aborted) continue;
      // Nothing was called, so nothing can have been sent.
      this.phase = 'acquire';
      this.abandon('cancelled', signal.reason);
      return false;
    }
    const cancel = (reason: unknown): void => this.abandon('cancelled', reason);
    const offs = signals.map((signal) => onAbort(signal, cancel));
    this.rarities().unwatch = () => {
      for (const off of offs) off();
    };
    return true;
  }

  private rarities(): Rare {
    this.rare ??= { timer: undefined, unwatch: undefined, lateAttempt: undefined };
    return this.rare;
  }

  private operationNow(): Operation<T> {
    const { host, settings, call, start, ticket } = this;
    this.operation ??= new Operation<T>(host, settings, call, this, start, this.name, ticket);
    return this.operation;
  }

  private goOn(error: unknown): void {
    if (this.answered) return;
    recover(
      this.operationNow(),
      error,
      (attempt) => this.callOnce(attempt as AttemptState),
      (thrown) => thrown === this.rare?.lateAttempt,
    ).then(
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
    if (this.operation === undefined) {
      const { host, settings, call, work, start, ticket } = this;
      firstSucceeded(host.emitter, settings, call, work, start, ticket);
    }
    this.resolve(value);
  }

  private fail(error: unknown): void {
    if (this.answered) return;
    this.disarm();
    this.host.deadlines.settle();
    const { settings } = this;
    if (Unwanted.is(error)) this.resolve(error.value as T);
    else if (settings.fallback === undefined) this.reject(error);
    else ending(this.operationNow(), settings, error).then(this.resolve, this.reject);
  }

  private disarm(): void {
    this.answered = true;
    if (this.admitted) this.settings.bulkhead?.leave();
    this.host.deadlines.remove(this);
    this.attemptTimer?.cancel();
    if (this.rare === undefined) return;
    this.rare.timer?.cancel();
    this.rare.unwatch?.();
  }
}

type Gate = (settings: Settings, signal: AbortSignal) => Promise<number>;

/** What few executions need. */
interface Rare {
  timer: Timer | undefined;
  unwatch: (() => void) | undefined;
  /** The error of the attempt that was given up last, for only that one must be stopped. */
  lateAttempt: AttemptTimeoutError | undefined;
}
