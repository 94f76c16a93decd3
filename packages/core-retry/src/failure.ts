import { SYSTEM_CODES } from './system-codes.js';

/**
 * What kind of thing went wrong. `contention` means that the server rolled the work back and answers;
 * `conflict` that the answer is final (a duplicate key).
 */
export type Category = (typeof CATEGORIES)[number];

/** Every category. */
export const CATEGORIES = [
  'network',
  'timeout',
  'unavailable',
  'throttled',
  'contention',
  'resource-exhausted',
  'auth',
  'invalid',
  'not-found',
  'conflict',
  'cancelled',
  'unknown',
] as const;

/** Whether the failed work can have taken effect: `not-applied` is known, `unknown` is not. */
export type Outcome = 'not-applied' | 'unknown';

/**
 * How far an attempt had come when it failed. The same error means different things in each:
 * nothing was asked of the server in `acquire` and `connect`, anything may have happened in `sent`,
 * and in `commit` a whole transaction hangs in the balance.
 */
export type Phase = 'acquire' | 'connect' | 'sent' | 'commit';

/** A classified error. */
export interface Failure {
  readonly category: Category;
  /** Whether the same call may succeed later. */
  readonly transient: boolean;
  readonly outcome: Outcome;
  /** What the server asked for, in milliseconds. Above 0 it replaces the backoff; negative means never. */
  readonly retryAfterMs?: number;
  /** The driver's or server's code, for logs and metrics: a SQLSTATE, an errno name, a status. */
  readonly code?: string;
}

/** Turns an error into a {@link Failure}. Pure; must not throw (if it does, the error is not retried). */
export type Classify = (error: unknown, phase: Phase) => Failure;

// A host has a few addresses; what has more parts is no error of a network.
const MOST_PARTS = 64;

/**
 * What a code of Node or of the operating system means, or undefined if the error carries none that is
 * known. In the phases before anything was sent the outcome is always *not applied*. An AggregateError
 * (a host with several addresses) is read through its errors: it may be repeated if each of them may.
 */
export function classifySystemError(error: unknown, phase: Phase = 'sent'): Failure | undefined {
  const own = classifyCode(error, phase);
  const parts = partsOf(error);
  if (parts === undefined) return own;
  let folded: Failure | undefined;
  for (const part of parts) {
    const failure = classifyCode(part, phase);
    // A stranger among them: nobody knows what it did. The error's own code, if any, is the best word.
    if (failure === undefined) return own;
    folded = folded === undefined ? failure : worse(folded, failure);
  }
  // Node gives the error a code of its own, and says only on its parts that nothing was sent.
  if (own === undefined) return folded;
  return folded?.outcome === 'not-applied' ? { ...own, outcome: 'not-applied' } : own;
}

function classifyCode(error: unknown, phase: Phase): Failure | undefined {
  const code = read(error, 'code');
  if (typeof code !== 'string' || !Object.hasOwn(SYSTEM_CODES, code)) return undefined;
  const row = SYSTEM_CODES[code];
  if (row === undefined) return undefined;
  const [category, transient, outcome] = row;
  const unsent = phase === 'acquire' || phase === 'connect' || read(error, 'syscall') === 'connect';
  return { category, transient, outcome: unsent ? 'not-applied' : outcome, code };
}

/** The errors of an AggregateError, if there are any; one that pretends to have very many has none. */
function partsOf(error: unknown): readonly unknown[] | undefined {
  const errors = read(error, 'errors');
  const count = read(errors, 'length');
  if (typeof count !== 'number' || !(count > 0) || count > MOST_PARTS) return undefined;
  return Array.from({ length: count }, (_, i) => read(errors, String(i)));
}

/** Final is worse than transient, unknown is worse than not applied, and later news are better. */
function worse(a: Failure, b: Failure): Failure {
  if (a.transient !== b.transient) return a.transient ? b : a;
  if (a.outcome !== b.outcome) return a.outcome === 'unknown' ? a : b;
  return b;
}

/** The verdict of a bare policy: system codes, then programmer's errors and cancellations, then `unknown`. */
export function classifyError(error: unknown, phase: Phase): Failure {
  const unsent = phase === 'acquire' || phase === 'connect';
  const outcome: Outcome = unsent ? 'not-applied' : 'unknown';
  const own = classifyOwnError(error, outcome);
  if (own !== undefined) return own;
  const system = classifySystemError(error, phase);
  if (system !== undefined) return system;
  const name = read(error, 'name');
  if (name === 'AbortError') return { category: 'cancelled', transient: false, outcome };
  // fetch hides its network error behind a TypeError; the cause tells.
  const behind =
    name === 'TypeError' ? classifySystemError(read(error, 'cause'), phase) : undefined;
  if (behind !== undefined) return behind;
  if (isProgrammersError(error)) return { category: 'invalid', transient: false, outcome };
  return { category: 'unknown', transient: true, outcome };
}

/** A classifier that knows some errors: undefined for those that it does not. */
export type PartialClassify = (error: unknown, phase: Phase) => Failure | undefined;

/**
 * Asks classifiers in order; the first that knows the error decides. What none of them knows is read as
 * by a bare policy.
 */
export function composeClassifiers(...classifiers: readonly PartialClassify[]): Classify {
  return (error, phase) => {
    for (const classify of classifiers) {
      const failure = classify(error, phase);
      if (failure !== undefined) return failure;
    }
    return classifyError(error, phase);
  };
}

/** True for the errors that a bug in the caller's own code throws. */
export function isProgrammersError(error: unknown): boolean {
  try {
    return (
      error instanceof TypeError ||
      error instanceof RangeError ||
      error instanceof ReferenceError ||
      error instanceof SyntaxError
    );
  } catch {
    return false;
  }
}

// Our own errors are never read through their cause: a timeout of one attempt may pass, the rest may not.
function classifyOwnError(error: unknown, outcome: Outcome): Failure | undefined {
  const code = read(error, 'code');
  if (typeof code !== 'string' || !code.startsWith('OUTLAST_')) return undefined;
  if (code === 'OUTLAST_ATTEMPT_TIMEOUT')
    return { category: 'timeout', transient: true, outcome, code };
  if (code === 'OUTLAST_OPTION')
    return { category: 'invalid', transient: false, outcome: 'not-applied', code };
  if (code === 'OUTLAST_DEADLINE_EXCEEDED')
    return { category: 'timeout', transient: false, outcome, code };
  if (code === 'OUTLAST_CIRCUIT_OPEN')
    return { category: 'unavailable', transient: false, outcome: 'not-applied', code };
  if (code === 'OUTLAST_BULKHEAD_FULL')
    return { category: 'resource-exhausted', transient: false, outcome: 'not-applied', code };
  if (code === 'OUTLAST_CLOSED') return { category: 'cancelled', transient: false, outcome, code };
  return { category: 'unknown', transient: false, outcome, code };
}

// Any value can be thrown, a hostile proxy too: reading it must not throw.
function read(value: unknown, key: string): unknown {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null)
    return undefined;
  try {
    return (value as Record<string, unknown>)[key];
  } catch {
    return undefined;
  }
}
