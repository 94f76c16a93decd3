import { BreakerMachine, REFUSED } from './breaker-machine.js';
import {
  type BreakerSettings,
  type CircuitBreakerOptions,
  resolveBreaker,
} from './breaker-options.js';
import { CircuitOpenError, circuitOpenMessage } from './errors.js';
import { type BreakerEvent, type BreakerState, quiet, type StoreEvent } from './events.js';
import type { Failure } from './failure.js';
import { abortSignal, invalidOption, oneOf } from './options-check.js';
import { onAbort } from './signal-hub.js';

/** What a breaker looks like, as plain data. Times of day are milliseconds since 1970. */
export interface BreakerStatus {
  readonly state: BreakerState;
  /** Failures in a row, or in the window if it has one. */
  readonly failures: number;
  /** Probes that succeeded since it became half-open. */
  readonly successes: number;
  readonly lastFailureAt?: number;
  readonly openUntil?: number;
  /** How long it stays open, this time or the next. */
  readonly openTimeoutMs: number;
  /** Probes under way. */
  readonly halfOpenCalls: number;
  /** Until it admits a probe, in milliseconds. */
  readonly retryAfterMs?: number;
}

/** One admitted call, for streams and callbacks: say how it ended, once. */
export interface BreakerPermit {
  success(): void;
  failure(error: unknown): void;
  /** It ended and says nothing of the service: it was cancelled, for one. */
  release(): void;
}

/**
 * Stops calling a service that fails, and finds out with single probes when it is well again.
 * A breaker may be shared: by policies, or by whatever calls the same service.
 */
export class CircuitBreaker extends BreakerMachine {
  private message: string | undefined = undefined;

  /**
   * @param settings resolved already: a registry's breakers share them
   * @throws OptionError naming the option, the value and what is valid
   */
  constructor(options: CircuitBreakerOptions = {}, settings?: BreakerSettings) {
    super(options?.name ?? 'breaker', settings ?? resolveBreaker('', options));
    if (options.snapshot !== undefined) this.restore(options.snapshot);
  }

  /**
   * Calls `work` if the breaker is not open, and votes on how it ends.
   *
   * @throws CircuitOpenError, the signal's reason, or what `work` threw; OptionError for a bad signal
   */
  execute<T>(
    work: () => T | PromiseLike<T>,
    options?: { readonly signal?: AbortSignal },
  ): Promise<T> {
    const wait = this.wait();
    if (wait !== undefined || options?.signal !== undefined) {
      return this.executeWatched(work, options?.signal, wait);
    }
    const ticket = this.admit();
    return ticket === REFUSED ? Promise.reject(this.refusal()) : this.run(work, ticket);
  }

  /** How it stands, for a health page. */
  status(): BreakerStatus {
    const { clock } = this.settings;
    const now = clock.now();
    const retryAfterMs = this.untilProbe(now);
    this.window?.expire(now);
    return {
      state: this.state,
      failures: this.window?.failures ?? this.failures,
      successes: this.successes,
      ...(this.lastFailureAt === undefined ? undefined : { lastFailureAt: this.lastFailureAt }),
      ...(retryAfterMs === undefined
        ? undefined
        : { openUntil: clock.wallNow() + retryAfterMs, retryAfterMs }),
      openTimeoutMs: this.openTimeoutMs,
      halfOpenCalls: this.probing(now),
    };
  }

  /** Keeps it open until the returned disposable is disposed of; many may do so at once. */
  isolate(): Disposable & { dispose(): void } {
    const from = this.told;
    this.isolations += 1;
    this.report(from, 'isolated by hand');
    let held = true;
    const dispose = (): void => {
      if (!held) return;
      held = false;
      this.isolations -= 1;
      this.report('isolated', 'no longer isolated');
    };
    return { dispose, [Symbol.dispose]: dispose };
  }

  /** Closes it and forgets what was counted; an isolation stays. */
  reset(): void {
    this.close('reset');
  }

  /**
   * Listens to changes of state (`breaker`), or to troubles with its store (`store`).
   *
   * @returns how to stop listening
   */
  on<T extends 'breaker' | 'store'>(
    type: T,
    listener: (event: T extends 'breaker' ? BreakerEvent : StoreEvent) => void,
  ): () => void {
    const valid = oneOf('breaker', 'store')(type);
    if (valid !== undefined) throw invalidOption('type', type, valid);
    if (typeof listener !== 'function') throw invalidOption('listener', listener, 'a function');
    const entry = { type, call: listener as (event: never) => void };
    this.listeners = [...(this.listeners ?? []), entry];
    return () => {
      this.listeners = this.listeners?.filter((other) => other !== entry);
    };
  }

  /**
   * Admission by hand, for streams and callbacks. Does not wait for a store.
   *
   * @throws CircuitOpenError
   */
  acquire(): BreakerPermit {
    const ticket = this.admit();
    if (ticket === REFUSED) throw this.refusal();
    const { clock } = this.settings;
    const start = clock.now();
    let open = true;
    const once = (end: (elapsedMs: number) => void): void => {
      if (!open) return;
      open = false;
      end(clock.now() - start);
    };
    return {
      success: () => once((elapsedMs) => this.succeeded(ticket, elapsedMs)),
      failure: (error) => once((elapsedMs) => this.thrown(ticket, error, elapsedMs)),
      release: () => once(() => this.released(ticket)),
    };
  }

  /** What a call that is not admitted rejects with; cheap, for it has no stack. */
  refusal(): CircuitOpenError {
    this.message ??= circuitOpenMessage(this.name);
    return new CircuitOpenError(
      this.name,
      this.untilProbe(this.settings.clock.now()),
      this.message,
    );
  }

  /** Undefined while it is closed or half-open, and while nobody knows. */
  private untilProbe(now: number): number | undefined {
    if (this.held !== 'open' || this.isolations > 0) return undefined;
    return Math.max(0, this.openUntil - now);
  }

  private async run<T>(work: () => T | PromiseLike<T>, ticket: number): Promise<T> {
    const { timed } = this;
    const { clock } = this.settings;
    const start = timed ? clock.now() : 0;
    try {
      const value = await work();
      this.succeeded(ticket, timed ? clock.now() - start : 0);
      return value;
    } catch (error) {
      this.thrown(ticket, error, timed ? clock.now() - start : 0);
      throw error;
    }
  }

  private async executeWatched<T>(
    work: () => T | PromiseLike<T>,
    signal: AbortSignal | undefined,
    wait: Promise<void> | undefined,
  ): Promise<T> {
    const valid = signal === undefined ? undefined : abortSignal(signal);
    if (valid !== undefined) throw invalidOption('signal', signal, valid);
    // Not throwIfAborted: a signal of another make may lack it.
    if (signal?.aborted) throw signal.reason;
    if (wait !== undefined) await (signal === undefined ? wait : unlessAborted(wait, signal));
    const ticket = this.admit();
    if (ticket === REFUSED) throw this.refusal();
    if (signal === undefined) return await this.run(work, ticket);
    // A listener may have aborted.
    if (signal.aborted) {
      this.released(ticket);
      throw signal.reason;
    }
    return await this.race(work, signal, ticket);
  }

  /** The caller is answered at once when he aborts, and the call has no vote. */
  private race<T>(work: () => T | PromiseLike<T>, signal: AbortSignal, ticket: number): Promise<T> {
    const { clock } = this.settings;
    const start = clock.now();
    return new Promise((resolve, reject) => {
      let open = true;
      const settle = (end: () => void): void => {
        if (!open) return;
        open = false;
        off();
        end();
      };
      const off = onAbort(signal, (reason) =>
        settle(() => {
          this.released(ticket);
          reject(reason);
        }),
      );
      new Promise<T>((done) => done(work())).then(
        (value) =>
          settle(() => {
            this.succeeded(ticket, clock.now() - start);
            resolve(value);
          }),
        (error: unknown) =>
          settle(() => {
            this.thrown(ticket, error, clock.now() - start);
            reject(error);
          }),
      );
    });
  }

  private thrown(ticket: number, error: unknown, elapsedMs: number): void {
    let failure: Failure = { category: 'unknown', transient: true, outcome: 'unknown' };
    try {
      failure = { ...failure, ...quiet(this.settings.classify(error, 'sent')) };
    } catch {
      // A classifier that fails, or answers nothing, knows nothing of the error.
    }
    this.settle(ticket, failure, error, elapsedMs);
  }
}

/** What `wait` waits for, or the reason of the signal if that comes first. */
function unlessAborted(wait: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const off = onAbort(signal, reject);
    void wait.then(() => {
      off();
      resolve();
    });
  });
}
