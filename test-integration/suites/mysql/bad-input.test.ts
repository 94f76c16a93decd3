import { createConnection, createPool, isOptionError, retryInfo } from '@outlast/mysql-retry';
import mysql from 'mysql2/promise';
import { describe, expect, it, vi } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { ending, failureOf } from '../support/errors.js';
import { openMysqlLab } from '../support/mysql-lab.js';

const lab = await openMysqlLab();

describe.skipIf(lab.reason)(`what cannot work ${lab.reason}`, () => {
  lab.use();

  it.each([
    ['a wrong password', { password: 'wrong' }, 1045],
    ['a database that this user may not have', { database: 'mysql' }, 1044],
    ['a user who does not exist', { user: 'nobody', password: '' }, 1045],
    ['no password where one is asked for', { password: '' }, 1045],
  ])('fails at once and once, with the error of the driver: %s', async (_, config, errno) => {
    const wanted = await failureOf(
      mysql.createConnection({ ...lab.server.config({ port: lab.proxy.port }), ...config }),
    );
    const { connections } = lab.proxy.counts;
    const pool = lab.pool(config);
    const told: string[] = [];
    for (const type of ['retry', 'down', 'up'] as const)
      pool.policy.on(type, () => told.push(type));
    const end = await ending(pool.query('select 1'));
    const error = end.ok ? undefined : end.error;
    expect(error).toMatchObject({ errno, message: wanted.message, code: wanted.code });
    expect(retryInfo(error)).toMatchObject({
      attempts: 1,
      reason: 'permanent',
      outcome: 'not-applied',
      delaysMs: [],
    });
    expect(told).toEqual([]);
    expect(lab.proxy.counts.connections).toBe(connections + 1);
    const calls = [
      () => pool.execute('select 1'),
      () => pool.getConnection(),
      () => pool.transaction((tx) => tx.query('select 1')),
      () => pool.createMarkerTable(),
      () => createConnection({ ...lab.server.config({ port: lab.proxy.port }), ...config }),
    ];
    for (const [n, call] of calls.entries()) {
      const again = await failureOf(call());
      expect(again).toMatchObject({ errno });
      expect(retryInfo(again)).toMatchObject({ attempts: 1, reason: 'permanent' });
      expect(lab.proxy.counts.connections).toBe(connections + 2 + n);
    }
  });

  it('tells everybody who waits when the server comes back with another password', async () => {
    const pool = lab.pool({ password: 'wrong' });
    lab.proxy.refuse();
    const waiting = Array.from({ length: 20 }, () => ending(pool.query('select 1')));
    await waitFor(async () => (await waitingIn(pool)) === 20, { what: 'all to wait' });
    await lab.proxy.accept();
    for (const end of await Promise.all(waiting)) {
      expect(!end.ok && end.error).toMatchObject({ errno: 1045 });
      expect(!end.ok && retryInfo(end.error)).toMatchObject({
        reason: 'permanent',
        outcome: 'not-applied',
      });
    }
    expect(await waitingIn(pool)).toBe(0);
  });

  const waitingIn = async (pool: ReturnType<typeof lab.pool>): Promise<number | undefined> =>
    (await pool.healthCheck()).details?.waiting;

  it('waits for a host whose name does not resolve, as for an outage, and names it', async () => {
    const host = 'no-such-host.invalid';
    const pool = lab.pool({ host, retry: { waitMs: 400 } });
    const told: unknown[] = [];
    pool.policy.on('down', (event) => told.push((event.error as { hostname: string }).hostname));
    const end = await ending(pool.query('select 1'));
    expect(end.ms).toBeGreaterThanOrEqual(390);
    expect(told).toEqual([host]);
    const error = end.ok ? undefined : end.error;
    expect(['ENOTFOUND', 'EAI_AGAIN']).toContain(error.code);
    expect(error.message).toContain(host);
    expect(retryInfo(error)).toMatchObject({ reason: 'exhausted', outcome: 'not-applied' });
  });

  it('waits for a port where nobody listens, and names it', async () => {
    lab.proxy.refuse();
    const pool = lab.pool({ retry: { waitMs: 300 } });
    const end = await ending(pool.getConnection());
    expect(end.ms).toBeGreaterThanOrEqual(290);
    expect(!end.ok && end.error).toMatchObject({ code: 'ECONNREFUSED', port: lab.proxy.port });
  });

  it('names the socket file that is not there', async () => {
    const socketPath = '/nowhere/at/all.sock';
    const pool = lab.pool({ socketPath, retry: { waitMs: 100 } });
    const error = await failureOf(pool.query('select 1'));
    expect(error).toMatchObject({ code: 'ENOENT', address: socketPath });
    expect(retryInfo(error)).toMatchObject({ reason: 'exhausted', outcome: 'not-applied' });
  });

  it.each(['not a url', 'mysql://u:p@:badport/x', '://', 'mysql://h%', ''])(
    'fails as the driver does for the URI %j',
    async (uri) => {
      const outcome = async (make: (uri: string) => mysql.Pool): Promise<unknown> => {
        let pool: mysql.Pool | undefined;
        try {
          pool = make(uri);
          await pool.query('select 1');
          return 'it worked';
        } catch (error) {
          const { name, code, message } = error as Error & { code?: unknown };
          return { name, code, message };
        } finally {
          await pool?.end();
        }
      };
      const wanted = await outcome((text) => mysql.createPool(text));
      vi.stubEnv('MYSQL_RETRY_WAIT', '0');
      expect(await outcome((text) => createPool(text))).toEqual(wanted);
      vi.unstubAllEnvs();
    },
  );

  it.each([
    ['idempotent', 'yes'],
    ['signal', {}],
    ['signal', 'abort'],
    ['totalTimeoutMs', -1],
    ['totalTimeoutMs', Number.NaN],
    ['totalTimeoutMs', '5'],
    ['resolveWrites', 1],
    ['totalTimeoutMS', 5],
    ['indempotent', true],
  ])('is refused before anything is sent: the option of a statement %s: %j', async (key, value) => {
    const pool = lab.pool();
    for (const face of [pool.query, pool.execute] as const) {
      const error = await failureOf(face.call(pool, { sql: 'select 1', [key]: value } as never));
      expect(isOptionError(error)).toBe(true);
      expect(error.message).toContain(key);
    }
    expect(lab.proxy.counts.connections).toBe(0);
  });

  it.each([
    ['isolation', 'snapshot'],
    ['isolation', 7],
    ['readOnly', 'yes'],
    ['commitMarker', 'yes'],
    ['commitMarker', { table: '' }],
    ['commitMarker', {}],
    ['maxAttempts', 0],
    ['maxAttempts', 1.5],
    ['totalTimeoutMs', 0],
    ['totalTimeoutMs', '5'],
    ['signal', {}],
    ['readonly', true],
    ['isolationLevel', 'serializable'],
  ])(
    'is refused before anything is sent: the option of a transaction %s: %j',
    async (key, value) => {
      const pool = lab.pool();
      const error = await failureOf(pool.transaction(() => 1, { [key]: value } as never));
      expect(isOptionError(error)).toBe(true);
      expect(error.message).toContain(key);
      expect(lab.proxy.counts.connections).toBe(0);
    },
  );

  it.each([undefined, null, 7, 'select 1', {}])(
    'is refused before anything is sent: %j for the function of a transaction',
    async (fn) => {
      const error = await failureOf(lab.pool().transaction(fn as never));
      expect(isOptionError(error)).toBe(true);
      expect(error.message).toContain('transaction(fn) must be a function');
      expect(lab.proxy.counts.connections).toBe(0);
    },
  );

  it.each([undefined, null, 7, {}, { text: 'select 1' }])(
    'is no statement, and takes no connection along: %j',
    async (sql) => {
      const pool = lab.pool({ connectionLimit: 1, retry: { waitMs: 0 } });
      const wanted = await failureOf(plainly(() => lab.plainPool().query(sql as never)));
      const error = await failureOf(plainly(() => pool.query(sql as never)));
      expect(error.constructor).toBe(wanted.constructor);
      expect((await pool.query('select 1 as a'))[0]).toEqual([{ a: 1 }]);
    },
  );
});

/** What is thrown and what is rejected with are one. */
async function plainly(call: () => Promise<unknown>): Promise<unknown> {
  return call();
}
