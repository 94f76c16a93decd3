import { isOutcomeUnknown, retryInfo } from '@outlast/pg-retry';
import { describe, expect, it } from 'vitest';
import { terminateBackends } from '../../faults/index.js';
import { waitFor } from '../../servers/index.js';
import { watchDriverErrors } from '../support/driver-errors.js';
import { ending, failureOf } from '../support/errors.js';
import { executions } from '../support/log.js';
import { openLab } from '../support/postgres-lab.js';

const lab = await openLab({ log: 'all', own: true });

describe.skipIf(lab.reason)(`a write ${lab.reason}`, () => {
  lab.use();

  it('that was not sent waits for the server, and is applied once', async () => {
    const table = await lab.table();
    const pool = lab.pool();
    await pool.query('select 1');
    lab.proxy.refuse();
    lab.proxy.cutAll();
    // Before the pool has noticed, the write would go out on the dead connection, and be unknown.
    await waitFor(() => pool.totalCount === 0, { what: 'the pool to notice' });
    const pending = pool.query(`insert into ${table} values ('a')`);
    await waitFor(() => pool.waitingCount === 1, { what: 'the write to wait' });
    await lab.proxy.accept();
    expect((await pending).rowCount).toBe(1);
    expect(await lab.count(table)).toBe(1);
  });

  it.each([
    ['cut-before', 0],
    ['cut-after', 1],
  ] as const)(
    'whose answer was lost (%s) is unknown, and is not repeated',
    async (fault, present) => {
      const table = await lab.table();
      const pool = lab.pool();
      const armed = lab.proxy.arm({ when: { bytes: `into ${table}` }, fault });
      const error = await failureOf(pool.query(`insert into ${table} values ($1)`, ['a']));
      expect(armed.fired).toBe(1);
      expect(isOutcomeUnknown(error)).toBe(true);
      expect(retryInfo(error)).toMatchObject({ attempts: 1, operation: 'pg.query' });
      expect(await lab.count(table)).toBe(present);
    },
  );

  it('that is said to be idempotent is repeated when its answer was lost', async () => {
    const table = await lab.table('id text primary key');
    const pool = lab.pool();
    const armed = lab.proxy.arm({ when: { bytes: `into ${table}` }, fault: 'cut-after' });
    const text = `insert into ${table} values ($1) on conflict do nothing`;
    const { rowCount } = await pool.query({ text, values: ['a'], idempotent: true });
    expect(armed.fired).toBe(1);
    expect(rowCount).toBe(0);
    expect(await lab.count(table)).toBe(1);
  });

  it('whose backend was terminated while it ran is unknown, with the error of the server', async () => {
    const table = await lab.table();
    const pool = lab.pool();
    const pending = failureOf(pool.query(`insert into ${table} select 'a' from pg_sleep(20)`));
    await waitFor(async () => (await lab.sessions()).some((one) => one.state === 'active'));
    expect(await terminateBackends(lab.server)).toBe(1);
    const error = await pending;
    expect(error).toMatchObject({ code: '57P01' });
    expect(isOutcomeUnknown(error)).toBe(true);
    expect(await lab.count(table)).toBe(0);
  });

  it('that the server rolled back for contention is repeated, and is applied once', async () => {
    const table = await lab.table();
    const tries = lab.name('tries');
    await lab.server.admin(`create sequence ${tries}`);
    await lab.server.admin(`grant all on sequence ${tries} to app`);
    await lab.server.admin(`create function ${tries}_f() returns trigger language plpgsql as $$ begin
      if nextval('${tries}') < 3 then raise 'not yet' using errcode = '40001'; end if; return new; end $$`);
    await lab.server.admin(
      `create trigger t before insert on ${table} for each row execute function ${tries}_f()`,
    );
    const pool = lab.pool();
    const { rowCount } = await pool.query(`insert into ${table} values ('a')`);
    expect(rowCount).toBe(1);
    expect(await lab.count(table)).toBe(1);
    expect(await lab.value(`select last_value::int from ${tries}`)).toBe(3);
    expect(pool.totalCount).toBe(1);
  });

  it('that violates a constraint fails once with the error of the driver, and keeps its connection', async () => {
    const table = await lab.table('id text primary key');
    const pool = lab.pool();
    await pool.query(`insert into ${table} values ('a')`);
    const [before] = await lab.sessions();
    using driver = watchDriverErrors();
    const log = await lab.logMark();
    const error = await failureOf(pool.query(`insert into ${table} values ('a')`));
    expect(driver.made).toEqual([error]);
    expect(driver.made[0]).toBe(error);
    expect(error).toMatchObject({ code: '23505', table, constraint: `${table}_pkey` });
    expect(retryInfo(error)).toMatchObject({
      attempts: 1,
      reason: 'permanent',
      outcome: 'not-applied',
    });
    expect(executions(await log()).filter((one) => one.text.includes(table))).toHaveLength(1);
    expect((await lab.sessions()).map((one) => one.pid)).toEqual([before?.pid]);
  });

  it.each([
    ['a procedure', (table: string) => `call ${table}_p()`],
    [
      'a DO block',
      (table: string) =>
        `do $$ begin insert into ${table} values ('x'); commit; raise 'late' using errcode = '40001'; end $$`,
    ],
    [
      'one of several statements',
      (table: string) =>
        `begin; insert into ${table} values ('x'); commit; do $$ begin raise 'late' using errcode = '40001'; end $$`,
    ],
  ])('of which %s has committed a part is not repeated, and is unknown', async (_, text) => {
    const table = await lab.table();
    await lab.server.admin(`create procedure ${table}_p() language plpgsql as $$ begin
      insert into ${table} values ('x'); commit; raise 'late' using errcode = '40001'; end $$`);
    const pool = lab.pool();
    const error = await failureOf(pool.query(text(table)));
    expect(error).toMatchObject({ code: '40001' });
    expect(isOutcomeUnknown(error)).toBe(true);
    expect(await lab.count(table)).toBe(1);
  });

  it('of which the server keeps a part is unknown: an index that could not be built CONCURRENTLY', async () => {
    const table = await lab.table();
    await lab.server.admin(`insert into ${table} values ('a'), ('a')`);
    const index = `create unique index concurrently ${table}_i on ${table} (id)`;
    const error = await failureOf(lab.pool().query(index));
    expect(error).toMatchObject({ code: '23505' });
    expect(isOutcomeUnknown(error)).toBe(true);
    expect(retryInfo(error)).toMatchObject({ attempts: 1, reason: 'permanent' });
    const valid = `select indisvalid from pg_index where indexrelid = '${table}_i'::regclass`;
    expect(await lab.value(valid)).toBe(false);
  });

  it.each([
    ['a procedure', (table: string) => `call ${table}_p()`],
    ['several statements', (table: string) => `select 1; insert into ${table} values ('x')`],
    ['COPY', (table: string) => `copy (select 'x' from ${table}) to stdout`],
    ['a CREATE', (table: string) => `create table ${table}_2 (x int)`],
    ['an UPDATE', (table: string) => `update ${table} set id = id || 'x'`],
    ['a DELETE', (table: string) => `delete from ${table} where id = 'seed'`],
    [
      'a WITH that writes',
      (table: string) => `with w as (insert into ${table} values ('x') returning 1) select from w`,
    ],
  ])('is executed once when the answer to %s was lost', async (_, text) => {
    const table = await lab.table();
    await lab.server.admin(`insert into ${table} values ('seed')`);
    await lab.server.admin(
      `create procedure ${table}_p() language sql as $$ insert into ${table} values ('x') $$`,
    );
    const pool = lab.pool();
    await pool.query('select');
    const log = await lab.logMark();
    const armed = lab.proxy.arm({ when: { bytes: table }, fault: 'cut-after' });
    const error = await failureOf(pool.query(text(table)));
    expect(armed.fired).toBe(1);
    expect(isOutcomeUnknown(error)).toBe(true);
    const ran = executions(await log()).filter((one) => one.text.includes(text(table)));
    expect(ran).toHaveLength(1);
  });

  it('applies each of many writes at most once in a storm, and what it says is true', async () => {
    const table = await lab.table();
    const pool = lab.pool({ max: 5 });
    const storm = lab.proxy.random({
      match: `into ${table}`,
      rate: 0.15,
      faults: ['cut-before', 'cut-after'],
      random: Math.random,
    });
    const ids = Array.from({ length: 300 }, (_, i) => `id ${i}`);
    const ends = await Promise.all(
      ids.map((id) => ending(pool.query(`insert into ${table} values ($1)`, [id]))),
    );
    storm.stop();
    expect(storm.fired).toBeGreaterThan(10);
    const { rows } = await lab.server.admin(
      `select id, count(*)::int as n from ${table} group by id`,
    );
    const found = new Map(rows.map((row) => [row.id, row.n]));
    for (const [i, end] of ends.entries()) {
      const n = found.get(ids[i]) ?? 0;
      if (end.ok) expect([ids[i], n]).toEqual([ids[i], 1]);
      else {
        expect(isOutcomeUnknown(end.error)).toBe(true);
        expect(n).toBeLessThanOrEqual(1);
      }
    }
  });
});
