import type { Category, Failure, Outcome, Phase } from '@outlast/core-retry';
import fc from 'fast-check';
import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { classifyPg, isFatal, isServerError } from '../src/classify.js';
import {
  ERROR_CODES,
  MESSAGE_STARTS,
  MESSAGES,
  RETRYABLE_ERROR_CODES,
} from '../src/client-errors.js';
import { CACHED_PLAN, RETRYABLE_SQLSTATES, SQLSTATE_CLASSES, SQLSTATES } from '../src/sqlstates.js';

const PHASES: readonly Phase[] = ['acquire', 'connect', 'sent', 'commit'];

function serverError(code: string, severity = 'ERROR', fields: object = {}): Error {
  return Object.assign(new Error('said by the server'), { code, severity, ...fields });
}

function nodeError(code: string, syscall?: string): Error {
  return Object.assign(new Error(`${syscall} ${code}`), { code, syscall });
}

/** Before anything was sent the outcome is always known. */
function expectFailure(
  error: unknown,
  category: Category,
  transient: boolean,
  sent: Outcome,
  commit: Outcome = sent,
): void {
  const code = (error as { code?: string }).code;
  const expected = (outcome: Outcome): Failure =>
    code === undefined ? { category, transient, outcome } : { category, transient, outcome, code };
  expect(classifyPg(error, 'acquire')).toEqual(expected('not-applied'));
  expect(classifyPg(error, 'connect')).toEqual(expected('not-applied'));
  expect(classifyPg(error, 'sent')).toEqual(expected(sent));
  expect(classifyPg(error, 'commit')).toEqual(expected(commit));
}

type Case = readonly [
  code: string,
  severity: 'ERROR' | 'FATAL',
  category: Category,
  transient: boolean,
  sent: Outcome,
  commit?: Outcome,
];

// Every row of reference/sql.md §2a, and what the table adds to it.
const ROWS: readonly Case[] = [
  ['08000', 'ERROR', 'network', true, 'unknown'],
  ['08003', 'ERROR', 'network', true, 'unknown'],
  ['08006', 'ERROR', 'network', true, 'unknown'],
  ['08006', 'FATAL', 'network', true, 'unknown'],
  ['08001', 'ERROR', 'network', true, 'not-applied'],
  ['08001', 'FATAL', 'network', true, 'not-applied', 'unknown'],
  ['08004', 'FATAL', 'unavailable', true, 'not-applied', 'unknown'],
  ['08007', 'ERROR', 'network', true, 'unknown'],
  ['0A000', 'ERROR', 'invalid', false, 'not-applied'],
  ['26000', 'ERROR', 'invalid', false, 'not-applied'],
  ['25001', 'ERROR', 'invalid', false, 'not-applied'],
  ['25P01', 'ERROR', 'invalid', false, 'not-applied'],
  ['25P02', 'ERROR', 'invalid', false, 'not-applied'],
  ['25006', 'ERROR', 'invalid', false, 'not-applied'],
  ['25P03', 'FATAL', 'timeout', true, 'not-applied'],
  ['25P04', 'FATAL', 'timeout', false, 'unknown'],
  ['57P05', 'FATAL', 'timeout', true, 'unknown'],
  ['28000', 'FATAL', 'auth', false, 'not-applied', 'unknown'],
  ['28P01', 'FATAL', 'auth', false, 'not-applied', 'unknown'],
  ['3D000', 'FATAL', 'not-found', false, 'not-applied', 'unknown'],
  ['40000', 'ERROR', 'contention', true, 'not-applied'],
  ['40001', 'ERROR', 'contention', true, 'not-applied'],
  ['40001', 'FATAL', 'contention', true, 'unknown'],
  ['40002', 'ERROR', 'conflict', false, 'not-applied'],
  ['40003', 'ERROR', 'unavailable', true, 'unknown'],
  ['40P01', 'ERROR', 'contention', true, 'not-applied'],
  ['55P03', 'ERROR', 'contention', false, 'not-applied'],
  ['55006', 'ERROR', 'contention', false, 'not-applied'],
  ['55000', 'ERROR', 'invalid', false, 'not-applied'],
  ['53000', 'ERROR', 'resource-exhausted', true, 'not-applied'],
  ['53000', 'FATAL', 'resource-exhausted', true, 'unknown'],
  ['53200', 'ERROR', 'resource-exhausted', true, 'not-applied'],
  ['53400', 'ERROR', 'resource-exhausted', true, 'not-applied'],
  ['53100', 'ERROR', 'resource-exhausted', false, 'not-applied'],
  ['53300', 'FATAL', 'resource-exhausted', true, 'not-applied', 'unknown'],
  ['57014', 'ERROR', 'timeout', false, 'not-applied'],
  ['57000', 'ERROR', 'unavailable', false, 'not-applied'],
  ['57P01', 'FATAL', 'unavailable', true, 'unknown'],
  ['57P02', 'FATAL', 'unavailable', true, 'unknown'],
  ['57P03', 'FATAL', 'unavailable', true, 'not-applied', 'unknown'],
  ['57P04', 'FATAL', 'not-found', false, 'unknown'],
  ['58000', 'ERROR', 'unavailable', false, 'unknown'],
  ['58030', 'ERROR', 'unavailable', false, 'unknown'],
  ['F0000', 'ERROR', 'invalid', false, 'not-applied'],
  ['XX000', 'ERROR', 'unknown', false, 'not-applied'],
  ['XX000', 'FATAL', 'unknown', false, 'unknown'],
  ['XX001', 'ERROR', 'unknown', false, 'not-applied'],
  ['XX002', 'ERROR', 'unknown', false, 'not-applied'],
  ['22012', 'ERROR', 'invalid', false, 'not-applied'],
  ['23505', 'ERROR', 'conflict', false, 'not-applied'],
  ['23001', 'ERROR', 'conflict', false, 'not-applied'],
  ['23503', 'ERROR', 'conflict', false, 'not-applied'],
  ['23P01', 'ERROR', 'conflict', false, 'not-applied'],
  ['23502', 'ERROR', 'invalid', false, 'not-applied'],
  ['42601', 'ERROR', 'invalid', false, 'not-applied'],
  ['42501', 'ERROR', 'auth', false, 'not-applied'],
  ['2B000', 'ERROR', 'conflict', false, 'not-applied'],
  ['2BP01', 'ERROR', 'conflict', false, 'not-applied'],
  ['44000', 'ERROR', 'invalid', false, 'not-applied'],
  ['P0001', 'ERROR', 'invalid', false, 'not-applied'],
  ['CR000', 'ERROR', 'contention', true, 'not-applied'],
  ['08999', 'ERROR', 'network', false, 'unknown'],
  ['28999', 'ERROR', 'auth', false, 'not-applied'],
  ['40999', 'ERROR', 'contention', false, 'not-applied'],
  ['53999', 'ERROR', 'resource-exhausted', false, 'not-applied'],
  ['57999', 'ERROR', 'unavailable', false, 'not-applied'],
  ['58P01', 'ERROR', 'unavailable', false, 'unknown'],
  ['XX999', 'ERROR', 'unknown', false, 'not-applied'],
  ['AB123', 'ERROR', 'invalid', false, 'not-applied'],
  ['AB123', 'FATAL', 'invalid', false, 'unknown'],
];

describe('answers of the server', () => {
  for (const [code, severity, category, transient, sent, commit] of ROWS) {
    it(`${code} as ${severity}: ${category}, transient ${transient}, sent ${sent}`, () => {
      expectFailure(serverError(code, severity), category, transient, sent, commit);
    });
  }

  it('08P01 is transient only where it ends the connection: PgBouncer’s word for a server that it lost', () => {
    const error = serverError('08P01', 'FATAL');
    expect(classifyPg(error, 'connect')).toMatchObject({ transient: true, outcome: 'not-applied' });
    expect(classifyPg(error, 'sent')).toMatchObject({ transient: true, outcome: 'unknown' });
    expect(classifyPg(serverError('08P01'), 'sent')).toMatchObject({ transient: false });
    expect(classifyPg(serverError('08P01'), 'commit')).toMatchObject({
      transient: false,
      outcome: 'unknown',
    });
  });

  it.each([
    'server login has been failing, try again later (server_login_retry)',
    'server login has been failing, cached error: x (server_login_retry)',
    'query_wait_timeout',
  ])('08P01 of PgBouncer, %s: the statement never got a server', (message) => {
    const error = Object.assign(serverError('08P01', 'FATAL'), { message });
    const wanted = { category: 'unavailable', transient: true, outcome: 'not-applied' };
    expect(classifyPg(error, 'sent')).toMatchObject(wanted);
    // a COMMIT has a server
    expect(classifyPg(error, 'commit')).toMatchObject({ outcome: 'unknown' });
  });

  it(`${CACHED_PLAN} has a row of its own`, () => {
    expectFailure(
      serverError('0A000', 'ERROR', { routine: 'RevalidateCachedQuery' }),
      'invalid',
      false,
      'not-applied',
    );
  });

  it('a severity in another language is not FATAL if it says ERROR', () => {
    for (const word of ['FEHLER', 'ERREUR', 'ОШИБКА', '错误']) {
      expect(isFatal(serverError('40001', word))).toBe(false);
      expect(classifyPg(serverError('40001', word), 'commit').outcome).toBe('not-applied');
    }
    for (const word of ['FATAL', 'PANIC', 'ВАЖНО', '致命错误', 'a word nobody listed']) {
      expect(isFatal(serverError('40001', word))).toBe(true);
      expect(classifyPg(serverError('40001', word), 'commit').outcome).toBe('unknown');
    }
  });

  it('is told by shape, not by class', () => {
    const theirs = Object.assign(new pg.DatabaseError('said', 4, 'error'), {
      code: '40001',
      severity: 'ERROR',
    });
    expect(isServerError(theirs)).toBe(true);
    expect(isServerError({ code: '40001', severity: 'ERROR' })).toBe(true);
    expect(classifyPg(theirs, 'sent')).toMatchObject({ category: 'contention', code: '40001' });
    expect(isServerError(nodeError('EPIPE', 'write'))).toBe(false);
    expect(isServerError({ code: '40001' })).toBe(false);
    expect(isServerError({ code: 40001, severity: 'ERROR' })).toBe(false);
    expect(isServerError(null)).toBe(false);
    expect(isFatal(nodeError('EPIPE', 'write'))).toBe(false);
  });
});

type CodeCase = readonly [
  code: string,
  syscall: string | undefined,
  category: Category,
  transient: boolean,
  sent: Outcome,
];

// Every row of reference/sql.md §2b with a code.
const CODES: readonly CodeCase[] = [
  ['ECONNREFUSED', 'connect', 'network', true, 'not-applied'],
  ['ENOTFOUND', 'getaddrinfo', 'network', true, 'not-applied'],
  ['EAI_AGAIN', 'getaddrinfo', 'network', true, 'not-applied'],
  ['EHOSTUNREACH', 'connect', 'network', true, 'not-applied'],
  ['EHOSTUNREACH', 'read', 'network', true, 'unknown'],
  ['EHOSTDOWN', 'connect', 'network', true, 'not-applied'],
  ['ENETUNREACH', 'connect', 'network', true, 'not-applied'],
  ['ENETUNREACH', 'write', 'network', true, 'unknown'],
  ['ENETDOWN', 'read', 'network', true, 'unknown'],
  ['ENETRESET', 'read', 'network', true, 'unknown'],
  ['EADDRNOTAVAIL', 'connect', 'network', true, 'not-applied'],
  ['CONNECT_TIMEOUT', undefined, 'timeout', true, 'not-applied'],
  ['ETIMEDOUT', 'connect', 'timeout', true, 'not-applied'],
  ['ETIMEDOUT', 'read', 'timeout', true, 'unknown'],
  ['ECONNRESET', 'read', 'network', true, 'unknown'],
  ['ECONNRESET', 'connect', 'network', true, 'not-applied'],
  ['ECONNABORTED', 'read', 'network', true, 'unknown'],
  ['ENOBUFS', 'write', 'resource-exhausted', true, 'unknown'],
  ['EPIPE', 'write', 'network', true, 'unknown'],
  ['EPROTO', 'write', 'network', true, 'unknown'],
  ['ENOTCONN', 'shutdown', 'network', true, 'unknown'],
  ['ERR_STREAM_DESTROYED', undefined, 'network', true, 'unknown'],
  ['ERR_STREAM_WRITE_AFTER_END', undefined, 'network', true, 'unknown'],
  ['ERR_SOCKET_CLOSED', undefined, 'network', true, 'unknown'],
  ['CONNECTION_CLOSED', undefined, 'network', true, 'unknown'],
  ['ERR_TLS_HANDSHAKE_TIMEOUT', undefined, 'timeout', true, 'not-applied'],
  ['ENOENT', 'connect', 'network', true, 'not-applied'],
  ['ABORT_ERR', undefined, 'cancelled', false, 'unknown'],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', undefined, 'auth', false, 'not-applied'],
  ['CERT_HAS_EXPIRED', undefined, 'auth', false, 'not-applied'],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', undefined, 'auth', false, 'not-applied'],
  ['SELF_SIGNED_CERT_IN_CHAIN', undefined, 'auth', false, 'not-applied'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', undefined, 'auth', false, 'not-applied'],
];

describe('errors of Node', () => {
  it.each(CODES)('%s of %s: %s, transient %s, sent %s', (code, syscall, ...expected) => {
    expectFailure(nodeError(code, syscall), ...expected);
  });

  it('ERR_SSL_ ends a handshake for good, and only cuts a connection that stood', () => {
    const error = nodeError('ERR_SSL_WRONG_VERSION_NUMBER');
    expect(classifyPg(error, 'connect')).toMatchObject({ category: 'auth', transient: false });
    expect(classifyPg(error, 'sent')).toMatchObject({ transient: true, outcome: 'unknown' });
  });

  it('ECONNREFUSED is found in the AggregateError of a dual-stack connect', () => {
    const both = new AggregateError([
      nodeError('EACCES', 'connect'),
      nodeError('ECONNREFUSED', 'connect'),
    ]);
    for (const phase of PHASES) {
      expect(classifyPg(both, phase)).toEqual({
        category: 'network',
        transient: true,
        outcome: 'not-applied',
        code: 'ECONNREFUSED',
      });
    }
    const mixed = new AggregateError([nodeError('ECONNREFUSED', 'connect'), new Error('what?')]);
    expect(classifyPg(mixed, 'sent').outcome).toBe('unknown');
    expect(classifyPg(new AggregateError([]), 'sent').category).toBe('unknown');
  });
});

type MessageCase = readonly [
  message: string,
  category: Category,
  transient: boolean,
  sent: Outcome,
];

// Every row of reference/sql.md §2b without a code, and the rest of pg's own errors.
const MESSAGE_CASES: readonly MessageCase[] = [
  ['server is in hot standby mode', 'unavailable', true, 'not-applied'],
  ['server is not in hot standby mode', 'unavailable', true, 'not-applied'],
  ['session is read-only', 'unavailable', true, 'not-applied'],
  ['session is not read-only', 'unavailable', true, 'not-applied'],
  ['Connection terminated unexpectedly', 'network', true, 'unknown'],
  ['Connection terminated', 'network', true, 'unknown'],
  ['Connection terminated due to connection timeout', 'timeout', true, 'not-applied'],
  ['timeout expired', 'timeout', true, 'not-applied'],
  ['timeout exceeded when trying to connect', 'timeout', true, 'not-applied'],
  [
    'Client has encountered a connection error and is not queryable',
    'network',
    true,
    'not-applied',
  ],
  ['Client was closed and is not queryable', 'network', true, 'not-applied'],
  ['Query read timeout', 'timeout', true, 'unknown'],
  ['There was an error establishing an SSL connection', 'network', true, 'not-applied'],
  ['The server does not support SSL connections', 'invalid', false, 'not-applied'],
  ['Cannot use a pool after calling end on the pool', 'invalid', false, 'not-applied'],
  ['Called end on pool more than once', 'invalid', false, 'not-applied'],
  [
    'Client has already been connected. You cannot reuse a client.',
    'invalid',
    false,
    'not-applied',
  ],
  ['Client was passed a null or undefined query', 'invalid', false, 'not-applied'],
  ['URI malformed', 'invalid', false, 'not-applied'],
  [
    'A query must have either text or a name. Supplying neither is unsupported.',
    'invalid',
    false,
    'not-applied',
  ],
  ['Query values must be an array', 'invalid', false, 'not-applied'],
  [
    'Passing a function as the first parameter to pool.query is not supported',
    'invalid',
    false,
    'not-applied',
  ],
  [
    "Prepared statements must be unique - 'a' was used for a different statement",
    'invalid',
    false,
    'not-applied',
  ],
  [
    'circular reference detected while preparing "[object Object]" for query',
    'invalid',
    false,
    'not-applied',
  ],
  ['SASL: SCRAM-SERVER-FIRST-MESSAGE: server nonce is too short', 'auth', false, 'not-applied'],
  ['nobody knows this one', 'unknown', true, 'unknown'],
];

describe('errors of pg without a code', () => {
  it.each(MESSAGE_CASES)('%s: %s, transient %s, sent %s', (message, ...expected) => {
    expectFailure(new Error(message), ...expected);
  });

  it("a programmer's error is not transient, and may come after the answer", () => {
    expectFailure(new TypeError('x is not a function'), 'invalid', false, 'unknown');
    expectFailure(
      new TypeError('Client was passed a null or undefined query'),
      'invalid',
      false,
      'not-applied',
    );
  });

  it("takes the code of the cause from pg-pool's wrapper, and from no other", () => {
    const cause = nodeError('ECONNREFUSED', 'connect');
    const known = new Error('Connection terminated due to connection timeout', { cause });
    expect(classifyPg(known, 'sent')).toEqual({
      category: 'timeout',
      transient: true,
      outcome: 'not-applied',
      code: 'ECONNREFUSED',
    });
    expect(classifyPg(new Error('a wrapper', { cause }), 'sent')).toEqual({
      category: 'unknown',
      transient: true,
      outcome: 'unknown',
    });
  });

  it('a cancellation is not transient', () => {
    expect(classifyPg(AbortSignal.abort().reason, 'sent')).toMatchObject({
      category: 'cancelled',
      transient: false,
    });
  });
});

describe('the tables', () => {
  const tested = new Set<string>([...ROWS.map(([code]) => code), '08P01', CACHED_PLAN]);

  it('have a test for every SQLSTATE and class', () => {
    for (const code of SQLSTATES.keys()) expect(tested, code).toContain(code);
    const unnamed = [...tested].filter((code) => !SQLSTATES.has(code));
    for (const name of SQLSTATE_CLASSES.keys()) {
      expect(
        unnamed.some((code) => code.startsWith(name)),
        name,
      ).toBe(true);
    }
  });

  it('have a test for every row of the reference', () => {
    const reference = `08000 08003 08006 08001 08004 08007 08P01 0A000 26000 25001 25P01 25P02 25006
      25P03 57P05 28000 28P01 3D000 40000 40001 40002 40003 40P01 55P03 55006 55000 53000 53200 53400
      53100 53300 57014 57000 57P01 57P02 57P03 57P04 58000 58030 F0000 XX000 XX001 XX002 CR000`;
    for (const code of reference.split(/\s+/)) expect(tested, code).toContain(code);
    for (const name of ['22', '23', '42', '2B', '44', 'P0']) {
      expect(
        [...tested].some((code) => code.startsWith(name)),
        name,
      ).toBe(true);
    }
  });

  it('have a test for every code and message without SQLSTATE', () => {
    const codes = new Set(CODES.map(([code]) => code));
    for (const code of ERROR_CODES.keys()) expect(codes, code).toContain(code);
    const messages = MESSAGE_CASES.map(([message]) => message);
    for (const message of MESSAGES.keys()) expect(messages, message).toContain(message);
    for (const [start] of MESSAGE_STARTS) {
      expect(
        messages.some((message) => message.startsWith(start)),
        start,
      ).toBe(true);
    }
  });

  it('have a test for every row of the reference without SQLSTATE', () => {
    const codes = CODES.map(([code]) => code);
    const reference = `ECONNREFUSED ENOTFOUND EAI_AGAIN EHOSTUNREACH ENETUNREACH EADDRNOTAVAIL CONNECT_TIMEOUT
      ETIMEDOUT ECONNRESET EPIPE CONNECTION_CLOSED`;
    for (const code of reference.split(/\s+/)) expect(codes, code).toContain(code);
    const messages = MESSAGE_CASES.map(([message]) => message);
    for (const message of [
      'Connection terminated unexpectedly',
      'Connection terminated due to connection timeout',
      'timeout expired',
      'timeout exceeded when trying to connect',
      'Client has encountered a connection error and is not queryable',
      'Client was closed and is not queryable',
      'Query read timeout',
      'Cannot use a pool after calling end on the pool',
    ]) {
      expect(messages, message).toContain(message);
    }
  });

  it('make the lists of retryable codes', () => {
    expect(RETRYABLE_SQLSTATES).toEqual(expect.arrayContaining(['40001', '57P01', '57P03']));
    for (const code of ['40002', '08P01', '23505', '55P03', '25006', '57014', '26000']) {
      expect(RETRYABLE_SQLSTATES).not.toContain(code);
    }
    expect(RETRYABLE_ERROR_CODES).toEqual(expect.arrayContaining(['ECONNREFUSED', 'ECONNRESET']));
    expect(RETRYABLE_ERROR_CODES).not.toContain('ABORT_ERR');
  });
});

/** Objects that throw whatever is done to them, or never end. */
function hostile(): unknown[] {
  const thrower = () => {
    throw new Error('trap');
  };
  const everything = new Proxy(Object.create(null), {
    get: thrower,
    has: thrower,
    getPrototypeOf: thrower,
    ownKeys: thrower,
    getOwnPropertyDescriptor: thrower,
  });
  const revoked = Proxy.revocable({}, {});
  revoked.revoke();
  const endless: unknown = new Proxy(() => {}, { get: () => endless });
  const cyclic = new AggregateError([]);
  cyclic.errors.push(cyclic);
  const nested = new AggregateError([everything, revoked.proxy]);
  const long = Object.assign(new AggregateError([]), { errors: { length: 1e12 } });
  const wrong = { code: Symbol('x'), severity: {}, message: 7, name: [], errors: 'two' };
  const wrapper = new Error('Connection terminated due to connection timeout', {
    cause: everything,
  });
  return [everything, revoked.proxy, endless, cyclic, nested, long, wrong, wrapper];
}

describe('every thrown value has an answer', () => {
  const isTotal = (error: unknown): void => {
    for (const phase of PHASES) {
      const failure = classifyPg(error, phase);
      expect(typeof failure.transient).toBe('boolean');
      expect(['not-applied', 'unknown']).toContain(failure.outcome);
      if (phase === 'acquire' || phase === 'connect') expect(failure.outcome).toBe('not-applied');
    }
    expect(typeof isServerError(error)).toBe('boolean');
    expect(typeof isFatal(error)).toBe('boolean');
  };

  it('whatever it is', () => {
    fc.assert(fc.property(fc.anything({ withNullPrototype: true }), isTotal));
  });

  it('shaped like an error', () => {
    const shape = fc.record(
      {
        name: fc.constantFrom('Error', 'AggregateError', 'TypeError', 'AbortError'),
        code: fc.oneof(fc.constantFrom(...SQLSTATES.keys(), 'EPIPE', 'constructor'), fc.anything()),
        severity: fc.oneof(fc.constantFrom('ERROR', 'FATAL'), fc.anything()),
        message: fc.oneof(fc.string(), fc.anything()),
        errors: fc.anything(),
        cause: fc.anything(),
      },
      { requiredKeys: [] },
    );
    fc.assert(fc.property(shape, isTotal));
  });

  it('hostile or not', () => {
    for (const error of hostile()) isTotal(error);
  });
});
