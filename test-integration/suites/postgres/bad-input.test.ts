import { isOptionError, Pool, retryInfo } from '@outlast/pg-retry';
import pg from 'pg';
import { beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { ending, failureOf } from '../support/errors.js';
import { openLab } from '../support/postgres-lab.js';
import { createScramRole } from '../support/scram.js';

const lab = await openLab({ own: true });

/** The errors with which the driver's own connect failed. */
const noted: unknown[] = [];

class NotingClient extends pg.Client {
  constructor(config?: pg.ClientConfig) {
    super(config);
    const connect = this.connect.bind(this) as (callback: (error: Error) => void) => void;
    const noting = (callback: (error: Error) => void): void =>
      connect((error) => {
        if (error) noted.push(error);
        callback(error);
      });
    Object.defineProperty(this, 'connect', { value: noting });
  }
}

describe.skipIf(lab.reason)(`what cannot work ${lab.reason}`, () => {
  lab.use();
  beforeAll(() => createScramRole(lab.server, 'locked', 'right'));

  it.each([
    ['a wrong password', { user: 'locked', password: 'wrong' }, '28P01'],
    ['a database that does not exist', { database: 'nowhere' }, '3D000'],
    ['a role that does not exist', { user: 'nobody', database: 'app' }, '28000'],
  ])('fails at once and once, with the error of the driver: %s', async (_, config, code) => {
    noted.length = 0;
    const pool = lab.pool({ ...config, Client: NotingClient } as never);
    const told: string[] = [];
    for (const type of ['retry', 'down', 'up'] as const)
      pool.policy.on(type, () => told.push(type));
    const end = await ending(pool.query('select 1'));
    const error = end.ok ? undefined : end.error;
    expect(error).toMatchObject({ code, severity: 'FATAL' });
    expect(noted).toHaveLength(1);
    expect(noted[0]).toBe(error);
    expect(retryInfo(error)).toMatchObject({
      attempts: 1,
      reason: 'permanent',
      outcome: 'not-applied',
      delaysMs: [],
    });
    expect(told).toEqual([]);
    expect(end.ms).toBeLessThan(1000);
    expect(lab.proxy.counts.connections).toBe(1);
    const calls = [() => pool.connect(), () => pool.transaction((tx) => tx.query('select 1'))];
    for (const call of calls) {
      const again = await failureOf(call());
      expect(again).toMatchObject({ code });
      expect(retryInfo(again)).toMatchObject({ attempts: 1, reason: 'permanent' });
    }
  });

  it('fails without a password where one is asked for, with the error of the driver', async () => {
    const pool = lab.pool({ user: 'locked', password: undefined as never });
    const error = await failureOf(pool.query('select 1'));
    expect(error.message).toMatch(/^SASL.*password must be a string/);
    expect(retryInfo(error)).toMatchObject({ attempts: 1, reason: 'permanent' });
  });

  it('tells everybody who waits when the server comes back with another password', async () => {
    const pool = lab.pool({ user: 'locked', password: 'wrong' });
    lab.proxy.refuse();
    const waiting = Array.from({ length: 20 }, () => ending(pool.query('select 1')));
    await waitFor(() => pool.waitingCount === 20, { what: 'all to wait' });
    await lab.proxy.accept();
    for (const end of await Promise.all(waiting)) {
      expect(!end.ok && end.error).toMatchObject({ code: '28P01' });
      expect(!end.ok && retryInfo(end.error)).toMatchObject({
        reason: 'permanent',
        outcome: 'not-applied',
      });
    }
    expect(pool.waitingCount).toBe(0);
  });

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
    const end = await ending(pool.connect());
    expect(end.ms).toBeGreaterThanOrEqual(290);
    expect(!end.ok && end.error).toMatchObject({ code: 'ECONNREFUSED', port: lab.proxy.port });
  });

  it.each(['not a url', 'postgres://u:p@:badport/x', '://', 'postgres://h%'])(
    'fails as the driver does for the connection string %s',
    async (connectionString) => {
      const plain = new pg.Pool({ connectionString, connectionTimeoutMillis: 2000 });
      const wanted = await failureOf((async () => plain.query('select 1'))());
      const pool = new Pool({ connectionString, retry: { waitMs: 100 } });
      const end = await ending((async () => pool.query('select 1'))());
      const error = end.ok ? undefined : end.error;
      expect(error.message).toBe(wanted.message);
      expect(error.code).toBe(wanted.code);
      expect(end.ms).toBeLessThan(3000);
      await pool.end();
      await plain.end();
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
  ])('is refused before anything is sent: the query option %s: %j', async (key, value) => {
    const pool = lab.pool();
    const error = await failureOf(pool.query({ text: 'select 1', [key]: value } as never));
    expect(isOptionError(error)).toBe(true);
    expect(error.message).toContain(key);
    expect(lab.proxy.counts.connections).toBe(0);
  });
});
