import { readFileSync } from 'node:fs';
import type { Category, Outcome, Phase } from '@outlast/core-retry';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  classifyMysql,
  discards,
  isReadOnlyServer,
  isServerError,
  isStatementTimeout,
  RETRYABLE_ERRNOS,
  RETRYABLE_ERROR_CODES,
} from '../src/classify.js';
import { ERRNOS } from '../src/errnos.js';
import { classifyStatement } from '../src/statement-outcome.js';

const PHASES: readonly Phase[] = ['acquire', 'connect', 'sent', 'commit'];

/** As mysql2 makes them. */
function serverError(errno: number, message = 'said by the server'): Error {
  const code = ERRNOS.get(errno)?.name;
  return Object.assign(new Error(message), {
    code,
    errno,
    sqlState: 'HY000',
    sqlMessage: message,
  });
}

type Case = readonly [
  errno: number,
  category: Category,
  transient: boolean,
  sent: Outcome,
  commit?: Outcome,
  message?: string,
];

const READ_ONLY = 'The MySQL server is running with the --read-only option so it cannot execute';
const GALERA = 'WSREP has not yet prepared node for application use';

/** The suite in which a real server is made to say what it can be made to say. */
const SUITE = new URL('../../../test-integration/suites/mysql/errors.test.ts', import.meta.url);

/** What that suite makes a server say, by `live(<number>, …)`, or by a table of such numbers. */
const LIVE: ReadonlySet<number> = new Set(
  [...readFileSync(SUITE, 'utf8').matchAll(/(?:\blive\(|\[)(\d{4}), ['"`]/g)].map(([, n]) =>
    Number(n),
  ),
);

/**
 * Every row of reference/sql.md §2c, and what the table adds to it. Those that the suite above has are named
 * `live`; the others are as the sources of the table record them, which no MariaDB can be made to say: numbers of
 * MySQL 8, of Galera, of a wire that breaks under the server's own answer, of a proxy in between.
 */
const ROWS: readonly Case[] = [
  [1040, 'resource-exhausted', true, 'not-applied'],
  [1203, 'resource-exhausted', true, 'not-applied'],
  [1226, 'resource-exhausted', true, 'not-applied'],
  [1637, 'resource-exhausted', true, 'not-applied'],
  [1129, 'unavailable', false, 'not-applied'],
  [1042, 'network', true, 'not-applied'],
  [1043, 'network', true, 'not-applied'],
  [1044, 'auth', false, 'not-applied'],
  [1045, 'auth', false, 'not-applied'],
  [1049, 'not-found', false, 'not-applied'],
  [1130, 'auth', false, 'not-applied'],
  [1142, 'auth', false, 'not-applied'],
  [1227, 'auth', false, 'not-applied'],
  [1698, 'auth', false, 'not-applied'],
  [1053, 'unavailable', true, 'unknown'],
  [1152, 'network', true, 'unknown'],
  [1158, 'network', true, 'unknown'],
  [1159, 'network', true, 'unknown'],
  [1160, 'network', true, 'unknown'],
  [1161, 'network', true, 'unknown'],
  [1184, 'network', true, 'unknown'],
  [1205, 'contention', true, 'not-applied', 'not-applied'],
  [1213, 'contention', true, 'not-applied', 'not-applied'],
  [1613, 'contention', true, 'not-applied', 'not-applied'],
  [1614, 'contention', true, 'not-applied', 'not-applied'],
  [1290, 'unavailable', true, 'not-applied', 'not-applied', READ_ONLY],
  [1290, 'invalid', false, 'not-applied', 'not-applied', 'with the --secure-file-priv option'],
  [1836, 'unavailable', true, 'not-applied', 'not-applied'],
  [1792, 'invalid', false, 'not-applied'],
  [3572, 'contention', false, 'not-applied'],
  [3024, 'timeout', false, 'not-applied'],
  [1969, 'timeout', false, 'not-applied'],
  [1317, 'timeout', false, 'not-applied'],
  [1927, 'unavailable', true, 'unknown'],
  [4031, 'timeout', true, 'unknown'],
  [3032, 'unavailable', true, 'unknown'],
  [1047, 'unavailable', true, 'not-applied', 'unknown', GALERA],
  [1047, 'invalid', false, 'not-applied', 'unknown', 'Unknown command'],
  [1153, 'invalid', false, 'not-applied'],
  [1064, 'invalid', false, 'not-applied'],
  [1054, 'invalid', false, 'not-applied'],
  [1062, 'conflict', false, 'not-applied'],
  [1146, 'not-found', false, 'not-applied'],
  [1451, 'conflict', false, 'not-applied'],
  [1452, 'conflict', false, 'not-applied'],
  [1180, 'unavailable', false, 'unknown'],
  [2006, 'network', true, 'unknown'],
  [2013, 'network', true, 'unknown'],
  [2055, 'network', true, 'unknown'],
];

const named = ROWS.map((row) => [LIVE.has(row[0]) ? 'live' : 'recorded', ...row] as const);

describe('an error number of the server', () => {
  it.each(named)('(%s) %i is %s, transient: %s, and %s when it answers', (_, ...row) => {
    const [errno, category, transient, sent, commit = 'unknown', message] = row as unknown as Case;
    const error = serverError(errno, message);
    for (const phase of PHASES) {
      const outcome = phase === 'sent' ? sent : phase === 'commit' ? commit : 'not-applied';
      expect([phase, classifyMysql(error, phase)]).toMatchObject([
        phase,
        { category, transient, outcome },
      ]);
    }
  });

  it('has a case of its own here, whichever the table holds', () => {
    const tested = new Set(ROWS.map(([errno]) => errno));
    expect([...ERRNOS.keys()].sort()).toEqual([...tested].sort());
    expect([...LIVE].filter((errno) => !tested.has(errno))).toEqual([]);
    expect(LIVE.size).toBeGreaterThanOrEqual(23);
  });

  it('that nobody listed is the server’s decision', () => {
    expect(classifyMysql(serverError(1644), 'sent')).toEqual({
      category: 'invalid',
      transient: false,
      outcome: 'not-applied',
      code: '1644',
    });
    expect(classifyMysql(serverError(1644), 'commit').outcome).toBe('unknown');
  });

  it('is told by its number and its state, for `fatal` says nothing and `code` may be missing', () => {
    const untold = Object.assign(new Error('max_statement_time exceeded'), {
      errno: 1969,
      sqlState: '70100',
    });
    expect(isServerError(untold)).toBe(true);
    expect(classifyMysql(untold, 'sent')).toMatchObject({ category: 'timeout', code: '1969' });
    expect(
      isServerError(Object.assign(new Error('x'), { errno: -111, code: 'ECONNREFUSED' })),
    ).toBe(false);
    for (const fatal of [true, false, undefined]) {
      const error = Object.assign(serverError(1040), { fatal });
      expect(classifyMysql(error, 'connect')).toEqual(classifyMysql(serverError(1040), 'connect'));
    }
  });

  it.each([
    [1290, READ_ONLY, true, true],
    [1290, 'running with the --super-read-only option', true, true],
    [1290, 'running with the --secure-file-priv option', false, false],
    [1836, '', true, true],
    [1792, '', true, false],
    [1153, '', true, false],
    [1927, '', true, false],
    [1062, '', false, false],
    [1205, '', false, false],
  ])('%i (%s) ends its connection: %s, and says that the server takes no writes: %s', (...row) => {
    const [errno, message, discarded, readOnly] = row;
    expect(discards(serverError(errno, message))).toBe(discarded);
    expect(isReadOnlyServer(serverError(errno, message))).toBe(readOnly);
  });

  it('is on the list of those after which a call may succeed later, if it is transient', () => {
    expect(RETRYABLE_ERRNOS).toEqual(
      [...ERRNOS].filter(([, { transient }]) => transient).map(([errno]) => errno),
    );
    expect(RETRYABLE_ERRNOS).toEqual(expect.arrayContaining([1040, 1205, 1213, 1290, 2006]));
    expect(RETRYABLE_ERRNOS).not.toContain(1062);
  });
});

describe('an error of the driver', () => {
  const coded = (code: string, fields: object = {}): Error =>
    Object.assign(new Error(code), { code, ...fields });

  it.each([
    [coded('PROTOCOL_CONNECTION_LOST', { fatal: true }), 'network', true, 'unknown'],
    [coded('PROTOCOL_SEQUENCE_TIMEOUT'), 'timeout', true, 'unknown'],
    [coded('PROTOCOL_UNEXPECTED_PACKET'), 'network', true, 'unknown'],
    [coded('ECONNRESET', { syscall: 'read' }), 'network', true, 'unknown'],
    [coded('EPIPE', { syscall: 'write' }), 'network', true, 'unknown'],
    [coded('ETIMEDOUT', { syscall: 'read' }), 'timeout', true, 'unknown'],
    [coded('ETIMEDOUT', { syscall: 'connect' }), 'timeout', true, 'not-applied'],
    [coded('ECONNREFUSED', { syscall: 'connect' }), 'network', true, 'not-applied'],
    [coded('ENOTFOUND', { syscall: 'getaddrinfo' }), 'network', true, 'not-applied'],
    [coded('ENOENT', { syscall: 'connect' }), 'network', true, 'not-applied'],
    [coded('HANDSHAKE_SSL_ERROR'), 'auth', false, 'not-applied'],
    [coded('HANDSHAKE_SSL_ERROR', { syscall: 'read' }), 'network', true, 'not-applied'],
    [
      Object.assign(
        new Error(
          'Client network socket disconnected before secure TLS connection was established',
        ),
        { code: 'HANDSHAKE_SSL_ERROR' },
      ),
      'network',
      true,
      'not-applied',
    ],
    [coded('HANDSHAKE_NO_SSL_SUPPORT'), 'auth', false, 'not-applied'],
    [coded('DEPTH_ZERO_SELF_SIGNED_CERT'), 'auth', false, 'not-applied'],
    [coded('POOL_ACQUIRE_TIMEOUT'), 'timeout', false, 'not-applied'],
    [coded('WRONG_TARGET'), 'unavailable', true, 'not-applied'],
    [
      new Error("Can't add new command when connection is in closed state"),
      'network',
      true,
      'not-applied',
    ],
    [new Error('Pool is closed.'), 'invalid', false, 'not-applied'],
    [new Error('Queue limit reached.'), 'resource-exhausted', false, 'not-applied'],
    [new Error('No connections available.'), 'resource-exhausted', false, 'not-applied'],
    [new TypeError('Bind parameters must not contain undefined'), 'invalid', false, 'unknown'],
    [new Error('nobody knows it'), 'unknown', true, 'unknown'],
  ] as const)('%s is %s, transient: %s, and %s when it ends a statement', (error, ...row) => {
    const [category, transient, sent] = row;
    expect(classifyMysql(error, 'sent')).toMatchObject({ category, transient, outcome: sent });
    expect(classifyMysql(error, 'connect')).toMatchObject({
      category,
      transient,
      outcome: 'not-applied',
    });
  });

  it('has its code on the list, if the same call may succeed later', () => {
    expect(RETRYABLE_ERROR_CODES).toContain('PROTOCOL_CONNECTION_LOST');
    expect(RETRYABLE_ERROR_CODES).not.toContain('HANDSHAKE_SSL_ERROR');
    expect(isStatementTimeout(coded('PROTOCOL_SEQUENCE_TIMEOUT'))).toBe(true);
  });

  it('has an answer, whatever was thrown', () => {
    const hostile = new Proxy(
      {},
      {
        get() {
          throw new Error('not to be read');
        },
      },
    );
    for (const phase of PHASES) expect(classifyMysql(hostile, phase).outcome).toBeDefined();
    fc.assert(
      fc.property(fc.anything(), fc.constantFrom(...PHASES), (thrown, phase) => {
        const { outcome, transient } = classifyMysql(thrown, phase);
        expect(typeof transient).toBe('boolean');
        if (phase === 'acquire' || phase === 'connect') expect(outcome).toBe('not-applied');
      }),
    );
  });
});

describe('the failure of a statement', () => {
  it('of NOWAIT is what was asked for, whatever number it has', () => {
    const locked = serverError(1205);
    const verdict = (text: string) => classifyStatement(locked, 'sent', text).transient;
    expect(verdict('select * from t for update')).toBe(true);
    expect(verdict('select * from t for update nowait')).toBe(false);
  });

  it('of several, or of a procedure, may have left a part of it behind', () => {
    const duplicate = serverError(1062);
    const outcome = (text: string) => classifyStatement(duplicate, 'sent', text).outcome;
    expect(outcome('insert into t values (1)')).toBe('not-applied');
    expect(outcome('insert into t values (1); insert into t values (1)')).toBe('unknown');
    expect(outcome('select 1; select 2')).toBe('not-applied');
    expect(outcome('call p()')).toBe('unknown');
    expect(outcome('/* x */ call p()')).toBe('unknown');
    expect(outcome('/*!50000 insert */ into t values (1)')).toBe('unknown');
    expect(outcome("insert into t values ('\\''); commit")).toBe('unknown');
  });
});
