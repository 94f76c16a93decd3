import { type Pool, retryInfo, type Transaction } from '@outlast/pg-retry';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { failureOf } from '../support/errors.js';
import { openLab } from '../support/postgres-lab.js';

const lab = await openLab({ settings: { deadlock_timeout: '50ms' } });

/** Lets `n` callers go on together, once; later ones pass. */
function barrier(n: number): () => Promise<void> {
  let arrived = 0;
  let open: () => void = () => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  return () => {
    arrived += 1;
    if (arrived === n) open();
    return gate;
  };
}

describe.skipIf(lab.reason)(`transactions that get in each other’s way ${lab.reason}`, () => {
  lab.use();

  async function counters(): Promise<string> {
    const table = await lab.table('name text primary key, v int not null');
    await lab.server.admin(`insert into ${table} values ('a', 0), ('b', 0)`);
    return table;
  }
  const values = async (table: string): Promise<number[]> =>
    (await lab.server.admin(`select v from ${table} order by name`)).rows.map((row) => row.v);
  const add = (tx: Transaction, table: string, name: string) =>
    tx.query(`update ${table} set v = v + 1 where name = $1`, [name]);

  it('in a deadlock both have their effect exactly once (40P01)', async () => {
    const table = await counters();
    const pool = lab.pool();
    const codes: unknown[] = [];
    pool.policy.on('retry', (event) => codes.push(event.failure.code));
    const together = barrier(2);
    let runs = 0;
    const both = (first: string, second: string) =>
      pool.transaction(async (tx) => {
        runs += 1;
        await add(tx, table, first);
        await together();
        await add(tx, table, second);
        return first;
      });
    expect(await Promise.all([both('a', 'b'), both('b', 'a')])).toEqual(['a', 'b']);
    expect(codes).toEqual(['40P01']);
    expect(runs).toBe(3);
    expect(await values(table)).toEqual([2, 2]);
  });

  it('in a serialization failure both have their effect exactly once (40001)', async () => {
    const table = await counters();
    const pool = lab.pool();
    const codes: unknown[] = [];
    pool.policy.on('retry', (event) => codes.push(event.failure.code));
    const together = barrier(2);
    let runs = 0;
    // Each writes what it read: without a replay one of the two would be lost.
    const increment = () =>
      pool.transaction(
        async (tx) => {
          runs += 1;
          const { rows } = await tx.query(`select v from ${table} where name = 'a'`);
          await together();
          await tx.query(`update ${table} set v = $1 where name = 'a'`, [rows[0].v + 1]);
        },
        { isolation: 'serializable' },
      );
    await Promise.all([increment(), increment()]);
    expect(codes).toEqual(['40001']);
    expect(runs).toBe(3);
    expect(await values(table)).toEqual([2, 0]);
  });

  it('that fail to serialize only at COMMIT are replayed, too', async () => {
    const table = await counters();
    const pool = lab.pool();
    const together = barrier(2);
    const read = barrier(2);
    let runs = 0;
    const skew = (mine: string, other: string) =>
      pool.transaction(
        async (tx) => {
          runs += 1;
          const { rows } = await tx.query(`select v from ${table} where name = $1`, [other]);
          await read();
          await tx.query(`update ${table} set v = $2 where name = $1`, [mine, rows[0].v + 1]);
          await together();
        },
        { isolation: 'serializable' },
      );
    await Promise.all([skew('a', 'b'), skew('b', 'a')]);
    expect(runs).toBe(3);
    expect((await values(table)).sort()).toEqual([1, 2]);
  });

  it('are replayed although a callback caught the error: nothing more of it runs', async () => {
    const table = await counters();
    const pool = lab.pool();
    const rival = await lab.session();
    let runs = 0;
    const after: unknown[] = [];
    await pool.transaction(
      async (tx) => {
        runs += 1;
        await tx.query(`select v from ${table}`);
        if (runs === 1) await rival.query(`update ${table} set v = v + 10 where name = 'a'`);
        await add(tx, table, 'a').catch((error) => after.push(error));
        await add(tx, table, 'b').catch((error) => after.push(error));
        return 'swallowed';
      },
      { isolation: 'repeatable read' },
    );
    expect(runs).toBe(2);
    expect(after).toHaveLength(2);
    expect(after[0]).toMatchObject({ code: '40001' });
    expect(after[1]).toBe(after[0]);
    expect(await values(table)).toEqual([11, 1]);
  });

  it('are replayed although the error was caught inside of a savepoint', async () => {
    const table = await counters();
    const pool = lab.pool();
    const rival = await lab.session();
    let runs = 0;
    await pool.transaction(
      async (tx) => {
        runs += 1;
        await tx.query(`select v from ${table}`);
        if (runs === 1) await rival.query(`update ${table} set v = v + 10 where name = 'a'`);
        await tx.transaction((inner) => add(inner, table, 'a')).catch(() => {});
        await add(tx, table, 'b').catch(() => {});
      },
      { isolation: 'repeatable read' },
    );
    expect(runs).toBe(2);
    expect(await values(table)).toEqual([11, 1]);
  });

  it('are given up after maxAttempts with the server’s own error', async () => {
    const table = await counters();
    const pool = lab.pool({ retry: { baseDelayMs: 10 } });
    const rival = await lab.session();
    let runs = 0;
    const error = await failureOf(
      pool.transaction(
        async (tx) => {
          runs += 1;
          await tx.query(`select v from ${table}`);
          await rival.query(`update ${table} set v = v + 10 where name = 'a'`);
          await add(tx, table, 'a');
        },
        { isolation: 'serializable', maxAttempts: 3 },
      ),
    );
    expect(error).toMatchObject({ code: '40001' });
    expect(retryInfo(error)).toMatchObject({
      attempts: 3,
      reason: 'exhausted',
      outcome: 'not-applied',
    });
    expect(runs).toBe(3);
    expect(await values(table)).toEqual([30, 0]);
    expect(pool.idleCount).toBe(1);
  });

  it('many at once on one row all have their effect', async () => {
    const table = await counters();
    const pool: Pool = lab.pool({ retry: { maxAttempts: 50 } });
    const workers = Array.from({ length: 8 }, async () => {
      for (let i = 0; i < 5; i++) {
        await pool.transaction(
          async (tx) => {
            const { rows } = await tx.query(`select v from ${table} where name = 'a'`);
            await tx.query(`update ${table} set v = $1 where name = 'a'`, [rows[0].v + 1]);
          },
          { isolation: 'repeatable read' },
        );
      }
    });
    await Promise.all(workers);
    expect(await values(table)).toEqual([40, 0]);
  });

  it.each([
    ['a violated constraint (23505)', '23505', `insert into TABLE values ('a', 1)`],
    [
      'a lock that is not to be had (55P03)',
      '55P03',
      `select from TABLE where name = 'a' for update nowait`,
    ],
    ['a syntax error (42601)', '42601', 'selekt'],
  ])('are not ended by %s that is caught in a savepoint', async (_, code, text) => {
    const table = await counters();
    const pool = lab.pool();
    const rival = await lab.session();
    await rival.query('begin');
    await rival.query(`select from ${table} where name = 'a' for update`);
    let runs = 0;
    const caught: unknown[] = [];
    await pool.transaction(async (tx) => {
      runs += 1;
      await tx
        .transaction((inner) => inner.query(text.replace('TABLE', table)))
        .catch((error) => {
          caught.push(error.code);
        });
      await add(tx, table, 'b');
    });
    await rival.query('rollback');
    expect(caught).toEqual([code]);
    expect(runs).toBe(1);
    expect(await values(table)).toEqual([0, 1]);
  });

  it('are not ended by an error that the callback rolled back with a savepoint of its own', async () => {
    const table = await counters();
    const pool = lab.pool();
    let runs = 0;
    await pool.transaction(async (tx) => {
      runs += 1;
      await tx.query('savepoint own');
      await tx.query(`insert into ${table} values ('a', 1)`).catch(() => {});
      await tx.query('rollback to savepoint own');
      await add(tx, table, 'b');
    });
    expect(runs).toBe(1);
    expect(await values(table)).toEqual([0, 1]);
  });

  it('nest: an inner one that throws is undone alone, an inner one that returns is kept', async () => {
    const table = await counters();
    const pool = lab.pool();
    const mine = new Error('mine');
    const told = await pool.transaction(async (tx) => {
      await add(tx, table, 'a');
      const kept = await tx.transaction(async (inner) => {
        await add(inner, table, 'a');
        await failureOf(
          inner.transaction(async (innermost) => {
            await add(innermost, table, 'a');
            await add(innermost, table, 'b');
            throw mine;
          }),
        ).then((error) => expect(error).toBe(mine));
        return 'kept';
      });
      return kept;
    });
    expect(told).toBe('kept');
    expect(await values(table)).toEqual([2, 0]);
  });

  it('that wait for a lock are shut down by their signal at once', async () => {
    const table = await counters();
    const pool = lab.pool();
    const rival = await lab.session();
    await rival.query('begin');
    await add(rival as unknown as Transaction, table, 'a');
    const controller = new AbortController();
    const pending = failureOf(
      pool.transaction((tx) => add(tx, table, 'a'), { signal: controller.signal }),
    );
    const blocked = `select count(*)::int from pg_locks where not granted`;
    await waitFor(async () => (await lab.value(blocked)) === 1, {
      what: 'the lock to be waited for',
    });
    controller.abort();
    await pending;
    await waitFor(async () => (await lab.value(blocked)) === 0, { what: 'nobody to wait' });
    await rival.query('commit');
    expect(await values(table)).toEqual([1, 0]);
  });
});
