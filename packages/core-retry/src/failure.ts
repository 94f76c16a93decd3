/**
 * What kind of thing went wrong. `contention` means that the server rolled the work back and answers;
 * `conflict` that the answer is final (a duplicate key).
 */
export type Category =
  | 'network'
  | 'timeout'
  | 'unavailable'
  | 'throttled'
  | 'contention'
  | 'resource-exhausted'
  | 'auth'
  | 'invalid'
  | 'not-found'
  | 'conflict'
  | 'cancelled'
  | 'unknown';

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

type Row = readonly [Category, boolean, Outcome];

const NEVER_SENT: Row = ['network', true, 'not-applied'];
const CUT: Row = ['network', true, 'unknown'];

// Sources: Node's `os.constants.errno`, the c-ares codes of `dns`, and what `net`, `tls` and `fetch` set.
const SYSTEM_CODES: Readonly<Record<string, Row>> = {
  ECONNREFUSED: NEVER_SENT,
  ENOTFOUND: NEVER_SENT,
  EAI_AGAIN: NEVER_SENT,
  EAI_FAIL: NEVER_SENT,
  EAI_NODATA: NEVER_SENT,
  EHOSTDOWN: NEVER_SENT,
  EADDRNOTAVAIL: NEVER_SENT,
  UND_ERR_CONNECT_TIMEOUT: ['timeout', true, 'not-applied'],
  // These two can also end an established connection.
  EHOSTUNREACH: CUT,
  ENETUNREACH: CUT,
  ECONNRESET: CUT,
  ECONNABORTED: CUT,
  ENETDOWN: CUT,
  ENETRESET: CUT,
  ENOTCONN: CUT,
  EPIPE: CUT,
  EPROTO: CUT,
  UND_ERR_SOCKET: CUT,
  ERR_STREAM_PREMATURE_CLOSE: CUT,
  ERR_SOCKET_CLOSED: CUT,
  ETIMEDOUT: ['timeout', true, 'unknown'],
  ESOCKETTIMEDOUT: ['timeout', true, 'unknown'],
  ERR_SOCKET_CONNECTION_TIMEOUT: ['timeout', true, 'not-applied'],
  EBUSY: ['unavailable', true, 'not-applied'],
  EAGAIN: ['unavailable', true, 'not-applied'],
  EMFILE: ['resource-exhausted', true, 'not-applied'],
  ENFILE: ['resource-exhausted', true, 'not-applied'],
  ENOBUFS: ['resource-exhausted', true, 'not-applied'],
  ENOSPC: ['resource-exhausted', false, 'unknown'],
  EDQUOT: ['resource-exhausted', false, 'unknown'],
  ENOENT: ['not-found', false, 'not-applied'],
  ENOTDIR: ['not-found', false, 'not-applied'],
  EACCES: ['auth', false, 'not-applied'],
  EPERM: ['auth', false, 'not-applied'],
  EROFS: ['invalid', false, 'not-applied'],
  EISDIR: ['invalid', false, 'not-applied'],
  EINVAL: ['invalid', false, 'not-applied'],
  EEXIST: ['conflict', false, 'not-applied'],
  ENOTEMPTY: ['conflict', false, 'not-applied'],
};

/**
 * What a code of Node or of the operating system means, or undefined if the error carries none that is
 * known. In the phases before anything was sent the outcome is always *not applied*. The errors of an
 * AggregateError (a host with several addresses) are read in its place.
 */
export function classifySystemError(error: unknown, phase: Phase = 'sent'): Failure | undefined {
  const code = codeOf(error);
  const row =
    code !== undefined && Object.hasOwn(SYSTEM_CODES, code) ? SYSTEM_CODES[code] : undefined;
  if (row === undefined || code === undefined) return undefined;
  const [category, transient, outcome] = row;
  const unsent = phase === 'acquire' || phase === 'connect' || read(error, 'syscall') === 'connect';
  return { category, transient, outcome: unsent ? 'not-applied' : outcome, code };
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
  if (code === 'OUTLAST_CLOSED') return { category: 'cancelled', transient: false, outcome, code };
  return { category: 'unknown', transient: false, outcome, code };
}

function codeOf(error: unknown): string | undefined {
  const code = read(error, 'code');
  if (typeof code === 'string') return code;
  const errors = read(error, 'errors');
  const last = read(errors, 'length');
  return typeof last === 'number' && last > 0 ? codeOf(read(errors, String(last - 1))) : undefined;
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
