import { systemClock } from '@outlast/core-retry';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

const LONGEST = 2 ** 31 - 1;

describe('the system clock', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('fires once after the delay', () => {
    const fn = vi.fn();
    systemClock.setTimeout(fn, 100);
    vi.advanceTimersByTime(99);
    expect(fn).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(fn).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(10_000);
    expect(fn).toHaveBeenCalledTimes(1);
  });

  it.each([LONGEST - 1, LONGEST, LONGEST + 1, 2 * LONGEST, 3 * LONGEST + 12_345])(
    '3.5 a delay of %d ms is slept to its end, not cut to 1 ms',
    (ms) => {
      const fn = vi.fn();
      systemClock.setTimeout(fn, ms);
      vi.advanceTimersByTime(ms - 1);
      expect(fn).not.toHaveBeenCalled();
      vi.advanceTimersByTime(1);
      expect(fn).toHaveBeenCalledTimes(1);
      expect(vi.getTimerCount()).toBe(0);
    },
  );

  it('3.5 no link of the chain is longer than setTimeout can hold', () => {
    const set = vi.spyOn(globalThis, 'setTimeout');
    systemClock.setTimeout(() => {}, 3 * LONGEST);
    vi.advanceTimersByTime(3 * LONGEST);
    expect(set.mock.calls.map((call) => call[1])).toEqual([LONGEST, LONGEST, LONGEST]);
  });

  it('3.5 cancels in the middle of the chain', () => {
    const fn = vi.fn();
    const timer = systemClock.setTimeout(fn, 2.5 * LONGEST);
    vi.advanceTimersByTime(1.5 * LONGEST);
    expect(vi.getTimerCount()).toBe(1);
    timer.cancel();
    expect(vi.getTimerCount()).toBe(0);
    vi.advanceTimersByTime(3 * LONGEST);
    expect(fn).not.toHaveBeenCalled();
  });

  it.each([
    ['short', 10],
    ['chained', 2 * LONGEST],
  ])('3.20 unref reaches every timer, %s', (_name, ms) => {
    const timers: NodeJS.Timeout[] = [];
    const original = globalThis.setTimeout;
    vi.spyOn(globalThis, 'setTimeout').mockImplementation(((fn: () => void, delay: number) => {
      const handle = original(fn, delay);
      timers.push(handle);
      return handle;
    }) as typeof setTimeout);
    systemClock.setTimeout(() => {}, ms, { unref: true });
    vi.advanceTimersByTime(LONGEST);
    systemClock.setTimeout(() => {}, 1);
    const [last, ...unrefd] = timers.toReversed();
    expect(last?.hasRef()).toBe(true);
    expect(unrefd.length).toBeGreaterThan(0);
    expect(unrefd.map((timer) => timer.hasRef())).toEqual(unrefd.map(() => false));
  });

  it('now is monotonic and wallNow is the time of day', () => {
    vi.useRealTimers();
    const a = systemClock.now();
    expect(systemClock.now()).toBeGreaterThanOrEqual(a);
    expect(Math.abs(systemClock.wallNow() - Date.now())).toBeLessThan(5_000);
    expect(Math.abs(systemClock.now() - performance.now())).toBeLessThan(5_000);
  });
});
