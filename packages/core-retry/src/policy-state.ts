import type { BoundedHost } from './bounded-execution.js';
import { DeadlineQueue } from './deadline.js';
import { ClosedError } from './errors.js';
import { Emitter } from './events.js';
import type { Sleeper } from './operation.js';
import type { Settings } from './options.js';

/** What all calls of one policy, or of all policies of a manager, share. */
export class PolicyState implements BoundedHost {
  readonly emitter: Emitter = new Emitter();
  readonly sleeping: Set<Sleeper> = new Set();
  readonly deadlines: DeadlineQueue;
  readonly deadlineMs: number;
  closed = false;
  private readonly what: string;

  /** @param what how `ClosedError` names it */
  constructor(settings: Settings, what: string) {
    this.deadlines = new DeadlineQueue(settings.clock);
    this.deadlineMs = settings.totalTimeoutMs;
    this.what = what;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.deadlines.settle();
    for (const sleeper of [...this.sleeping]) sleeper.wake(this.closedError());
  }

  closedError(): ClosedError {
    return new ClosedError(this.what);
  }
}
