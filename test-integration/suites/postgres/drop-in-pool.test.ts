import { Pool } from '@outlast/pg-retry';
import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { runChild } from '../support/child.js';
import { failureOf } from '../support/errors.js';
import { openLab } from '../support/postgres-lab.js';

const lab = await openLab();

describe.skipIf(lab.reason)(`the pool as the driver has it ${lab.reason}`, () => {
  lab.use();

  it('is a pg.Pool, in whose name ORMs find "Pool"', () => {
    const pool = lab.pool();
    expect(pool).toBeInstanceOf(pg.Pool);
    expect(pool).toBeInstanceOf(Pool);
    expect(Object.getPrototypeOf(pool).constructor.name).toBe('Pool');
    expect(pool.options.max).toBe(10);
    expect(pool.options).not.toHaveProperty('retry');
  });

  it('connects by promise and by callback, and gives the driver’s own client', async () => {
    const pool = lab.pool();
    const client = await pool.connect();
    expect(client).toBeInstanceOf(pg.Client);
    expect((await client.query('select 1 as n')).rows).toEqual([{ n: 1 }]);
    client.release();
    const told = await new Promise<unknown[]>((resolve) => {
      pool.connect((error, second, done) => {
        resolve([error, second === client, typeof done]);
        done();
      });
    });
    expect(told).toEqual([undefined, true, 'function']);
    expect(pool.idleCount).toBe(1);
    expect(() => client.release()).toThrow(/already been released/);
  });

  it('counts its clients and those who wait, as the driver does', async () => {
    const seen = [];
    for (const pool of [lab.pool({ max: 2 }), lab.plainPool({ max: 2 })]) {
      const counts = (): number[] => [pool.totalCount, pool.idleCount, pool.waitingCount];
      const steps = [counts()];
      const a = await pool.connect();
      const b = await pool.connect();
      const third = pool.connect();
      const fourth = pool.query('select 1');
      steps.push(counts());
      a.release();
      (await third).release();
      await fourth;
      steps.push(counts());
      b.release();
      steps.push(counts());
      await pool.end();
      steps.push(counts());
      seen.push(steps);
    }
    expect(seen[0]).toEqual(seen[1]);
    expect(seen[0]?.[1]).toEqual([2, 0, 2]);
  });

  it('emits what the driver emits, in the same order', async () => {
    const seen = [];
    for (const pool of [lab.pool({ max: 1 }), lab.plainPool({ max: 1 })]) {
      const events: string[] = [];
      for (const type of ['connect', 'acquire', 'release', 'remove', 'error'] as const) {
        pool.on(type as 'connect', () => events.push(type));
      }
      // It is said when the socket is gone, which the next statement need not wait for.
      const removed = (n: number): Promise<unknown> =>
        waitFor(() => events.filter((type) => type === 'remove').length === n, {
          what: 'a removal',
        });
      await pool.query('select 1');
      const client = await pool.connect();
      client.release(true);
      await removed(1);
      await pool.query('select 1');
      await pool.end();
      await removed(2);
      seen.push(events);
    }
    expect(seen[0]).toEqual(seen[1]);
    expect(seen[0]).toContain('remove');
  });

  it('tells a listener of its own the error of an idle client', async () => {
    const pool = lab.pool();
    await pool.query('select 1');
    const told: unknown[] = [];
    pool.on('error', (error, client) => told.push([(error as { code?: string }).code, client]));
    await lab.server.admin(
      `select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'`,
    );
    await waitFor(() => told.length > 0, { what: 'the error' });
    expect(told[0]).toEqual(['57P01', expect.any(pg.Client)]);
    await waitFor(() => pool.totalCount === 0, { what: 'the client to go' });
  });

  it('hands its options on: min, max, maxUses, onConnect, connectionTimeoutMillis', async () => {
    const connected: unknown[] = [];
    const pool = lab.pool({
      max: 2,
      maxUses: 2,
      connectionTimeoutMillis: 200,
      onConnect: async (client: pg.ClientBase) => {
        connected.push(client);
        await client.query(`set application_name to 'set by onConnect'`);
      },
    } as pg.PoolConfig);
    const pid = async (): Promise<number> =>
      (await pool.query('select pg_backend_pid() as pid')).rows[0].pid;
    const first = await pid();
    expect(await pid()).toBe(first);
    expect(await pid()).not.toBe(first);
    expect(connected).toHaveLength(2);
    const { rows } = await pool.query('show application_name');
    expect(rows).toEqual([{ application_name: 'set by onConnect' }]);

    const a = await pool.connect();
    const b = await pool.connect();
    const error = await failureOf(pool.connect());
    expect(error.message).toBe('timeout exceeded when trying to connect');
    a.release();
    b.release();
  });

  it('drops idle clients after idleTimeoutMillis down to min', async () => {
    const pool = lab.pool({ max: 3, min: 1, idleTimeoutMillis: 50 });
    await Promise.all([1, 2, 3].map(() => pool.query('select pg_sleep(0.01)')));
    await waitFor(() => pool.totalCount === 1, { what: 'the idle clients to go' });
    expect(pool.idleCount).toBe(1);
  });

  it('leaves its options, deep frozen, as they are', async () => {
    const retry = Object.freeze({ maxAttempts: 2, baseDelayMs: 10 });
    const config = Object.freeze({
      ...lab.server.config({ port: lab.proxy.port }),
      max: 1,
      retry,
      resolveWrites: true,
    });
    const before = structuredClone(config);
    const pool = new Pool(config);
    await pool.query('select 1');
    await pool.end();
    expect(config).toEqual(before);
  });

  it('is told once an outage that it is down, and once that it is up', async () => {
    const pool = lab.pool();
    const events: string[] = [];
    pool.policy.on('down', (event) => {
      events.push('down');
      expect(event.error).toMatchObject({ code: 'ECONNREFUSED' });
      expect(Math.abs(event.since - Date.now())).toBeLessThan(5000);
    });
    pool.policy.on('up', (event) => {
      events.push('up');
      expect(event.downMs).toBeGreaterThan(0);
    });
    for (let outage = 1; outage <= 2; outage++) {
      lab.proxy.refuse();
      lab.proxy.cutAll();
      await waitFor(() => pool.totalCount === 0, { what: 'the pool to notice' });
      const waiting = Promise.all(Array.from({ length: 20 }, () => pool.query('select 1')));
      await waitFor(() => pool.waitingCount === 20, { what: 'all to wait' });
      // behind an outage connects are staggered: they may all wait before anybody has dialled
      await waitFor(() => events.at(-1) === 'down', { what: 'the pool to be refused' });
      await lab.proxy.accept();
      await waiting;
      expect(events).toEqual(Array.from({ length: outage }, () => ['down', 'up']).flat());
    }
  });

  it('lets a process exit with allowExitOnIdle, as soon as nobody uses it', async () => {
    const { code, stderr, ms } = await runChild(
      `import { Pool } from '@outlast/pg-retry';
       const pool = new Pool({ connectionString: process.env.URL, allowExitOnIdle: true });
       await pool.query('select 1');
       const client = await pool.connect();
       await client.query('select 1');
       client.release();
       await pool.query({ text: 'select 1', totalTimeoutMs: 60_000, signal: new AbortController().signal });
       await pool.transaction((tx) => tx.query('select 1'));`,
      { URL: lab.server.url({ port: lab.proxy.port }) },
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    // The driver's idle timeout, which must not have been waited for.
    expect(ms).toBeLessThan(9_000);
  });
});
