import type { RetryPolicy } from '@outlast/core-retry';

const FIRST_DELAY_MS = 50;
const EAGER_MAX_DELAY_MS = 200;
const EAGER_FOR_MS = 30_000;
const SPREAD = 0.25;
// A connection that stood for so long was no part of a crash loop.
const STABLE_MS = 1000;

/**
 * Whether Redis can be reached, and when it is dialled next. ioredis reconnects for ever, one connection
 * at a time; this is its pace: 50 ms doubling to min(baseDelayMs, 200) for the first 30 s, then up to
 * baseDelayMs, ±25 %. A connection that does not last a second does not start the pace anew, so that a
 * server in a crash loop is dialled some five times a second.
 */
export class Outage {
  private readonly policy: RetryPolicy;
  private down: { readonly since: number; error: Error | undefined } | undefined;
  private dials = 0;
  private loopSince = 0;
  private readyAt = -Infinity;

  constructor(policy: RetryPolicy) {
    this.policy = policy;
  }

  get isDown(): boolean {
    return this.down !== undefined;
  }

  /** The latest error of connecting, while Redis cannot be reached. */
  get error(): Error | undefined {
    return this.down?.error;
  }

  /** A connection was lost, or did not come about; true if that begins an outage. */
  failed(error: Error | undefined): boolean {
    if (this.down !== undefined) {
      this.down.error = error ?? this.down.error;
      return false;
    }
    const { clock } = this.policy.settings;
    this.down = { since: clock.now(), error };
    const at = clock.wallNow();
    this.policy.emit({ type: 'down', operation: 'redis', at, since: at, error });
    return true;
  }

  /** Commands can be sent. Returns how long they could not, in milliseconds. */
  ready(): number {
    const { clock } = this.policy.settings;
    const { down } = this;
    this.readyAt = clock.now();
    if (down === undefined) return 0;
    this.down = undefined;
    const downMs = this.readyAt - down.since;
    this.policy.emit({ type: 'up', operation: 'redis', at: clock.wallNow(), downMs });
    return downMs;
  }

  /** The client was closed on purpose: that is no outage. */
  forget(): void {
    this.down = undefined;
  }

  /** Milliseconds until the next dial. */
  nextDelay(): number {
    const { clock, baseDelayMs, random } = this.policy.settings;
    const now = clock.now();
    if (now - this.readyAt > STABLE_MS && this.readyAt >= this.loopSince) {
      this.dials = 0;
      this.loopSince = now;
    }
    const eager = now - this.loopSince < EAGER_FOR_MS;
    const cap = Math.max(10, eager ? Math.min(baseDelayMs, EAGER_MAX_DELAY_MS) : baseDelayMs);
    const raw = Math.min(FIRST_DELAY_MS * 2 ** Math.min(this.dials, 30), cap);
    this.dials += 1;
    return Math.min(raw * (1 - SPREAD + 2 * SPREAD * random()), cap);
  }
}
