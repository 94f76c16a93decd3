/** What a circuit breaker keeps between processes. Times of day are milliseconds since 1970. */
export interface BreakerSnapshot {
  readonly version: 1;
  readonly state: 'closed' | 'open';
  readonly failures: number;
  /** Openings since it last closed. */
  readonly trips: number;
  readonly openTimeoutMs: number;
  readonly openUntil?: number;
  readonly lastFailureAt?: number;
  readonly savedAt: number;
}

/** Whether this process may probe, and what is known by now. */
export interface ProbeClaim {
  readonly granted: boolean;
  /** Goes with the `save` of the probe's result. */
  readonly fence?: string;
  readonly snapshot?: BreakerSnapshot;
}

/** Where breakers keep their state. */
export interface BreakerStore {
  load(key: string): Promise<BreakerSnapshot | undefined>;
  /** With a fence: ignored if a newer probe was granted since. */
  save(key: string, snapshot: BreakerSnapshot, fence?: string): Promise<void>;
  /** At most one holder a key until its `save(…, fence)` or the lease's end. */
  claimProbe?(key: string, leaseMs: number): Promise<ProbeClaim>;
  close?(): Promise<void> | void;
}
