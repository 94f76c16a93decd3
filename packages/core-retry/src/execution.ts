import { AttemptState } from './attempt.js';
import type { CallOptions, Work } from './call.js';
import type { Emitter } from './events.js';
import { Operation, type SleepingHost } from './operation.js';
import type { Settings } from './options.js';
import { isUnwanted, nameOf, Unwanted } from './story.js';

/**
 * One call without a deadline, a signal or attempt timeouts: the success path, in one async frame.
 * What a failure needs is made when there is one.
 */
export async function run<T>(
  host: SleepingHost,
  settings: Settings,
  call: CallOptions<T>,
  work: Work<T>,
  start: number,
  ticket: number,
): Promise<T> {
  const attempt = new AttemptState(1, Infinity, settings.clock);
  const { watched } = host.emitter;
  if (watched) announceFirst(host.emitter, settings, call, work);
  try {
    const value = await work(attempt);
    if (settings.light && !watched) {
      if (ticket !== 0) settings.breaker?.succeeded(ticket);
      if (settings.tally !== undefined) settings.tally.successes += 1;
      return value;
    }
    if (settings.retryResult === undefined || !isUnwanted(settings, value)) {
      firstSucceeded(host.emitter, settings, call, work, start, ticket);
      settings.bulkhead?.leave();
      return value;
    }
    throw new Unwanted(value);
  } catch (error) {
    const name = nameOf(settings, call, work);
    const operation = new Operation<T>(host, settings, call, attempt, start, name, ticket);
    return await outlast(operation, settings, error, work);
  }
}

/** From the first failure to the end, whatever that is. */
async function outlast<T>(
  operation: Operation<T>,
  settings: Settings,
  error: unknown,
  work: Work<T>,
): Promise<T> {
  let surfaced: unknown;
  try {
    return await recover(operation, error, work);
  } catch (thrown) {
    surfaced = thrown;
  } finally {
    settings.bulkhead?.leave();
  }
  return await ending(operation, settings, surfaced);
}

/** What the caller gets in the end: a value that `retryResult` did not want, a fallback, or the error. */
export async function ending<T>(
  operation: Operation<T>,
  settings: Settings,
  surfaced: unknown,
): Promise<T> {
  if (Unwanted.is(surfaced)) return surfaced.value as T;
  const { reason } = operation;
  // Who cancels, or closes, does not want anything any more.
  if (settings.fallback === undefined || reason === 'cancelled' || reason === 'closed') {
    throw surfaced;
  }
  return (await settings.fallback(surfaced)) as T;
}

/**
 * From the first failure on.
 *
 * @param timedOutWith whether an attempt was given up by time with this error, rather than failed by itself
 */
export async function recover<T>(
  operation: Operation<T>,
  firstError: unknown,
  callOnce: Work<T>,
  timedOutWith?: (error: unknown) => boolean,
): Promise<T> {
  let error = firstError;
  for (;;) {
    const found = await operation.afterFailure(error, timedOutWith?.(error) === true);
    if (found !== undefined) {
      operation.succeeded();
      return found.value;
    }
    // The caller has been answered; this promise goes nowhere.
    if (operation.abandoned) return undefined as T;
    const attempt = operation.nextAttempt();
    // A listener may have aborted.
    if (operation.abandoned) return undefined as T;
    try {
      const value = await callOnce(attempt);
      if (!operation.unwanted(value)) {
        operation.succeeded();
        return value;
      }
      error = new Unwanted(value);
    } catch (thrown) {
      error = thrown;
    }
    if (operation.abandoned) return undefined as T;
  }
}

export function announceFirst<T>(
  emitter: Emitter,
  settings: Settings,
  call: CallOptions<T>,
  work: Work<T>,
): void {
  if (!emitter.has('attempt')) return;
  emitter.emit({
    type: 'attempt',
    operation: nameOf(settings, call, work),
    at: settings.clock.wallNow(),
    attempt: 1,
    maxAttempts: call.maxAttempts ?? settings.maxAttempts,
  });
}

/** The first attempt brought a value: the common end, without an {@link Operation}. */
export function firstSucceeded<T>(
  emitter: Emitter,
  settings: Settings,
  call: CallOptions<T>,
  work: Work<T>,
  start: number,
  ticket: number,
  calledAt: number = start,
): void {
  const { breaker, tally } = settings;
  if (breaker !== undefined) {
    breaker.succeeded(ticket, breaker.timed ? settings.clock.now() - calledAt : 0);
  }
  if (tally !== undefined) tally.successes += 1;
  if (emitter.watched) announceSuccess(emitter, settings, call, work, start);
}

function announceSuccess<T>(
  emitter: Emitter,
  settings: Settings,
  call: CallOptions<T>,
  work: Work<T>,
  start: number,
): void {
  if (!emitter.has('success')) return;
  const now = settings.clock.now();
  emitter.emit({
    type: 'success',
    operation: nameOf(settings, call, work),
    at: emitter.timeOfDay(settings.clock, now),
    attempts: 1,
    maxAttempts: call.maxAttempts ?? settings.maxAttempts,
    elapsedMs: now - start,
  });
}
