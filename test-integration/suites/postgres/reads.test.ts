import { isOutcomeUnknown, retryInfo } from '@outlast/pg-retry';
import { beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { failureOf } from '../support/errors.js';
import { guardsIn, occurrences } from '../support/log.js';
import { openLab } from '../support/postgres-lab.js';

const lab = await openLab({ log: 'all', own: true });

describe.skipIf(lab.reason)(`a read whose answer was lost ${lab.reason}`, () => {
  lab.use();
  let tags = 0;
  const newTag = (): string => {
    tags += 1;
    return `/* tag ${tags} */`;
  };

  beforeAll(async () => {
    const statements = [
      'create table kept (id int primary key, note text)',
      `insert into kept select i, 'row ' || i from generate_series(1, 5000) i`,
      'create sequence counter',
      'create table effects (what text)',
      `create function pure(i int) returns int immutable language sql as 'select i * 2'`,
      `create function looking() returns bigint stable language sql as 'select count(*) from kept'`,
      `create function writing() returns int language sql as $$ insert into effects values ('written') returning 1 $$`,
      `create function "Odd Name"() returns int language sql as $$ insert into effects values ('odd') returning 1 $$`,
      `create view numbered as select nextval('counter') as n`,
      'grant all on all tables in schema public to app',
      'grant all on all sequences in schema public to app',
    ];
    for (const statement of statements) await lab.server.admin(statement);
  });

  it.each([
    ['select 41 + 1 as n'],
    ['select random() as n'],
    ['select pg_sleep(0.01)'],
    ['select clock_timestamp(), gen_random_uuid(), timeofday()'],
    ['with c as (select 1 as x) select x from c'],
    [
      'with recursive c(i) as (values (1) union all select i + 1 from c where i < 5) select i from c',
    ],
    ['values (1), (2)'],
    ['table kept'],
    ['show server_version'],
    ['(select 1) union (select 2)'],
    ['select pure(21) as n'],
    ['select public.looking()'],
    ['select count(*), max(id), now(), coalesce(null, 1) from kept where id in (1, 2)'],
    ['select "id" from kept as "for update" limit 1 -- nextval(1)\n'],
    [`select 'nextval(''counter'')' as text, $$insert into kept$$ as more`],
  ])('is replayed, guarded: %s', async (text) => {
    const tag = newTag();
    const pool = lab.pool();
    await pool.query('select');
    const log = await lab.logMark();
    const armed = lab.proxy.arm({ when: { bytes: tag }, fault: 'cut-after' });
    const result = await pool.query(`${tag} ${text}`);
    expect(armed.fired).toBe(1);
    expect(result.rows.length).toBeGreaterThan(0);
    const lines = await log();
    expect(occurrences(lines, tag)).toBe(2);
    expect(guardsIn(lines, tag)).toEqual([false, true]);
  });

  it.each([
    ['nextval', `select nextval('counter')`],
    ['setval', `select setval('counter', 7)`],
    ['a volatile function of the user’s', 'select writing()'],
    ['one whose name needs quotes', 'select "Odd Name"()'],
    ['one hidden in a sub-select', 'select * from kept where id = (select writing())'],
    ['pg_notify', `select pg_notify('outlast', 'hello')`],
    ['an advisory lock', 'select pg_advisory_lock(7)'],
    ['an advisory lock that is only tried', 'select pg_try_advisory_lock(7)'],
    ['set_config', `select set_config('application_name', 'x', false)`],
    ['a row lock', 'select id from kept where id = 1 for update'],
    ['a shared row lock', 'select id from kept where id = 1 for share'],
    ['a function that does not exist', 'select no_such_function()'],
    ['explain analyze', 'explain analyze select 1'],
    ['several statements', 'select 1; select 2'],
    [
      'a CTE that writes',
      `with w as (insert into effects values ('cte') returning 1) select * from w`,
    ],
    ['select into', 'select 1 as x into temp table into_temp'],
    ['a DO block', 'do $$ begin perform 1; end $$'],
  ])('is not replayed, and its outcome is unknown: %s', async (_, text) => {
    const tag = newTag();
    const pool = lab.pool();
    await pool.query('select');
    const log = await lab.logMark();
    const armed = lab.proxy.arm({ when: { bytes: tag }, fault: 'cut-after' });
    const error = await failureOf(pool.query(`${tag} ${text}`));
    expect(armed.fired).toBe(1);
    expect(isOutcomeUnknown(error)).toBe(true);
    expect(retryInfo(error)).toMatchObject({ reason: 'outcome-unknown', outcome: 'unknown' });
    expect(error).toMatchObject({ code: 'ECONNRESET' });
    expect(occurrences(await log(), tag)).toBe(1);
    // What the refused replay has used is in order.
    await pool.query('select');
  });

  it('is refused by the server, which is asked READ ONLY, where a view hides that it writes', async () => {
    const before = await lab.value('select last_value from counter');
    const tag = newTag();
    const pool = lab.pool();
    await pool.query('select');
    const log = await lab.logMark();
    lab.proxy.arm({ when: { bytes: tag }, fault: 'cut-before' });
    const error = await failureOf(pool.query(`${tag} select n from numbered`));
    expect(isOutcomeUnknown(error)).toBe(true);
    expect(error).toMatchObject({ code: 'ECONNRESET' });
    expect(guardsIn(await log(), tag)).toEqual([true]);
    expect(await lab.value('select last_value from counter')).toBe(before);
  });

  it('has exactly one effect where it was no read after all', async () => {
    const pool = lab.pool();
    const effects = await lab.count('effects');
    lab.proxy.arm({ when: { bytes: /writing\(\)/ }, fault: 'cut-after' });
    expect(isOutcomeUnknown(await failureOf(pool.query('select writing()')))).toBe(true);
    expect(await lab.count('effects')).toBe(effects + 1);

    const listener = await lab.session();
    const heard: unknown[] = [];
    listener.on('notification', (notification) => heard.push(notification.payload));
    await listener.query('listen once');
    lab.proxy.arm({ when: { bytes: /pg_notify/ }, fault: 'cut-after' });
    await failureOf(pool.query(`select pg_notify('once', 'lost')`));
    await pool.query(`select pg_notify('once', 'last')`);
    await waitFor(() => heard.includes('last'), { what: 'the last notification' });
    expect(heard).toEqual(['lost', 'last']);
  });

  it('is replayed without a guard where the caller says that it is idempotent', async () => {
    await lab.server.admin('create sequence twice');
    await lab.server.admin('grant all on sequence twice to app');
    const pool = lab.pool();
    lab.proxy.arm({ when: { bytes: /nextval/ }, fault: 'cut-after' });
    const { rows } = await pool.query({ text: `select nextval('twice')`, idempotent: true });
    expect(rows).toEqual([{ nextval: '2' }]);
  });

  it('is not called unapplied when nobody could be asked any more whether it was a read', async () => {
    const pool = lab.pool({ retry: { waitMs: 200 } });
    const effects = await lab.count('effects');
    const armed = lab.proxy.arm({ when: { bytes: /writing\(\)/ }, fault: 'cut-after' });
    pool.policy.on('retry', () => lab.proxy.refuse());
    const error = await failureOf(pool.query('select writing()'));
    expect(armed.fired).toBe(1);
    expect(error).toMatchObject({ code: 'ECONNREFUSED' });
    expect(await lab.count('effects')).toBe(effects + 1);
    expect(isOutcomeUnknown(error)).toBe(true);
  });

  it('is guarded each time, however often its answer is lost', async () => {
    const tag = newTag();
    const pool = lab.pool({ retry: { baseDelayMs: 10 } });
    const log = await lab.logMark();
    const armed = lab.proxy.arm({ when: { bytes: tag }, fault: 'cut-after', times: 3 });
    const { rows } = await pool.query(`${tag} select 1 as n`);
    expect(rows).toEqual([{ n: 1 }]);
    expect(armed.fired).toBe(3);
    expect(guardsIn(await log(), tag)).toEqual([false, true, true, true]);
  });

  it('gives every row once when it was cut in the middle of them', async () => {
    const pool = lab.pool();
    const when = { bytes: /row 2500/, direction: 'reply' } as const;
    const armed = lab.proxy.arm({ when, fault: 'cut-after' });
    const { rows, rowCount } = await pool.query('select id, note from kept order by id');
    expect(armed.fired).toBe(1);
    expect(rowCount).toBe(5000);
    expect(rows.map((row) => row.id)).toEqual(Array.from({ length: 5000 }, (_, i) => i + 1));
  });

  it.each([
    ['values', { text: 'select $1::int as n, $2::text as t', values: [7, 'x'] }],
    ['name', { name: 'named', text: 'select $1::int as n, $2::text as t', values: [7, 'x'] }],
  ])('is replayed with its %s', async (_, config) => {
    const pool = lab.pool();
    const armed = lab.proxy.arm({ when: { bytes: /select \$1::int/ }, fault: 'cut-after' });
    expect((await pool.query(config)).rows).toEqual([{ n: 7, t: 'x' }]);
    expect(armed.fired).toBe(1);
  });

  it('is replayed in row mode, and an SQL error of the replay is the answer', async () => {
    const pool = lab.pool();
    lab.proxy.arm({ when: { bytes: /1 as a/ }, fault: 'cut-after' });
    const { rows } = await pool.query({ text: 'select 1 as a, 2 as a', rowMode: 'array' });
    expect(rows).toEqual([[1, 2]]);
    lab.proxy.arm({ when: { bytes: /1 \/ 0/ }, fault: 'cut-after' });
    const error = await failureOf(pool.query('select 1 / 0'));
    expect(error).toMatchObject({ code: '22012' });
    expect(retryInfo(error)).toMatchObject({ attempts: 2, reason: 'permanent' });
  });
});
