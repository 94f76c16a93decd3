/** Completed calls of the recent past. Pure counting: it knows neither states nor thresholds. */
export interface BreakerWindow {
  /** @param now monotonic milliseconds; only a window of time looks at it */
  record(failed: boolean, slow: boolean, now: number): void;
  /** Forgets what has left the window by now. */
  expire(now: number): void;
  clear(): void;
  readonly calls: number;
  readonly failures: number;
  readonly slow: number;
}

const FAILED = 1;
const SLOW = 2;

/** The latest `size` calls. */
export class CountWindow implements BreakerWindow {
  calls = 0;
  failures = 0;
  slow = 0;
  private readonly ring: Uint8Array;
  private next = 0;

  constructor(size: number) {
    this.ring = new Uint8Array(size);
  }

  record(failed: boolean, slow: boolean): void {
    const { ring } = this;
    if (this.calls < ring.length) this.calls += 1;
    else this.drop(ring[this.next] as number);
    ring[this.next] = (failed ? FAILED : 0) | (slow ? SLOW : 0);
    if (failed) this.failures += 1;
    if (slow) this.slow += 1;
    this.next = this.next + 1 === ring.length ? 0 : this.next + 1;
  }

  expire(): void {}

  clear(): void {
    this.calls = 0;
    this.failures = 0;
    this.slow = 0;
    this.next = 0;
  }

  private drop(entry: number): void {
    if ((entry & FAILED) !== 0) this.failures -= 1;
    if ((entry & SLOW) !== 0) this.slow -= 1;
  }
}

const SLICES = 10;

/** The calls of the latest `windowMs`, in ten slices: one is forgotten at a time. */
export class TimeWindow implements BreakerWindow {
  calls = 0;
  failures = 0;
  slow = 0;
  private readonly sliceMs: number;
  // Three counts a slice: calls, failures, slow calls.
  private readonly counts = new Float64Array(SLICES * 3);
  private current = 0;
  private currentEndsAt = -Infinity;

  constructor(windowMs: number) {
    this.sliceMs = windowMs / SLICES;
  }

  record(failed: boolean, slow: boolean, now: number): void {
    this.expire(now);
    const { counts } = this;
    const at = this.current * 3;
    counts[at] = (counts[at] as number) + 1;
    this.calls += 1;
    if (failed) {
      counts[at + 1] = (counts[at + 1] as number) + 1;
      this.failures += 1;
    }
    if (slow) {
      counts[at + 2] = (counts[at + 2] as number) + 1;
      this.slow += 1;
    }
  }

  expire(now: number): void {
    if (now < this.currentEndsAt) return;
    const steps = 1 + Math.floor((now - this.currentEndsAt) / this.sliceMs);
    // The first call of all, or one after a long silence.
    if (!(steps < SLICES)) {
      this.clear();
      this.currentEndsAt = now + this.sliceMs;
      return;
    }
    for (let i = 0; i < steps; i++) this.advance();
    this.currentEndsAt += steps * this.sliceMs;
  }

  clear(): void {
    this.calls = 0;
    this.failures = 0;
    this.slow = 0;
    this.counts.fill(0);
  }

  private advance(): void {
    const { counts } = this;
    this.current = (this.current + 1) % SLICES;
    const at = this.current * 3;
    this.calls -= counts[at] as number;
    this.failures -= counts[at + 1] as number;
    this.slow -= counts[at + 2] as number;
    counts.fill(0, at, at + 3);
  }
}
