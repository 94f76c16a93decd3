/**
 * How a delay is spread. A ratio r spreads over 1±r; `'full'` is [0, raw], `'equal'` [raw/2, raw],
 * `'decorrelated'` [base, min(cap, previous·factor)]; `true` is 0.5, `false` none.
 */
export type Jitter = number | boolean | 'full' | 'equal' | 'decorrelated';

export interface BackoffOptions {
  readonly baseDelayMs: number;
  readonly maxDelayMs: number;
  readonly backoffFactor: number;
  readonly jitter: Jitter;
}

/** The delay before jitter: min(base · factor^(n−1), cap). Never NaN, never infinite. */
export function rawDelay(options: BackoffOptions, retry: number): number {
  const { baseDelayMs, maxDelayMs, backoffFactor } = options;
  // 0 · Infinity would be NaN once the power overflows.
  if (baseDelayMs === 0) return 0;
  return Math.min(baseDelayMs * backoffFactor ** (retry - 1), maxDelayMs);
}

/**
 * The delay before retry number `retry` (from 1), in milliseconds. The cap is a hard bound and is
 * applied before the jitter, so that clients stay spread even at the longest delay.
 *
 * @param previousMs the delay before; only `'decorrelated'` looks at it
 * @param random uniform in [0, 1)
 */
export function backoffDelay(
  options: BackoffOptions,
  retry: number,
  previousMs: number,
  random: () => number,
): number {
  const { jitter, maxDelayMs } = options;
  if (jitter === 'decorrelated') {
    const low = Math.min(options.baseDelayMs, maxDelayMs);
    const high = Math.min(maxDelayMs, Math.max(previousMs, low) * options.backoffFactor);
    return between(low, Math.max(low, high), random);
  }
  const raw = rawDelay(options, retry);
  if (jitter === false) return raw;
  if (jitter === 'full') return between(0, raw, random);
  if (jitter === 'equal') return between(raw / 2, raw, random);
  const ratio = jitter === true ? 0.5 : jitter;
  return between(raw * (1 - ratio), Math.min(raw * (1 + ratio), maxDelayMs), random);
}

/** What a whole schedule of `maxAttempts` would sleep without jitter, in milliseconds. */
export function scheduleLength(options: BackoffOptions, maxAttempts: number): number {
  let total = 0;
  for (let retry = 1; retry < maxAttempts && retry < 1000; retry++) {
    total += rawDelay(options, retry);
  }
  return total;
}

function between(low: number, high: number, random: () => number): number {
  const r = random();
  // A random source that strays from [0, 1) must not break the bounds.
  const unit = r > 0 ? Math.min(r, 1) : 0;
  // The sum may round to just above its bound.
  return Math.min(low + (high - low) * unit, high);
}
