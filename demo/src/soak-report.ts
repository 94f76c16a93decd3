import type { Audit } from './audit.js';
import type { Bin } from './ledger.js';

/** How much the heap may grow over the last half of a soak, in bytes a minute. */
const SLOPE = 500_000;

/** What one stint of a soak showed, counted against the server when it was over. */
export interface Stint {
  /** How often each kind of fault was drawn. */
  readonly faults: Readonly<Record<string, number>>;
  readonly requestsHit: number;
  /** Whether every operation had settled in time. */
  readonly home: boolean;
  readonly reads: Bin;
  readonly writes: Audit['total'];
  readonly ways: Audit['ways'];
  readonly torn: number;
  readonly addsUp: boolean;
  readonly longestGapMs: number;
  readonly errors: Readonly<Record<string, number>>;
}

/** Runs stints of a minute and tells each; rejects if the soak itself cannot go on. */
export type Soak = (minutes: number, seed: number, tell: (stint: Stint) => void) => Promise<void>;

/** A stint, and what the process held after it. */
export interface Measured extends Stint {
  readonly heapBytes: number;
  /** Sockets and timers that keep the process alive. */
  readonly handles: number;
}

/** What did not hold; empty if everything did. */
export function broken(stints: readonly Measured[], handlesAtEnd: number): readonly string[] {
  const found = stints.flatMap((stint, at) =>
    brokenIn(stint).map((what) => `minute ${at + 1}: ${what}`),
  );
  const slope = heapSlope(stints);
  if (slope > SLOPE) found.push(`the heap grows by ${Math.round(slope / 1000)} kB a minute`);
  const before = stints[0]?.handles ?? 0;
  if (handlesAtEnd > before)
    found.push(`${handlesAtEnd} handles at the end, ${before} after the first minute`);
  return found;
}

function brokenIn(stint: Stint): string[] {
  const { home, reads, writes, ways, torn, addsUp, requestsHit } = stint;
  const unknown =
    ways.filter(({ way }) => way !== 'write').reduce((sum, one) => sum + one.unknown, 0) -
    undecidable(stint);
  const counts: readonly (readonly [number, string])[] = [
    [reads.failed + reads.unknown, 'reads failed'],
    [writes.failed, 'writes failed without being unknown'],
    [unknown, 'transactions and resolved writes of unknown outcome'],
    [writes.pending, 'writes never settled'],
    [writes.lost, 'lost'],
    [writes.doubled, 'doubled'],
    [writes.failedApplied, 'applied, and reported as failed'],
    [torn, 'torn'],
  ];
  return [
    ...counts.filter(([n]) => n > 0).map(([n, what]) => `${n} ${what}`),
    ...(home ? [] : ['somebody never came home']),
    ...(addsUp ? [] : ['the ledger does not add up']),
    ...(requestsHit > 0 || writes.ok > 0 ? [] : ['nothing happened']),
  ];
}

/**
 * COMMITs of which no server can tell any more: a second crash came before anybody could ask after the
 * first. Random faults do that; it is said, and is no failure.
 */
export function undecidable({ errors }: Pick<Stint, 'errors'>): number {
  return Object.entries(errors)
    .filter(([name]) => name.includes('the server crashed more than once'))
    .reduce((sum, [, n]) => sum + n, 0);
}

/** Bytes a minute, by least squares over the last half: a stint is a minute. */
export function heapSlope(stints: readonly Measured[]): number {
  const half = stints.slice(Math.floor(stints.length / 2)).map(({ heapBytes }) => heapBytes);
  if (half.length < 2) return 0;
  const middle = (half.length - 1) / 2;
  const mean = half.reduce((sum, bytes) => sum + bytes, 0) / half.length;
  let above = 0;
  let below = 0;
  half.forEach((bytes, at) => {
    above += (at - middle) * (bytes - mean);
    below += (at - middle) ** 2;
  });
  return above / below;
}
