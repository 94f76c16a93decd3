import { AttemptState } from './attempt.js';
import { backoffDelay } from './backoff.js';
import type { CallOptions, Resolution } from './call.js';
import type { ClosedError } from './errors.js';
import { callHook, type Emitter, quiet, type RetryEvent } from './events.js';
import type { Failure } from './failure.js';
import { type FailedAttempt, innerMark, mark, type Reason, type RetryInfo } from './marks.js';
import type { Settings } from './options.js';
import { decide } from './rule.js';

const KEPT_FAILURES = 8;
const KEPT_DELAYS = 100;
// So many retries without delay run at once; then the event loop gets a turn, or I/O would starve.
const RETRIES_WITHOUT_YIELDING = 8;

/** What the policy lends to its operations. */
export interface Host {
  readonly emitter: Emitter;
  /** Operations that sleep, to be woken by `close()`. */
  readonly sleeping: Set<Operation<unknown>>;
  readonly closed: boolean;
}

/** The outcome of thinking over a failure: a value that was found, or go on. */
export type Next<T> = { readonly value: T } | undefined;

/**
 * One operation from its first failure on: what happened so far, and what is to be done next.
 * The success path never makes one.
 */
export class Operation<T> {
  readonly name: string;
  private readonly host: Host;
  private readonly settings: Settings;
  private readonly call: CallOptions<T>;
  private readonly start: number;
  private readonly maxAttempts: number;
  private readonly failures: FailedAttempt[] = [];
  private readonly delaysMs: number[] = [];
  private previousDelayMs = 0;
  private undelayed = 0;
  private sawUnknown = false;
  private last: FailedAttempt | undefined;
  private attempt: AttemptState;
  private wakeUp: ((error?: ClosedError) => void) | undefined;
  private running = true;
  private surfaced = false;
  /** Nobody waits for the result any more: the caller aborted, or time ran out. */
  abandoned = false;

  constructor(
    host: Host,
    settings: Settings,
    call: CallOptions<T>,
    attempt: AttemptState,
    start: number,
    name: string,
  ) {
    this.host = host;
    this.settings = settings;
    this.call = call;
    this.attempt = attempt;
    this.start = start;
    this.maxAttempts = call.maxAttempts ?? settings.maxAttempts;
    this.name = name;
  }

  /** Begins another attempt. */
  nextAttempt(): AttemptState {
    const { number, deadlineAt } = this.attempt;
    this.attempt = new AttemptState(number + 1, deadlineAt, this.settings.clock);
    this.running = true;
    this.announce(number + 1);
    return this.attempt;
  }

  /** The attempt brought a value; nobody is told if nobody waits for it any more. */
  succeeded(): void {
    if (this.abandoned || !this.host.emitter.has('success')) return;
    const attempts = this.attempt.number;
    const elapsedMs = this.settings.clock.now() - this.start;
    this.report({ type: 'success', ...this.base(), attempts, elapsedMs });
  }

  /** Thinks over a failure of the current attempt; sleeps if another one shall follow. */
  async afterFailure(error: unknown, timedOut: boolean): Promise<Next<T>> {
    const { attempt, settings, call } = this;
    const inner = innerMark(error, this.host, attempt.since);
    const failure = this.judge(error, inner);
    const knownBefore = !this.sawUnknown;
    this.remember(error, failure);
    this.running = false;
    if (timedOut && call.stop !== undefined) await this.tolerate(() => call.stop?.(attempt));
    // The caller's own functions may abort, and what is awaited may outlast the deadline.
    if (this.abandoned) return undefined;
    // Whatever its own verdict: an inner policy that gave up within this attempt has retried enough.
    if (inner !== undefined && inner.reason !== 'cancelled' && settings.retryIf === undefined) {
      throw this.surface(inner.reason);
    }
    const replaySafe = call.idempotent ?? settings.idempotent;
    const verdict = decide(failure, replaySafe, call.resolve !== undefined);
    if (verdict === 'surface') {
      throw this.surface(failure.transient ? 'outcome-unknown' : 'permanent');
    }
    if (verdict === 'resolve') {
      const resolution = await this.resolve(failure);
      if (this.abandoned) return undefined;
      if (resolution.outcome === 'applied') return { value: resolution.value };
      // Anything but a clear answer is none.
      if (resolution.outcome !== 'not-applied') throw this.surface('outcome-unknown');
      this.sawUnknown = !knownBefore;
      this.last = {
        attempt: attempt.number,
        error,
        failure: { ...failure, outcome: 'not-applied' },
      };
    }
    await this.pause(failure);
    return undefined;
  }

  /** The caller aborted or time ran out while an attempt, a delay or a resolution was under way. */
  abandon(reason: Reason, thrown: unknown): unknown {
    const { attempt } = this;
    this.abandoned = true;
    this.wakeUp?.();
    if (this.mayHaveApplied(thrown)) this.sawUnknown = true;
    attempt.abort(thrown);
    return reason === 'deadline' && this.last !== undefined
      ? this.surface('deadline')
      : this.surface(reason, thrown);
  }

  /** `close()` was called: a sleeper gives up, an attempt under way may still succeed. */
  wake(error: ClosedError): void {
    this.wakeUp?.(error);
  }

  /** What the error means. A function of the caller's that throws over it means: not again. */
  private judge(error: unknown, inner: RetryInfo | undefined): Failure {
    const { call, settings, attempt } = this;
    let failure: Failure = {
      category: 'unknown',
      transient: false,
      outcome: inner?.outcome ?? (neverSent(attempt) ? 'not-applied' : 'unknown'),
    };
    try {
      // Called on its owner, never taken off it: a connector's call is an object with a state of its own.
      const told = quiet(
        call.classify === undefined
          ? settings.classify(error, attempt.phase)
          : call.classify(error, attempt.phase),
      );
      const transient = settings.retryIf === undefined ? told.transient : false;
      failure = { ...told, transient, outcome: inner?.outcome ?? told.outcome };
      const again = quiet(settings.retryIf?.(error, attempt)) === true;
      if (again) failure = { ...failure, transient: true };
    } catch {
      // The original error surfaces, not that of the function.
    }
    return failure;
  }

  /** Whether the work that is given up may take effect: its call may know better than its phase. */
  private mayHaveApplied(reason: unknown): boolean {
    const { attempt, call } = this;
    if (!this.running || neverSent(attempt)) return false;
    try {
      return quiet(call.classify?.(reason, attempt.phase))?.outcome !== 'not-applied';
    } catch {
      return true;
    }
  }

  private remember(error: unknown, failure: Failure): void {
    if (this.last !== undefined) {
      this.failures.push(this.last);
      if (this.failures.length > KEPT_FAILURES) this.failures.shift();
    }
    this.last = { attempt: this.attempt.number, error, failure };
    if (failure.outcome === 'unknown') this.sawUnknown = true;
  }

  private async resolve(failure: Failure): Promise<Resolution<T>> {
    let resolution: Resolution<T> = { outcome: 'unknown' };
    await this.tolerate(async () => {
      resolution = (await this.call.resolve?.(failure, this.attempt)) ?? resolution;
    });
    return resolution;
  }

  private async tolerate(step: () => unknown): Promise<void> {
    try {
      await step();
    } catch {
      // A resolver that fails has found out nothing; the error of the operation itself surfaces.
    }
  }

  private async pause(failure: Failure): Promise<void> {
    const { settings, host, attempt } = this;
    if (attempt.number >= this.maxAttempts) throw this.surface('exhausted');
    if (host.closed) throw this.surface('closed');
    const delayMs = this.delayBefore(failure);
    if (this.abandoned) return;
    const remaining = attempt.deadlineAt - settings.clock.now();
    if (delayMs >= remaining) {
      throw this.surface(hintOf(failure) === undefined ? 'deadline' : 'retry-after');
    }
    // What the server rolled back, and what never reached it, does not load it.
    const free = failure.category === 'contention' || neverSent(attempt);
    if (!free && settings.budget?.withdraw() === false) {
      this.report({ type: 'budget', ...this.base(), ...settings.budget.status() });
      throw this.surface('budget');
    }
    this.previousDelayMs = delayMs;
    this.delaysMs.push(delayMs);
    if (this.delaysMs.length > KEPT_DELAYS) this.delaysMs.shift();
    if (host.emitter.has('retry') || settings.onRetry !== undefined) {
      this.announceRetry(failure, delayMs);
    }
    // Whoever was told may have closed or aborted.
    if (host.closed) throw this.surface('closed');
    if (!this.abandoned) await this.sleep(delayMs);
  }

  private delayBefore(failure: Failure): number {
    const { settings, attempt } = this;
    const hint = hintOf(failure);
    if (hint !== undefined) {
      if (hint < 0 || hint > settings.maxDelayMs) throw this.surface('retry-after');
      return hint;
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

  private sleep(delayMs: number): Promise<void> | undefined {
    const { clock, unref } = this.settings;
    if (delayMs === 0) {
      this.undelayed += 1;
      if (this.undelayed % RETRIES_WITHOUT_YIELDING !== 0) return undefined;
    }
    return new Promise((resolve, reject) => {
      const timer = clock.setTimeout(() => settle(), delayMs, { unref });
      const settle = (error?: ClosedError): void => {
        timer.cancel();
        this.wakeUp = undefined;
        this.host.sleeping.delete(this as Operation<unknown>);
        // Nobody waits for an abandoned operation: its promise is left to the garbage collector.
        if (this.abandoned) return;
        if (error === undefined) resolve();
        else reject(this.surface('closed', error));
      };
      this.wakeUp = settle;
      this.host.sleeping.add(this as Operation<unknown>);
    });
  }

  /** Marks what is to surface and reports it. */
  private surface(reason: Reason, instead?: unknown): unknown {
    const last = this.last;
    const error = instead === undefined ? last?.error : instead;
    if (this.surfaced) return error;
    this.surfaced = true;
    const failure: Failure = last?.failure ?? {
      category: reason === 'cancelled' ? 'cancelled' : 'timeout',
      transient: false,
      outcome: this.sawUnknown ? 'unknown' : 'not-applied',
    };
    const outcome = this.sawUnknown ? 'unknown' : 'not-applied';
    const retryAfterMs = failure.retryAfterMs;
    // The last error comes before what surfaces, unless it is what surfaces.
    const earlier =
      last === undefined || error === last.error ? this.failures : [...this.failures, last];
    const info: RetryInfo = Object.freeze({
      operation: this.name,
      attempts: this.attempt.number,
      elapsedMs: this.settings.clock.now() - this.start,
      delaysMs: Object.freeze(this.delaysMs.slice()),
      reason,
      outcome,
      failures: Object.freeze(earlier.slice(-KEPT_FAILURES)),
      ...(retryAfterMs === undefined ? undefined : { retryAfterMs }),
    });
    const surfacing = mark(error, info, this.host, this);
    if (reason !== 'cancelled' && reason !== 'closed') {
      this.reportFailure(info, failure, surfacing);
    }
    return surfacing;
  }

  private announce(attempt: number): void {
    if (!this.host.emitter.has('attempt')) return;
    this.report({ type: 'attempt', ...this.base(), attempt, maxAttempts: this.maxAttempts });
  }

  private announceRetry(failure: Failure, delayMs: number): void {
    const event: RetryEvent = {
      type: 'retry',
      ...this.base(),
      attempt: this.attempt.number,
      maxAttempts: this.maxAttempts,
      delayMs,
      failure,
      error: this.last?.error,
    };
    this.report(event);
    if (this.settings.onRetry !== undefined) callHook(this.settings.onRetry, Object.freeze(event));
  }

  private reportFailure(info: RetryInfo, failure: Failure, error: unknown): void {
    const { attempts, elapsedMs, reason, failures } = info;
    const base = this.base();
    this.report({
      type: 'exhausted',
      ...base,
      attempts,
      elapsedMs,
      reason,
      failure,
      error,
      failures,
    });
    if (info.outcome === 'unknown') {
      this.report({ type: 'outcomeUnknown', ...base, attempts, reason, error });
    }
  }

  private report(event: Parameters<Emitter['emit']>[0]): void {
    this.host.emitter.emit(event);
  }

  private base(): { readonly operation: string; readonly at: number } {
    return { operation: this.name, at: this.settings.clock.wallNow() };
  }
}

function neverSent(attempt: AttemptState): boolean {
  return attempt.phase === 'acquire' || attempt.phase === 'connect';
}

/** What the server asked for, if it is a hint: 0 and NaN are none. */
function hintOf(failure: Failure): number | undefined {
  const hint = failure.retryAfterMs;
  return hint === undefined || hint === 0 || Number.isNaN(hint) ? undefined : hint;
}
