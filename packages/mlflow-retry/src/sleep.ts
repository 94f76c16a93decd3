import type { Clock } from '@outlast/core-retry';
import { onAbort } from '@outlast/core-retry/connector';

/** Waits so many milliseconds; rejects with the signal's reason as soon as it aborts, and leaves no timer then. */
export function sleep(clock: Clock, ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const off =
      signal &&
      onAbort(signal, (reason) => {
        timer.cancel();
        reject(reason);
      });
    const timer = clock.setTimeout(() => {
      off?.();
      resolve();
    }, ms);
  });
}
