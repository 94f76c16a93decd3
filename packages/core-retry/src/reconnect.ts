import type { Clock, Timer } from './clock.js';
import { ClosedError } from './errors.js';
import { markCall } from './marks.js';
import type { RetryPolicy } from './retry-policy.js';
import { onAbort } from './signal-hub.js';
import { SlowStart } from './slow-start.js';

const FIRST_DELAY_MS = 50;
const EAGER_MAX_DELAY_MS = 200;
const EAGER_FOR_MS = 30_000;
const SHORTEST_DELAY_MS = 10;
const SPREAD = 0.25;
const SILENCE_MS = 250;
const MAX_PROBES_IN_FLIGHT = 3;

export interface ReconnectOptions {
  /** The service as messages and events name it, e.g. `pg`. */
  readonly service: string;
  /** Makes one acceptable connection, or rejects; must be bounded in time. */
  readonly probe: () => Promise<void>;
  /** Whether an error of a probe is final (a wrong password): it is then everybody's. */
  readonly isPermanent: (error: unknown) => boolean;
  /** Whose clock and random are used, and whose listeners hear `down` and `up`. */
  readonly policy: RetryPolicy;
}

/** How long an operation may still wait for its service, in milliseconds; shared by its attempts. */
export interface Patience {
  leftMs: number;
}

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  readonly since: number;
  timer: Timer | undefined;
  unwatch: (() => void) | undefined;
}

/**
 * One reconnect loop a client. While its service cannot be reached operations wait here instead of
 * dialling each for itself; the first acceptable connection wakes them all. The loop lives only while
 * somebody waits: probes from 50 ms doubling to min(baseDelayMs, 200) for the first 30 s, then up to
 * baseDelayMs, ±25 %.
 */
export class Reconnect {
  /** Staggers what is opened after an outage. */
  readonly slowStart: SlowStart;
  private readonly options: ReconnectOptions;
  private readonly clock: Clock;
  private readonly waiters = new Set<Waiter>();
  private outage: { readonly since: number; error: unknown } | undefined;
  private loopSince = 0;
  private probes = 0;
  private inFlight = 0;
  private timer: Timer | undefined;
  // Runs out when the probe that was launched last has been silent for too long.
  private silence: Timer | undefined;
  // What a probe reports that was launched before the service came back is stale.
  private outages = 0;
  private closed: ClosedError | undefined;

  constructor(options: ReconnectOptions) {
    this.options = options;
    this.clock = options.policy.settings.clock;
    this.slowStart = new SlowStart(this.clock);
  }

  /** The latest connect error while the service cannot be reached; undefined while it can. */
  get down(): { readonly error: unknown } | undefined {
    return this.outage;
  }

  /** How many operations wait. */
  get waiting(): number {
    return this.waiters.size;
  }

  /** A connect failed in a way that may pass. */
  failed(error: unknown): void {
    if (this.outage !== undefined) {
      this.outage.error = error;
      return;
    }
    this.outage = { since: this.clock.now(), error };
    const at = this.clock.wallNow();
    this.options.policy.emit({
      type: 'down',
      operation: this.options.service,
      at,
      since: at,
      error,
    });
  }

  /** A connect worked: the service is there. */
  succeeded(): void {
    const { outage } = this;
    if (outage === undefined) return;
    this.outage = undefined;
    this.outages += 1;
    this.stopLoop();
    this.slowStart.begin();
    // Who has just been reached need not be waited for any longer.
    this.options.policy.settings.breaker?.probeNow();
    this.options.policy.emit({
      type: 'up',
      operation: this.options.service,
      at: this.clock.wallNow(),
      downMs: this.clock.now() - outage.since,
    });
    for (const waiter of [...this.waiters]) this.settle(waiter, waiter.resolve);
  }

  /**
   * Waits until the service can be reached, at most `limitMs`; then rejects with the latest connect
   * error, marked as exhausted and not applied. Rejects with the signal's reason when it aborts.
   */
  wait(limitMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.closed !== undefined) return reject(this.closed);
      if (this.outage === undefined) return resolve();
      if (signal?.aborted) return reject(signal.reason);
      const now = this.clock.now();
      const waiter: Waiter = { resolve, reject, since: now, timer: undefined, unwatch: undefined };
      if (limitMs <= 0) return this.giveUp(waiter);
      if (this.waiters.size === 0) this.startLoop();
      this.waiters.add(waiter);
      if (limitMs !== Infinity) {
        waiter.timer = this.clock.setTimeout(() => this.giveUp(waiter), limitMs);
      }
      if (signal !== undefined) {
        waiter.unwatch = onAbort(signal, (reason) => this.settle(waiter, () => reject(reason)));
      }
    });
  }

  /** As {@link wait}, for as long as patience lasts; takes off what was waited. */
  async spend(patience: Patience, signal?: AbortSignal): Promise<void> {
    const start = this.clock.now();
    try {
      await this.wait(patience.leftMs, signal);
    } finally {
      patience.leftMs = Math.max(0, patience.leftMs - (this.clock.now() - start));
    }
  }

  /** Rejects who waits, and who will. */
  close(error: ClosedError = new ClosedError('The client')): void {
    this.closed = error;
    this.stopLoop();
    for (const waiter of [...this.waiters]) this.settle(waiter, () => waiter.reject(error));
  }

  private giveUp(waiter: Waiter): void {
    const call = {
      operation: `${this.options.service}.connect`,
      attempts: this.probes,
      elapsedMs: this.clock.now() - waiter.since,
      reason: 'exhausted',
      outcome: 'not-applied',
    } as const;
    const error = markCall(this.outage?.error, call, this, waiter);
    this.settle(waiter, () => waiter.reject(error));
  }

  private settle(waiter: Waiter, how: () => void): void {
    this.waiters.delete(waiter);
    waiter.timer?.cancel();
    waiter.unwatch?.();
    if (this.waiters.size === 0) this.stopLoop();
    how();
  }

  private startLoop(): void {
    this.loopSince = this.clock.now();
    this.probes = 0;
    this.timer = this.clock.setTimeout(() => this.launch(), this.delay());
  }

  private stopLoop(): void {
    this.timer?.cancel();
    this.timer = undefined;
    this.silence?.cancel();
    this.silence = undefined;
  }

  private schedule(): void {
    if (this.waiters.size === 0 || this.timer !== undefined) return;
    this.timer = this.clock.setTimeout(() => this.launch(), this.delay());
  }

  private delay(): number {
    const { baseDelayMs, random } = this.options.policy.settings;
    const eager = this.clock.now() - this.loopSince < EAGER_FOR_MS;
    const cap = Math.max(
      SHORTEST_DELAY_MS,
      eager ? Math.min(baseDelayMs, EAGER_MAX_DELAY_MS) : baseDelayMs,
    );
    const raw = Math.min(FIRST_DELAY_MS * 2 ** Math.min(this.probes, 30), cap);
    return Math.min(raw * (1 - SPREAD + 2 * SPREAD * random()), cap);
  }

  private launch(): void {
    this.timer = undefined;
    // One of those in flight goes on with the loop when it ends.
    if (this.inFlight >= MAX_PROBES_IN_FLIGHT) return;
    this.probes += 1;
    this.inFlight += 1;
    // Silence holds up the loop for so long and no longer.
    this.silence?.cancel();
    const silence = this.clock.setTimeout(() => this.schedule(), SILENCE_MS);
    this.silence = silence;
    const { outages } = this;
    const ended = (): void => {
      this.inFlight -= 1;
      silence.cancel();
    };
    // A probe that throws instead of rejecting must not end the process.
    new Promise<void>((resolve) => resolve(this.options.probe())).then(
      () => {
        ended();
        this.succeeded();
      },
      (error: unknown) => {
        ended();
        if (outages !== this.outages) return this.schedule();
        if (this.options.isPermanent(error)) return this.refuse(error);
        this.failed(error);
        this.schedule();
      },
    );
  }

  /** The service answers, and its answer is no. */
  private refuse(error: unknown): void {
    const refused = [...this.waiters];
    this.waiters.clear();
    this.succeeded();
    for (const waiter of refused) this.settle(waiter, () => waiter.reject(error));
  }
}
