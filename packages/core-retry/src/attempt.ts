import type { Clock } from './clock.js';
import type { Phase } from './failure.js';
import { markSequence } from './marks.js';

/** One call of the operation. */
export interface Attempt {
  /** From 1. */
  readonly number: number;
  /** Aborted when the attempt is given up: by time, by the caller, by a deadline. Made when first read. */
  readonly signal: AbortSignal;
  /** Until the deadline of the whole operation; Infinity without one. */
  readonly remainingMs: number;
  /** How far the attempt has come; a connector moves it on. `sent` if nobody ever does. */
  phase: Phase;
}

export class AttemptState implements Attempt {
  phase: Phase = 'sent';
  /** Marks made from here on belong to what ran inside this attempt. */
  readonly since: number = markSequence();
  readonly number: number;
  private readonly clock: Clock;
  /** Monotonic milliseconds; Infinity for none. */
  readonly deadlineAt: number;
  private controller: AbortController | undefined;
  private reason: { readonly value: unknown } | undefined;

  constructor(number: number, deadlineAt: number, clock: Clock) {
    this.number = number;
    this.deadlineAt = deadlineAt;
    this.clock = clock;
  }

  get remainingMs(): number {
    return Math.max(0, this.deadlineAt - this.clock.now());
  }

  get signal(): AbortSignal {
    if (this.controller === undefined) {
      this.controller = new AbortController();
      if (this.reason !== undefined) this.controller.abort(this.reason.value);
    }
    return this.controller.signal;
  }

  /** The attempt is given up; whoever reads its signal is told, now or later. */
  abort(reason: unknown): void {
    if (this.reason !== undefined) return;
    this.reason = { value: reason };
    this.controller?.abort(reason);
  }
}
