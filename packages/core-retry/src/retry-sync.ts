import { refused } from './admission.js';
import { type Attempt, AttemptState } from './attempt.js';
import type { CallOptions } from './call.js';
import { sleepSync } from './clock.js';
import { OptionError } from './errors.js';
import { announceFirst } from './execution.js';
import type { Reason } from './marks.js';
import { DEFAULTS, type RetryOptions, resolveOptions, type Settings } from './options.js';
import { PolicyState } from './policy-state.js';
import { decide } from './rule.js';
import { type Host, nameOf, Story, Unwanted } from './story.js';

/** Options of {@link retrySync}: a blocked thread can neither look up an outcome nor cut an attempt short. */
export type SyncOptions = Omit<RetryOptions, 'attemptTimeoutMs' | 'unref'>;

/** The story of an operation whose driver blocks. */
class SyncStory extends Story {
  /** @returns the delay before the next attempt @throws what surfaces */
  afterFailure(error: unknown): number {
    const { settings, call } = this;
    const { failure, inner } = this.note(error);
    this.voteOnAttempt(failure, error);
    if (inner !== undefined && inner.reason !== 'cancelled' && settings.retryIf === undefined) {
      throw this.surface(inner.reason);
    }
    const replaySafe = call.idempotent ?? settings.idempotent;
    // A value that came back has done its work: it is repeated only where that is safe.
    if (Unwanted.is(error) && !replaySafe) throw this.surface('permanent');
    const verdict = decide(failure, replaySafe, false);
    if (verdict !== 'retry') {
      throw this.surface(failure.transient ? 'outcome-unknown' : 'permanent');
    }
    const delayMs = this.plan(failure);
    if (typeof delayMs === 'string') throw this.surface(delayMs);
    return delayMs;
  }

  /** The caller aborted during an attempt that failed, or while its failure was thought over. */
  cancelled(reason: unknown, error: unknown): unknown {
    if (this.running) this.note(error);
    return this.surface('cancelled', reason);
  }

  cancelledUncalled(reason: unknown): unknown {
    this.uncalled = true;
    return this.surface('cancelled', reason);
  }
}

/**
 * Like `retry`, for a function that returns its value at once: **blocks the thread** while it waits, and
 * with it everything else in the process. For start-up scripts and command lines.
 *
 * @throws the last error as it was thrown, the signal's reason, or OptionError for a bad option or a
 *   function that returns a promise
 */
export function retrySync<T>(work: (attempt: Attempt) => T, options: SyncOptions = {}): T {
  const settings = resolveOptions('', options, DEFAULTS);
  return executeSync(new PolicyState(settings, 'The policy'), settings, work);
}

/** @throws OptionError if the settings promise what a blocked thread cannot keep */
export function checkSync(settings: Settings): void {
  if (settings.attemptTimeoutMs === Infinity) return;
  throw new OptionError(
    'attemptTimeoutMs',
    'cannot be kept by a call that blocks the thread. Use an asynchronous call, or a timeout of the function itself.',
  );
}

export function executeSync<T>(
  host: Host,
  settings: Settings,
  work: (attempt: Attempt) => T,
  call: CallOptions<T> = {},
): T {
  checkSync(settings);
  if (host.closed) throw host.closedError();
  const { breaker, bulkhead, clock, signal } = settings;
  const start = clock.now();
  const first = new AttemptState(1, start + settings.totalTimeoutMs, clock);
  const name = nameOf(settings, call, work as never);
  if (signal?.aborted === true) {
    const story = new SyncStory(host, settings, call, first, start, name, 0);
    throw story.cancelledUncalled(signal.reason);
  }
  const refuse = (error: Parameters<typeof refused>[4]): T => {
    const surfacing = refused(host, settings, call, work as never, error, start);
    return endSync(settings, undefined, surfacing);
  };
  const ticket = breaker === undefined ? 0 : breaker.admit();
  if (breaker !== undefined && ticket === 0) return refuse(breaker.refusal());
  if (bulkhead !== undefined && !bulkhead.tryEnter()) {
    breaker?.released(ticket);
    return refuse(bulkhead.refusal());
  }
  settings.budget?.deposit(start);
  if (host.emitter.watched) announceFirst(host.emitter, settings, call, work as never);
  const story = new SyncStory(host, settings, call, first, start, name, ticket);
  let surfaced: unknown;
  try {
    return loop(story, settings, first, work);
  } catch (error) {
    surfaced = error;
  } finally {
    bulkhead?.leave();
  }
  return endSync(settings, story.reason, surfaced);
}

function loop<T>(
  story: SyncStory,
  settings: Settings,
  first: AttemptState,
  work: (attempt: Attempt) => T,
): T {
  const { clock, signal } = settings;
  let attempt = first;
  for (;;) {
    let error: unknown;
    try {
      const value = work(attempt);
      refusePromise(value, 'work');
      if (!story.unwanted(value)) {
        story.succeeded();
        return value;
      }
      error = new Unwanted(value);
    } catch (thrown) {
      error = thrown;
    }
    if (isAborted(signal)) throw story.cancelled(signal?.reason, error);
    sleepSync(clock, story.afterFailure(error));
    // The caller's own functions may have aborted.
    if (isAborted(signal)) throw story.cancelled(signal?.reason, error);
    attempt = story.nextAttempt();
  }
}

/** Asked anew each time: the compiler would remember the answer. */
function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}

function endSync<T>(settings: Settings, reason: Reason | undefined, surfaced: unknown): T {
  if (Unwanted.is(surfaced)) return surfaced.value as T;
  if (settings.fallback === undefined || reason === 'cancelled' || reason === 'closed') {
    throw surfaced;
  }
  const value = settings.fallback(surfaced) as T;
  refusePromise(value, 'fallback');
  return value;
}

function refusePromise(value: unknown, of: 'work' | 'fallback'): void {
  if (!(value instanceof Promise)) return;
  value.catch(() => {});
  throw new OptionError(
    of,
    'returned a promise, which a call that blocks the thread cannot wait for. Use retry() or wrap() for it.',
  );
}
