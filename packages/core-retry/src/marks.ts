import type { Failure, Outcome } from './failure.js';

/** Why an operation ended without a result. */
export type Reason =
  | 'exhausted'
  | 'permanent'
  | 'outcome-unknown'
  | 'deadline'
  | 'budget'
  | 'retry-after'
  | 'circuit-open'
  | 'cancelled'
  | 'closed';

/** One failed attempt that came before the error which surfaced. */
export interface FailedAttempt {
  readonly attempt: number;
  readonly error: unknown;
  readonly failure: Failure;
}

/** The story of an operation that failed; hangs on its error, see {@link retryInfo}. */
export interface RetryInfo {
  readonly operation: string;
  readonly attempts: number;
  /** From the first attempt to the end, in milliseconds. */
  readonly elapsedMs: number;
  /** The latest delays between attempts, in milliseconds; at most 100. */
  readonly delaysMs: readonly number[];
  readonly reason: Reason;
  /** Folded over all attempts: `unknown` once any attempt was, even if the last was refused. */
  readonly outcome: Outcome;
  /** Earlier failures, the latest at most 8. */
  readonly failures: readonly FailedAttempt[];
  /** What the server asked for, if that is why it ended. */
  readonly retryAfterMs?: number;
}

interface Mark {
  readonly info: RetryInfo;
  /** Who gave up: a policy, or a reconnect loop. */
  readonly owner: object;
  /** The operation that surfaced the error. */
  readonly token: object;
  readonly sequence: number;
  /** Nobody has tried it again: a policy around it may. */
  readonly repeatable: boolean;
}

interface Store {
  marks: WeakMap<object, Mark>;
  sequence: number;
}

// One store a process: two copies of the package that meet must read each other's marks.
const KEY = Symbol.for('@outlast/core-retry.marks');
const holder = globalThis as typeof globalThis & { [KEY]?: Store };
holder[KEY] ??= { marks: new WeakMap(), sequence: 0 };
const store: Store = holder[KEY];

/** Attempts, delays and the reason why an operation failed, or undefined for a stranger's error. */
export function retryInfo(error: unknown): RetryInfo | undefined {
  return find(error)?.info;
}

/** True for any error that surfaced although its operation may have taken effect. */
export function isOutcomeUnknown(error: unknown): boolean {
  return find(error)?.info.outcome === 'unknown';
}

/** The running number of marks: what was marked later carries a higher one. */
export function markSequence(): number {
  return store.sequence;
}

/** The mark that another owner put on this error after `since`: unless it is repeatable, he gave up on it. */
export function innerMark(
  error: unknown,
  owner: object,
  since: number,
): Pick<Mark, 'info' | 'repeatable'> | undefined {
  const mark = find(error);
  return mark !== undefined && mark.owner !== owner && mark.sequence > since ? mark : undefined;
}

/**
 * Hangs `info` on the error and returns what is to surface: the same object, unless it already
 * carries another operation's mark with another outcome. Drivers fail everything that is queued with
 * one error object, whether it was sent or not; then a copy is marked.
 */
export function mark(
  error: unknown,
  info: RetryInfo,
  owner: object,
  token: object,
  repeatable = false,
): unknown {
  if (!isObject(error)) return error;
  const earlier = store.marks.get(error);
  const foreign =
    earlier !== undefined && earlier.token !== token && earlier.info.outcome !== info.outcome;
  const surfacing = foreign ? copyError(error) : error;
  store.sequence += 1;
  store.marks.set(surfacing, { info, owner, token, sequence: store.sequence, repeatable });
  return surfacing;
}

/** The story of a call that no policy repeats. */
export type CallInfo = Pick<RetryInfo, 'operation' | 'elapsedMs' | 'reason' | 'outcome'> &
  Partial<Pick<RetryInfo, 'attempts'>> & {
    /** Nobody has tried it again: a policy around the call may. Default false: it has been given up. */
    readonly repeatable?: boolean;
  };

const NONE: readonly never[] = Object.freeze([]);

/**
 * Marks the error of a call that no policy repeats, as {@link mark} does: one attempt, no delays.
 *
 * @param token default: one of its own, for two calls may fail with one error object
 */
export function markCall(
  error: unknown,
  call: CallInfo,
  owner: object,
  token: object = call,
): unknown {
  const { operation, attempts = 1, elapsedMs, reason, outcome, repeatable } = call;
  const info = { operation, attempts, elapsedMs, delaysMs: NONE, reason, outcome, failures: NONE };
  return mark(error, Object.freeze(info), owner, token, repeatable);
}

/** Why a failure surfaces that is not retried. */
export function reasonOf({ transient, outcome }: Failure): Reason {
  if (outcome === 'unknown') return 'outcome-unknown';
  return transient ? 'exhausted' : 'permanent';
}

function find(error: unknown): Mark | undefined {
  return isObject(error) ? store.marks.get(error) : undefined;
}

function isObject(value: unknown): value is object {
  return (typeof value === 'object' && value !== null) || typeof value === 'function';
}

/** A copy that says the same; the error itself if it cannot be read. */
function copyError(error: object): object {
  try {
    const fields: PropertyDescriptorMap = Object.getOwnPropertyDescriptors(error);
    const hidden = { configurable: true, writable: true, enumerable: false };
    // V8 may keep the stack behind an accessor that knows its own object only.
    if (error instanceof Error) fields['stack'] = { ...hidden, value: error.stack };
    fields['cause'] = { ...hidden, value: error };
    // A DOMException keeps its fields in slots that a plain copy would not have.
    return error instanceof DOMException
      ? Object.defineProperties(new DOMException(error.message, error.name), fields)
      : (Object.create(Object.getPrototypeOf(error), fields) as object);
  } catch {
    return error;
  }
}
