import { redact } from './redact.js';

/** A breaker's state as it is kept outside of the process. Times of day are milliseconds since 1970. */
export interface BreakerSnapshot {
  readonly version: 1;
  /** Half-open is kept as open with its time run out; isolation is not kept. */
  readonly state: 'closed' | 'open';
  /** Consecutive failures when it was taken. */
  readonly failures: number;
  /** How often it opened since it was last closed: what the open time grows by. */
  readonly trips: number;
  readonly openTimeoutMs: number;
  /** Time of day at which it admits a probe; only when open. */
  readonly openUntil?: number;
  /** Time of day. */
  readonly lastFailureAt?: number;
  /** Time of day. */
  readonly savedAt: number;
}

/** The answer to who may probe a service that many processes find broken. */
export interface ProbeClaim {
  readonly granted: boolean;
  /** Given back with the verdict of the probe, so that one which comes too late changes nothing. */
  readonly fence?: string;
  /** What the store holds by now: another process may have closed the breaker. */
  readonly snapshot?: BreakerSnapshot;
}

/**
 * Keeps breakers over restarts, and shares them among processes. It may fail and hang: calls wait for
 * it at most 250 ms (`storeWaitMs`) and then go on without it.
 */
export interface BreakerStore {
  /** What is kept under the key, or undefined. What it brings is validated. */
  load(key: string): Promise<BreakerSnapshot | undefined>;
  /** With a fence it keeps nothing if another probe was granted since. */
  save(key: string, snapshot: BreakerSnapshot, fence?: string): Promise<void>;
  /** Asks for the one probe of all processes; at most one has it until its verdict is saved or `leaseMs` are over. */
  claimProbe?(key: string, leaseMs: number): Promise<ProbeClaim>;
  close?(): Promise<void> | void;
}

/**
 * Reads what claims to be a snapshot.
 *
 * @returns the snapshot, or a sentence that says what is wrong with it
 */
export function readSnapshot(value: unknown): BreakerSnapshot | string {
  if (typeof value !== 'object' || value === null) return 'it is not an object';
  const it = value as Partial<Record<keyof BreakerSnapshot, unknown>>;
  if (it.version !== 1) return `its version is ${shown(it.version)}, not 1`;
  if (it.state !== 'closed' && it.state !== 'open') return `its state is ${shown(it.state)}`;
  for (const key of ['failures', 'trips'] as const) {
    if (!Number.isSafeInteger(it[key]) || (it[key] as number) < 0) {
      return `its ${key} are ${shown(it[key])}`;
    }
  }
  const times: readonly unknown[] = [it.openTimeoutMs, it.savedAt, it.lastFailureAt ?? 0];
  if (!times.every(isTime) || !isTime(it.state === 'open' ? it.openUntil : 0)) {
    return 'its times are not numbers of milliseconds';
  }
  return value as BreakerSnapshot;
}

function isTime(value: unknown): boolean {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}

function shown(value: unknown): string {
  return typeof value === 'string' ? redact(value.slice(0, 40)) : typeof value;
}
