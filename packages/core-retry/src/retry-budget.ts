import { type Clock, systemClock } from './clock.js';
import { checkOptions, duration, fraction, isClock, type Known } from './options-check.js';

/** Options of a {@link RetryBudget}. */
export interface RetryBudgetOptions {
  /** Retries allowed for each first attempt within `ttlMs`. Default 0.2. */
  readonly ratio?: number;
  /** Retries allowed a second without any traffic. Default 10. */
  readonly minPerSecond?: number;
  /** How long a deposit counts, in milliseconds. Default 10 000. */
  readonly ttlMs?: number;
  readonly clock?: Clock;
}

const SLICES = 10;

/** The checks of {@link RetryBudgetOptions}. */
export const BUDGET_OPTIONS: Known<RetryBudgetOptions> = {
  ratio: fraction(0, 1000),
  minPerSecond: fraction(0, 1e6),
  ttlMs: duration({ min: 1 }),
  clock: isClock,
};

/**
 * A bound on retries in relation to traffic, so that retries cannot drown a service that is coming
 * back. First attempts deposit and never wait; a retry withdraws when it is decided on. The shape and
 * the figures are those of Finagle's RetryBudget: 20 % of the traffic plus 10 retries a second.
 */
export class RetryBudget {
  private readonly ratio: number;
  private readonly reserve: number;
  private readonly sliceMs: number;
  private readonly clock: Clock;
  // Deposits less withdrawals of each slice of the window; the oldest is forgotten as time goes on.
  private readonly slices = new Float64Array(SLICES);
  private current = 0;
  private currentEndsAt: number;
  private denied = 0;

  constructor(options: RetryBudgetOptions = {}) {
    checkOptions('RetryBudget', options, BUDGET_OPTIONS);
    const ttlMs = options.ttlMs ?? 10_000;
    this.ratio = options.ratio ?? 0.2;
    this.reserve = ((options.minPerSecond ?? 10) * ttlMs) / 1000;
    this.sliceMs = ttlMs / SLICES;
    this.clock = options.clock ?? systemClock;
    this.currentEndsAt = this.clock.now() + this.sliceMs;
  }

  /** Counts a first attempt. @param now monotonic milliseconds, if the caller has just read them */
  deposit(now: number = this.clock.now()): void {
    if (now >= this.currentEndsAt) this.advance(now);
    this.slices[this.current] = (this.slices[this.current] as number) + this.ratio;
  }

  /** Takes the price of one retry; false if the budget is spent. */
  withdraw(): boolean {
    if (this.balance() < 1) {
      this.denied += 1;
      return false;
    }
    this.slices[this.current] = (this.slices[this.current] as number) - 1;
    return true;
  }

  status(): { readonly balance: number; readonly denied: number } {
    return { balance: Math.floor(this.balance()), denied: this.denied };
  }

  private balance(): number {
    const now = this.clock.now();
    if (now >= this.currentEndsAt) this.advance(now);
    let sum = this.reserve;
    for (const slice of this.slices) sum += slice;
    // Sums of 0.2 stray from whole numbers by some 1e-16 each.
    return sum + 1e-9;
  }

  private advance(now: number): void {
    const steps = 1 + Math.floor((now - this.currentEndsAt) / this.sliceMs);
    if (steps >= SLICES) this.slices.fill(0);
    for (let i = 0; i < Math.min(steps, SLICES); i++) {
      this.current = (this.current + 1) % SLICES;
      this.slices[this.current] = 0;
    }
    this.currentEndsAt += steps * this.sliceMs;
  }
}
