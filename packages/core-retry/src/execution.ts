import { AttemptState } from './attempt.js';
import type { CallOptions, Work } from './call.js';
import type { Emitter } from './events.js';
import { type Host, Operation } from './operation.js';
import type { Settings } from './options.js';

/**
 * One call of `execute` without a deadline, a signal or attempt timeouts: the success path, in one async
 * frame. What a failure needs is made when there is one.
 */
export async function run<T>(
  host: Host,
  settings: Settings,
  call: CallOptions<T>,
  work: Work<T>,
  start: number,
): Promise<T> {
  const attempt = new AttemptState(1, Infinity, settings.clock);
  if (host.emitter.watched) announceFirst(host.emitter, settings, call, work);
  try {
    const value = await work(attempt);
    if (host.emitter.watched) announceSuccess(host.emitter, settings, call, work, 1, start);
    return value;
  } catch (error) {
    const name = nameOf(settings, call, work);
    const operation = new Operation(host, settings, call, attempt, start, name);
    return await recover(operation, error, work);
  }
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
    try {
      const attempt = operation.nextAttempt();
      // A listener may have aborted.
      if (operation.abandoned) return undefined as T;
      const value = await callOnce(attempt);
      operation.succeeded();
      return value;
    } catch (thrown) {
      if (operation.abandoned) return undefined as T;
      error = thrown;
    }
  }
}

export function nameOf<T>(settings: Settings, call: CallOptions<T>, work: Work<T>): string {
  return call.operation ?? settings.operation ?? (work.name || 'operation');
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

export function announceSuccess<T>(
  emitter: Emitter,
  settings: Settings,
  call: CallOptions<T>,
  work: Work<T>,
  attempts: number,
  start: number,
): void {
  if (!emitter.has('success')) return;
  emitter.emit({
    type: 'success',
    operation: nameOf(settings, call, work),
    at: settings.clock.wallNow(),
    attempts,
    elapsedMs: settings.clock.now() - start,
  });
}
