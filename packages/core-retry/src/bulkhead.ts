import { BulkheadFullError } from './errors.js';
import {
  abortSignal,
  checkOptions,
  invalidOption,
  type Known,
  wholeNumber,
} from './options-check.js';
import { onAbort } from './signal-hub.js';

/** Options of a {@link Bulkhead}. */
export interface BulkheadOptions {
  /** So many operations at a time. */
  readonly maxConcurrent: number;
  /** So many more may wait for a slot; the next is refused. Default 0. */
  readonly maxQueued?: number;
}

/** How full a bulkhead is. */
export interface BulkheadStatus {
  readonly running: number;
  readonly queued: number;
  readonly maxConcurrent: number;
  readonly maxQueued: number;
  /** How many were refused since it was made. */
  readonly refused: number;
}

/** The checks of {@link BulkheadOptions}. */
export const BULKHEAD_OPTIONS: Known<BulkheadOptions> = {
  maxConcurrent: wholeNumber(1),
  maxQueued: wholeNumber(0),
};

/** Lets so many operations run at a time, so that one slow service cannot use up everything. */
export class Bulkhead {
  private readonly maxConcurrent: number;
  private readonly maxQueued: number;
  private running = 0;
  private refused = 0;
  // In order of arrival; who gave up is taken out at once, so that no slot is handed to nobody.
  private readonly queue = new Set<() => void>();

  /** @throws OptionError naming the option, the value and what is valid */
  constructor(options: BulkheadOptions) {
    checkOptions('Bulkhead', options, BULKHEAD_OPTIONS);
    if (options.maxConcurrent === undefined) {
      throw invalidOption('Bulkhead.maxConcurrent', undefined, 'a whole number, 1 or more');
    }
    this.maxConcurrent = options.maxConcurrent;
    this.maxQueued = options.maxQueued ?? 0;
  }

  /**
   * Calls `work` when there is a slot. An abort ends the wait for one; once `work` was called, it is its affair.
   *
   * @throws BulkheadFullError if the queue is full, the signal's reason, or what `work` threw; OptionError
   *   for a bad signal
   */
  async execute<T>(
    work: () => T | PromiseLike<T>,
    options?: { readonly signal?: AbortSignal },
  ): Promise<T> {
    const signal = options?.signal;
    if (signal !== undefined) {
      const valid = abortSignal(signal);
      if (valid !== undefined) throw invalidOption('signal', signal, valid);
      // Not throwIfAborted: a signal of another make may lack it.
      if (signal.aborted) throw signal.reason;
    }
    if (!this.tryEnter()) await this.enter(signal);
    try {
      // It may have been aborted between the slot and now.
      if (signal?.aborted === true) throw signal.reason;
      return await work();
    } finally {
      this.leave();
    }
  }

  status(): BulkheadStatus {
    const { running, maxConcurrent, maxQueued, refused } = this;
    return { running, queued: this.queue.size, maxConcurrent, maxQueued, refused };
  }

  /** Takes a slot if there is one; whoever has it must `leave()`. */
  tryEnter(): boolean {
    if (this.running >= this.maxConcurrent) return false;
    this.running += 1;
    return true;
  }

  /**
   * Waits for a slot.
   *
   * @throws BulkheadFullError, or the signal's reason
   */
  enter(signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    if (this.tryEnter()) return Promise.resolve();
    if (this.queue.size >= this.maxQueued) return Promise.reject(this.refusal());
    return new Promise((resolve, reject) => {
      let off: (() => void) | undefined;
      const next = (): void => {
        off?.();
        resolve();
      };
      this.queue.add(next);
      if (signal === undefined) return;
      off = onAbort(signal, (reason) => {
        this.queue.delete(next);
        reject(reason);
      });
    });
  }

  /** What a call that finds no place rejects with; counts it. */
  refusal(): BulkheadFullError {
    this.refused += 1;
    return new BulkheadFullError(this.maxConcurrent, this.maxQueued);
  }

  /** Gives a slot back, or on to who waits longest. */
  leave(): void {
    for (const next of this.queue) {
      this.queue.delete(next);
      next();
      return;
    }
    this.running -= 1;
  }
}
