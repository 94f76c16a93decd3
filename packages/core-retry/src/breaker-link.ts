import type { BreakerLink } from './breaker-machine.js';
import {
  type BreakerSnapshot,
  type BreakerStore,
  type ProbeClaim,
  readSnapshot,
} from './breaker-store.js';
import type { CircuitBreaker } from './circuit-breaker.js';
import type { StoreEvent } from './events.js';

/** After so long the answer of a store is not expected any more. */
const GIVE_UP_MS = 5_000;
/** A breaker that sees failures looks so often, at most, whether another process knows more. */
const LOOK_AGAIN_MS = 1_000;

/** One store, as all breakers of a registry see it: an outage of it is reported once. */
export class StoreHealth {
  /** So long, at most, a call waits for it; then it goes on without. */
  readonly patienceMs: number;
  private failing = false;

  constructor(patienceMs: number) {
    this.patienceMs = patienceMs;
  }

  /** @returns whether this is news */
  failed(): boolean {
    const news = !this.failing;
    this.failing = true;
    return news;
  }

  worked(): void {
    this.failing = false;
  }
}

/** Keeps one breaker in a store, and learns from it what other processes found. Never fails a call. */
export class StoreLink implements BreakerLink {
  private readonly breaker: CircuitBreaker;
  private readonly store: BreakerStore;
  private readonly key: string;
  private readonly health: StoreHealth;
  private loading: Promise<void> | undefined;
  private claiming: Promise<void> | undefined = undefined;
  /** The right to probe: until when it holds, and with which fence. */
  private granted: { readonly until: number; readonly fence: string | undefined } | undefined =
    undefined;
  /** How often the state changed by what this process saw: what was asked for before comes too late. */
  private changes = 0;
  private saving = false;
  private unsaved: { readonly snapshot: BreakerSnapshot; readonly fence?: string } | undefined =
    undefined;
  private lookedAt = -Infinity;
  private reportedBad = false;

  constructor(breaker: CircuitBreaker, store: BreakerStore, key: string, health: StoreHealth) {
    this.breaker = breaker;
    this.store = store;
    this.key = key;
    this.health = health;
    const loaded = this.load().then((snapshot) => {
      if (snapshot !== undefined && this.changes === 0)
        breaker.adopt(snapshot, 'as its store had it');
    });
    this.loading = this.patiently(loaded).finally(() => {
      this.loading = undefined;
    });
  }

  before(due: boolean): Promise<void> | undefined {
    // What was loaded may be open with its time run out: then leave to probe is asked for, as ever.
    if (this.loading !== undefined) return this.loading.then(() => this.breaker.wait());
    if (!due || this.store.claimProbe === undefined || this.mayProbe()) return undefined;
    this.claiming ??= this.claimInTime();
    return this.claiming;
  }

  failing(): void {
    const now = this.now();
    if (now - this.lookedAt < LOOK_AGAIN_MS || this.saving || this.loading !== undefined) return;
    this.lookedAt = now;
    const { changes } = this;
    void this.load().then((snapshot) => {
      const { breaker } = this;
      if (snapshot?.state !== 'open' || this.changes !== changes) return;
      if (breaker.state !== 'closed') return;
      if ((snapshot.openUntil ?? 0) <= breaker.settings.clock.wallNow()) return;
      breaker.adopt(snapshot, 'another process found it so');
    });
  }

  changed(snapshot: BreakerSnapshot): void {
    const fence = this.granted?.fence;
    this.granted = undefined;
    this.changes += 1;
    this.unsaved = fence === undefined ? { snapshot } : { snapshot, fence };
    if (!this.saving) void this.save();
  }

  private now(): number {
    return this.breaker.settings.clock.now();
  }

  private mayProbe(): boolean {
    return this.granted !== undefined && this.now() < this.granted.until;
  }

  private async load(): Promise<BreakerSnapshot | undefined> {
    let value: unknown;
    try {
      value = await this.inTime(() => this.store.load(this.key));
      this.health.worked();
    } catch (error) {
      this.report('load', error);
      return undefined;
    }
    return this.valid(value);
  }

  private valid(value: unknown): BreakerSnapshot | undefined {
    if (value === undefined || value === null) return undefined;
    const snapshot = readSnapshot(value);
    if (typeof snapshot !== 'string') return snapshot;
    // Closed, and said so once: what a store holds must not stop anybody.
    if (!this.reportedBad) {
      this.breaker.reportStore('load', new Error(`The store holds no snapshot: ${snapshot}.`));
    }
    this.reportedBad = true;
    return undefined;
  }

  private claimInTime(): Promise<void> {
    let answered = false;
    const claim = this.claim().then(() => {
      answered = true;
    });
    return this.patiently(claim).then(() => {
      this.claiming = undefined;
      // No answer in time: probing without leave is better than not at all.
      if (!answered)
        this.granted = { until: this.now() + this.health.patienceMs, fence: undefined };
    });
  }

  private async claim(): Promise<void> {
    const { breaker, store } = this;
    const { probeLeaseMs } = breaker.settings;
    let claim: ProbeClaim | undefined;
    try {
      claim = read(await this.inTime(() => store.claimProbe?.(this.key, probeLeaseMs)));
      this.health.worked();
    } catch (error) {
      this.report('claim', error);
    }
    // Meanwhile it may have been reset, or have gone on without leave.
    if (breaker.state !== 'half-open' || this.granted !== undefined) return;
    const until = this.now() + probeLeaseMs;
    this.granted = { until, fence: claim?.fence };
    if (claim === undefined) return;
    const snapshot = this.valid(claim.snapshot);
    if (snapshot?.state === 'closed') {
      breaker.adopt(snapshot, 'another process found it well');
      // Gives the leave back, if there is one.
      if (claim.granted) this.changed(breaker.snapshot());
    } else if (!claim.granted) {
      const left = (snapshot?.openUntil ?? 0) - breaker.settings.clock.wallNow();
      breaker.postpone(Math.min(Math.max(left, LOOK_AGAIN_MS), breaker.settings.maxOpenTimeoutMs));
      this.granted = undefined;
    }
  }

  private async save(): Promise<void> {
    this.saving = true;
    while (this.unsaved !== undefined) {
      const { snapshot, fence } = this.unsaved;
      this.unsaved = undefined;
      try {
        await this.inTime(() => this.store.save(this.key, snapshot, fence));
        this.health.worked();
      } catch (error) {
        this.report('save', error);
      }
    }
    this.saving = false;
  }

  private report(action: StoreEvent['action'], error: unknown): void {
    if (this.health.failed()) this.breaker.reportStore(action, error);
  }

  /** What the store answers; rejects if that takes too long. */
  private inTime<T>(ask: () => Promise<T> | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const late = new Error(`The store did not answer within ${GIVE_UP_MS} ms.`);
      const { clock } = this.breaker.settings;
      const timer = clock.setTimeout(() => reject(late), GIVE_UP_MS, { unref: true });
      new Promise<T>((done) => done(ask() as Promise<T>)).then(resolve, reject).finally(() => {
        timer.cancel();
      });
    });
  }

  /** Ends with the promise, or when a call has waited long enough. */
  private patiently(promise: Promise<void>): Promise<void> {
    return new Promise((resolve) => {
      const { clock } = this.breaker.settings;
      const timer = clock.setTimeout(() => resolve(), this.health.patienceMs);
      const done = (): void => {
        timer.cancel();
        resolve();
      };
      promise.then(done, done);
    });
  }
}

/** A refusal by who answers anything at all would keep the breaker open for ever. */
function read(claim: ProbeClaim | undefined): ProbeClaim {
  if (typeof claim?.granted === 'boolean') return claim;
  throw new Error('The store answered the claim of a probe with what is no answer to it.');
}
