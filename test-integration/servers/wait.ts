import { setTimeout as sleep } from 'node:timers/promises';

/** How long and how often `waitFor` looks. */
export interface WaitOptions {
  /** Give up after this many ms. Default 10 000. */
  timeoutMs?: number;
  /** Look every so many ms. Default 20. */
  everyMs?: number;
  /** What was waited for, in the error's text. Default `the condition`. */
  what?: string;
}

/**
 * Calls `look` until it returns something truthy, and returns that. A throw counts as "not yet";
 * when time is up, the last one becomes the `cause` of the error.
 */
export async function waitFor<T>(
  look: () => T | Promise<T>,
  options: WaitOptions = {},
): Promise<Exclude<T, false | 0 | '' | null | undefined>> {
  const { timeoutMs = 10_000, everyMs = 20, what = 'the condition' } = options;
  const end = performance.now() + timeoutMs;
  for (;;) {
    let cause: unknown;
    try {
      const seen = await look();
      if (seen) return seen as Exclude<T, false | 0 | '' | null | undefined>;
    } catch (error) {
      cause = error;
    }
    if (performance.now() >= end) {
      throw new Error(`Waited ${timeoutMs} ms in vain for ${what}.`, { cause });
    }
    await sleep(everyMs);
  }
}
