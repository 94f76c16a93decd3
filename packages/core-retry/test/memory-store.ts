import type { BreakerSnapshot, BreakerStore, ProbeClaim } from '@outlast/core-retry';
import type { ManualClock } from '@outlast/core-retry/testing';

export type Mood = 'well' | 'hangs' | 'throws' | 'rejects' | 'garbage' | number;
type Action = 'load' | 'save' | 'claim';

/** A store in memory, as several processes would share it; its moods are scripted. A number is its delay in ms. */
export class MemoryStore implements BreakerStore {
  readonly kept = new Map<string, BreakerSnapshot>();
  readonly log: string[] = [];
  readonly fences: (string | undefined)[] = [];
  readonly moods: Record<Action, Mood> = { load: 'well', save: 'well', claim: 'well' };
  /** What the store answers instead of its own, when its mood is `garbage`. */
  garbage: unknown = { version: 99 };
  private readonly leases = new Map<string, { readonly fence: string; readonly until: number }>();
  private readonly clock: ManualClock;
  private fence = 0;
  /** Requests that hang, to be answered by hand. */
  readonly hanging: (() => void)[] = [];

  constructor(clock: ManualClock) {
    this.clock = clock;
  }

  set mood(mood: Mood) {
    Object.assign(this.moods, { load: mood, save: mood, claim: mood });
  }

  load(key: string): Promise<BreakerSnapshot | undefined> {
    return this.act('load', key, () => this.kept.get(key));
  }

  save(key: string, snapshot: BreakerSnapshot, fence?: string): Promise<void> {
    this.fences.push(fence);
    return this.act('save', key, () => {
      const lease = this.leases.get(key);
      if (fence !== undefined && lease !== undefined && lease.fence !== fence) return;
      if (fence === undefined || lease?.fence === fence) this.leases.delete(key);
      this.kept.set(key, snapshot);
    });
  }

  claimProbe(key: string, leaseMs: number): Promise<ProbeClaim> {
    return this.act('claim', key, () => {
      const snapshot = this.kept.get(key);
      const shown = snapshot === undefined ? {} : { snapshot };
      const now = this.clock.wallNow();
      const lease = this.leases.get(key);
      const open = snapshot?.state === 'open' && (snapshot.openUntil ?? 0) > now;
      if (open || (lease !== undefined && lease.until > now)) return { granted: false, ...shown };
      this.fence += 1;
      const fence = `fence ${this.fence}`;
      this.leases.set(key, { fence, until: now + leaseMs });
      return { granted: true, fence, ...shown };
    });
  }

  private act<T>(action: Action, key: string, answer: () => T): Promise<T> {
    this.log.push(`${action} ${key}`);
    const mood = this.moods[action];
    // A slow read tells what was there when it was asked for; a slow write is seen when it is done.
    const read = action === 'load' ? answer() : undefined;
    const late = (): T => (action === 'load' ? (read as T) : answer());
    switch (mood) {
      case 'well':
        return Promise.resolve(answer());
      case 'throws':
        throw new Error(`${action} threw`);
      case 'rejects':
        return Promise.reject(new Error(`${action} rejected`));
      case 'garbage':
        return Promise.resolve(this.garbage as T);
      case 'hangs':
        return new Promise((resolve) => {
          this.hanging.push(() => resolve(late()));
        });
      default:
        return new Promise((resolve) => {
          this.clock.setTimeout(() => resolve(late()), mood);
        });
    }
  }
}

/** What an open breaker leaves behind. */
export function openSnapshot(
  clock: ManualClock,
  openForMs: number,
  more: Partial<BreakerSnapshot> = {},
): BreakerSnapshot {
  const now = clock.wallNow();
  return {
    version: 1,
    state: 'open',
    failures: 5,
    trips: 1,
    openTimeoutMs: 60_000,
    openUntil: now + openForMs,
    lastFailureAt: now,
    savedAt: now,
    ...more,
  };
}
