import { OptionError, retryInfo, type Transaction } from '@outlast/pg-retry';
import { describe, expect, it } from 'vitest';
import { failureOf } from '../../support/errors.js';
import type { PostgresLab } from '../../support/postgres-lab.js';
import { idsIn, insert } from './tables.js';

/** The ways in which it ends, and what its callback may not say. */
export function endCases(lab: PostgresLab): void {
  describe('and its end:', () => {
    it('that ran into an SQL error which its callback swallowed rejects with that error, not with success', async () => {
      const table = await lab.table('id text primary key');
      const pool = lab.pool();
      let runs = 0;
      let caught: unknown;
      const error = await failureOf(
        pool.transaction(async (tx) => {
          runs += 1;
          await insert(tx, table, 'a');
          await insert(tx, table, 'a').catch((reason: unknown) => {
            caught = reason;
          });
          return 'looks fine';
        }),
      );
      expect(error).toBe(caught);
      expect(error).toMatchObject({ code: '23505' });
      expect(retryInfo(error)).toMatchObject({ outcome: 'not-applied', attempts: 1 });
      expect(runs).toBe(1);
      expect(await idsIn(lab, table)).toEqual([]);
    });

    it('surfaces at COMMIT what a deferred constraint finds, after one run', async () => {
      const table = await lab.table('id text unique deferrable initially deferred');
      const pool = lab.pool();
      let runs = 0;
      const error = await failureOf(
        pool.transaction(async (tx) => {
          runs += 1;
          await insert(tx, table, 'a');
          await insert(tx, table, 'a');
        }),
      );
      expect(error).toMatchObject({ code: '23505' });
      expect(retryInfo(error)).toMatchObject({
        attempts: 1,
        reason: 'permanent',
        outcome: 'not-applied',
      });
      expect(runs).toBe(1);
      expect(await idsIn(lab, table)).toEqual([]);
      expect(pool.idleCount).toBe(1);
    });

    it('is dropped with its connection when its signal aborts in mid-callback, and nothing is applied', async () => {
      const table = await lab.table();
      const pool = lab.pool();
      const controller = new AbortController();
      const reason = new Error('enough');
      let seen: AbortSignal | undefined;
      let after: unknown;
      const error = await failureOf(
        pool.transaction(
          async (tx, { signal }) => {
            seen = signal;
            await insert(tx, table, 'a');
            controller.abort(reason);
            after = await failureOf(insert(tx, table, 'b'));
          },
          { signal: controller.signal },
        ),
      );
      expect(error).toBe(reason);
      expect(retryInfo(error)).toMatchObject({ reason: 'cancelled', outcome: 'not-applied' });
      expect(seen?.aborted).toBe(true);
      expect(pool.totalCount).toBe(0);
      expect((await lab.sessions()).length).toBe(0);
      expect(after).toBe(reason);
      expect(await idsIn(lab, table)).toEqual([]);
    });

    it('is stopped when its totalTimeoutMs is over', async () => {
      const table = await lab.table();
      const pool = lab.pool();
      const start = performance.now();
      const error = await failureOf(
        pool.transaction(
          async (tx) => {
            await insert(tx, table, 'a');
            await tx.query('select pg_sleep(30)');
          },
          { totalTimeoutMs: 300 },
        ),
      );
      expect(performance.now() - start).toBeLessThan(1500);
      expect(retryInfo(error)).toMatchObject({ reason: 'deadline', outcome: 'not-applied' });
      expect(await idsIn(lab, table)).toEqual([]);
    });

    it('has a client that cannot be released, and that is of no use when it is over', async () => {
      const table = await lab.table();
      const pool = lab.pool();
      let kept: Transaction | undefined;
      await pool.transaction(async (tx) => {
        kept = tx;
        expect(() => tx.release()).toThrow(OptionError);
        await insert(tx, table, 'a');
      });
      const late = await failureOf(
        kept?.query(`insert into ${table} values ('late')`) as Promise<unknown>,
      );
      expect(late).toBeInstanceOf(OptionError);
      const told = await new Promise((resolve) => {
        kept?.query('select 1', (error) => resolve(error));
      });
      expect(told).toBeInstanceOf(OptionError);
      const nested = kept?.transaction(() => 1) as Promise<unknown>;
      expect(await failureOf(nested)).toBeInstanceOf(OptionError);
      expect(await idsIn(lab, table)).toEqual(['a']);
    });

    it.each([
      ['COMMIT'],
      ['commit and chain'],
      ['END'],
      ['ROLLBACK'],
      ['abort'],
      ['BEGIN'],
      ['start transaction'],
      [`prepare transaction 'x'`],
      ['/* so */ commit'],
      ['insert into TABLE values (1); commit; begin'],
    ])('refuses that its callback says %s', async (text) => {
      const table = await lab.table();
      const pool = lab.pool();
      const own = text.replace('TABLE', table);
      const error = await failureOf(
        pool.transaction(async (tx) => {
          await insert(tx, table, 'a');
          await tx.query(own);
        }),
      );
      expect(error).toBeInstanceOf(OptionError);
      expect(error.message).toMatch(/must not begin or end/);
      expect(await idsIn(lab, table)).toEqual([]);
    });

    it('takes every form of query, callbacks and values included', async () => {
      const pool = lab.pool();
      const told = await pool.transaction(async (tx) => {
        const a = (await tx.query('select $1::int as n', [1])).rows[0].n;
        const b = (await tx.query({ text: 'select $1::int as n', values: [2] })).rows[0].n;
        const c = await new Promise((resolve, reject) => {
          tx.query('select 3 as n', (error, result) =>
            error ? reject(error) : resolve(result.rows[0].n),
          );
        });
        const d = await new Promise((resolve, reject) => {
          tx.query('select $1::int as n', [4], (error, result) =>
            error ? reject(error) : resolve(result.rows[0].n),
          );
        });
        return [a, b, c, d];
      });
      expect(told).toEqual([1, 2, 3, 4]);
    });
  });
}
