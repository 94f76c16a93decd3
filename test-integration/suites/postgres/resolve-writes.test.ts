import { isOutcomeUnknown, retryInfo } from '@outlast/pg-retry';
import { describe, expect, it } from 'vitest';
import { watchDriverErrors } from '../support/driver-errors.js';
import { ending, failureOf } from '../support/errors.js';
import { executions } from '../support/log.js';
import { openLab } from '../support/postgres-lab.js';

const lab = await openLab({ log: 'all', own: true });

describe.skipIf(lab.reason)(`a write with resolveWrites ${lab.reason}`, () => {
  lab.use();

  const forms = [
    ['text', (table: string) => `insert into ${table} values ('a') returning id`],
    [
      'text and values',
      (table: string) => ({ text: `insert into ${table} values ($1) returning id`, values: ['a'] }),
    ],
    [
      'a name',
      (table: string) => ({
        name: `insert ${table}`,
        text: `insert into ${table} values ($1) returning id`,
        values: ['a'],
      }),
    ],
  ] as const;
  const moments = [
    ['BEGIN', /BEGIN/],
    ['the statement', /insert into/],
    ['COMMIT', /COMMIT/],
  ] as const;
  const matrix = forms.flatMap(([form, config]) =>
    moments.flatMap(([moment, bytes]) =>
      (['cut-before', 'cut-after'] as const).map(
        (fault) => [form, moment, fault, config, bytes] as const,
      ),
    ),
  );

  it.each(matrix)(
    'of %s, cut at %s (%s), has no error and one row',
    async (_form, _moment, fault, config, bytes) => {
      const table = await lab.table();
      const pool = lab.pool({ resolveWrites: true });
      const armed = lab.proxy.arm({ when: { bytes }, fault });
      const { rows, rowCount, command } = await pool.query(config(table));
      expect(armed.fired).toBe(1);
      expect({ rows, rowCount, command }).toEqual({
        rows: [{ id: 'a' }],
        rowCount: 1,
        command: 'INSERT',
      });
      expect(await lab.count(table)).toBe(1);
    },
  );

  it.each([
    ['the pool', { resolveWrites: true }, {}],
    ['the query', {}, { resolveWrites: true }],
  ])('that %s asks for is a transaction of one statement', async (_, config, extras) => {
    const table = await lab.table();
    const pool = lab.pool(config);
    const log = await lab.logMark();
    await pool.query({ text: `insert into ${table} values ($1)`, values: ['a'], ...extras });
    const texts = executions(await log()).map((one) => one.text);
    const at = texts.findIndex((text) => text.includes(`insert into ${table}`));
    expect(texts[at - 1]).toMatch(/^BEGIN/);
    expect(texts[at + 1]).toMatch(/^COMMIT/);
  });

  it('that the query declines although its pool asks for it goes plain', async () => {
    const table = await lab.table();
    const pool = lab.pool({ resolveWrites: true });
    await pool.query('select');
    const log = await lab.logMark();
    lab.proxy.arm({ when: { bytes: `into ${table}` }, fault: 'cut-after' });
    const text = `insert into ${table} values ('a')`;
    const error = await failureOf(pool.query({ text, resolveWrites: false }));
    expect(isOutcomeUnknown(error)).toBe(true);
    expect(await log()).not.toContain('BEGIN');
    expect(await lab.count(table)).toBe(1);
  });

  it.each([
    ['select 1'],
    ['create table plain_1 (x int)'],
    ['do $$ begin perform 1; end $$'],
    ['select 1; select 2'],
    [`set application_name to 'x'`],
    ['explain insert into pg_class default values'],
  ])('goes plain where it is no single write: %s', async (text) => {
    const pool = lab.pool({ resolveWrites: true });
    const log = await lab.logMark();
    await ending(pool.query(text));
    const lines = await log();
    expect(lines).toContain(text);
    expect(lines).not.toContain('BEGIN');
  });

  it('that violates a constraint fails once, with the same object, and keeps its connection', async () => {
    const table = await lab.table('id text primary key');
    const pool = lab.pool({ resolveWrites: true });
    await pool.query(`insert into ${table} values ('a')`);
    const before = await lab.sessions();
    using driver = watchDriverErrors();
    const error = await failureOf(pool.query(`insert into ${table} values ('a')`));
    expect(driver.made[0]).toBe(error);
    expect(error).toMatchObject({ code: '23505' });
    expect(retryInfo(error)).toMatchObject({
      operation: 'pg.query',
      attempts: 1,
      reason: 'permanent',
      outcome: 'not-applied',
    });
    expect((await lab.sessions()).map((one) => one.pid)).toEqual(before.map((one) => one.pid));
    expect(await lab.count(table)).toBe(1);
  });

  it('hides every cut of a storm: no error, and each row once', async () => {
    const table = await lab.table();
    const pool = lab.pool({ max: 5, resolveWrites: true });
    const storm = lab.proxy.random({
      match: new RegExp(`into ${table}|COMMIT`),
      rate: 0.05,
      faults: ['cut-before', 'cut-after'],
      random: Math.random,
    });
    const ids = Array.from({ length: 200 }, (_, i) => `id ${i}`);
    const ends = await Promise.all(
      ids.map((id) => ending(pool.query(`insert into ${table} values ($1)`, [id]))),
    );
    storm.stop();
    expect(storm.fired).toBeGreaterThan(5);
    expect(ends.filter((end) => !end.ok)).toEqual([]);
    expect(await lab.count(table)).toBe(ids.length);
    expect(await lab.value(`select count(distinct id)::int from ${table}`)).toBe(ids.length);
  });

  it('calls the callback once, and stops for a signal', async () => {
    const table = await lab.table();
    const pool = lab.pool({ resolveWrites: true });
    lab.proxy.arm({ when: { bytes: /COMMIT/ }, fault: 'cut-after' });
    let calls = 0;
    const rowCount = await new Promise((resolve, reject) => {
      pool.query(`insert into ${table} values ($1)`, ['a'], (error, result) => {
        calls += 1;
        if (error) reject(error);
        else resolve(result.rowCount);
      });
    });
    expect(rowCount).toBe(1);
    const text = `insert into ${table} select 'b' from pg_sleep(30)`;
    const error = await failureOf(pool.query({ text, totalTimeoutMs: 200 }));
    expect(retryInfo(error)).toMatchObject({ reason: 'deadline', outcome: 'not-applied' });
    expect(calls).toBe(1);
    expect(await lab.count(table)).toBe(1);
  });
});
