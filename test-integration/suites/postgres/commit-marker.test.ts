import { isOptionError, type Pool, retryInfo, type TransactionOptions } from '@outlast/pg-retry';
import { describe, expect, it } from 'vitest';
import { failureOf } from '../support/errors.js';
import { openLab } from '../support/postgres-lab.js';

const lab = await openLab({ own: true, log: 'all' });
const MARKERS = 'outlast_commit_markers';

describe.skipIf(lab.reason)(`a COMMIT with a marker ${lab.reason}`, () => {
  lab.use();

  const schema = async (): Promise<string> => {
    const name = lab.name('markers');
    await lab.server.admin(`create schema ${name} authorization app`);
    return name;
  };

  async function increment(
    on: Pool,
    options: TransactionOptions,
  ): Promise<{ runs: number; values: number[] }> {
    const table = await lab.table('v int not null');
    await lab.server.admin(`insert into ${table} values (0)`);
    let runs = 0;
    await on.transaction(async (tx) => {
      runs += 1;
      await tx.query(`update ${table} set v = v + 1`);
    }, options);
    const { rows } = await lab.server.admin(`select v from ${table}`);
    return { runs, values: rows.map(({ v }) => v) };
  }

  it.each([
    ['cut-after', 1],
    ['cut-before', 2],
  ] as const)('lost by %s: one increment, and the callback ran %i times', async (fault, runs) => {
    const pool = lab.pool({ max: 2 });
    const marker = { table: `${await schema()}.marks` };
    await pool.createMarkerTable(marker);
    const armed = lab.proxy.arm({ when: { bytes: /COMMIT/ }, fault });
    expect(await increment(pool, { commitMarker: marker })).toEqual({ runs, values: [1] });
    expect(armed.fired).toBe(1);
    expect(await lab.value(`select count(*)::int from ${marker.table}`)).toBe(runs);
  });

  it('that arrives 1.2 s late makes one row: the marker fences it off', async () => {
    const pool = lab.pool({ max: 2 });
    const commitMarker = { table: `${await schema()}.marks` };
    const log = await lab.logMark();
    const armed = lab.proxy.arm({ when: { bytes: /COMMIT/ }, fault: 'hold', holdMs: 1200 });
    expect(await increment(pool, { commitMarker })).toEqual({ runs: 2, values: [1] });
    expect((await armed.hit).delivered).toBe(true);
    expect(await log()).toMatch(/duplicate key value violates unique constraint/);
  });

  it('needs one client only, makes its table on first use, and neither asks for an xid', async () => {
    await lab.server.admin(`drop table if exists ${MARKERS}`);
    await lab.server.admin('grant create on schema public to app');
    const pool = lab.pool({ max: 1 });
    const log = await lab.logMark();
    const both = await Promise.all([
      increment(pool, { commitMarker: true }),
      increment(pool, { commitMarker: true }),
    ]);
    expect(both.map(({ values }) => values)).toEqual([[1], [1]]);
    expect(await lab.value(`select count(*)::int from ${MARKERS}`)).toBe(2);
    expect(await log()).not.toMatch(/xact_id/);
  });

  it('removes markers of the day before', async () => {
    const commitMarker = { table: `${await schema()}.marks` };
    const pool = lab.pool();
    await pool.createMarkerTable(commitMarker);
    await lab.server.admin(
      `insert into ${commitMarker.table} values (gen_random_uuid(), now() - interval '25 hours')`,
    );
    await increment(pool, { commitMarker });
    // It waits in the queue of the pool behind the sweep that the transaction has asked for.
    await pool.end();
    expect(await lab.value(`select count(*)::int from ${commitMarker.table}`)).toBe(1);
  });

  it('tells a role without the right which statement makes the table', async () => {
    const name = lab.name('locked');
    await lab.server.admin(`create schema ${name}`);
    await lab.server.admin(`grant usage on schema ${name} to app`);
    const pool = lab.pool();
    const commitMarker = { table: `${name}.marks` };
    const error = await failureOf(pool.transaction(() => 1, { commitMarker }));
    expect(isOptionError(error)).toBe(true);
    const [, statement] = /Have it made: (.*)$/.exec(error.message) ?? [];
    expect(statement).toMatch(/^CREATE TABLE/);
    await lab.server.admin(statement as string);
    await lab.server.admin(`grant insert, delete, select on ${commitMarker.table} to app`);
    expect((await increment(pool, { commitMarker })).values).toEqual([1]);
  });

  it('leaves errors what they are: an aborted transaction, a broken rule at COMMIT, its own table gone', async () => {
    const commitMarker = { table: `${await schema()}.marks` };
    const pool = lab.pool();
    const aborted = await failureOf(
      pool.transaction(async (tx) => tx.query('select 1 / 0').catch(() => {}), { commitMarker }),
    );
    expect(aborted.code).toBe('22012');
    const table = await lab.table('v int unique deferrable initially deferred');
    const late = await failureOf(
      pool.transaction((tx) => tx.query(`insert into ${table} values (1), (1)`), { commitMarker }),
    );
    expect([late.code, retryInfo(late)?.outcome]).toEqual(['23505', 'not-applied']);
    await lab.server.admin(`drop table ${commitMarker.table}`);
    const gone = await failureOf(pool.transaction(() => 1, { commitMarker }));
    expect([gone.code, retryInfo(gone)?.outcome]).toEqual(['42P01', 'not-applied']);
  });

  it.each([[7], ['marks'], [{ table: 'a; drop' }], [{ table: 'a', other: 1 }], [{}], [null]])(
    'is refused when it is neither a flag nor a table: %j',
    async (commitMarker) => {
      const pool = lab.pool();
      const error = await failureOf(
        pool.transaction(() => 1, { commitMarker: commitMarker as never }),
      );
      expect(isOptionError(error)).toBe(true);
      expect(error.message).toMatch(
        /^commitMarker must be true, false or \{ table: 'schema.name' \}/,
      );
    },
  );
});
