import { retryInfo } from '@outlast/pg-retry';
import { describe, expect, it } from 'vitest';
import { terminateBackends } from '../../../faults/index.js';
import { failureOf } from '../../support/errors.js';
import type { PostgresLab } from '../../support/postgres-lab.js';
import { idsIn, insert } from './tables.js';

/** What runs, how often, and what is there afterwards. */
export function replayCases(lab: PostgresLab): void {
  describe('and its callback:', () => {
    it('commits what its callback did, and gives its value', async () => {
      const table = await lab.table();
      const pool = lab.pool();
      const value = await pool.transaction(async (tx, { attempt, signal }) => {
        expect(attempt).toBe(1);
        expect(signal).toBeInstanceOf(AbortSignal);
        await insert(tx, table, 'a');
        await insert(tx, table, 'b');
        return 'done';
      });
      expect(value).toBe('done');
      expect(await idsIn(lab, table)).toEqual(['a', 'b']);
      expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
    });

    it('rolls back when its callback throws, which surfaces as it is after one run', async () => {
      const table = await lab.table();
      const pool = lab.pool();
      let runs = 0;
      for (const thrown of [new Error('mine'), 'a text', Object.freeze(new TypeError('frozen'))]) {
        const error = await failureOf(
          pool.transaction(async (tx) => {
            runs += 1;
            await insert(tx, table, 'a');
            throw thrown;
          }),
        );
        expect(error).toBe(thrown);
      }
      expect(runs).toBe(3);
      expect(await idsIn(lab, table)).toEqual([]);
      expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
    });

    it('does not take an error that its callback made for one of the driver', async () => {
      const pool = lab.pool();
      let runs = 0;
      const mine = Object.assign(new Error('looks like a deadlock'), {
        code: '40P01',
        severity: 'ERROR',
      });
      const error = await failureOf(
        pool.transaction(() => {
          runs += 1;
          throw mine;
        }),
      );
      expect(error).toBe(mine);
      expect(runs).toBe(1);
    });

    it.each([
      ['a cut before', 'cut-before'],
      ['a cut after', 'cut-after'],
    ] as const)(
      'is replayed as a whole when %s a statement took its connection',
      async (_, fault) => {
        const table = await lab.table();
        const pool = lab.pool();
        const armed = lab.proxy.arm({ when: { bytes: /insert/, nth: 2 }, fault });
        const attempts: number[] = [];
        const value = await pool.transaction(async (tx, { attempt }) => {
          attempts.push(attempt);
          await insert(tx, table, 'a');
          await insert(tx, table, 'b');
          return attempt;
        });
        expect(armed.fired).toBe(1);
        expect(value).toBe(2);
        expect(attempts).toEqual([1, 2]);
        expect(await idsIn(lab, table)).toEqual(['a', 'b']);
      },
    );

    it('is replayed although its callback caught the loss of the connection', async () => {
      const table = await lab.table();
      const pool = lab.pool();
      lab.proxy.arm({ when: { bytes: /insert/, nth: 2 }, fault: 'cut-before' });
      let runs = 0;
      await pool.transaction(async (tx) => {
        runs += 1;
        await insert(tx, table, 'a');
        await insert(tx, table, 'b').catch(() => {});
        await insert(tx, table, 'c').catch(() => {});
      });
      expect(runs).toBe(2);
      expect(await idsIn(lab, table)).toEqual(['a', 'b', 'c']);
    });

    it('is replayed when its backend was terminated between two statements', async () => {
      const table = await lab.table();
      const pool = lab.pool();
      let runs = 0;
      await pool.transaction(async (tx) => {
        runs += 1;
        await insert(tx, table, 'a');
        if (runs === 1) await terminateBackends(lab.server);
        await insert(tx, table, 'b');
      });
      expect(runs).toBe(2);
      expect(await idsIn(lab, table)).toEqual(['a', 'b']);
    });

    it('runs its callback at most maxAttempts times', async () => {
      const table = await lab.table();
      const pool = lab.pool({ retry: { baseDelayMs: 10 } });
      lab.proxy.arm({ when: { bytes: /insert/ }, fault: 'cut-before', times: 100 });
      let runs = 0;
      const error = await failureOf(
        pool.transaction(
          (tx) => {
            runs += 1;
            return insert(tx, table, 'a');
          },
          { maxAttempts: 3 },
        ),
      );
      expect(runs).toBe(3);
      expect(retryInfo(error)).toMatchObject({
        operation: 'pg.transaction',
        attempts: 3,
        reason: 'exhausted',
        outcome: 'not-applied',
      });
      expect(await idsIn(lab, table)).toEqual([]);
    });

    it('waits for a server that is away, which is not an attempt', async () => {
      const table = await lab.table();
      const pool = lab.pool({ retry: { waitMs: 30_000, maxAttempts: 1 } });
      await lab.server.stop();
      let runs = 0;
      const pending = pool.transaction((tx) => {
        runs += 1;
        return insert(tx, table, 'a');
      });
      await lab.server.start();
      await pending;
      expect(runs).toBe(1);
      expect(await idsIn(lab, table)).toEqual(['a']);
    });
  });
}
