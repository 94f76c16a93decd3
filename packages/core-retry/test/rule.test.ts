import { decide, type Failure, type Verdict } from '@outlast/core-retry';
import { describe, expect, it } from 'vitest';

// transient, outcome, replaySafe, resolvable → verdict: every combination there is.
const TABLE: readonly (readonly [boolean, Failure['outcome'], boolean, boolean, Verdict])[] = [
  [true, 'not-applied', true, true, 'retry'],
  [true, 'not-applied', true, false, 'retry'],
  [true, 'not-applied', false, true, 'retry'],
  [true, 'not-applied', false, false, 'retry'],
  [true, 'unknown', true, true, 'retry'],
  [true, 'unknown', true, false, 'retry'],
  [true, 'unknown', false, true, 'resolve'],
  [true, 'unknown', false, false, 'surface'],
  [false, 'not-applied', true, true, 'surface'],
  [false, 'not-applied', true, false, 'surface'],
  [false, 'not-applied', false, true, 'surface'],
  [false, 'not-applied', false, false, 'surface'],
  [false, 'unknown', true, true, 'surface'],
  [false, 'unknown', true, false, 'surface'],
  [false, 'unknown', false, true, 'surface'],
  [false, 'unknown', false, false, 'surface'],
];

describe('the one rule', () => {
  it.each(TABLE)(
    'transient %s, outcome %s, replay safe %s, resolvable %s → %s',
    (transient, outcome, replaySafe, resolvable, verdict) => {
      const failure: Failure = { category: 'network', transient, outcome };
      expect(decide(failure, replaySafe, resolvable)).toBe(verdict);
    },
  );

  it('is asked about every combination once', () => {
    const keys = new Set(TABLE.map((row) => row.slice(0, 4).join()));
    expect(keys.size).toBe(16);
  });
});
