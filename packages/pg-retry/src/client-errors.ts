import type { Category, Outcome } from '@outlast/core-retry';
import { TARGET_MESSAGES } from './target.js';

/** What an error without a SQLSTATE means; `sent` as in the table of SQLSTATEs. */
export interface ClientError {
  readonly category: Category;
  readonly transient: boolean;
  readonly sent: Outcome;
}

const client = (category: Category, transient: boolean, sent: Outcome): ClientError => ({
  category,
  transient,
  sent,
});
export const cut: ClientError = client('network', true, 'unknown');
/** Never sent, for there was no connection. */
export const unreachable: ClientError = client('network', true, 'not-applied');
const connectTimeout: ClientError = client('timeout', true, 'not-applied');
/** It may be promoted, served again, or another host found. */
export const wrongServer: ClientError = client('unavailable', true, 'not-applied');
const misuse: ClientError = client('invalid', false, 'not-applied');
export const certificate: ClientError = client('auth', false, 'not-applied');

/**
 * Codes of Node's errors, and the two that postgres.js makes. Source: `reference/sql.md` §2b.
 * An error of the syscalls `connect` and `getaddrinfo` is `not-applied` whatever its code.
 */
export const ERROR_CODES: ReadonlyMap<string, ClientError> = new Map([
  ['ECONNREFUSED', unreachable],
  ['ENOTFOUND', unreachable],
  ['EAI_AGAIN', unreachable],
  ['CONNECT_TIMEOUT', connectTimeout],
  ['ERR_TLS_HANDSHAKE_TIMEOUT', connectTimeout],
  ['EHOSTUNREACH', cut],
  ['EHOSTDOWN', cut],
  ['ENETUNREACH', cut],
  ['ENETDOWN', cut],
  ['EADDRNOTAVAIL', cut],
  ['ETIMEDOUT', client('timeout', true, 'unknown')],
  ['ECONNRESET', cut],
  ['ECONNABORTED', cut],
  ['ENETRESET', cut],
  // On a write: how much of the statement had gone is not known.
  ['ENOBUFS', client('resource-exhausted', true, 'unknown')],
  ['ENOTCONN', cut],
  ['EPIPE', cut],
  ['EPROTO', cut],
  ['ERR_STREAM_DESTROYED', cut],
  ['ERR_STREAM_WRITE_AFTER_END', cut],
  ['ERR_SOCKET_CLOSED', cut],
  ['CONNECTION_CLOSED', cut],
  ['ABORT_ERR', client('cancelled', false, 'unknown')],
]);

/**
 * The codes of errors without SQLSTATE after which the same call may succeed later. Derived from the
 * table; many of pg's errors have no code at all, so that a list of codes is only a part of
 * `classifyPg`.
 */
export const RETRYABLE_ERROR_CODES: readonly string[] = [...ERROR_CODES]
  .filter(([, meaning]) => meaning.transient)
  .map(([code]) => code);

/**
 * Messages, for the errors that pg and pg-pool make without a code. Source: every `new Error` in
 * pg 8.23.1 and pg-pool 3.14.0, and `reference/sql.md` §2b.
 */
export const MESSAGES: ReadonlyMap<string, ClientError> = new Map([
  ...TARGET_MESSAGES.map((message) => [message, wrongServer] as const),
  ['Connection terminated unexpectedly', cut],
  ['Connection terminated', cut],
  ['Client has encountered a connection error and is not queryable', unreachable],
  ['Client was closed and is not queryable', unreachable],
  ['Query read timeout', client('timeout', true, 'unknown')],
  ['timeout exceeded when trying to connect', connectTimeout],
  ['Connection terminated due to connection timeout', connectTimeout],
  ['timeout expired', connectTimeout],
  // Neither S nor N: a server too poor to fork, or a proxy whose server is away.
  ['There was an error establishing an SSL connection', unreachable],
  ['The server does not support SSL connections', misuse],
  ['Cannot use a pool after calling end on the pool', misuse],
  ['Called end on pool more than once', misuse],
  ['Client has already been connected. You cannot reuse a client.', misuse],
  ['Client was passed a null or undefined query', misuse],
  ['A query must have either text or a name. Supplying neither is unsupported.', misuse],
  ['Query values must be an array', misuse],
  ['Passing a function as the first parameter to pool.query is not supported', misuse],
  // A URIError: a connection string with a stray %.
  ['URI malformed', misuse],
]);

/** As {@link MESSAGES}, where the message goes on. */
export const MESSAGE_STARTS: readonly (readonly [string, ClientError])[] = [
  ['SASL', client('auth', false, 'not-applied')],
  ['Prepared statements must be unique', misuse],
  ['circular reference detected while preparing', misuse],
];

/** Certificates and TLS set-up, by the names of OpenSSL's `X509_V_ERR_*` in Node's `tls` module. */
export const TLS_CODE: RegExp =
  /^(?:ERR_TLS_|ERR_OSSL_|(?:UNABLE_TO|DEPTH_ZERO_SELF|SELF_SIGNED_CERT|CERT|CRL|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH|HOSTNAME_MISMATCH|ERROR_IN_C))/;

/** What a handshake can say; the same names cut short an encrypted connection that stood. */
export const SSL_CODE: RegExp = /^ERR_SSL_/;
