import type { Failure } from './failure.js';

const CONTENTION_MS = 20;

/**
 * The delays of a database client before its retries; undefined leaves them to the backoff. The first
 * retry after a lost connection is immediate, for the reconnect paces it. What the server rolled back to
 * break a tie is best tried again soon: uniform in (0, 20 ms · 2^(n−1)], at most the base delay, for
 * between rivals the spread is what counts.
 */
export function connectorDelay(
  { category }: Failure,
  attempt: number,
  baseDelayMs: number,
  random: () => number,
): number | undefined {
  if (category === 'contention') {
    return Math.min(CONTENTION_MS * 2 ** Math.min(attempt - 1, 20), baseDelayMs) * (1 - random());
  }
  const lost = category === 'network' || category === 'unavailable';
  return lost && attempt === 1 ? 0 : undefined;
}
