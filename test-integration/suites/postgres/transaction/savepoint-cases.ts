import { describe, expect, it } from 'vitest';
import { waitFor } from '../../../servers/index.js';
import { failureOf } from '../../support/errors.js';
import type { PostgresLab } from '../../support/postgres-lab.js';
import { add, counters, valuesIn } from './tables.js';

/** Transactions in transactions. */
export function savepointCases(lab: PostgresLab): void {
  describe('with savepoints:', () => {
    it.each([
      ['a violated constraint (23505)', '23505', `insert into TABLE values ('a', 1)`],
      [
        'a lock that is not to be had (55P03)',
        '55P03',
        `select from TABLE where name = 'a' for update nowait`,
      ],
      ['a syntax error (42601)', '42601', 'selekt'],
    ])('are not ended by %s that is caught in a savepoint', async (_, code, text) => {
      const table = await counters(lab);
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
      expect(await valuesIn(lab, table)).toEqual([0, 1]);
    });

    it('are not ended by an error that the callback rolled back with a savepoint of its own', async () => {
      const table = await counters(lab);
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
      expect(await valuesIn(lab, table)).toEqual([0, 1]);
    });

    it('nest: an inner one that throws is undone alone, an inner one that returns is kept', async () => {
      const table = await counters(lab);
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
      expect(await valuesIn(lab, table)).toEqual([2, 0]);
    });

    it('that wait for a lock are shut down by their signal at once', async () => {
      const table = await counters(lab);
      const pool = lab.pool();
      const rival = await lab.session();
      await rival.query('begin');
      await add(rival, table, 'a');
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
      expect(await valuesIn(lab, table)).toEqual([1, 0]);
    });
  });
}
