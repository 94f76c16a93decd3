import { BoundedExecution, type BoundedHost } from './bounded-execution.js';
import { type CallOptions, narrow, type Work } from './call.js';
import { DeadlineQueue } from './deadline.js';
import { ClosedError } from './errors.js';
import {
  Emitter,
  EVENT_TYPES,
  type PolicyEvent,
  type PolicyEventType,
  type PolicyListener,
} from './events.js';
import { run } from './execution.js';
import type { Operation } from './operation.js';
import { DEFAULTS, type RetryOptions, resolveOptions, type Settings } from './options.js';
import { invalidOption, unknownOption } from './options-check.js';

const NO_CALL: CallOptions<never> = Object.freeze({});
const NO_SIGNALS: readonly AbortSignal[] = Object.freeze([]);

/**
 * Runs work until it succeeds, may not be repeated, or has been repeated enough.
 * Options are validated once, when the policy is made; the success path is one async frame.
 */
export class RetryPolicy {
  /** Options with every default filled in. */
  readonly settings: Settings;
  private readonly state: PolicyState;
  // Nothing to race against, unless a call brings it: decided once.
  private readonly unbounded: boolean;

  /** @throws OptionError naming the option, the value and what is valid */
  constructor(options: RetryOptions = {}) {
    this.settings = resolveOptions('', options, DEFAULTS);
    this.state = new PolicyState(this.settings);
    const { totalTimeoutMs, attemptTimeoutMs, signal } = this.settings;
    this.unbounded =
      totalTimeoutMs === Infinity && attemptTimeoutMs === Infinity && signal === undefined;
  }

  /**
   * Calls `work` until it succeeds. What surfaces otherwise is the last error as it was thrown
   * (see `retryInfo`), the signal's reason, `DeadlineExceededError` if nothing ever failed, or
   * `ClosedError`.
   *
   * @throws OptionError (as a rejection) for a bad call option
   */
  execute<T>(work: Work<T>, call?: CallOptions<T>): Promise<T> {
    const { state } = this;
    let { settings } = this;
    if (call !== undefined) {
      try {
        settings = narrow(call as CallOptions, settings);
      } catch (error) {
        return Promise.reject(error);
      }
    }
    if (state.closed) return Promise.reject(new ClosedError('The policy'));
    const start = settings.clock.now();
    settings.budget?.deposit(start);
    const options: CallOptions<T> = call ?? NO_CALL;
    if (this.unbounded && call === undefined) return run(state, settings, options, work, start);
    const timeoutMs = Math.min(options.totalTimeoutMs ?? Infinity, settings.totalTimeoutMs);
    const attemptTimeoutMs = options.attemptTimeoutMs ?? settings.attemptTimeoutMs;
    const signals = signalsOf(options.signal, this.settings.signal);
    if (timeoutMs === Infinity && attemptTimeoutMs === Infinity && signals === NO_SIGNALS) {
      return run(state, settings, options, work, start);
    }
    return new Promise((resolve, reject) => {
      new BoundedExecution(
        state,
        settings,
        options,
        work,
        start,
        timeoutMs,
        attemptTimeoutMs,
        resolve,
        reject,
      ).begin(timeoutMs, signals);
    });
  }

  /** A function of the same signature and name that is retried; keeps `this`. */
  wrap<This, Args extends unknown[], R>(
    fn: (this: This, ...args: Args) => R | PromiseLike<R>,
    call?: CallOptions<R>,
  ): (this: This, ...args: Args) => Promise<R> {
    const policy = this;
    const named = call?.operation === undefined && this.settings.operation === undefined && fn.name;
    const options = named ? { ...call, operation: fn.name } : call;
    const wrapped = function (this: This, ...args: Args): Promise<R> {
      return policy.execute(() => fn.apply(this, args), options);
    };
    return Object.defineProperty(wrapped, 'name', { value: fn.name, configurable: true });
  }

  /**
   * Listens to what happens; events are frozen, and what a listener throws is ignored.
   *
   * @returns how to stop listening
   */
  on<T extends PolicyEventType>(type: T, listener: PolicyListener<T>): () => void {
    if (!EVENT_TYPES.includes(type)) throw unknownOption(`Event '${type}'`, type, EVENT_TYPES);
    if (typeof listener !== 'function') throw invalidOption('listener', listener, 'a function');
    return this.state.emitter.on(type, listener);
  }

  /** Reports an event of a connector's own (`down`, `up`) to the policy's listeners. */
  emit(event: PolicyEvent): void {
    this.state.emitter.emit(event);
  }

  /** Wakes what sleeps, which rejects with `ClosedError`, as do later calls. */
  close(): void {
    this.state.close();
  }
}

/** Sugar for `new RetryPolicy(options).execute(work)`. */
export function retry<T>(work: Work<T>, options: CallOptions<T> = {}): Promise<T> {
  const { resolve, stop, ...rest } = options;
  try {
    return new RetryPolicy(rest).execute(work, {
      ...(resolve === undefined ? undefined : { resolve }),
      ...(stop === undefined ? undefined : { stop }),
    });
  } catch (error) {
    return Promise.reject(error);
  }
}

function signalsOf(
  ofCall: AbortSignal | undefined,
  ofPolicy: AbortSignal | undefined,
): readonly AbortSignal[] {
  if (ofCall === undefined) return ofPolicy === undefined ? NO_SIGNALS : [ofPolicy];
  return ofPolicy === undefined || ofPolicy === ofCall ? [ofCall] : [ofCall, ofPolicy];
}

/** What all calls of one policy share. */
class PolicyState implements BoundedHost {
  readonly emitter: Emitter = new Emitter();
  readonly sleeping: Set<Operation<unknown>> = new Set();
  readonly deadlines: DeadlineQueue;
  readonly deadlineMs: number;
  closed = false;

  constructor(settings: Settings) {
    this.deadlines = new DeadlineQueue(settings.clock);
    this.deadlineMs = settings.totalTimeoutMs;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.deadlines.settle();
    for (const operation of [...this.sleeping]) operation.wake(new ClosedError('The policy'));
  }
}
