import type { Clock, Timer } from './clock.js';
import type { RetryPolicy } from './retry-policy.js';

interface ManualTimer extends Timer {
  readonly at: number;
  readonly order: number;
  readonly fn: () => void;
}

/** A clock that stands still until it is moved: for tests that assert delays, not elapsed time. */
export class ManualClock implements Clock {
  private time: number;
  private readonly wallOffset: number;
  private readonly timers = new Set<ManualTimer>();
  private order = 0;

  /** @param startMs what `now()` says first @param wallMs what `wallNow()` says first */
  constructor(startMs = 0, wallMs: number = Date.UTC(2026, 0, 1)) {
    this.time = startMs;
    this.wallOffset = wallMs - startMs;
  }

  now(): number {
    return this.time;
  }

  wallNow(): number {
    return this.time + this.wallOffset;
  }

  setTimeout(fn: () => void, ms: number): Timer {
    this.order += 1;
    const timer: ManualTimer = {
      at: this.time + ms,
      order: this.order,
      fn,
      cancel: () => this.timers.delete(timer),
    };
    this.timers.add(timer);
    return timer;
  }

  /** Moves time on without firing timers, as a thread that is blocked would see it. */
  sleepSync(ms: number): void {
    this.time += ms;
  }

  /** Timers that have neither fired nor been cancelled. */
  get pending(): number {
    return this.timers.size;
  }

  /** Moves time on, firing timers in order and letting promises settle in between. */
  async advance(ms: number): Promise<void> {
    const end = this.time + ms;
    await flush();
    for (let timer = this.nextUntil(end); timer !== undefined; timer = this.nextUntil(end)) {
      this.timers.delete(timer);
      this.time = Math.max(this.time, timer.at);
      timer.fn();
      await flush();
    }
    this.time = end;
    await flush();
  }

  /** Fires timers, however far off, until the promise settles; gives up after `limit` of them. */
  async runUntilSettled<T>(promise: PromiseLike<T>, limit = 10_000): Promise<T> {
    let settled = false;
    const done = (): void => {
      settled = true;
    };
    Promise.resolve(promise).then(done, done);
    await flush();
    for (let fired = 0; !settled && fired < limit; fired++) {
      const timer = this.nextUntil(Infinity);
      if (timer === undefined) break;
      await this.advance(timer.at - this.time);
    }
    if (!settled)
      throw new Error('The promise waits for something that is not a timer of this clock.');
    return promise;
  }

  private nextUntil(end: number): ManualTimer | undefined {
    let next: ManualTimer | undefined;
    for (const timer of this.timers) {
      const sooner =
        next === undefined ||
        timer.at < next.at ||
        (timer.at === next.at && timer.order < next.order);
      if (timer.at <= end && sooner) next = timer;
    }
    return next;
  }
}

// A turn of the event loop runs every promise reaction that is due, however deep the chain.
function flush(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** A function that fails the given number of times, or with the given errors in turn, then returns `value`. */
export function failTimes<T>(
  failures: number | readonly unknown[],
  value: T,
): (() => Promise<T>) & { readonly calls: number } {
  const errors =
    typeof failures === 'number'
      ? Array.from({ length: failures }, (_, i) => new Error(`scripted failure ${i + 1}`))
      : failures;
  let calls = 0;
  const work = async (): Promise<T> => {
    calls += 1;
    if (calls <= errors.length) throw errors[calls - 1];
    return value;
  };
  return Object.defineProperty(work, 'calls', { get: () => calls }) as typeof work & {
    readonly calls: number;
  };
}

/** Collects the delays that a policy sleeps, in milliseconds, as they are decided. */
export function recordDelays(policy: RetryPolicy): readonly number[] {
  const delays: number[] = [];
  policy.on('retry', (event) => delays.push(event.delayMs));
  return delays;
}
