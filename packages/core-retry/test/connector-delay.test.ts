import { describe, expect, it } from 'vitest';
import { connectorDelay } from '../src/connector-delay.js';
import type { Category, Failure } from '../src/index.js';

const failure = (category: Category): Failure => ({
  category,
  transient: true,
  outcome: 'not-applied',
});

describe('the delays of a database client', () => {
  it.each(['network', 'unavailable'] as const)(
    'are none after the first loss, and the backoff later: %s',
    (category) => {
      const delays = [1, 2, 3].map((n) => connectorDelay(failure(category), n, 1000, () => 0.5));
      expect(delays).toEqual([0, undefined, undefined]);
    },
  );

  it('are short and spread after a tie, and never above the base delay', () => {
    const tie = (attempt: number, random: number) =>
      connectorDelay(failure('contention'), attempt, 1000, () => random);
    expect([1, 2, 3].map((attempt) => tie(attempt, 0))).toEqual([20, 40, 80]);
    expect(tie(1, 0.5)).toBe(10);
    expect(tie(50, 0)).toBe(1000);
  });

  it('are the backoff for anything else', () => {
    expect(connectorDelay(failure('timeout'), 1, 1000, () => 0.5)).toBeUndefined();
  });
});
