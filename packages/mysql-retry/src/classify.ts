import {
  type Category,
  type Classify,
  classifyError,
  classifySystemError,
  type Failure,
  isProgrammersError,
  type Outcome,
  type Phase,
} from '@outlast/core-retry';
import { errno } from './errnos.js';

export { RETRYABLE_ERRNOS } from './errnos.js';

/** What an error of the driver means; `sent` as in the table of error numbers. */
interface ClientError {
  readonly category: Category;
  readonly transient: boolean;
  readonly sent: Outcome;
}

const client = (category: Category, transient: boolean, sent: Outcome): ClientError => ({
  category,
  transient,
  sent,
});
const cut: ClientError = client('network', true, 'unknown');
const unreachable: ClientError = client('network', true, 'not-applied');
const misuse: ClientError = client('invalid', false, 'not-applied');
const refused: ClientError = client('auth', false, 'not-applied');
const full: ClientError = client('resource-exhausted', false, 'not-applied');

/** The code of the error with which `acquireTimeoutMs` runs out. */
export const ACQUIRE_TIMEOUT = 'POOL_ACQUIRE_TIMEOUT';

/** The code of the error that a server is refused with which is not of the kind that is wanted. */
export const WRONG_TARGET = 'WRONG_TARGET';

/** The driver's own codes. Source: every `err.code =` in mysql2 3.24.6; Node's are left to the core. */
const CODES: ReadonlyMap<string, ClientError> = new Map([
  ['PROTOCOL_CONNECTION_LOST', cut],
  ['PROTOCOL_SEQUENCE_TIMEOUT', client('timeout', true, 'unknown')],
  ['PROTOCOL_UNEXPECTED_PACKET', cut],
  ['PROTOCOL_ERROR', cut],
  ['HANDSHAKE_SSL_ERROR', refused],
  ['HANDSHAKE_NO_SSL_SUPPORT', refused],
  ['HANDSHAKE_UNKNOWN_ERROR', refused],
  ['AUTH_SWITCH_PLUGIN_ERROR', refused],
  ['MYSQL_CLEAR_PASSWORD_NOT_ENABLED', refused],
  [ACQUIRE_TIMEOUT, client('timeout', false, 'not-applied')],
  [WRONG_TARGET, client('unavailable', true, 'not-applied')],
]);

/** Messages, for the errors that mysql2 makes without a code. */
const MESSAGES: ReadonlyMap<string, ClientError> = new Map([
  ["Can't add new command when connection is in closed state", unreachable],
  ["Can't write in closed state", unreachable],
  ['Pool is closed.', misuse],
  ['Queue limit reached.', full],
  ['No connections available.', full],
]);

/** Certificates and TLS set-up, by the names of OpenSSL's `X509_V_ERR_*` in Node's `tls` module. */
const TLS_CODE =
  /^(?:ERR_TLS_|ERR_OSSL_|(?:UNABLE_TO|DEPTH_ZERO_SELF|SELF_SIGNED_CERT|CERT|CRL|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH|HOSTNAME_MISMATCH|ERROR_IN_C))/;

/**
 * What Node says beyond the core's table, after which the same call may succeed later: codes of mysql2.
 * `fatal` is not read: it is missing on 1040 and set on a connection that was never made.
 */
export const RETRYABLE_ERROR_CODES: readonly string[] = [...CODES]
  .filter(([, meaning]) => meaning.transient)
  .map(([code]) => code);

/** Reads a property of anything, a hostile proxy included. */
function read(value: unknown, key: string): unknown {
  if (value === null || (typeof value !== 'object' && typeof value !== 'function'))
    return undefined;
  try {
    return (value as Record<string, unknown>)[key];
  } catch {
    return undefined;
  }
}

function text(value: unknown, key: string): string {
  const found = read(value, key);
  return typeof found === 'string' ? found : '';
}

/** The server's error number, or undefined if it was not the server that said it. */
export function errnoOf(error: unknown): number | undefined {
  const number = read(error, 'errno');
  return typeof number === 'number' && number >= 1000 && typeof read(error, 'sqlState') === 'string'
    ? number
    : undefined;
}

/** Whether the server said it. Told by shape, for mysql2's errors are plain ones. */
export function isServerError(error: unknown): boolean {
  return errnoOf(error) !== undefined;
}

/** Whether the connection that brought an answer must not be used again. */
export function discards(error: unknown): boolean {
  const number = errnoOf(error);
  return number !== undefined && errno(number, text(error, 'message')).discard;
}

/** The server is, or has become, one that takes no writes: 1290 with `--read-only`, 1836. */
export function isReadOnlyServer(error: unknown): boolean {
  const number = errnoOf(error);
  return number === 1836 || (number === 1290 && discards(error));
}

/** It was asked on purpose, and is not of the kind that is wanted. */
export function isWrongTarget(error: unknown): boolean {
  return text(error, 'code') === WRONG_TARGET;
}

/** The statement's own `timeout` ran out: it may still be running. */
export function isStatementTimeout(error: unknown): boolean {
  return text(error, 'code') === 'PROTOCOL_SEQUENCE_TIMEOUT';
}

const beforeSending = (phase: Phase): boolean => phase === 'acquire' || phase === 'connect';

function failure(meaning: ClientError, phase: Phase, code: string): Failure {
  const { category, transient, sent } = meaning;
  const outcome = beforeSending(phase) ? 'not-applied' : sent;
  return code === '' ? { category, transient, outcome } : { category, transient, outcome, code };
}

// What COMMIT may be refused with so that nothing of it stands: Galera certifies then, read_only is checked then.
const COMMIT_REFUSED: ReadonlySet<number> = new Set([1205, 1213, 1290, 1613, 1614, 1836]);

function classifyServerError(error: unknown, number: number, phase: Phase): Failure {
  const { category, transient, sent } = errno(number, text(error, 'message'));
  const doubtful = phase === 'commit' && !COMMIT_REFUSED.has(number);
  const meaning = {
    category,
    transient: transient === 'connecting' ? beforeSending(phase) : transient,
    sent: doubtful ? ('unknown' as const) : sent,
  };
  return failure(meaning, phase, text(error, 'code') || String(number));
}

function classify(error: unknown, phase: Phase): Failure {
  const number = errnoOf(error);
  if (number !== undefined) return classifyServerError(error, number, phase);
  const code = text(error, 'code');
  if (code === 'HANDSHAKE_SSL_ERROR' && brokeOff(error)) return failure(unreachable, phase, code);
  const known = code === '' ? MESSAGES.get(text(error, 'message')) : CODES.get(code);
  if (known !== undefined) return failure(known, phase, code);
  // The socket file of a server that is down.
  if (code === 'ENOENT' && text(error, 'syscall') === 'connect') {
    return failure(unreachable, phase, code);
  }
  if (TLS_CODE.test(code)) return failure(refused, phase, code);
  return classifySystemError(error, phase) ?? classifyOther(error, phase);
}

/** The driver calls every failure of TLS by one code, a wire that was cut in the middle of it included. */
function brokeOff(error: unknown): boolean {
  const lost = /^Client network socket disconnected before secure TLS connection/;
  return text(error, 'syscall') !== '' || lost.test(text(error, 'message'));
}

// A value that the driver could not write, or a bug in a `typeCast`: not what a service does.
function classifyOther(error: unknown, phase: Phase): Failure {
  const verdict = classifyError(error, phase);
  return isProgrammersError(error) ? { ...verdict, transient: false } : verdict;
}

/**
 * Classifies what mysql2 threw, by (phase, errno, code): the same `read ECONNRESET` is harmless while
 * connecting and leaves a sent statement in the dark. Total: any thrown value has an answer.
 */
export const classifyMysql: Classify = (error: unknown, phase: Phase): Failure => {
  try {
    return classify(error, phase);
  } catch {
    // A value made to be unreadable, without end for instance.
    return failure(client('unknown', false, 'unknown'), phase, '');
  }
};
