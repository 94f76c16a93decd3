import type { CallOptions, Work } from './call.js';
import type { CircuitBreaker } from './circuit-breaker.js';
import { type BulkheadFullError, type CircuitOpenError, isCircuitOpenError } from './errors.js';
import { classifyError } from './failure.js';
import { mark, type RetryInfo } from './marks.js';
import type { Settings } from './options.js';
import { type Host, nameOf } from './story.js';

/**
 * Waits for what stands before the first attempt: the breaker's store, a slot of the bulkhead. Whoever
 * passes has the slot, and must give back both.
 *
 * @returns the breaker's ticket, 0 without a breaker
 * @throws CircuitOpenError, BulkheadFullError, or the signal's reason
 */
export async function passGate(settings: Settings, signal: AbortSignal): Promise<number> {
  const { breaker, bulkhead } = settings;
  // Asked before the queue, for nobody should wait for a slot in order to be refused, and after it.
  const early = await ask(breaker);
  if (bulkhead === undefined || bulkhead.tryEnter()) return early;
  breaker?.released(early);
  await bulkhead.enter(signal);
  try {
    return await ask(breaker);
  } catch (error) {
    bulkhead.leave();
    throw error;
  }
}

async function ask(breaker: CircuitBreaker | undefined): Promise<number> {
  if (breaker === undefined) return 0;
  await breaker.wait();
  const ticket = breaker.admit();
  if (ticket === 0) throw breaker.refusal();
  return ticket;
}

const NONE: readonly never[] = Object.freeze([]);

/** Marks and reports the refusal of an operation that was never called. */
export function refused<T>(
  host: Host,
  settings: Settings,
  call: CallOptions<T>,
  work: Work<T>,
  error: CircuitOpenError | BulkheadFullError,
  start: number,
): unknown {
  const { emitter } = host;
  const open = isCircuitOpenError(error);
  const retryAfterMs = open ? error.retryAfterMs : undefined;
  const info: RetryInfo = Object.freeze({
    operation: nameOf(settings, call, work),
    attempts: 0,
    elapsedMs: settings.clock.now() - start,
    delaysMs: NONE,
    reason: open ? 'circuit-open' : 'permanent',
    outcome: 'not-applied',
    failures: NONE,
    ...(retryAfterMs === undefined ? undefined : { retryAfterMs }),
  });
  const { tally } = settings;
  if (tally !== undefined) tally.failures += 1;
  const surfacing = mark(error, info, host, error);
  if (settings.log === undefined && !emitter.has('exhausted')) return surfacing;
  const { operation, attempts, elapsedMs, reason, failures } = info;
  const at = settings.clock.wallNow();
  // Not the caller's classifier: that is for what his service says.
  const failure = classifyError(error, 'acquire');
  const event = { type: 'exhausted', operation, at, attempts, elapsedMs, reason, failure } as const;
  const told = { ...event, error: surfacing, failures };
  emitter.emit(told);
  settings.log?.(told);
  return surfacing;
}
