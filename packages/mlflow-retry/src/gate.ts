import type { Clock, Timer } from '@outlast/core-retry';
import { onAbort, type SlowStart } from '@outlast/core-retry/connector';

interface Waiter {
  readonly admit: () => void;
  readonly refuse: (reason: unknown) => void;
}

/**
 * Bounds the calls that are under way to one server: MLflow answers more than its pool of connections holds
 * with errors of its own making. After an outage they become as many again step by step, and with them the
 * connections.
 */
export class Gate {
  private readonly maxConcurrent: number;
  private readonly slowStart: SlowStart;
  private readonly clock: Clock;
  private readonly waiters = new Set<Waiter>();
  private running = 0;
  /** How many may run, until the slow start is over. */
  private allowed = Infinity;
  private timer: Timer | undefined;

  constructor(maxConcurrent: number, slowStart: SlowStart, clock: Clock) {
    this.maxConcurrent = maxConcurrent;
    this.slowStart = slowStart;
    this.clock = clock;
  }

  /** How many calls are under way, and how many wait for their turn. */
  get load(): { readonly running: number; readonly waiting: number } {
    return { running: this.running, waiting: this.waiters.size };
  }

  /** The server is back: there is one connection, the one that found it. */
  begin(): void {
    this.allowed = Math.max(1, this.running);
    this.admitWaiting();
  }

  /** Waits for a turn; whoever got one must `leave()`. Rejects with the signal's reason. */
  enter(signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.waiters.size === 0 && this.mayRun()) {
      this.running += 1;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const off = signal && onAbort(signal, (reason) => waiter.refuse(reason));
      const settle = (): void => {
        this.waiters.delete(waiter);
        off?.();
      };
      const waiter: Waiter = {
        admit: () => {
          settle();
          this.running += 1;
          resolve();
        },
        refuse: (reason) => {
          settle();
          reject(reason);
        },
      };
      this.waiters.add(waiter);
    });
  }

  leave(): void {
    this.running -= 1;
    this.admitWaiting();
  }

  /** Refuses who waits. */
  close(reason: unknown): void {
    this.timer?.cancel();
    this.timer = undefined;
    for (const waiter of [...this.waiters]) waiter.refuse(reason);
  }

  private admitWaiting(): void {
    for (const waiter of [...this.waiters]) {
      if (!this.mayRun()) return;
      waiter.admit();
    }
  }

  private mayRun(): boolean {
    if (this.running >= this.maxConcurrent) return false;
    if (this.running < this.allowed) return true;
    const waitMs = this.slowStart.admit();
    if (waitMs === 0) {
      this.allowed += 1;
      return true;
    }
    this.timer ??= this.clock.setTimeout(() => {
      this.timer = undefined;
      this.admitWaiting();
    }, waitMs);
    return false;
  }
}
