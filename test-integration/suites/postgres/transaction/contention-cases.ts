import { type Pool, retryInfo } from '@outlast/pg-retry';
import { describe, expect, it } from 'vitest';
import { failureOf } from '../../support/errors.js';
import type { PostgresLab } from '../../support/postgres-lab.js';
import { add, barrier, counters, valuesIn } from './tables.js';

/** Transactions that get in each other’s way. */
export function contentionCases(lab: PostgresLab): void {
  describe('among others:', () => {
    it('in a deadlock both have their effect exactly once (40P01)', async () => {
      const table = await counters(lab);
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
      expect(await valuesIn(lab, table)).toEqual([2, 2]);
    });

    it('in a serialization failure both have their effect exactly once (40001)', async () => {
      const table = await counters(lab);
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
      expect(await valuesIn(lab, table)).toEqual([2, 0]);
    });

    it('that fail to serialize only at COMMIT are replayed, too', async () => {
      const table = await counters(lab);
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
      expect((await valuesIn(lab, table)).sort()).toEqual([1, 2]);
    });

    it('are replayed although a callback caught the error: nothing more of it runs', async () => {
      const table = await counters(lab);
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
      expect(await valuesIn(lab, table)).toEqual([11, 1]);
    });

    it('are replayed although the error was caught inside of a savepoint', async () => {
      const table = await counters(lab);
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
      expect(await valuesIn(lab, table)).toEqual([11, 1]);
    });

    it('are given up after maxAttempts with the server’s own error', async () => {
      const table = await counters(lab);
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
      expect(await valuesIn(lab, table)).toEqual([30, 0]);
      expect(pool.idleCount).toBe(1);
    });

    it('many at once on one row all have their effect', async () => {
      const table = await counters(lab);
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
      expect(await valuesIn(lab, table)).toEqual([40, 0]);
    });
  });
}
