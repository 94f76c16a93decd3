import { Attempts, type BlockAttempt } from './attempts.js';
import { begin } from './begin.js';
import { type CallOptions, narrow, type Work } from './call.js';
import type { CircuitBreaker } from './circuit-breaker.js';
import {
  type BreakerEvent,
  EVENT_TYPES,
  type PolicyEvent,
  type PolicyEventType,
  type PolicyListener,
  type StoreEvent,
} from './events.js';
import { DEFAULTS, type RetryOptions, resolveOptions, type Settings } from './options.js';
import { invalidOption, unknownOption } from './options-check.js';
import { PolicyState } from './policy-state.js';
import { checkSync, executeSync } from './retry-sync.js';

/**
 * Runs work until it succeeds, may not be repeated, or has been repeated enough.
 * Options are validated once, when the policy is made; the success path is one async frame.
 */
export class RetryPolicy {
  /** Options with every default filled in. */
  readonly settings: Settings;
  private readonly state: PolicyState;
  /** @throws OptionError naming the option, the value and what is valid */
  constructor(options: RetryOptions = {}) {
    this.settings = resolveOptions('', options, DEFAULTS);
    this.state = new PolicyState(this.settings, 'The policy');
    const { breaker, log } = this.settings;
    if (breaker !== undefined && log !== undefined && typeof options.logger === 'object') {
      logBreaker(breaker, options.logger, log);
    }
  }

  /**
   * Calls `work` until it succeeds. What surfaces otherwise is the last error as it was thrown
   * (see `retryInfo`), the signal's reason, `DeadlineExceededError` if nothing ever failed, or
   * `ClosedError`.
   *
   * @throws OptionError (as a rejection) for a bad call option
   */
  execute<T>(work: Work<T>, call?: CallOptions<T>): Promise<T> {
    let { settings } = this;
    if (call !== undefined) {
      try {
        settings = narrow(call as CallOptions, settings);
      } catch (error) {
        return Promise.reject(error);
      }
    }
    return begin(this.state, settings, work, call, this.settings.signal);
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
   * Like {@link wrap}, for a function that returns its value at once: **blocks the thread** while it waits.
   *
   * @throws OptionError if the policy has an `attemptTimeoutMs`, which a blocked thread cannot keep
   */
  wrapSync<This, Args extends unknown[], R>(
    fn: (this: This, ...args: Args) => R,
  ): (this: This, ...args: Args) => R {
    const { state, settings } = this;
    checkSync(settings);
    const named = settings.operation === undefined && fn.name !== '' ? { operation: fn.name } : {};
    const wrapped = function (this: This, ...args: Args): R {
      return executeSync(state, settings, () => fn.apply(this, args), named);
    };
    return Object.defineProperty(wrapped, 'name', { value: fn.name, configurable: true });
  }

  /**
   * Block form: `for await (const attempt of policy.attempts()) { await attempt.run(work) }`. The loop ends
   * with the first turn in which no run failed; what surfaces otherwise is thrown by `run`.
   */
  attempts(
    call: Omit<CallOptions<void>, 'retryResult' | 'fallback' | 'resolve'> = {},
  ): AsyncIterableIterator<BlockAttempt> {
    // A turn of the loop has no value, and its end is its own: there is nothing to judge, or to replace.
    const plain = { ...this.settings, retryResult: undefined, fallback: undefined };
    return new Attempts(async (work, options) => {
      const settings = narrow(options as CallOptions, plain);
      return await begin(this.state, settings, work, options, this.settings.signal);
    }, call);
  }

  /**
   * Listens to what happens; events are frozen, and what a listener throws is ignored.
   *
   * @returns how to stop listening
   */
  on<T extends PolicyEventType>(type: T, listener: PolicyListener<T>): () => void {
    if (!EVENT_TYPES.includes(type)) throw unknownOption(`Event '${type}'`, type, EVENT_TYPES);
    if (typeof listener !== 'function') throw invalidOption('listener', listener, 'a function');
    const { breaker } = this.settings;
    // A breaker may serve many policies: it speaks for itself.
    if ((type === 'breaker' || type === 'store') && breaker !== undefined) {
      return breaker.on(type, listener as (event: BreakerEvent | StoreEvent) => void);
    }
    return this.state.emitter.on(type, listener);
  }

  /** Whether anybody is told of events of this type: a connector need not make those that nobody hears. */
  hears(type: PolicyEventType): boolean {
    if (this.state.emitter.has(type)) return true;
    // A logger has nothing to say of attempts, and of successes only where they took more than one.
    return this.settings.log !== undefined && type !== 'attempt';
  }

  /** Whether anybody wants to hear of a call that succeeds at once. */
  get watched(): boolean {
    return this.state.emitter.watched;
  }

  /** Reports an event of a connector's own (`down`, `up`) to the policy's listeners. */
  emit(event: PolicyEvent): void {
    this.state.emitter.emit(event);
    this.settings.log?.(event);
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

const logged = new WeakMap<CircuitBreaker, WeakSet<object>>();

/** Once for each logger, however many policies share the two: `retry()` makes one a call. */
function logBreaker(
  breaker: CircuitBreaker,
  logger: object,
  log: (event: PolicyEvent) => void,
): void {
  const loggers = logged.get(breaker) ?? new WeakSet();
  if (loggers.has(logger)) return;
  logged.set(breaker, loggers.add(logger));
  breaker.on('breaker', log);
  breaker.on('store', log);
}
