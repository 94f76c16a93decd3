import {
  type Classify,
  classifyError,
  type Failure,
  type Outcome,
  type Phase,
} from '@outlast/core-retry';
import {
  type ClientError,
  certificate,
  cut,
  ERROR_CODES,
  MESSAGE_STARTS,
  MESSAGES,
  SSL_CODE,
  TLS_CODE,
  unreachable,
  wrongServer,
} from './client-errors.js';
import { sqlState } from './sqlstates.js';

/**
 * PgBouncer's word (08P01, and the connection ends) to a client whose statement never got a server: its own
 * server is away, or all sessions were taken for too long. Source: the texts of PgBouncer 1.18; the first
 * one goes on differently in later versions.
 */
const NEVER_SERVED = /^(?:server login has been failing|query_wait_timeout$)/;

/**
 * "ERROR" in the languages that PostgreSQL's messages are translated to: pg hands on the localised
 * severity only (field S). Source: the catalogues of PostgreSQL 15. A word that is not here counts
 * as FATAL, for that claims less.
 */
const ERROR_WORDS: ReadonlySet<string> = new Set(
  'ERROR FEHLER ERREUR ERRORE ERRO FEL CHYBA BŁĄD HATA ОШИБКА ПОМИЛКА შეცდომა 오류 错误 錯誤 エラー'.split(
    ' ',
  ),
);

const SQLSTATE = /^[0-9A-Z]{5}$/;
const AGGREGATE_DEPTH = 3;
const AGGREGATE_MEMBERS = 16;

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

function text(value: unknown, key: string): string | undefined {
  const found = read(value, key);
  return typeof found === 'string' ? found : undefined;
}

/**
 * Whether the server said it. Told by shape, a severity and a SQLSTATE, for the error classes of two
 * copies of pg are not the same class.
 */
export function isServerError(error: unknown): boolean {
  return !!text(error, 'severity') && SQLSTATE.test(text(error, 'code') ?? '');
}

/** Whether the server ended the connection with it (FATAL, PANIC), in whatever language. */
export function isFatal(error: unknown): boolean {
  return isServerError(error) && !ERROR_WORDS.has(text(error, 'severity') ?? '');
}

/** Whether a write was refused because the transaction, the session or the server is read-only. */
export function isReadOnlyRefusal(error: unknown): boolean {
  return isServerError(error) && text(error, 'code') === '25006';
}

/** What such a refusal means where the server has become a standby: nothing was applied, another host may. */
export const DEMOTED: Failure = Object.freeze({
  category: 'unavailable',
  transient: true,
  outcome: 'not-applied',
  code: '25006',
});

const beforeSending = (phase: Phase): boolean => phase === 'acquire' || phase === 'connect';

function failure(meaning: ClientError, phase: Phase, code?: string): Failure {
  const { category, transient, sent } = meaning;
  const outcome = beforeSending(phase) ? 'not-applied' : sent;
  return code === undefined
    ? { category, transient, outcome }
    : { category, transient, outcome, code };
}

function classifyServerError(error: unknown, code: string, phase: Phase): Failure {
  if (code === '08P01' && phase !== 'commit' && NEVER_SERVED.test(text(error, 'message') ?? '')) {
    return failure(wrongServer, phase, code);
  }
  const { category, transient, sent } = sqlState(code, text(error, 'routine'));
  const fatal = isFatal(error);
  let outcome: Outcome = sent === 'by-severity' ? (fatal ? 'unknown' : 'not-applied') : sent;
  // A pooler may say anything; 25P03 alone proves that the transaction was still open.
  if (phase === 'commit' && fatal && code !== '25P03') outcome = 'unknown';
  return failure(
    {
      category,
      transient: transient === 'connecting' ? beforeSending(phase) || fatal : transient,
      sent: outcome,
    },
    phase,
    code,
  );
}

/** Node's, by code: its table first, then the families. */
function classifyCode(error: unknown, code: string, phase: Phase): Failure | undefined {
  const syscall = text(error, 'syscall');
  const connecting = syscall === 'connect' || syscall?.startsWith('getaddrinfo') === true;
  // The socket file of a server that is down.
  const known = code === 'ENOENT' && connecting ? unreachable : ERROR_CODES.get(code);
  if (known) return failure(connecting ? { ...known, sent: 'not-applied' } : known, phase, code);
  if (TLS_CODE.test(code)) return failure(certificate, phase, code);
  if (SSL_CODE.test(code)) return failure(beforeSending(phase) ? certificate : cut, phase, code);
  return undefined;
}

function classifyMessage(error: unknown, phase: Phase): Failure | undefined {
  const message = text(error, 'message') ?? '';
  const meaning =
    MESSAGES.get(message) ?? MESSAGE_STARTS.find(([start]) => message.startsWith(start))?.[1];
  // pg-pool's own wrapper is the only one whose cause counts, and only for its code.
  return meaning && failure(meaning, phase, text(read(error, 'cause'), 'code'));
}

/** A dual-stack connect fails with one error an address: any of them may come back. */
function classifyAggregate(error: unknown, phase: Phase, depth: number): Failure | undefined {
  const members = read(error, 'errors');
  if (depth === 0 || text(error, 'name') !== 'AggregateError') return undefined;
  const length = read(members, 'length');
  if (typeof length !== 'number' || !(length > 0)) return undefined;
  const failures: Failure[] = [];
  for (let i = 0; i < Math.min(length, AGGREGATE_MEMBERS); i++) {
    failures.push(classify(read(members, String(i)), phase, depth - 1));
  }
  const leading = failures.find((member) => member.transient) ?? failures[0];
  const outcome = failures.some((member) => member.outcome === 'unknown')
    ? 'unknown'
    : 'not-applied';
  return leading && { ...leading, outcome };
}

function classify(error: unknown, phase: Phase, depth: number): Failure {
  const code = text(error, 'code');
  if (code !== undefined && isServerError(error)) return classifyServerError(error, code, phase);
  return (
    classifyAggregate(error, phase, depth) ??
    (code === undefined ? classifyMessage(error, phase) : classifyCode(error, code, phase)) ??
    classifyError(error, phase)
  );
}

/**
 * Classifies what pg threw, by (phase, error): the same `read ECONNRESET` is harmless while
 * connecting and leaves a sent statement in the dark. Total: any thrown value has an answer.
 * What is neither the server's nor pg's own is left to `classifyError`.
 */
export const classifyPg: Classify = (error: unknown, phase: Phase): Failure => {
  try {
    return classify(error, phase, AGGREGATE_DEPTH);
  } catch {
    // A value made to be unreadable, without end for instance.
    return failure({ category: 'unknown', transient: false, sent: 'unknown' }, phase);
  }
};
