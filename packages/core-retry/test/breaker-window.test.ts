import { describe, expect, it } from 'vitest';
import { type BreakerWindow, CountWindow, TimeWindow } from '../src/breaker-window.js';

const counts = ({ calls, failures, slow }: BreakerWindow) => ({ calls, failures, slow });
const none = { calls: 0, failures: 0, slow: 0 };

describe('the window of the latest calls', () => {
  it('counts calls, failures and slow calls each by itself', () => {
    const window = new CountWindow(8);
    expect(counts(window)).toEqual(none);
    window.record(false, false);
    expect(counts(window)).toEqual({ calls: 1, failures: 0, slow: 0 });
    window.record(true, false);
    expect(counts(window)).toEqual({ calls: 2, failures: 1, slow: 0 });
    window.record(false, true);
    expect(counts(window)).toEqual({ calls: 3, failures: 1, slow: 1 });
    window.record(true, true);
    expect(counts(window)).toEqual({ calls: 4, failures: 2, slow: 2 });
  });

  it('forgets the oldest call for each new one once it is full, round and round', () => {
    const window = new CountWindow(3);
    const seen: number[][] = [];
    for (const [failed, slow] of [
      [true, false],
      [false, true],
      [true, true],
      [false, false],
      [false, false],
      [false, false],
      [true, false],
      [true, false],
    ] as const) {
      window.record(failed, slow);
      seen.push([window.calls, window.failures, window.slow]);
    }
    expect(seen).toEqual([
      [1, 1, 0],
      [2, 1, 1],
      [3, 2, 2],
      [3, 1, 2],
      [3, 1, 1],
      [3, 0, 0],
      [3, 1, 0],
      [3, 2, 0],
    ]);
  });

  it('a window of one call knows the latest only', () => {
    const window = new CountWindow(1);
    window.record(true, true);
    expect(counts(window)).toEqual({ calls: 1, failures: 1, slow: 1 });
    window.record(false, false);
    expect(counts(window)).toEqual({ calls: 1, failures: 0, slow: 0 });
  });

  it('is empty once it is cleared, and what it held before does not come back', () => {
    const window = new CountWindow(3);
    for (let i = 0; i < 4; i++) window.record(true, true);
    window.clear();
    expect(counts(window)).toEqual(none);
    for (let i = 0; i < 3; i++) window.record(false, false);
    expect(counts(window)).toEqual({ calls: 3, failures: 0, slow: 0 });
    window.record(true, false);
    expect(counts(window)).toEqual({ calls: 3, failures: 1, slow: 0 });
    for (let i = 0; i < 2; i++) window.record(false, false);
    expect(window.failures).toBe(1);
    window.record(false, false);
    expect(window.failures).toBe(0);
  });

  it('does not age: time means nothing to it', () => {
    const window = new CountWindow(3);
    window.record(true, false);
    window.expire();
    expect(counts(window)).toEqual({ calls: 1, failures: 1, slow: 0 });
  });
});

describe('the window of time', () => {
  it('counts calls, failures and slow calls each by itself', () => {
    const window = new TimeWindow(1000);
    expect(counts(window)).toEqual(none);
    window.record(false, false, 0);
    window.record(true, false, 1);
    window.record(false, true, 150);
    window.record(true, true, 151);
    window.record(false, false, 151);
    expect(counts(window)).toEqual({ calls: 5, failures: 2, slow: 2 });
  });

  it('3.33 a call is forgotten when its tenth of the window is over, never later than windowMs', () => {
    const window = new TimeWindow(1000);
    window.record(true, true, 5000);
    window.record(false, true, 5099);
    window.record(true, false, 5100);
    window.expire(5999);
    expect(counts(window)).toEqual({ calls: 3, failures: 2, slow: 2 });
    window.expire(6000);
    expect(counts(window)).toEqual({ calls: 1, failures: 1, slow: 0 });
    window.expire(6099);
    expect(counts(window)).toEqual({ calls: 1, failures: 1, slow: 0 });
    window.expire(6100);
    expect(counts(window)).toEqual(none);
  });

  it('3.33 an hour of silence empties all of it at once, not one bucket', () => {
    const window = new TimeWindow(5000);
    for (let i = 0; i < 4; i++) window.record(true, true, i * 1000);
    window.record(true, false, 3_600_000);
    expect(counts(window)).toEqual({ calls: 1, failures: 1, slow: 0 });
  });

  it.each([1, 2, 5, 9, 10, 11, 25])('3.33 a silence of %d tenths forgets as many', (tenths) => {
    const window = new TimeWindow(1000);
    for (let i = 0; i < 10; i++) window.record(true, true, i * 100);
    expect(window.calls).toBe(10);
    // The tenth at 900 is the current one; one step on forgets the oldest.
    window.expire(900 + tenths * 100);
    const left = Math.max(0, 10 - tenths);
    expect(counts(window)).toEqual({ calls: left, failures: left, slow: left });
    window.record(false, false, 900 + tenths * 100);
    expect(counts(window)).toEqual({ calls: left + 1, failures: left, slow: left });
  });

  it('slides over many rounds: one failure each 30 ms leaves those of the latest window', () => {
    const window = new TimeWindow(300);
    const seen = new Set<number>();
    for (let now = 0; now < 30_000; now += 30) {
      window.record(true, true, now);
      expect(window.failures).toBe(window.calls);
      expect(window.slow).toBe(window.calls);
      if (now >= 600) seen.add(window.calls);
    }
    expect([...seen]).toEqual([10]);
  });

  it('begins anew with the first call after it was cleared', () => {
    const window = new TimeWindow(1000);
    window.record(true, true, 0);
    window.record(true, true, 500);
    window.clear();
    expect(counts(window)).toEqual(none);
    window.record(true, false, 510);
    window.expire(1400);
    expect(counts(window)).toEqual({ calls: 1, failures: 1, slow: 0 });
    window.expire(1600);
    expect(counts(window)).toEqual(none);
  });

  it('keeps what it has when time seems to stand still or to go back', () => {
    const window = new TimeWindow(1000);
    window.record(true, false, 500);
    window.record(true, false, 500);
    window.record(false, false, 100);
    window.expire(-1e9);
    expect(counts(window)).toEqual({ calls: 3, failures: 2, slow: 0 });
    window.expire(1499);
    expect(counts(window)).toEqual({ calls: 3, failures: 2, slow: 0 });
  });

  it('works on windows of a millisecond, and on those of a hundred years', () => {
    const short = new TimeWindow(1);
    short.record(true, false, 10);
    short.expire(10.95);
    expect(short.calls).toBe(1);
    short.expire(11);
    expect(short.calls).toBe(0);
    const long = new TimeWindow(3.2e12);
    long.record(true, false, 0);
    long.record(true, false, 2.9e12);
    expect(long.failures).toBe(2);
    long.expire(3.2e12);
    expect(long.failures).toBe(1);
  });
});
