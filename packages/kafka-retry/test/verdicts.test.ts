import { describe, expect, it } from 'vitest';
import { judge, MOST_ASKED, type Verdict } from '../src/verdicts.js';

const batch = (unknown = false, count = 1, asked = 0) => ({
  count,
  stamp: undefined,
  unknown,
  asked,
});

const STORED = [0, 46];
const MAYBE = [3, 5, 6, 7, 9, 13, 20, 56, 72, 74, 75];
const WAITS = [19, 89];
const ONE_OF_THEM = [10, 18, 32, 87];
const REFUSED = [17, 21, 29, 31, 35, 42, 43, 44, 58, 76];

describe('what a code means for a batch', () => {
  it.each(STORED)('%i: it is in the log', (code) => {
    expect(judge(code, batch())).toBe('stored');
    expect(judge(code, batch(true))).toBe('stored');
  });

  it.each(MAYBE)('%i: again, and it may have been stored', (code) => {
    const one = batch();
    expect(judge(code, one)).toBe('retry');
    expect(one.unknown).toBe(true);
  });

  it.each(WAITS)('%i: again, and it was not stored', (code) => {
    const one = batch();
    expect(judge(code, one)).toBe('retry');
    expect(one.unknown).toBe(false);
  });

  it.each(ONE_OF_THEM)('%i: parted, then refused; unknown if a copy may exist', (code) => {
    expect(judge(code, batch(false, 2))).toBe('split');
    expect(judge(code, batch(false, 1))).toBe('refuse');
    expect(judge(code, batch(true, 2))).toBe('give-up');
  });

  it.each(REFUSED)('%i: refused; unknown if a copy may exist', (code) => {
    expect(judge(code, batch(false, 2))).toBe('refuse');
    expect(judge(code, batch(true, 2))).toBe('give-up');
  });

  it.each([
    [45, 'start-over'],
    [59, 'start-over'],
    [47, 'renew'],
  ] as [number, Verdict][])(
    '%i, believed: %s if nothing was ever stored, else unknown',
    (code, verdict) => {
      const believed = code === 45 ? MOST_ASKED - 1 : 0;
      expect(judge(code, batch(false, 2, believed))).toBe(verdict);
      expect(judge(code, batch(true, 2, believed))).toBe('give-up');
    },
  );

  it('45 is asked again before it is believed', () => {
    const one = batch();
    const verdicts = Array.from({ length: MOST_ASKED }, () => judge(45, one));
    expect(verdicts).toEqual([...Array(MOST_ASKED - 1).fill('retry'), 'start-over']);
  });

  it('numbers that are refused for ever are refused in the end', () => {
    const one = batch();
    const verdicts = Array.from({ length: 40 }, () => judge(45, one));
    expect(verdicts.at(-1)).toBe('refuse');
  });

  it.each([2, -1, 999])('%i is asked again a few times', (code) => {
    const one = batch();
    const verdicts = Array.from({ length: MOST_ASKED }, () => judge(code, one));
    expect(verdicts.slice(0, -1).every((verdict) => verdict === 'retry')).toBe(true);
    // A broken batch was not stored; of what nobody knows, nobody knows that either.
    expect(verdicts.at(-1)).toBe(code === 2 ? 'refuse' : 'give-up');
  });
});
