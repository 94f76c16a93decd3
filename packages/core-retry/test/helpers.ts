import { type RetryOptions, RetryPolicy } from '@outlast/core-retry';
import { ManualClock, recordDelays } from '@outlast/core-retry/testing';

export type Settled<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: unknown };

/** Attaches to the promise at once, so that its rejection is never unhandled. */
export function settled<T>(promise: PromiseLike<T>): Promise<Settled<T>> {
  return Promise.resolve(promise).then(
    (value) => ({ ok: true, value }) as const,
    (error: unknown) => ({ ok: false, error }) as const,
  );
}

/** What the promise was rejected with; throws if it was not. */
export async function rejection(promise: PromiseLike<unknown>): Promise<unknown> {
  const end = await settled(promise);
  if (end.ok) throw new Error(`expected a rejection, got ${String(end.value)}`);
  return end.error;
}

/** A policy on a clock that stands still, without jitter, and the delays that it sleeps. */
export function bench(options: RetryOptions = {}): {
  readonly clock: ManualClock;
  readonly policy: RetryPolicy;
  readonly delays: readonly number[];
} {
  const clock = new ManualClock();
  const policy = new RetryPolicy({ clock, random: () => 0.5, jitter: false, ...options });
  return { clock, policy, delays: recordDelays(policy) };
}

/** An error as Node's network stack makes it. */
export function coded(code: string, more: object = {}): Error {
  return Object.assign(new Error(`scripted ${code}`), { code }, more);
}

export const REFUSED = 'ECONNREFUSED';
export const RESET = 'ECONNRESET';

/** Never settles; counts its calls and keeps what it was given. */
export function hanging(): {
  readonly work: (attempt: { readonly signal: AbortSignal }) => Promise<never>;
  readonly signals: AbortSignal[];
} {
  const signals: AbortSignal[] = [];
  return {
    signals,
    work: (attempt) => {
      signals.push(attempt.signal);
      return new Promise<never>(() => {});
    },
  };
}

/** A turn of the event loop: every promise reaction that is due has run. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
