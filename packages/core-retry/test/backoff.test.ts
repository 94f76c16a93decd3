import { type BackoffOptions, backoffDelay, type Jitter } from '@outlast/core-retry';
import { scheduleLength } from '@outlast/core-retry/connector';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rawDelay } from '../src/backoff.js';

const plain = { baseDelayMs: 100, maxDelayMs: 1000, backoffFactor: 2, jitter: false } as const;

function sequence(options: BackoffOptions, retries: number, random: () => number): number[] {
  const delays: number[] = [];
  for (let retry = 1; retry <= retries; retry++) {
    delays.push(backoffDelay(options, retry, delays.at(-1) ?? 0, random));
  }
  return delays;
}

const jitters: fc.Arbitrary<Jitter> = fc.oneof(
  fc.constantFrom<Jitter>(true, false, 'full', 'equal', 'decorrelated'),
  fc.double({ min: 0, max: 1, noNaN: true }),
);
const anyOptions: fc.Arbitrary<BackoffOptions> = fc.record({
  baseDelayMs: fc.oneof(fc.constant(0), fc.double({ min: 0, max: Number.MAX_VALUE, noNaN: true })),
  maxDelayMs: fc.oneof(fc.constant(0), fc.double({ min: 0, max: Number.MAX_VALUE, noNaN: true })),
  backoffFactor: fc.double({ min: 1, max: 1000, noNaN: true }),
  jitter: jitters,
});
const anyRetry = fc.oneof(
  fc.integer({ min: 1, max: 2000 }),
  fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
);
const anyRandom = fc.oneof(
  fc.constantFrom(0, 1 - 2 ** -53, 1, 0.5),
  fc.double({ min: 0, max: 1, noNaN: true }),
);

describe('backoff', () => {
  it.each<[string, Partial<BackoffOptions>, number, number[]]>([
    ['none, factor 2', {}, 0.5, [100, 200, 400, 800, 1000, 1000]],
    ['none, factor 3', { backoffFactor: 3 }, 0.5, [100, 300, 900, 1000, 1000, 1000]],
    ['none, factor 1', { backoffFactor: 1 }, 0.5, [100, 100, 100, 100, 100, 100]],
    ['ratio 0 is none', { jitter: 0 }, 0.9, [100, 200, 400, 800, 1000, 1000]],
    ['ratio 0.5, low', { jitter: 0.5 }, 0, [50, 100, 200, 400, 500, 500]],
    ['ratio 0.5, high', { jitter: 0.5 }, 1, [150, 300, 600, 1000, 1000, 1000]],
    ['true is 0.5', { jitter: true }, 0, [50, 100, 200, 400, 500, 500]],
    ['ratio 1, low', { jitter: 1 }, 0, [0, 0, 0, 0, 0, 0]],
    ['full, low', { jitter: 'full' }, 0, [0, 0, 0, 0, 0, 0]],
    ['full, middle', { jitter: 'full' }, 0.5, [50, 100, 200, 400, 500, 500]],
    ['full, high', { jitter: 'full' }, 1, [100, 200, 400, 800, 1000, 1000]],
    ['equal, low', { jitter: 'equal' }, 0, [50, 100, 200, 400, 500, 500]],
    ['equal, high', { jitter: 'equal' }, 1, [100, 200, 400, 800, 1000, 1000]],
    ['decorrelated, low', { jitter: 'decorrelated' }, 0, [100, 100, 100, 100, 100, 100]],
    ['decorrelated, high', { jitter: 'decorrelated' }, 1, [200, 400, 800, 1000, 1000, 1000]],
    [
      'decorrelated ×3',
      { jitter: 'decorrelated', backoffFactor: 3 },
      0.5,
      [200, 350, 550, 550, 550, 550],
    ],
  ])('3.8 jitter %s', (_name, options, random, delays) => {
    expect(sequence({ ...plain, ...options }, 6, () => random)).toEqual(delays);
  });

  it('3.8 every factor reaches every kind of jitter', () => {
    for (const jitter of [true, false, 0.3, 'full', 'equal', 'decorrelated'] as const) {
      const delays = (backoffFactor: number) =>
        sequence({ ...plain, maxDelayMs: 1e9, jitter, backoffFactor }, 4, () => 0.5);
      expect(delays(3)).not.toEqual(delays(2));
    }
  });

  it('3.6 no NaN and no Infinity, within [0, maxDelayMs], for any options, attempt and random', () => {
    fc.assert(
      fc.property(
        anyOptions,
        anyRetry,
        fc.double({ min: 0, max: Number.MAX_VALUE }),
        anyRandom,
        (options, retry, previous, r) => {
          const delay = backoffDelay(
            options,
            retry,
            Number.isNaN(previous) ? 0 : previous,
            () => r,
          );
          expect(Number.isFinite(delay)).toBe(true);
          expect(delay).toBeGreaterThanOrEqual(0);
          expect(delay).toBeLessThanOrEqual(options.maxDelayMs);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('stays within the bounds of its kind of jitter', () => {
    fc.assert(
      fc.property(anyOptions, anyRetry, anyRandom, (options, retry, r) => {
        const raw = rawDelay(options, retry);
        const delay = backoffDelay(options, retry, 0, () => r);
        const cap = options.maxDelayMs;
        const ratio = options.jitter === true ? 0.5 : options.jitter;
        const [low, high] =
          ratio === false
            ? [raw, raw]
            : ratio === 'full'
              ? [0, raw]
              : ratio === 'equal'
                ? [raw / 2, raw]
                : ratio === 'decorrelated'
                  ? [Math.min(options.baseDelayMs, cap), cap]
                  : [raw * (1 - ratio), Math.min(raw * (1 + ratio), cap)];
        expect(delay).toBeGreaterThanOrEqual(low);
        expect(delay).toBeLessThanOrEqual(high);
      }),
      { numRuns: 2000 },
    );
  });

  it('3.6 a base of 0 stays 0 where the power overflows', () => {
    const zero = { ...plain, baseDelayMs: 0 };
    expect(rawDelay(zero, 5000)).toBe(0);
    expect(rawDelay(plain, 5000)).toBe(1000);
    expect(sequence({ ...zero, jitter: 'decorrelated' }, 3, () => 0.9)).toEqual([0, 0, 0]);
  });

  it('3.6 decorrelated delays are finite after 3000 retries (cockatiel#86)', () => {
    const delays = sequence({ ...plain, jitter: 'decorrelated' }, 3000, () => 0.999);
    expect(delays.every((delay) => delay >= 100 && delay <= 1000)).toBe(true);
  });

  it.each<Jitter>([true, 0.5, 1, 'full', 'equal', 'decorrelated'])(
    '3.7 jitter %s survives saturation: clients do not all sleep exactly the cap',
    (jitter) => {
      const at = (r: number) => backoffDelay({ ...plain, jitter }, 50, 1000, () => r);
      const delays = [0, 0.2, 0.4, 0.6, 0.8].map(at);
      expect(new Set(delays).size).toBe(5);
      expect(Math.max(...delays)).toBeLessThan(1000);
    },
  );

  it('a random source that strays from [0, 1) does not break the bounds', () => {
    for (const stray of [-1, 2, Number.NaN, Infinity, -Infinity]) {
      const delay = backoffDelay({ ...plain, jitter: 'full' }, 1, 0, () => stray);
      expect(delay).toBeGreaterThanOrEqual(0);
      expect(delay).toBeLessThanOrEqual(100);
    }
  });

  it('the length of a schedule counts one delay less than attempts, and ends', () => {
    expect(scheduleLength(plain, 1)).toBe(0);
    expect(scheduleLength(plain, 5)).toBe(100 + 200 + 400 + 800);
    expect(scheduleLength({ ...plain, maxDelayMs: 100 }, Infinity)).toBe(999 * 100);
  });
});
