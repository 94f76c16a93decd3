import { type Channel, channel } from 'node:diagnostics_channel';
import type { Clock } from './clock.js';
import type { Failure } from './failure.js';
import type { FailedAttempt, Reason } from './marks.js';

interface Base {
  /** What the caller asked for: `pg.query`, or the name that was given. */
  readonly operation: string;
  /** Time of day in milliseconds since 1970. */
  readonly at: number;
}

/** An attempt begins. */
export interface AttemptEvent extends Base {
  readonly type: 'attempt';
  readonly attempt: number;
  readonly maxAttempts: number;
}

/** An attempt failed and another one will follow. */
export interface RetryEvent extends Base {
  readonly type: 'retry';
  /** The attempt that failed. */
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly delayMs: number;
  readonly failure: Failure;
  /** As it was thrown: for use in the process, not for printing. */
  readonly error: unknown;
}

export interface SuccessEvent extends Base {
  readonly type: 'success';
  readonly attempts: number;
  readonly maxAttempts: number;
  readonly elapsedMs: number;
}

/** An operation failed for good; cancelled and closed ones are not reported. `reason` says why. */
export interface ExhaustedEvent extends Base {
  readonly type: 'exhausted';
  readonly attempts: number;
  readonly elapsedMs: number;
  readonly reason: Reason;
  readonly failure: Failure;
  readonly error: unknown;
  readonly failures: readonly FailedAttempt[];
}

/** An operation failed and may nevertheless have taken effect. */
export interface OutcomeUnknownEvent extends Base {
  readonly type: 'outcomeUnknown';
  readonly attempts: number;
  readonly reason: Reason;
  readonly error: unknown;
}

/** A retry was refused by the budget. */
export interface BudgetEvent extends Base {
  readonly type: 'budget';
  readonly balance: number;
  readonly denied: number;
}

/** A connector's service cannot be reached: once an outage. */
export interface DownEvent extends Base {
  readonly type: 'down';
  readonly error: unknown;
  /** Time of day in milliseconds since 1970. */
  readonly since: number;
}

/** It can be reached again. */
export interface UpEvent extends Base {
  readonly type: 'up';
  readonly downMs: number;
}

/**
 * Something that a person should look at: a connector goes on, but cannot mend it by itself. Once for each time that
 * it begins, not once an attempt.
 */
export interface AlertEvent extends Base {
  readonly type: 'alert';
  /** What it is, for programs: `dead-letter-refused`, `message-skipped`, … Each connector's docs list its own. */
  readonly reason: string;
  /** What it is, for people: what happened, and what to do. Holds no secret. */
  readonly message: string;
  /** As it was thrown: for use in the process, not for printing. */
  readonly error?: unknown;
}

/** What a circuit breaker is, seen from outside. `isolated` is open by hand. */
export type BreakerState = 'closed' | 'open' | 'half-open' | 'isolated';

/** A circuit breaker changed its state. `operation` is the breaker's name. */
export interface BreakerEvent extends Base {
  readonly type: 'breaker';
  readonly from: BreakerState;
  readonly to: BreakerState;
  /** Why, for people: `5 consecutive failures`, `a probe failed`, `reset`. */
  readonly reason: string;
  /** How long it stays open; only when it opens. */
  readonly openTimeoutMs?: number;
}

/**
 * The store of a breaker's state cannot be used, or holds what cannot be read. Once an outage of the
 * store; calls go on without it. `operation` is the breaker's name.
 */
export interface StoreEvent extends Base {
  readonly type: 'store';
  readonly action: 'load' | 'save' | 'claim';
  readonly error: unknown;
}

export type PolicyEvent =
  | AttemptEvent
  | RetryEvent
  | SuccessEvent
  | ExhaustedEvent
  | OutcomeUnknownEvent
  | BudgetEvent
  | BreakerEvent
  | StoreEvent
  | DownEvent
  | UpEvent
  | AlertEvent;

export type PolicyEventType = PolicyEvent['type'];
export type PolicyEventOf<T extends PolicyEventType> = Extract<PolicyEvent, { type: T }>;
export type PolicyListener<T extends PolicyEventType> = (event: PolicyEventOf<T>) => void;

/** Every type of event; each is also published on the diagnostics channel `outlast:<type>`. */
export const EVENT_TYPES: readonly PolicyEventType[] = [
  'attempt',
  'retry',
  'success',
  'exhausted',
  'outcomeUnknown',
  'breaker',
  'budget',
  'store',
  'down',
  'up',
  'alert',
];

const CHANNELS = Object.fromEntries(
  EVENT_TYPES.map((type) => [type, channel(`outlast:${type}`)]),
) as Readonly<Record<PolicyEventType, Channel>>;
// Read by every call: these two are all that a call which succeeds at once can report.
const ATTEMPT = CHANNELS.attempt;
const SUCCESS = CHANNELS.success;

/** Listeners by type. Costs three property reads where nobody listens. */
export class Emitter {
  private readonly listeners = new Map<PolicyEventType, readonly ((event: never) => void)[]>();
  private hot = false;
  // What the time of day is ahead of monotonic time; read again when it is a second old.
  private aheadMs = 0;
  private aheadAt = -Infinity;

  /** Whether anyone wants to hear of a call that succeeds at once. */
  get watched(): boolean {
    return this.hot || ATTEMPT.hasSubscribers || SUCCESS.hasSubscribers;
  }

  /** The time of day by the monotonic time that the caller has read: one clock less on the success path. */
  timeOfDay(clock: Clock, now: number): number {
    if (now - this.aheadAt >= 1000) {
      this.aheadAt = now;
      this.aheadMs = clock.wallNow() - now;
    }
    return now + this.aheadMs;
  }

  on<T extends PolicyEventType>(type: T, listener: PolicyListener<T>): () => void {
    // A wrapper of its own, so that the same function may listen twice and each go by itself.
    const entry = (event: never): void => listener(event);
    this.listeners.set(type, [...(this.listeners.get(type) ?? []), entry]);
    this.look();
    return () => {
      const rest = (this.listeners.get(type) ?? []).filter((other) => other !== entry);
      if (rest.length > 0) this.listeners.set(type, rest);
      else this.listeners.delete(type);
      this.look();
    };
  }

  has(type: PolicyEventType): boolean {
    return this.listeners.has(type) || CHANNELS[type].hasSubscribers;
  }

  emit(event: PolicyEvent): void {
    Object.freeze(event);
    this.relay(event);
    publish(event);
  }

  /** Passes on an event that somebody else has made and published. */
  relay(event: PolicyEvent): void {
    const listeners = this.listeners.get(event.type);
    if (listeners !== undefined) {
      for (const listener of listeners) callHook(listener, event as never);
    }
  }

  private look(): void {
    this.hot = this.listeners.has('attempt') || this.listeners.has('success');
  }
}

/** Publishes a frozen event on the diagnostics channel of its type. */
export function publish(event: PolicyEvent): void {
  const to = CHANNELS[event.type];
  if (to.hasSubscribers) to.publish(event);
}

/** A hook that throws, or rejects, changes nothing. */
export function callHook<A>(hook: (argument: A) => unknown, argument: A): void {
  try {
    quiet(hook(argument));
  } catch {
    // The caller's operation is not the place to report a listener's bug.
  }
}

/** What a function of the caller's returned; if that is a promise, its rejection is nobody's. */
export function quiet<T>(result: T): T {
  if (result instanceof Promise) result.catch(() => {});
  return result;
}
