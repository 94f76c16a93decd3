import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { createPool, isOutcomeUnknown, mysqlRetry, retryInfo } from '@outlast/mysql-retry';
import { describe, expect, it } from 'vitest';
import type { MysqlStatement } from '../../servers/index.js';
import { ending, failureOf } from '../support/errors.js';
import { openMysqlLab } from '../support/mysql-lab.js';

type Asked = Record<'query' | 'execute', (...args: unknown[]) => Promise<[unknown, unknown]>>;

const lab = await openMysqlLab({ log: true });

/** For each execution of `text`, in order, whether its session had said READ ONLY before. */
function guards(statements: readonly MysqlStatement[], text: string): boolean[] {
  const guarded = new Set<number>();
  return statements.flatMap(({ session, text: said }) => {
    if (said === 'START TRANSACTION READ ONLY') guarded.add(session);
    else if (/^(?:commit|rollback)$/i.test(said)) guarded.delete(session);
    return said.includes(text) ? [guarded.has(session)] : [];
  });
}

describe.skipIf(lab.reason)(`a statement of the pool ${lab.reason}`, () => {
  lab.use();

  it.each(['query', 'execute'] as const)(
    'whose answer is lost is replayed if it only reads, guarded (%s)',
    async (method) => {
      const pool = lab.pool();
      await pool.query('select 1');
      const mark = await lab.logMark();
      const word = lab.name('word');
      // A prepared one is named to the server when it is prepared, and run by its number.
      const armed = lab.proxy.arm({ when: { bytes: `'${word}'` }, fault: 'cut-after' });
      const [rows] = await (pool as unknown as Asked)[method](`select '${word}' as a, ? as b`, [2]);
      expect(armed.fired).toBe(1);
      expect(rows).toEqual([{ a: word, b: 2 }]);
      // What was lost while it was prepared has executed nothing: no guard is needed.
      expect(guards(await mark(), `'${word}'`)).toEqual(
        method === 'query' ? [false, true] : [false],
      );
    },
  );

  it('is unknown if it calls what is not known to be harmless, or locks, or takes a variable', async () => {
    const pool = lab.pool();
    const func = lab.name('func');
    await lab.server.admin(`create function ${func}() returns int deterministic return 1`);
    for (const what of [`${func}()`, "get_lock('a', 0)", '@a', 'last_insert_id()']) {
      await pool.query('select 1');
      const word = lab.name('word');
      lab.proxy.arm({ when: { bytes: `'${word}'` }, fault: 'cut-after' });
      const error = await failureOf(pool.query(`select '${word}', ${what}`));
      expect([what, isOutcomeUnknown(error)]).toEqual([what, true]);
      expect(retryInfo(error)).toMatchObject({ attempts: 1, reason: 'outcome-unknown' });
    }
  });

  it('is unknown if what looks built in is somebody’s own here', async () => {
    const pool = lab.pool();
    await lab.server.admin('create function uuid_to_bin(a int) returns int deterministic return a');
    await pool.query('select 1');
    const mark = await lab.logMark();
    lab.proxy.arm({ when: { bytes: "'own'" }, fault: 'cut-after' });
    const error = await failureOf(pool.query("select 'own', uuid_to_bin(1)"));
    await lab.server.admin('drop function uuid_to_bin');
    expect(isOutcomeUnknown(error)).toBe(true);
    expect(guards(await mark(), "'own'")).toEqual([false]);
  });

  it('is replayed on the caller’s word', async () => {
    const table = await lab.table('id int primary key, v int');
    await lab.server.admin(`insert into ${table} values (1, 0)`);
    const pool = lab.pool();
    await pool.query('select 1');
    lab.proxy.arm({ when: { bytes: `update ${table}` }, fault: 'cut-after' });
    await pool.query({ sql: `update ${table} set v = 7`, idempotent: true });
    expect(await lab.value(`select v from ${table}`)).toBe(7);
  });

  it.each([
    ['cut-before', 'query'],
    ['cut-after', 'query'],
    ['hold', 'query'],
    ['cut-after', 'execute'],
  ] as const)('is found out with resolveWrites (%s, %s)', async (fault, method) => {
    const table = await lab.table('id int primary key, v int');
    await lab.server.admin(`insert into ${table} values (1, 0)`);
    const pool = lab.pool();
    await pool.createMarkerTable();
    const armed = lab.proxy.arm({ when: { bytes: 'COMMIT' }, fault, holdMs: 500 });
    const sql = `update ${table} set v = v + ? where id = 1`;
    const [result] = await (pool as unknown as Asked)[method]({
      sql,
      values: [1],
      resolveWrites: true,
    });
    expect(armed.fired).toBe(1);
    expect(result).toMatchObject({ affectedRows: 1 });
    await sleep(fault === 'hold' ? 600 : 0);
    expect(await lab.value(`select v from ${table}`)).toBe(1);
  });

  it('is bounded with resolveWrites, too, though its table has to be asked about first', async () => {
    const table = await lab.table('id int');
    const pool = lab.pool({ resolveWrites: true });
    lab.proxy.refuse();
    const sql = `insert into ${table} values (1)`;
    const late = await ending(pool.query({ sql, totalTimeoutMs: 200 }));
    expect(!late.ok && retryInfo(late.error)).toMatchObject({ outcome: 'not-applied' });
    const controller = new AbortController();
    const aborted = ending(pool.query({ sql, signal: controller.signal }));
    const reason = new Error('enough');
    controller.abort(reason);
    expect(await aborted).toMatchObject({ ok: false, error: reason });
    expect(late.ms + (await aborted).ms).toBeLessThan(5000);
    await lab.proxy.accept();
    await pool.query({ sql, totalTimeoutMs: 20_000 });
    expect(await lab.count(table)).toBe(1);
  });

  it('goes plain with resolveWrites where no transaction could take it back', async () => {
    const table = await lab.table('id int', 'MyISAM');
    const pool = lab.pool({ resolveWrites: true });
    const mark = await lab.logMark();
    await pool.query(`insert into ${table} values (1)`);
    expect((await mark()).map(({ text }) => text)).not.toContain('START TRANSACTION');
    expect(await lab.count(table)).toBe(1);
  });

  it('that waits for a lock, or loses against a rival, is tried again as a whole', async () => {
    const table = await lab.table('id int primary key, v int');
    await lab.server.admin(`insert into ${table} values (1, 0)`);
    const pool = lab.pool();
    const rival = await lab.session();
    await rival.query('begin');
    await rival.query(`update ${table} set v = 1`);
    const retries: string[] = [];
    pool.policy.on('retry', ({ error }) => {
      retries.push((error as { code: string }).code);
      void rival.query('commit');
    });
    await pool.query(`update ${table} set v = v + 10`);
    expect(retries).toEqual(['ER_LOCK_WAIT_TIMEOUT']);
    expect(await lab.value(`select v from ${table}`)).toBe(11);
  });

  it('is stopped on the server, and rejects with the reason, when its signal aborts', async () => {
    const pool = lab.pool({ connectionLimit: 1 });
    const controller = new AbortController();
    const reason = new Error('enough');
    const pending = failureOf(pool.query({ sql: 'select sleep(20)', signal: controller.signal }));
    await sleep(150);
    controller.abort(reason);
    expect(await pending).toBe(reason);
    expect((await pool.query('select 1 as a'))[0]).toEqual([{ a: 1 }]);
  });

  it('is tried once with a wrong password, which stands in no error', async () => {
    const canary = 'canary-6f1d';
    const pool = createPool({ ...lab.server.config(), password: canary });
    const said: unknown[] = [];
    for (const type of ['attempt', 'retry', 'exhausted', 'down'] as const) {
      pool.policy.on(type, (event) => said.push(event));
    }
    const error = await failureOf(pool.query('select 1'));
    expect(error).toMatchObject({ errno: 1045 });
    expect(retryInfo(error)).toMatchObject({ attempts: 1, reason: 'permanent' });
    const text = inspect([error, said], { depth: 12, showHidden: true });
    expect(text).not.toContain(canary);
    await pool.end();
  });

  it('is what a health check asks, which never rejects', async () => {
    const pool = lab.pool();
    expect(await pool.healthCheck()).toMatchObject({
      ok: true,
      attempts: 1,
      details: {
        total: 1,
        idle: 1,
        waiting: 0,
        readOnly: false,
        serverVersion: expect.any(String),
      },
    });
    await pool.end();
    const away = lab.pool();
    lab.proxy.refuse();
    const health = await away.healthCheck();
    expect(health).toMatchObject({ ok: false, attempts: 3, error: { code: 'ECONNREFUSED' } });
  });

  it('on somebody else’s connection is retried by the policy of mysqlRetry, on his word', async () => {
    const policy = mysqlRetry({ baseDelayMs: 10, idempotent: true });
    const plain = lab.plainPool();
    await plain.query('select 1');
    const armed = lab.proxy.arm({ when: { bytes: "'lent'" }, fault: 'cut-after' });
    const [rows] = await policy.execute(() => plain.query("select 'lent' as a"));
    expect([armed.fired, rows]).toEqual([1, [{ a: 'lent' }]]);
    const wrong = policy.execute(() => plain.query('selec 1'));
    expect(retryInfo(await failureOf(wrong))).toMatchObject({ attempts: 1, reason: 'permanent' });
  });
});
