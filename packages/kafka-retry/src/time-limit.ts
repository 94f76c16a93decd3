import type { Clock } from '@outlast/core-retry';

/** What the work ends with, or `'late'` when so many milliseconds have passed; then it goes on by itself. */
export async function atMost<T>(ms: number, work: Promise<T>, clock: Clock): Promise<T | 'late'> {
  if (ms === Infinity) return work;
  let cancel: (() => void) | undefined;
  const late = new Promise<'late'>((resolve) => {
    const timer = clock.setTimeout(() => resolve('late'), ms);
    cancel = () => timer.cancel();
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    cancel?.();
  }
}
