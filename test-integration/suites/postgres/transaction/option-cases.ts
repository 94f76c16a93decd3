import { OptionError } from '@outlast/pg-retry';
import { describe, expect, it } from 'vitest';
import { failureOf } from '../../support/errors.js';
import { executions } from '../../support/log.js';
import type { PostgresLab } from '../../support/postgres-lab.js';
import { barrier, insert } from './tables.js';

/** How it begins, by its options. */
export function optionCases(lab: PostgresLab): void {
  describe('and its options:', () => {
    it.each([
      [{ isolation: 'read committed' }, ['read committed', 'off', 'off']],
      [{ isolation: 'repeatable read' }, ['repeatable read', 'off', 'off']],
      [{ isolation: 'serializable' }, ['serializable', 'off', 'off']],
      [{ readOnly: true }, ['read committed', 'on', 'off']],
      [
        { isolation: 'serializable', readOnly: true, deferrable: true },
        ['serializable', 'on', 'on'],
      ],
      [{ isolation: 'serializable', trackCommit: false }, ['serializable', 'off', 'off']],
    ] as const)('really runs with %j', async (options, wanted) => {
      const pool = lab.pool();
      const set = await pool.transaction(async (tx) => {
        const shown = [];
        for (const name of ['isolation', 'read_only', 'deferrable']) {
          shown.push(Object.values((await tx.query(`show transaction_${name}`)).rows[0])[0]);
        }
        return shown;
      }, options);
      expect(set).toEqual(wanted);
      expect((await pool.query('show transaction_read_only')).rows[0].transaction_read_only).toBe(
        'off',
      );
    });

    it('that is readOnly is replayed even when the answer to its COMMIT was lost, and never asks for an xid', async () => {
      const table = await lab.table();
      await lab.server.admin(`insert into ${table} values ('a')`);
      const pool = lab.pool();
      const log = await lab.logMark();
      const armed = lab.proxy.arm({ when: { bytes: /COMMIT/ }, fault: 'cut-after' });
      let runs = 0;
      const rows = await pool.transaction(
        async (tx) => {
          runs += 1;
          return (await tx.query(`select id from ${table}`)).rows;
        },
        { readOnly: true },
      );
      expect(armed.fired).toBe(1);
      expect(runs).toBe(2);
      expect(rows).toEqual([{ id: 'a' }]);
      const texts = executions(await log()).map((one) => one.text);
      expect(texts.filter((text) => text.startsWith('BEGIN'))).toEqual([
        expect.stringMatching(/^BEGIN READ ONLY$/),
        expect.stringMatching(/^BEGIN READ ONLY$/),
      ]);
      const error = await failureOf(
        pool.transaction((tx) => insert(tx, table, 'b'), { readOnly: true }),
      );
      expect(error).toMatchObject({ code: '25006' });
    });

    it('begins plainly, without a snapshot, with trackCommit: false', async () => {
      const pool = lab.pool();
      const log = await lab.logMark();
      await pool.transaction((tx) => tx.query('lock table pg_class in access share mode'), {
        trackCommit: false,
      });
      const texts = executions(await log()).map((one) => one.text.trim());
      expect(texts).toEqual(['BEGIN', 'lock table pg_class in access share mode', 'COMMIT']);
    });

    it('asks for its xid in the round trip of BEGIN', async () => {
      const pool = lab.pool();
      await pool.transaction((tx) => tx.query('select 1'));
      const log = await lab.logMark();
      await pool.transaction((tx) => tx.query('select 1'));
      const texts = executions(await log()).map((one) => one.text.trim());
      expect(texts).toHaveLength(3);
      expect(texts[0]).toMatch(/^BEGIN; SELECT pg_current_xact_id\(\)/);
    });

    it('probes once a host whether transactions can be followed, however many begin at once', async () => {
      const pool = lab.pool({ max: 5 });
      const log = await lab.logMark();
      const together = barrier(5);
      const one = () => pool.transaction(async () => together());
      await Promise.all([1, 2, 3, 4, 5].map(one));
      await pool.transaction(() => 'once more');
      expect((await log()).match(/to_regprocedure\('pg_current_xact_id/g)).toHaveLength(1);
    });

    it('takes only a function, and only options that it knows', async () => {
      const pool = lab.pool();
      const bad = [
        [undefined, {}],
        ['select 1', {}],
        [() => 1, { isolation: 'snapshot' }],
        [() => 1, { isolation: 7 }],
        [() => 1, { readonly: true }],
        [() => 1, { readOnly: 'yes' }],
        [() => 1, { maxAttempts: 0 }],
        [() => 1, { maxAttempts: Number.NaN }],
        [() => 1, { totalTimeoutMs: -1 }],
        [() => 1, { signal: {} }],
        [() => 1, { trackCommit: 1 }],
        [() => 1, { verifyCommit: true }],
        [() => 1, null],
      ] as [never, never][];
      for (const [body, options] of bad) {
        expect(await failureOf(pool.transaction(body, options))).toBeInstanceOf(OptionError);
      }
      const error = await failureOf(pool.transaction(() => 1, { readonly: true } as never));
      expect(error.message).toMatch(/transaction\.readonly.*Did you mean readOnly\?/);
      expect(lab.proxy.counts.connections).toBe(0);
    });
  });
}
