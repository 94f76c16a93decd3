import type { Clock, Timer } from './clock.js';

/** Something that ends at a time. Linked into its queue by the queue itself. */
export interface Expiring {
  /** Monotonic milliseconds. */
  readonly deadlineAt: number;
  previous: Expiring | undefined;
  next: Expiring | undefined;
  expire(): void;
}

/**
 * Deadlines of one length, in the order in which they were set, which is the order in which they end:
 * one timer serves them all. Setting and clearing a timer for each call would cost more than the call.
 *
 * The timer does not keep the process alive (nor does that of `AbortSignal.timeout`): what an attempt
 * waits for does. After the last call it may stay armed, unref'd, until the next deadline would be.
 */
export class DeadlineQueue {
  readonly clock: Clock;
  private first: Expiring | undefined;
  private last: Expiring | undefined;
  private timer: Timer | undefined;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  add(item: Expiring): void {
    item.previous = this.last;
    if (this.last === undefined) this.first = item;
    else this.last.next = item;
    this.last = item;
    if (this.timer === undefined) this.arm(item.deadlineAt);
  }

  remove(item: Expiring): void {
    if (item.previous === undefined) {
      if (this.first !== item) return;
      this.first = item.next;
    } else item.previous.next = item.next;
    if (item.next === undefined) this.last = item.previous;
    else item.next.previous = item.previous;
    item.previous = undefined;
    item.next = undefined;
  }

  /** Disarms the timer if nothing waits for it. */
  settle(): void {
    if (this.first !== undefined) return;
    this.timer?.cancel();
    this.timer = undefined;
  }

  private arm(at: number): void {
    const delay = Math.max(0, at - this.clock.now());
    this.timer = this.clock.setTimeout(() => this.fire(), delay, { unref: true });
  }

  private fire(): void {
    this.timer = undefined;
    const now = this.clock.now();
    while (this.first !== undefined && this.first.deadlineAt <= now) {
      const item = this.first;
      this.remove(item);
      item.expire();
    }
    if (this.first !== undefined && this.timer === undefined) this.arm(this.first.deadlineAt);
  }
}
