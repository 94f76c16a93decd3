import { retryInfo } from '@outlast/pg-retry';
import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import { terminateBackends } from '../../faults/index.js';
import { waitFor } from '../../servers/index.js';
import { startChild } from '../support/child.js';
import { ending, failureOf } from '../support/errors.js';
import { openLab } from '../support/postgres-lab.js';

const lab = await openLab({ own: true });

describe.skipIf(lab.reason)(`the health of a pool ${lab.reason}`, () => {
  lab.use();

  it('holds when backends end under idle and checked-out clients that nobody listens to: the process lives', async () => {
    const child = await startChild(
      `import { Pool } from '@outlast/pg-retry';
       const pool = new Pool({ connectionString: process.env.URL, max: 4 });
       const held = [await pool.connect(), await pool.connect()];
       await Promise.all([pool.query('select pg_sleep(0.05)'), pool.query('select pg_sleep(0.05)')]);
       console.log('ready');
       const running = held[0].query('select pg_sleep(20)').catch((error) => error.code);
       let left = 4;
       while (pool.idleCount > 0) await new Promise((next) => setTimeout(next, 10));
       console.log('in flight: ' + await running);
       await held[1].query('select 1').catch(() => console.log('idle and held: refused'));
       for (const client of held) client.release();
       console.log('again: ' + (await pool.query('select 42 as n')).rows[0].n);
       await pool.end();`,
      { URL: lab.server.url() },
    );
    await waitFor(() => child.stdout.includes('ready'), { what: 'the child to be ready' });
    await waitFor(async () => (await lab.sessions()).some((one) => one.state === 'active'));
    expect(await terminateBackends(lab.server)).toBe(4);
    const { code, stdout, stderr } = await child.end;
    expect(stderr).toBe('');
    expect(stdout.trim().split('\n')).toEqual([
      'ready',
      'in flight: 57P01',
      'idle and held: refused',
      'again: 42',
    ]);
    expect(code).toBe(0);
  });

  it('loses no slot, and ends, when a client that has died is never given back, as by drizzle', async () => {
    const pool = lab.pool({ max: 1 });
    const held = await pool.connect();
    await terminateBackends(lab.server);
    await failureOf(held.query('begin'));
    expect((await pool.query('select 42 as n')).rows).toEqual([{ n: 42 }]);
    expect(pool.totalCount).toBe(1);
    await pool.end();
    held.release();
  });

  it('never gives out a client again whose statement timed out on the client’s side', async () => {
    const pool = lab.pool({ max: 1, query_timeout: 150 });
    const retries: unknown[] = [];
    pool.policy.on('retry', (event) => retries.push(event));
    const client = await pool.connect();
    const { rows: poisoned } = await client.query('select pg_backend_pid() as pid');
    const error = await failureOf(client.query('select pg_sleep(10)'));
    expect(error.message).toBe('Query read timeout');
    expect(retryInfo(error)?.outcome).toBe('unknown');
    // Without an argument: the driver would put it back, and the next query would time out too.
    client.release();
    const { rows: next } = await pool.query('select pg_backend_pid() as pid');
    expect(next[0].pid).not.toBe(poisoned[0].pid);
    expect(retries).toEqual([]);
    await terminateBackends(lab.server);
  });

  it('stops on the server what a query timed out on, before it is replayed', async () => {
    const table = await lab.table();
    const pool = lab.pool({ max: 2, query_timeout: 200 });
    const error = await failureOf(pool.query(`insert into ${table} select 'a' from pg_sleep(10)`));
    expect(error.message).toBe('Query read timeout');
    expect(retryInfo(error)).toMatchObject({ outcome: 'unknown', attempts: 1 });
    const running = (await lab.sessions()).filter((one) => one.state === 'active');
    expect(running).toEqual([]);
    expect(await lab.count(table)).toBe(0);
  });

  it('stops each replay of a read, too, that times out', async () => {
    const pool = lab.pool({ query_timeout: 200, retry: { maxAttempts: 3, baseDelayMs: 10 } });
    const error = await failureOf(pool.query('select pg_sleep(20)'));
    expect(error.message).toBe('Query read timeout');
    expect(retryInfo(error)).toMatchObject({ attempts: 3, reason: 'exhausted' });
    const running = async () => (await lab.sessions()).filter(({ state }) => state === 'active');
    await waitFor(async () => (await running()).length === 0, { what: 'nothing to run any more' });
  });

  it.each([
    ['open', 'select 1'],
    ['failed', 'select 1 / 0'],
  ])('never gives out a client again that comes back in a transaction: %s', async (_, text) => {
    const table = await lab.table();
    const pool = lab.pool({ max: 1 });
    const client = await pool.connect();
    await client.query('begin');
    await client.query(`insert into ${table} values ('dirty')`);
    await client.query(text).catch(() => {});
    client.release();
    const { rows } = await pool.query('select pg_current_xact_id_if_assigned() is null as clean');
    expect(rows).toEqual([{ clean: true }]);
    await pool.query(`insert into ${table} values ('clean')`);
    expect((await lab.server.admin(`select id from ${table}`)).rows).toEqual([{ id: 'clean' }]);
  });

  it('does not pay for SQL errors with connections, as the driver’s own pool does', async () => {
    const table = await lab.table('id int primary key');
    await lab.server.admin(`insert into ${table} values (1)`);
    const used = async (pool: pg.Pool): Promise<number> => {
      const before = lab.proxy.counts.connections;
      for (let i = 0; i < 10; i++) {
        const error = await failureOf(pool.query(`insert into ${table} values (1)`));
        expect(error.code).toBe('23505');
        await pool.query('select 1');
      }
      return lab.proxy.counts.connections - before;
    };
    const ours = lab.pool();
    const plain = lab.plainPool();
    expect(await used(plain)).toBe(11);
    expect(await used(ours)).toBe(1);
  });

  it('lets the server shut down smartly: idle clients are closed once a connect is refused, busy ones after their query', async () => {
    const pool = lab.pool({ max: 4, idleTimeoutMillis: 0 });
    await Promise.all([1, 2, 3].map(() => pool.query('select pg_sleep(0.05)')));
    expect(pool.idleCount).toBe(3);
    const held = await pool.connect();
    const busy = pool.query('select pg_sleep(0.5), 7 as n');
    await waitFor(() => pool.idleCount === 1, { what: 'one to be busy' });
    const stopped = lab.server.stop('smart');
    await waitFor(async () => (await failureOf(lab.server.admin('select 1'))).code === '57P03', {
      what: 'the server to refuse',
    });
    // Two more than there are idle: one of them has to dial, and is told.
    const late = [pool.query('select pg_sleep(0.1)'), pool.query('select pg_sleep(0.1)')];
    expect((await busy).rows[0].n).toBe(7);
    expect((await held.query('select 8 as n')).rows).toEqual([{ n: 8 }]);
    held.release();
    await stopped;
    await lab.server.start();
    await Promise.all(late);
    expect((await pool.query('select 9 as n')).rows).toEqual([{ n: 9 }]);
  });

  it('keeps 100 who wait for one connection over a restart: nobody sees an error', async () => {
    const table = await lab.table();
    const pool = lab.pool({ max: 1 });
    const client = await pool.connect();
    const waiting = Array.from({ length: 100 }, (_, i) =>
      i % 2 === 0
        ? ending(pool.query(`select ${i}::int as n`))
        : ending(pool.query(`insert into ${table} values ($1) returning ${i}::int as n`, [`${i}`])),
    );
    await waitFor(() => pool.waitingCount === 100, { what: 'all to wait' });
    await lab.server.stop();
    client.release();
    await waitFor(() => lab.proxy.counts.unreachable > 2, { what: 'the pool to notice' });
    await lab.server.start();
    const ends = await Promise.all(waiting);
    expect(ends.map((end) => end.ok && end.value.rows[0].n)).toEqual(ends.map((_, i) => i));
    expect(await lab.count(table)).toBe(50);
    expect(pool.totalCount).toBe(1);
    expect(pool.waitingCount).toBe(0);
  });

  it('opens at most max connections after an outage, however many wait', async () => {
    const pool = lab.pool({ max: 3 });
    lab.proxy.refuse();
    const waiting = Array.from({ length: 60 }, () => pool.query('select pg_sleep(0.002)'));
    const all = Promise.all(waiting);
    await waitFor(() => pool.waitingCount === 60, { what: 'all to wait' });
    await lab.proxy.accept();
    await all;
    expect(lab.proxy.counts.connections).toBeLessThanOrEqual(4);
    expect(pool.totalCount).toBeLessThanOrEqual(3);
  });

  it('tells a full pool from a server that is away', async () => {
    const pool = lab.pool({ max: 1, connectionTimeoutMillis: 150 });
    const client = await pool.connect();
    const start = performance.now();
    const error = await failureOf(pool.query('select 1'));
    expect(error.message).toBe('timeout exceeded when trying to connect');
    expect(performance.now() - start).toBeLessThan(1000);
    expect(retryInfo(error)).toMatchObject({ outcome: 'not-applied', attempts: 1 });
    client.release();
  });

  it('waits while the server has no connection to spare', async () => {
    await lab.server.admin('alter role app connection limit 1');
    try {
      const first = lab.pool({ max: 1 });
      const client = await first.connect();
      const second = lab.pool({ max: 1 });
      const told: unknown[] = [];
      second.policy.on('down', (event) => told.push((event.error as { code: string }).code));
      const waiting = second.query('select 1 as n');
      await waitFor(() => told.length === 1, { what: 'the refusal' });
      expect(told).toEqual(['53300']);
      client.release(true);
      expect((await waiting).rows).toEqual([{ n: 1 }]);
    } finally {
      await lab.server.admin('alter role app connection limit -1');
    }
  });
});
