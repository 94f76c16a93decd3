import { parseRetryAfter } from '@outlast/core-retry';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const NOW = Date.UTC(2026, 10, 22, 12, 0, 0);

describe('3.11 Retry-After', () => {
  it.each([
    ['0', 0],
    ['1', 1000],
    ['120', 120_000],
    [' 5 ', 5000],
    ['1.5', 1500],
    ['0.0001', 1],
    ['3600', 3_600_000],
    [7, 7000],
    [0.25, 250],
    ['Sun, 22 Nov 2026 12:00:30 GMT', 30_000],
    ['Sunday, 22-Nov-26 12:00:30 GMT', 30_000],
    ['Sun Nov 22 12:00:30 2026 GMT', 30_000],
    ['Sun, 22 Nov 2026 12:00:00 GMT', 0],
    ['Sun, 22 Nov 2026 11:00:00 GMT', 0],
    ['Thu, 01 Jan 1970 00:00:00 GMT', 0],
  ])('3.11 %s is %d ms', (value, ms) => {
    expect(parseRetryAfter(value, NOW)).toBe(ms);
  });

  it.each([
    null,
    undefined,
    '',
    ' ',
    'soon',
    '-5',
    -5,
    '1e9',
    '5s',
    '5,5',
    '1.2.3',
    '0x10',
    'Infinity',
    Infinity,
    Number.NaN,
    '2026-11-22T12:00:30Z',
    'Sun, 99 Nov 2026 12:00:30 GMT',
    'Monday',
  ])('3.11 %s is no hint', (value) => {
    expect(parseRetryAfter(value, NOW)).toBeUndefined();
  });

  it('3.11 is never negative or NaN, whatever the header says', () => {
    const value = fc.oneof(
      fc.string(),
      fc.double(),
      fc.integer(),
      fc.date({ noInvalidDate: true }).map((d) => d.toUTCString()),
    );
    fc.assert(
      fc.property(value, fc.integer(), (header, now) => {
        const ms = parseRetryAfter(header, now);
        expect(ms === undefined || ms >= 0).toBe(true);
      }),
    );
  });
});
