import { backoffDelay } from './backoff.js';
import type { BreakerSettings } from './breaker-options.js';
import type { BreakerSnapshot } from './breaker-store.js';
import { voteOf } from './breaker-vote.js';
import { type BreakerWindow, CountWindow, TimeWindow } from './breaker-window.js';
import {
  type BreakerEvent,
  type BreakerState,
  callHook,
  publish,
  type StoreEvent,
} from './events.js';
import type { Failure } from './failure.js';
import { redact } from './redact.js';

/** What joins a breaker to a store. */
export interface BreakerLink {
  /** What the next admission has to wait for, if anything. Bounded, and never rejects. */
  before(due: boolean): Promise<void> | undefined;
  /** A call failed and the breaker stayed closed: others may know more. */
  failing(): void;
  changed(snapshot: BreakerSnapshot): void;
}

export interface BreakerListener {
  readonly type: 'breaker' | 'store';
  readonly call: (event: never) => void;
}

/** The ticket of a call that is not admitted. Others: positive of a closed breaker, negative of a probe. */
export const REFUSED = 0;

// Rates are inclusive, and 0.07 · 100 is a little more than 7.
const ROUNDING = 1e-9;

/**
 * The state machine of a circuit breaker, as policies use it: a call is admitted with a ticket, and
 * gives it back with its vote. Without timers: states are decided from monotonic time when they are read.
 */
export class BreakerMachine {
  /** How events and errors call it. */
  readonly name: string;
  /** Options with every default filled in. */
  readonly settings: BreakerSettings;
  protected held: 'closed' | 'open' | 'half-open' = 'closed';
  protected failures = 0;
  protected successes = 0;
  protected openUntil = 0;
  protected openTimeoutMs: number;
  protected lastFailureAt: number | undefined = undefined;
  protected isolations = 0;
  protected readonly window: BreakerWindow | undefined;
  protected listeners: readonly BreakerListener[] | undefined = undefined;
  // Changes whenever results that are still to come must not vote any more.
  private generation = 1;
  private trips = 0;
  private inFlight = 0;
  private lastProbe = 0;
  /** Monotonic time at which the lease of each probe ends. */
  private probes: Map<number, number> | undefined = undefined;
  private link: BreakerLink | undefined = undefined;

  constructor(name: string, settings: BreakerSettings) {
    // Stands in events and messages.
    this.name = redact(name);
    this.settings = settings;
    this.openTimeoutMs = settings.resetTimeoutMs;
    const { windowCalls, windowMs } = settings;
    if (windowMs !== undefined) this.window = new TimeWindow(windowMs);
    else if (windowCalls !== undefined) this.window = new CountWindow(windowCalls);
    else this.window = undefined;
  }

  /** What it is now. An open breaker whose time is over reads `half-open`. */
  get state(): BreakerState {
    if (this.isolations > 0) return 'isolated';
    return this.due() ? 'half-open' : this.held;
  }

  /** Whether calls must be timed. */
  get timed(): boolean {
    return this.settings.slowCallMs !== Infinity;
  }

  /** No call is under way, and nothing would be lost with it. */
  get idle(): boolean {
    const { held, inFlight, isolations, failures, window } = this;
    if (held !== 'closed' || inFlight > 0 || isolations > 0 || failures > 0) return false;
    window?.expire(this.settings.clock.now());
    return window === undefined || window.failures + window.slow === 0;
  }

  /** Joins it to a store, and to listeners that it shares with others. */
  connect(link: BreakerLink | undefined, listeners: readonly BreakerListener[]): void {
    this.link = link;
    this.listeners = listeners;
  }

  /** What an admission has to wait for: the store, for a bounded time. */
  wait(): Promise<void> | undefined {
    return this.link?.before(this.isolations === 0 && this.due());
  }

  /** @returns a ticket, to be given back with the end of the call, or {@link REFUSED} */
  admit(): number {
    if (this.held === 'closed' && this.isolations === 0) {
      this.inFlight += 1;
      return this.generation;
    }
    return this.admitProbe();
  }

  succeeded(ticket: number, elapsedMs = 0): void {
    this.inFlight -= 1;
    if (ticket === this.generation) {
      this.failures = 0;
      if (this.window !== undefined) this.record(this.window, false, elapsedMs);
    } else if (ticket < 0) this.probed(ticket, true);
  }

  failed(ticket: number, elapsedMs = 0, retryAfterMs?: number): void {
    this.inFlight -= 1;
    if (ticket < 0) this.probed(ticket, false, retryAfterMs);
    // What began in an earlier life of the breaker says nothing of this one.
    if (ticket !== this.generation) return;
    this.noteFailure();
    if (this.window !== undefined) this.record(this.window, true, elapsedMs, retryAfterMs);
    if (this.held === 'open') return;
    if (this.failures >= this.settings.failureThreshold) {
      this.open(`${this.failures} consecutive failures`, retryAfterMs);
    } else this.link?.failing();
  }

  /** The call ended and has no vote. */
  released(ticket: number): void {
    this.inFlight -= 1;
    if (ticket < 0) this.probes?.delete(ticket);
  }

  /** A call that failed, as its policy understands it. */
  settle(ticket: number, failure: Failure, error: unknown, elapsedMs = 0): void {
    const vote = voteOf(failure, error);
    if (vote === 'success') this.succeeded(ticket, elapsedMs);
    else if (vote === 'failure') this.failed(ticket, elapsedMs, failure.retryAfterMs);
    else this.released(ticket);
  }

  /** Somebody knows that the service can be reached again: an open breaker may probe at once. */
  probeNow(): void {
    if (this.held === 'open') this.openUntil = this.settings.clock.now();
  }

  /** Another process has the probe: this one asks again later. */
  postpone(ms: number): void {
    if (this.held === 'open') this.openUntil = this.settings.clock.now() + ms;
  }

  /** Takes over what a store holds. */
  adopt(snapshot: BreakerSnapshot, reason: string): void {
    const from = this.told;
    this.restore(snapshot);
    this.report(from, reason);
  }

  /** Tells whoever listens that its store cannot be used. */
  reportStore(action: StoreEvent['action'], error: unknown): void {
    const at = this.settings.clock.wallNow();
    this.tell({ type: 'store', operation: this.name, at, action, error });
  }

  /** What is to be kept over a restart, as plain data. */
  snapshot(): BreakerSnapshot {
    const { clock } = this.settings;
    const savedAt = clock.wallNow();
    const open = this.held !== 'closed';
    const left = this.held === 'open' ? Math.max(0, this.openUntil - clock.now()) : 0;
    return {
      version: 1,
      state: open ? 'open' : 'closed',
      failures: this.failures,
      trips: this.trips,
      openTimeoutMs: this.openTimeoutMs,
      ...(open ? { openUntil: savedAt + left } : undefined),
      ...(this.lastFailureAt === undefined ? undefined : { lastFailureAt: this.lastFailureAt }),
      savedAt,
    };
  }

  /** The state as events tell it: one that is open stays so until a probe is admitted. */
  protected get told(): BreakerState {
    return this.isolations > 0 ? 'isolated' : this.held;
  }

  /** Whether it is open and its time is over. */
  protected due(): boolean {
    return this.held === 'open' && this.settings.clock.now() >= this.openUntil;
  }

  /** Probes whose lease has not ended; the others lose their place and their vote. */
  protected probing(now: number): number {
    if (this.probes === undefined) return 0;
    for (const [probe, leaseEndsAt] of this.probes) {
      if (leaseEndsAt <= now) this.probes.delete(probe);
    }
    return this.probes.size;
  }

  protected close(reason: string): void {
    const from = this.told;
    this.begin('closed');
    this.failures = 0;
    this.trips = 0;
    this.openTimeoutMs = this.settings.resetTimeoutMs;
    this.report(from, reason);
    this.link?.changed(this.snapshot());
  }

  /** Times are clamped: a clock may have been set, or the snapshot be another's. */
  protected restore(snapshot: BreakerSnapshot): void {
    const { clock, maxOpenTimeoutMs, resetTimeoutMs, failureThreshold } = this.settings;
    const open = snapshot.state === 'open';
    const openTimeoutMs = Math.max(1, Math.min(snapshot.openTimeoutMs, maxOpenTimeoutMs));
    const left = (snapshot.openUntil ?? 0) - clock.wallNow();
    this.begin(snapshot.state);
    this.openTimeoutMs = open ? openTimeoutMs : resetTimeoutMs;
    this.openUntil = clock.now() + Math.min(Math.max(0, left), openTimeoutMs);
    this.trips = open ? Math.max(1, snapshot.trips) : 0;
    this.failures = open ? snapshot.failures : Math.min(snapshot.failures, failureThreshold - 1);
    const { lastFailureAt } = snapshot;
    this.lastFailureAt =
      lastFailureAt === undefined ? undefined : Math.min(lastFailureAt, clock.wallNow());
  }

  /** Tells of a change, if it shows: below an isolation, it does not. */
  protected report(from: BreakerState, reason: string): void {
    const to = this.told;
    if (from === to) return;
    const at = this.settings.clock.wallNow();
    const opened = to === 'open' ? { openTimeoutMs: this.openTimeoutMs } : undefined;
    this.tell({ type: 'breaker', operation: this.name, at, from, to, reason, ...opened });
  }

  private admitProbe(): number {
    if (this.isolations > 0) return REFUSED;
    const { clock, halfOpenMaxCalls, probeLeaseMs } = this.settings;
    const now = clock.now();
    if (this.held === 'open') {
      if (now < this.openUntil) return REFUSED;
      this.begin('half-open');
      this.probes = new Map();
      this.report('open', 'the open time is over');
      // From the start, for a listener may have reset or isolated it, or had a probe of its own.
      return this.admit();
    }
    if (this.probing(now) >= halfOpenMaxCalls) return REFUSED;
    this.lastProbe -= 1;
    this.probes?.set(this.lastProbe, now + probeLeaseMs);
    this.inFlight += 1;
    return this.lastProbe;
  }

  private probed(ticket: number, well: boolean, retryAfterMs?: number): void {
    const leaseEndsAt = this.probes?.get(ticket);
    if (leaseEndsAt === undefined) return;
    this.probes?.delete(ticket);
    if (leaseEndsAt <= this.settings.clock.now()) return;
    if (!well) {
      this.noteFailure();
      this.open('a probe failed', retryAfterMs);
      return;
    }
    this.successes += 1;
    if (this.successes >= this.settings.successThreshold) this.close('probes succeeded');
  }

  private noteFailure(): void {
    this.failures += 1;
    this.lastFailureAt = this.settings.clock.wallNow();
  }

  private record(
    window: BreakerWindow,
    failed: boolean,
    elapsedMs: number,
    retryAfterMs?: number,
  ): void {
    const { settings } = this;
    window.record(failed, elapsedMs >= settings.slowCallMs, settings.clock.now());
    const { calls, failures, slow } = window;
    if (calls < settings.minimumCalls) return;
    if (failures + ROUNDING >= settings.failureRate * calls) {
      this.open(`${failures} of ${calls} calls failed`, retryAfterMs);
    } else if (slow + ROUNDING >= settings.slowCallRate * calls) {
      this.open(`${slow} of ${calls} calls were slow`, retryAfterMs);
    }
  }

  private open(reason: string, retryAfterMs = 0): void {
    const { settings } = this;
    const { resetTimeoutMs: baseDelayMs, maxOpenTimeoutMs: maxDelayMs, jitter } = settings;
    const backoffFactor = settings.openTimeoutIncrementFactor;
    const from = this.told;
    this.trips += 1;
    const backoff = backoffDelay(
      { baseDelayMs, maxDelayMs, backoffFactor, jitter },
      this.trips,
      this.openTimeoutMs,
      settings.random,
    );
    // A server that names a time knows best, within the bound; and jitter must not make it no time at all.
    const asked = retryAfterMs > 0 ? Math.min(retryAfterMs, maxDelayMs) : 0;
    this.openTimeoutMs = Math.max(1, backoff, asked);
    this.openUntil = settings.clock.now() + this.openTimeoutMs;
    this.begin('open');
    this.report(from, reason);
    this.link?.changed(this.snapshot());
  }

  /** Enters a state: what began before has no vote any more. */
  private begin(state: 'closed' | 'open' | 'half-open'): void {
    this.held = state;
    this.generation += 1;
    this.successes = 0;
    this.probes = undefined;
    this.window?.clear();
  }

  private tell(event: BreakerEvent | StoreEvent): void {
    untold.push([Object.freeze(event), this.listeners ?? []]);
    if (untold.length > 1) return;
    try {
      for (const [next, listeners] of untold) {
        for (const { type, call } of listeners) {
          if (type === next.type) callHook(call, next as never);
        }
        publish(next);
      }
    } finally {
      untold.length = 0;
    }
  }
}

// What a listener brings about is told after what it was told: everybody hears it in order.
const untold: (readonly [BreakerEvent | StoreEvent, readonly BreakerListener[]])[] = [];
