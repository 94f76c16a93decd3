// Not the global: that is a getter, and this is read once a call.
import { performance } from 'node:perf_hooks';

/** A timer that can be called off. */
export interface Timer {
  cancel(): void;
}

/** Time, injected: the only place of the package that touches timers and the clock. */
export interface Clock {
  /** Monotonic time in milliseconds: for intervals. */
  now(): number;
  /** Time of day in milliseconds since 1970: for what is stored or shown. */
  wallNow(): number;
  /** Calls `fn` once after `ms`; `unref` lets the process exit before. */
  setTimeout(fn: () => void, ms: number, options?: { readonly unref?: boolean }): Timer;
  /** Blocks the thread for `ms`. Default: as the machine does it. */
  sleepSync?(ms: number): void;
}

/** Blocks the thread: nothing else in the process runs meanwhile. */
export function sleepSync(clock: Clock, ms: number): void {
  if (clock.sleepSync !== undefined) clock.sleepSync(ms);
  else if (ms > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

// The longest delay that setTimeout can hold; a longer one would fire after 1 ms instead.
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;

class SystemTimer implements Timer {
  private handle: NodeJS.Timeout;

  constructor(fn: () => void, ms: number, unref: boolean) {
    this.handle = this.arm(fn, ms, unref);
  }

  private arm(fn: () => void, ms: number, unref: boolean): NodeJS.Timeout {
    const handle =
      ms > LONGEST_TIMEOUT_MS
        ? setTimeout(() => {
            this.handle = this.arm(fn, ms - LONGEST_TIMEOUT_MS, unref);
          }, LONGEST_TIMEOUT_MS)
        : setTimeout(fn, ms);
    if (unref) handle.unref();
    return handle;
  }

  cancel(): void {
    clearTimeout(this.handle);
  }
}

/** The clock of the machine. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wallNow: () => Date.now(),
  setTimeout: (fn, ms, options) => new SystemTimer(fn, ms, options?.unref === true),
};
