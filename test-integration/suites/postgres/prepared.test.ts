import { type Pool, retryInfo } from '@outlast/pg-retry';
import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import { failureOf } from '../support/errors.js';
import { openLab } from '../support/postgres-lab.js';

const lab = await openLab();

describe.skipIf(lab.reason)(`a prepared statement ${lab.reason}`, () => {
  lab.use();

  const watch = (pool: Pool): { retries: number } => {
    const count = { retries: 0 };
    pool.policy.on('retry', ({ delayMs }) => {
      expect(delayMs).toBe(0);
      count.retries += 1;
    });
    return count;
  };

  /** Every client of the pool has prepared it. */
  async function prepareAll(pool: Pool, config: pg.QueryConfig, n: number): Promise<void> {
    const clients = await Promise.all(Array.from({ length: n }, () => pool.connect()));
    for (const client of clients) await client.query(config);
    for (const client of clients) client.release();
  }

  it('heals once when its result has another shape (graphile/worker#175, porsager/postgres#120)', async () => {
    const table = await lab.table('id int');
    await lab.server.admin(`insert into ${table} values (1)`);
    const pool = lab.pool({ max: 3 });
    const count = watch(pool);
    const config = { name: 'all', text: `select * from ${table}` };
    await prepareAll(pool, config, 3);
    await lab.server.admin(`alter table ${table} add column extra text default 'new'`);
    const answers = await Promise.all(Array.from({ length: 30 }, () => pool.query(config)));
    for (const { rows } of answers) expect(rows).toEqual([{ id: 1, extra: 'new' }]);
    // at most one a connection that had the old plan
    expect(count.retries).toBeGreaterThan(0);
    expect(count.retries).toBeLessThanOrEqual(3);
    expect(config).toEqual({ name: 'all', text: `select * from ${table}` });
  });

  it('heals once when the session has lost its name, and keeps the connection', async () => {
    const pool = lab.pool({ max: 1 });
    const count = watch(pool);
    const config = {
      name: 'lost',
      text: 'select $1::int as n, pg_backend_pid() as pid',
      values: [7],
    };
    const first = (await pool.query(config)).rows[0];
    await pool.query('deallocate all');
    expect((await pool.query(config)).rows).toEqual([first]);
    expect((await pool.query(config)).rows).toEqual([first]);
    expect(count.retries).toBe(1);
    await pool.query('discard all');
    const inserted = await lab.table('n int');
    const insert = { name: 'ins', text: `insert into ${inserted} values ($1)`, values: [1] };
    await pool.query(insert);
    await pool.query('deallocate all');
    // a write too: what has no plan has run nothing
    await pool.query(insert);
    expect(await lab.count(inserted)).toBe(2);
  });

  it('heals when somebody else has taken its name', async () => {
    const pool = lab.pool({ max: 1 });
    const count = watch(pool);
    await pool.query(`prepare taken as select 'stranger'`);
    const config = { name: 'taken', text: `select 'mine' as who` };
    expect((await pool.query(config)).rows).toEqual([{ who: 'mine' }]);
    expect(count.retries).toBe(1);
  });

  it('in a transaction has the whole transaction replayed, once, on whatever connection', async () => {
    const table = await lab.table('id int');
    const log = await lab.table('n int');
    const pool = lab.pool({ max: 4 });
    const count = watch(pool);
    const config = { name: 'tx', text: `select * from ${table}` };
    await prepareAll(pool, config, 4);
    await lab.server.admin(`alter table ${table} add column extra text`);
    let runs = 0;
    const value = await pool.transaction(async (tx, { attempt }) => {
      runs += 1;
      expect(attempt).toBe(runs);
      await tx.query(`insert into ${log} values ($1)`, [runs]);
      const { fields } = await tx.query(config);
      return fields.map(({ name }) => name);
    });
    expect(value).toEqual(['id', 'extra']);
    expect([runs, count.retries]).toEqual([2, 1]);
    expect((await lab.server.admin(`select n from ${log}`)).rows).toEqual([{ n: 2 }]);
    // caught in a savepoint it ends the transaction all the same, as a deadlock does
    const other = lab.pool({ max: 1 });
    await prepareAll(other, config, 1);
    await lab.server.admin(`alter table ${table} add column more text`);
    runs = 0;
    await other.transaction(async (tx) => {
      runs += 1;
      await tx.transaction((inner) => inner.query(config)).catch(() => {});
      await tx.query(`insert into ${log} values (10)`);
    });
    expect(runs).toBe(2);
    expect(await lab.count(log, 'n = 10')).toBe(1);
  });

  it('on a client that is checked out fails, marked, and its connection is not used again', async () => {
    const table = await lab.table('id int');
    const pool = lab.pool({ max: 1 });
    const config = { name: 'held', text: `select * from ${table}` };
    await prepareAll(pool, config, 1);
    await lab.server.admin(`alter table ${table} add column extra text`);
    const client = await pool.connect();
    const error = await failureOf(client.query(config));
    expect(error).toMatchObject({ code: '0A000', routine: 'RevalidateCachedQuery' });
    expect(retryInfo(error)).toMatchObject({ outcome: 'not-applied', reason: 'permanent' });
    client.release();
    expect(pool.totalCount).toBe(0);
    const next = await pool.connect();
    expect((await next.query(config)).fields).toHaveLength(2);
    await next.query('deallocate all');
    expect((await failureOf(next.query(config))).code).toBe('26000');
    // the driver has forgotten it and prepares it anew
    expect((await next.query(config)).fields).toHaveLength(2);
    next.release();
    expect(pool.idleCount).toBe(1);
  });

  it('without a name is nobody’s to heal, and with one attempt nothing is', async () => {
    const pool = lab.pool({ max: 1 });
    const count = watch(pool);
    const error = await failureOf(pool.query('execute nothing'));
    expect(error.code).toBe('26000');
    expect(retryInfo(error)).toMatchObject({ attempts: 1, reason: 'permanent' });
    expect(count.retries).toBe(0);
    const single = lab.pool({ max: 1, retry: { maxAttempts: 1 } });
    await single.query({ name: 'one', text: 'select 1' });
    await single.query('deallocate all');
    expect((await failureOf(single.query({ name: 'one', text: 'select 1' }))).code).toBe('26000');
    expect((await single.query({ name: 'one', text: 'select 1 as n' })).rows).toEqual([{ n: 1 }]);
  });
});
