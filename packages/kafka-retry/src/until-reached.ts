import { RetryPolicy } from '@outlast/core-retry';
import { classifyKafka } from './classify.js';

/** A topic that is said to be missing may just have been made. */
const MISSING_MS = 5000;
const UNKNOWN_TOPIC = '3';

/**
 * What a consumer does before it runs, as long as its brokers cannot be reached: again, for `waitMs` at most. kafkajs
 * gives up after some eight seconds, and at once on a topic that the broker has not heard of yet.
 */
export function untilReached(
  { settings }: RetryPolicy,
  waitMs: number,
): (work: () => Promise<void>, signal: AbortSignal) => Promise<void> {
  const { clock, random } = settings;
  return (work, signal) => {
    if (waitMs === 0) return work();
    const startAt = clock.now();
    const policy = new RetryPolicy({
      baseDelayMs: 200,
      maxDelayMs: 1000,
      classify: (error) => {
        const failure = classifyKafka(error, 'connect');
        const limitMs = failure.code === UNKNOWN_TOPIC ? Math.min(waitMs, MISSING_MS) : waitMs;
        return clock.now() - startAt < limitMs ? failure : { ...failure, transient: false };
      },
      // Nobody is told that he has connected twice.
      idempotent: true,
      ...{ clock, random },
    });
    return policy.execute(work, { signal, maxAttempts: Infinity });
  };
}
