import type { Clock } from '@outlast/core-retry';

interface Patience {
  readonly clock: Clock;
  /** How long it may take, in milliseconds; 0 for one try. */
  readonly limitMs: number;
  readonly signal: AbortSignal;
  /** Whether it may go better next time. */
  isTransient(error: unknown): boolean;
  /** Resolves when a broker has answered. @throws its latest error, when `limitMs` are over */
  reach(limitMs: number): Promise<void>;
}

const FIRST_DELAY_MS = 50;
const LONGEST_DELAY_MS = 500;

/** Tries to open something until it is open: while no broker can be reached nothing of it is an attempt. */
export async function openPatiently<T>(open: () => Promise<T>, patience: Patience): Promise<T> {
  const { clock, limitMs, signal } = patience;
  const until = clock.now() + limitMs;
  for (let delayMs = FIRST_DELAY_MS; ; delayMs = Math.min(2 * delayMs, LONGEST_DELAY_MS)) {
    try {
      return await unless(signal, open());
    } catch (error) {
      if (signal.aborted || !patience.isTransient(error) || clock.now() >= until) throw error;
    }
    await unless(signal, patience.reach(Math.max(0, until - clock.now())));
    await unless(signal, new Promise<void>((done) => clock.setTimeout(done, delayMs)));
  }
}

/** @throws the signal's reason when it aborts before the work has ended */
export function unless<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const stop = (): void => reject(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}
