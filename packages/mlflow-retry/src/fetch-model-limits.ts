import { type Clock, DeadlineExceededError, isDeadlineExceededError } from '@outlast/core-retry';
import { markCall, onAbort } from '@outlast/core-retry/connector';

const OPERATION = 'mlflow.fetchModel';

/** What may end a fetch before it is done: its caller's signal, and its time. */
export class FetchLimits {
  /** Aborts with the caller's reason, or with a `DeadlineExceededError`; undefined if nothing ends it. */
  readonly signal: AbortSignal | undefined;
  readonly #clock: Clock;
  readonly #totalTimeoutMs: number;
  readonly #since: number;
  readonly #stop: () => void;
  #late: unknown;

  /** @param totalTimeoutMs of everything together; Infinity is none */
  constructor(clock: Clock, totalTimeoutMs: number, signal: AbortSignal | undefined) {
    this.#clock = clock;
    this.#totalTimeoutMs = totalTimeoutMs;
    this.#since = clock.now();
    if (totalTimeoutMs === Infinity) {
      this.signal = signal;
      this.#stop = () => {};
      return;
    }
    const controller = new AbortController();
    this.signal = controller.signal;
    // Not AbortSignal.any() and .timeout(), which were seen not to fire on Node 20.
    const off = signal && onAbort(signal, (reason) => controller.abort(reason));
    const late = (): void => controller.abort(this.#exceeded());
    const timer = clock.setTimeout(late, totalTimeoutMs, { unref: true });
    this.#stop = () => {
      off?.();
      timer.cancel();
    };
  }

  /** What is left to one of its steps, which then need not begin a delay that would be too long. */
  get leftMs(): number {
    return Math.max(1, this.#totalTimeoutMs - this.#elapsedMs);
  }

  /** What surfaces: a step knows only of the time that was left to it. */
  named(error: unknown): unknown {
    if (this.#totalTimeoutMs === Infinity || !isDeadlineExceededError(error)) return error;
    const call = {
      operation: OPERATION,
      elapsedMs: this.#elapsedMs,
      reason: 'deadline',
      // It only reads.
      outcome: 'not-applied',
    } as const;
    this.#late ??= markCall(this.#exceeded(), call, this);
    return this.#late;
  }

  /** The fetch has ended: nothing is left behind. */
  end(): void {
    this.#stop();
  }

  get #elapsedMs(): number {
    return this.#clock.now() - this.#since;
  }

  #exceeded(): DeadlineExceededError {
    return new DeadlineExceededError(OPERATION, this.#totalTimeoutMs);
  }
}
