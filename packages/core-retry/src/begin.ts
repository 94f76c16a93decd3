import { passGate, refused } from './admission.js';
import { BoundedExecution, type BoundedHost } from './bounded-execution.js';
import type { CallOptions, Work } from './call.js';
import type { CircuitBreaker } from './circuit-breaker.js';
import { run } from './execution.js';
import type { Settings } from './options.js';

const NO_CALL: CallOptions<never> = Object.freeze({});
const NO_SIGNALS: readonly AbortSignal[] = Object.freeze([]);

/** One call of `execute`: asks the breaker and the bulkhead, and takes the shortest path that the bounds allow. */
export function begin<T>(
  host: BoundedHost,
  settings: Settings,
  work: Work<T>,
  given: CallOptions<T> | undefined,
  policySignal: AbortSignal | undefined,
): Promise<T> {
  if (host.closed) return Promise.reject(host.closedError());
  const { breaker, bulkhead, clock } = settings;
  const start = clock.now();
  const call: CallOptions<T> = given ?? NO_CALL;
  let ticket = 0;
  let gated = false;
  if (breaker !== undefined) {
    gated = breaker.wait() !== undefined;
    if (!gated) {
      ticket = breaker.admit();
      if (ticket === 0) {
        // Whoever has cancelled hears of that, and of nothing else.
        gated = call.signal?.aborted === true || policySignal?.aborted === true;
        if (!gated) return refuse(host, settings, call, work, start);
      }
    }
  }
  if (bulkhead !== undefined && !gated && !bulkhead.tryEnter()) {
    breaker?.released(ticket);
    ticket = 0;
    gated = true;
  }
  if (!gated) settings.budget?.deposit(start);
  if (given === undefined && !gated && !settings.bounded) {
    return run(host, settings, call, work, start, ticket);
  }
  const timeoutMs = Math.min(call.totalTimeoutMs ?? Infinity, settings.totalTimeoutMs);
  const attemptTimeoutMs = call.attemptTimeoutMs ?? settings.attemptTimeoutMs;
  const signals = signalsOf(call.signal, policySignal);
  const bounded =
    gated || timeoutMs !== Infinity || attemptTimeoutMs !== Infinity || signals !== NO_SIGNALS;
  if (!bounded) return run(host, settings, call, work, start, ticket);
  return new Promise((resolve, reject) => {
    new BoundedExecution(
      host,
      settings,
      call,
      work,
      start,
      timeoutMs,
      attemptTimeoutMs,
      ticket,
      resolve,
      reject,
    ).begin(timeoutMs, signals, gated ? passGate : undefined);
  });
}

/** The breaker is open: nothing is called. Not async, for this is the hot path of an outage. */
function refuse<T>(
  host: BoundedHost,
  settings: Settings,
  call: CallOptions<T>,
  work: Work<T>,
  start: number,
): Promise<T> {
  const refusal = (settings.breaker as CircuitBreaker).refusal();
  const error = refused(host, settings, call, work, refusal, start);
  const { fallback } = settings;
  if (fallback === undefined) return Promise.reject(error);
  return new Promise((resolve) => resolve(fallback(error) as T));
}

function signalsOf(
  ofCall: AbortSignal | undefined,
  ofPolicy: AbortSignal | undefined,
): readonly AbortSignal[] {
  if (ofCall === undefined) return ofPolicy === undefined ? NO_SIGNALS : [ofPolicy];
  return ofPolicy === undefined || ofPolicy === ofCall ? [ofCall] : [ofCall, ofPolicy];
}
