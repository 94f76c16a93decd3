import { refused } from './admission.js';
import { type Attempt, AttemptState } from './attempt.js';
import type { CallOptions } from './call.js';
import { sleepSync } from './clock.js';
import { BulkheadFullError, OptionError } from './errors.js';
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
    const verdict = decide(failure, call.idempotent ?? settings.idempotent, false);
    if (verdict !== 'retry') {
      throw this.surface(failure.transient ? 'outcome-unknown' : 'permanent');
    }
    const delayMs = this.plan(failure);
    if (typeof delayMs === 'string') throw this.surface(delayMs);
    return delayMs;
  }

  cancelled(reason: unknown): unknown {
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
  signal?.throwIfAborted();
  const start = clock.now();
  const refuse = (error: Parameters<typeof refused>[4]): T => {
    const surfacing = refused(host, settings, call, work as never, error, start);
    return endSync(settings, undefined, surfacing);
  };
  const ticket = breaker === undefined ? 0 : breaker.admit();
  if (breaker !== undefined && ticket === 0) return refuse(breaker.refusal());
  if (bulkhead !== undefined && !bulkhead.tryEnter()) {
    breaker?.released(ticket);
    const { maxConcurrent, maxQueued } = bulkhead.status();
    return refuse(new BulkheadFullError(maxConcurrent, maxQueued));
  }
  settings.budget?.deposit(start);
  const first = new AttemptState(1, start + settings.totalTimeoutMs, clock);
  const name = nameOf(settings, call, work as never);
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
      refusePromise(value);
      if (!story.unwanted(value)) {
        story.succeeded();
        return value;
      }
      error = new Unwanted(value);
    } catch (thrown) {
      error = thrown;
    }
    if (signal?.aborted === true) throw story.cancelled(signal.reason);
    sleepSync(clock, story.afterFailure(error));
    attempt = story.nextAttempt();
  }
}

function endSync<T>(settings: Settings, reason: Reason | undefined, surfaced: unknown): T {
  if (Unwanted.is(surfaced)) return surfaced.value as T;
  if (settings.fallback === undefined || reason === 'cancelled' || reason === 'closed') {
    throw surfaced;
  }
  return settings.fallback(surfaced) as T;
}

function refusePromise(value: unknown): void {
  if (!(value instanceof Promise)) return;
  value.catch(() => {});
  throw new OptionError(
    'work',
    'returned a promise, which a call that blocks the thread cannot wait for. Use retry() or wrap() for it.',
  );
}
