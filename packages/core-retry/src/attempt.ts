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
  // Made when the signal is first read, or when the attempt is given up.
  private cancellation: Cancellation | undefined = undefined;

  constructor(number: number, deadlineAt: number, clock: Clock) {
    this.number = number;
    this.deadlineAt = deadlineAt;
    this.clock = clock;
  }

  get remainingMs(): number {
    return Math.max(0, this.deadlineAt - this.clock.now());
  }

  get signal(): AbortSignal {
    this.cancellation ??= { controller: undefined, reason: undefined };
    const { cancellation } = this;
    if (cancellation.controller === undefined) {
      cancellation.controller = new AbortController();
      if (cancellation.reason !== undefined) {
        cancellation.controller.abort(cancellation.reason.value);
      }
    }
    return cancellation.controller.signal;
  }

  /** The attempt is given up; whoever reads its signal is told, now or later. */
  abort(reason: unknown): void {
    this.cancellation ??= { controller: undefined, reason: undefined };
    const { cancellation } = this;
    if (cancellation.reason !== undefined) return;
    cancellation.reason = { value: reason };
    cancellation.controller?.abort(reason);
  }
}

interface Cancellation {
  controller: AbortController | undefined;
  reason: { readonly value: unknown } | undefined;
}
