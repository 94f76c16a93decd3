import { AttemptState } from './attempt.js';
import { backoffDelay } from './backoff.js';
import type { CallFacts, CallOptions, Work } from './call.js';
import type { ClosedError } from './errors.js';
import { callHook, type Emitter, type PolicyEvent, quiet, type RetryEvent } from './events.js';
import type { Failure } from './failure.js';
import { judge, neverSent } from './judge.js';
import { type FailedAttempt, innerMark, mark, type Reason, type RetryInfo } from './marks.js';
import type { Settings } from './options.js';

const KEPT_FAILURES = 8;
const KEPT_DELAYS = 100;

/** What a policy lends to its operations. */
export interface Host {
  readonly emitter: Emitter;
  readonly closed: boolean;
  closedError(): ClosedError;
}

/** A value that `retryResult` does not want; travels where errors do, and surfaces as a value. */
export class Unwanted {
  // Not instanceof: anything can be thrown, and a revoked proxy throws at that.
  readonly #value: unknown;

  constructor(value: unknown) {
    this.#value = value;
  }

  get value(): unknown {
    return this.#value;
  }

  static is(it: unknown): it is Unwanted {
    return typeof it === 'object' && it !== null && #value in it;
  }
}

const UNWANTED: Failure = {
  category: 'unknown',
  transient: true,
  outcome: 'unknown',
  code: 'RETRY_RESULT',
};

/**
 * One operation from its first failure on: what happened so far, what that means, and what surfaces.
 * Waiting is the affair of who drives it, so that it serves those who block the thread as well.
 */
export class Story {
  readonly name: string;
  /** Why it ended. */
  reason: Reason | undefined = undefined;
  /** Nobody waits for the result any more: the caller aborted, or time ran out. */
  abandoned = false;
  protected readonly host: Host;
  protected readonly settings: Settings;
  protected readonly call: CallFacts;
  protected attempt: AttemptState;
  /** Whether an attempt is under way. */
  protected running = true;
  protected sawUnknown = false;
  /** It ended before anything was called. */
  protected uncalled = false;
  /** The last failure; its error may be an {@link Unwanted}. */
  protected last: FailedAttempt | undefined = undefined;
  private readonly start: number;
  private readonly maxAttempts: number;
  private readonly failures: FailedAttempt[] = [];
  private readonly delaysMs: number[] = [];
  private previousDelayMs = 0;
  /** The last value, an unwanted one, has given back what it held: nobody can use it any more. */
  private disposed = false;
  /** The breaker's; 0 when there is none, or it has been given back. */
  private ticket: number;
  private attemptStart: number;

  constructor(
    host: Host,
    settings: Settings,
    call: CallFacts,
    attempt: AttemptState,
    start: number,
    name: string,
    ticket: number,
    calledAt: number = start,
  ) {
    this.host = host;
    this.settings = settings;
    this.call = call;
    this.attempt = attempt;
    this.start = start;
    this.attemptStart = calledAt;
    this.name = name;
    this.ticket = ticket;
    // A probe is one attempt: it asks whether the service is well, and no more.
    this.maxAttempts = ticket < 0 ? 1 : (call.maxAttempts ?? settings.maxAttempts);
  }

  /** Begins another attempt. @throws what surfaces, if the breaker that votes per attempt has opened */
  nextAttempt(): AttemptState {
    const { number, deadlineAt } = this.attempt;
    const { breaker, clock, tally } = this.settings;
    if (breaker !== undefined) {
      this.ticket ||= breaker.admit();
      if (this.ticket === 0) {
        throw this.surface('circuit-open', this.disposed ? breaker.refusal() : undefined);
      }
      if (breaker.timed) this.attemptStart = clock.now();
    }
    if (tally !== undefined) tally.retries += 1;
    this.attempt = new AttemptState(number + 1, deadlineAt, clock);
    this.running = true;
    this.announce(number + 1);
    return this.attempt;
  }

  /** The attempt brought a value; nobody is told if nobody waits for it any more. */
  succeeded(): void {
    const { breaker, clock, tally, log } = this.settings;
    if (this.ticket !== 0) breaker?.succeeded(this.ticket, this.attemptMs());
    this.ticket = 0;
    if (tally !== undefined) tally.successes += 1;
    if (log === undefined && !this.host.emitter.has('success')) return;
    const attempts = this.attempt.number;
    const elapsedMs = clock.now() - this.start;
    const { maxAttempts } = this;
    this.report({ type: 'success', ...this.base(), attempts, maxAttempts, elapsedMs });
  }

  /** Whether the value is one that `retryResult` sends back. */
  unwanted(value: unknown): boolean {
    return isUnwanted(this.settings, value);
  }

  /** Keeps a failure of the current attempt in mind and says what it means, and who has given up on it before. */
  protected note(error: unknown): { readonly failure: Failure; readonly inner?: RetryInfo } {
    const { attempt, settings, call, host } = this;
    this.running = false;
    if (Unwanted.is(error)) {
      this.remember(error, UNWANTED);
      return { failure: UNWANTED };
    }
    const inner = innerMark(error, host, attempt.since);
    const failure = judge(error, attempt, settings, call, inner?.info);
    this.remember(error, failure);
    return inner === undefined || inner.repeatable ? { failure } : { failure, inner: inner.info };
  }

  /** It has been found out that the last failure had no effect. */
  protected forgive(knownBefore: boolean): void {
    if (this.last === undefined) return;
    const { attempt, error, failure } = this.last;
    this.sawUnknown = !knownBefore;
    this.last = { attempt, error, failure: { ...failure, outcome: 'not-applied' } };
  }

  /**
   * Decides on another attempt after a failure that may be repeated, and announces it.
   *
   * @returns the delay before it in milliseconds, or why there will be none
   */
  protected plan(failure: Failure): number | Reason {
    const { settings, host, attempt } = this;
    if (attempt.number >= this.maxAttempts) return 'exhausted';
    if (host.closed) return 'closed';
    const delayMs = this.delayBefore(failure);
    if (typeof delayMs === 'string') return delayMs;
    // The caller's own function may have aborted.
    if (this.abandoned) return 'cancelled';
    const remaining = attempt.deadlineAt - settings.clock.now();
    if (delayMs >= remaining) return hintOf(failure) === undefined ? 'deadline' : 'retry-after';
    if (this.willBeRefused(delayMs)) return 'circuit-open';
    // What the server rolled back, and what never reached it, does not load it.
    const free = failure.category === 'contention' || neverSent(attempt);
    if (!free && settings.budget?.withdraw() === false) {
      this.report({ type: 'budget', ...this.base(), ...settings.budget.status() });
      return 'budget';
    }
    this.previousDelayMs = delayMs;
    this.delaysMs.push(delayMs);
    if (this.delaysMs.length > KEPT_DELAYS) this.delaysMs.shift();
    this.announceRetry(failure, delayMs);
    // Whoever was told may have closed it.
    if (host.closed) return 'closed';
    this.discard();
    return delayMs;
  }

  /** Marks what is to surface, votes, and reports it. An {@link Unwanted} surfaces as its value. */
  protected surface(reason: Reason, instead?: unknown): unknown {
    const { last, host } = this;
    const error = instead === undefined ? last?.error : instead;
    if (this.reason !== undefined) return error;
    this.reason = reason;
    if (error !== last?.error) this.discard();
    const outcome = this.sawUnknown ? 'unknown' : 'not-applied';
    const failure: Failure = last?.failure ?? {
      category: reason === 'cancelled' ? 'cancelled' : 'timeout',
      transient: false,
      outcome,
    };
    this.voteAtEnd(reason, failure, error);
    const { tally } = this.settings;
    const calledOff = reason === 'cancelled' || reason === 'closed';
    if (tally !== undefined && !calledOff) tally.failures += 1;
    if (Unwanted.is(error)) {
      this.reportFailure(this.info(reason, this.failures), failure, undefined);
      return error;
    }
    // The last error comes before what surfaces, unless it is what surfaces.
    const earlier =
      last === undefined || error === last.error ? this.failures : [...this.failures, shown(last)];
    const info = this.info(reason, earlier);
    const surfacing = mark(error, info, host, this);
    if (!calledOff) this.reportFailure(info, failure, surfacing);
    return surfacing;
  }

  /** The last value, an unwanted one, gives back what it holds, unless it has. */
  protected discard(): void {
    if (!this.disposed && Unwanted.is(this.last?.error)) {
      this.disposed = dispose(this.last.error.value);
    }
  }

  /** Whether the last failure can surface: a value that was disposed of cannot. */
  protected get presentable(): boolean {
    return this.last !== undefined && !this.disposed;
  }

  /** Ends the vote of an attempt, where each attempt has one. */
  protected voteOnAttempt(failure: Failure, error: unknown): void {
    const { breaker } = this.settings;
    if (breaker === undefined || this.ticket === 0) return;
    if (breaker.settings.votePer === 'attempt') this.vote(failure, error);
  }

  protected report(event: PolicyEvent): void {
    this.host.emitter.emit(event);
    this.settings.log?.(event);
  }

  private voteAtEnd(reason: Reason, failure: Failure, error: unknown): void {
    if (this.ticket === 0) return;
    if (reason === 'cancelled' || reason === 'closed') {
      this.settings.breaker?.released(this.ticket);
      this.ticket = 0;
    } else this.vote(failure, error);
  }

  private vote(failure: Failure, error: unknown): void {
    this.settings.breaker?.settle(this.ticket, failure, error, this.attemptMs());
    this.ticket = 0;
  }

  private attemptMs(): number {
    const { breaker, clock } = this.settings;
    return breaker?.timed === true ? clock.now() - this.attemptStart : 0;
  }

  private remember(error: unknown, failure: Failure): void {
    if (this.last !== undefined) {
      this.failures.push(shown(this.last));
      if (this.failures.length > KEPT_FAILURES) this.failures.shift();
    }
    this.last = { attempt: this.attempt.number, error, failure };
    this.disposed = false;
    // A value that came back is no mystery: it only may not be repeated where replay is unsafe.
    if (failure.outcome === 'unknown' && failure !== UNWANTED) this.sawUnknown = true;
  }

  /** Nobody is to sleep in order to be refused by the breaker that the last attempt has opened. */
  private willBeRefused(delayMs: number): boolean {
    const { breaker } = this.settings;
    if (breaker === undefined || this.ticket !== 0 || breaker.state !== 'open') return false;
    return (breaker.status().retryAfterMs ?? 0) > delayMs;
  }

  private delayBefore(failure: Failure): number | 'retry-after' {
    const { settings, attempt } = this;
    const hint = hintOf(failure);
    if (hint !== undefined) {
      return hint < 0 || hint > settings.maxDelayMs ? 'retry-after' : hint;
    }
    let own: number | undefined;
    try {
      own = quiet(settings.delayMs?.(failure, attempt));
    } catch {
      own = undefined;
    }
    if (own !== undefined && own >= 0) return Math.min(own, settings.maxDelayMs);
    return backoffDelay(settings, attempt.number, this.previousDelayMs, settings.random);
  }

  private info(reason: Reason, earlier: readonly FailedAttempt[]): RetryInfo {
    const { breaker } = this.settings;
    const ofBreaker = reason === 'circuit-open' ? breaker?.refusal().retryAfterMs : undefined;
    const retryAfterMs = ofBreaker ?? this.last?.failure.retryAfterMs;
    return Object.freeze({
      operation: this.name,
      attempts: this.uncalled ? 0 : this.attempt.number,
      elapsedMs: this.settings.clock.now() - this.start,
      delaysMs: Object.freeze(this.delaysMs.slice()),
      reason,
      outcome: this.sawUnknown ? 'unknown' : 'not-applied',
      failures: Object.freeze(earlier.slice(-KEPT_FAILURES)),
      ...(retryAfterMs === undefined ? undefined : { retryAfterMs }),
    });
  }

  private announce(attempt: number): void {
    if (!this.host.emitter.has('attempt')) return;
    this.report({ type: 'attempt', ...this.base(), attempt, maxAttempts: this.maxAttempts });
  }

  private announceRetry(failure: Failure, delayMs: number): void {
    const { onRetry, log } = this.settings;
    if (onRetry === undefined && log === undefined && !this.host.emitter.has('retry')) return;
    const error = this.last?.error;
    const event: RetryEvent = {
      type: 'retry',
      ...this.base(),
      attempt: this.attempt.number,
      maxAttempts: this.maxAttempts,
      delayMs,
      failure,
      error: Unwanted.is(error) ? undefined : error,
    };
    this.report(event);
    if (onRetry !== undefined) callHook(onRetry, Object.freeze(event));
  }

  private reportFailure(info: RetryInfo, failure: Failure, error: unknown): void {
    const { emitter } = this.host;
    if (
      this.settings.log === undefined &&
      !emitter.has('exhausted') &&
      !emitter.has('outcomeUnknown')
    ) {
      return;
    }
    const { attempts, elapsedMs, reason, failures } = info;
    const base = this.base();
    const end = { ...base, attempts, elapsedMs, reason, failure, error, failures };
    this.report({ type: 'exhausted', ...end });
    if (info.outcome === 'unknown') {
      this.report({ type: 'outcomeUnknown', ...base, attempts, reason, error });
    }
  }

  private base(): { readonly operation: string; readonly at: number } {
    return { operation: this.name, at: this.settings.clock.wallNow() };
  }
}

export function nameOf<T>(settings: Settings, call: CallOptions<T>, work: Work<T>): string {
  // What is no function fails as work of any other kind would.
  return call.operation ?? settings.operation ?? (work?.name || 'operation');
}

/** Whether the value is one that `retryResult` sends back; if that throws, it is not. */
export function isUnwanted(settings: Settings, value: unknown): boolean {
  try {
    return quiet(settings.retryResult?.(value)) === true;
  } catch {
    return false;
  }
}

/** A value that nobody will see gives back what it holds. @returns whether it can do so */
function dispose(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const it = value as Partial<AsyncDisposable & Disposable>;
  try {
    const own = it[Symbol.asyncDispose] ?? it[Symbol.dispose];
    if (typeof own !== 'function') return false;
    quiet(own.call(it));
  } catch {
    // It is thrown away; what it says to that is nobody's concern.
  }
  return true;
}

/** A failure as the caller may see it. */
function shown(failed: FailedAttempt): FailedAttempt {
  return Unwanted.is(failed.error) ? { ...failed, error: undefined } : failed;
}

/** What the server asked for, if it is a hint: 0 and NaN are none. */
function hintOf(failure: Failure): number | undefined {
  const hint = failure.retryAfterMs;
  // A classifier of the caller's may hand on a header as it came.
  return typeof hint !== 'number' || hint === 0 || Number.isNaN(hint) ? undefined : hint;
}
