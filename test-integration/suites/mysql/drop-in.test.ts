import { setTimeout as sleep } from 'node:timers/promises';
import { type Pool, type RowDataPacket, retryInfo } from '@outlast/mysql-retry';
import callbacks, { type PoolConnection } from '@outlast/mysql-retry/callback';
import type plain from 'mysql2/promise';
import { describe, expect, it } from 'vitest';
import { failureOf } from '../support/errors.js';
import { openMysqlLab } from '../support/mysql-lab.js';

type Asked = Record<
  'query' | 'execute',
  (...args: unknown[]) => Promise<[unknown, { readonly name: string }[]]>
>;

const lab = await openMysqlLab();

describe.skipIf(lab.reason)(`in the place of the driver ${lab.reason}`, () => {
  lab.use();

  const both = (options: plain.PoolOptions = {}): readonly [plain.Pool, Pool] => [
    lab.plainPool(options),
    lab.pool(options),
  ];

  it.each([
    ['a text', {}, ['select 1 as a, 2 as b']],
    ['a text and values', {}, ['select ? as a', ['x']]],
    ['options', {}, [{ sql: 'select ? as a', values: [1] }]],
    ['options and values', {}, [{ sql: 'select ? as a', rowsAsArray: true }, [1]]],
    ['rows as arrays', { rowsAsArray: true }, ['select 1, 2']],
    ['nested tables', {}, [{ sql: 'select t.a from (select 1 as a) t', nestTables: true }]],
    ['named placeholders', { namedPlaceholders: true }, ['select :a as a', { a: 5 }]],
    ['dates as texts', { dateStrings: true }, ["select cast('2026-01-02' as date) as d"]],
  ] as const)('answers the same to query and execute with %s', async (_, options, args) => {
    const [theirs, ours] = both(options as plain.PoolOptions);
    for (const method of ['query', 'execute'] as const) {
      const [rows, fields] = await (theirs as unknown as Asked)[method](...args);
      const [ourRows, ourFields] = await (ours as unknown as Asked)[method](...args);
      expect(ourRows).toEqual(rows);
      expect(ourFields.map(({ name }) => name)).toEqual(fields.map(({ name }) => name));
    }
  });

  it('answers the same to a write, to several statements, and to a procedure', async () => {
    const table = await lab.table('id int primary key auto_increment, v int');
    const [theirs, ours] = both({ multipleStatements: true });
    const [{ insertId: first }] = await theirs.query<plain.ResultSetHeader>(
      `insert into ${table} (v) values (1), (2)`,
    );
    const [result] = await ours.query<plain.ResultSetHeader>(
      `insert into ${table} (v) values (1), (2)`,
    );
    expect(first).toBe(1);
    expect(result).toMatchObject({ insertId: 3, affectedRows: 2 });
    expect((await ours.query('select 1 as a; select 2 as b'))[0]).toEqual([[{ a: 1 }], [{ b: 2 }]]);
    const procedure = lab.name('proc');
    await lab.server.admin(`create procedure ${procedure}() select 7 as seven`);
    const [[rows]] = (await ours.query(`call ${procedure}()`)) as unknown as [RowDataPacket[][]];
    expect(rows).toEqual([{ seven: 7 }]);
  });

  it('fails with the same errors, and hangs nothing on them but its mark', async () => {
    const [theirs, ours] = both();
    for (const sql of ['selec 1', 'select * from nowhere', 'select ?']) {
      const expected = await failureOf(theirs.execute(sql));
      const error = await failureOf(ours.execute(sql));
      expect({ ...error }).toEqual({ ...expected });
      expect(error.message).toBe(expected.message);
      expect(Object.getPrototypeOf(error)).toBe(Object.getPrototypeOf(expected));
      expect(retryInfo(error)).toMatchObject({ attempts: 1, reason: 'permanent' });
      expect(error.stack).toContain('drop-in.test.ts');
    }
    const bound = await failureOf(ours.execute('select ?', [undefined as never]));
    expect(bound).toBeInstanceOf(TypeError);
    expect(retryInfo(bound)).toMatchObject({ attempts: 1, outcome: 'not-applied' });
    expect(() => ours.query('select 1', (() => {}) as never)).toThrow('Callback function');
  });

  it('keeps its connection after an error that is an answer', async () => {
    const pool = lab.pool({ connectionLimit: 1 });
    const [[before]] = await pool.query<RowDataPacket[]>('select connection_id() as id');
    await failureOf(pool.query('selec 1'));
    const [[after]] = await pool.query<RowDataPacket[]>('select connection_id() as id');
    expect(after?.['id']).toBe(before?.['id']);
  });

  it('tells of connections on both faces, as the driver does', async () => {
    const told = async (pool: plain.Pool): Promise<string[]> => {
      const events: string[] = [];
      for (const face of [pool, pool.pool] as const) {
        for (const type of ['connection', 'acquire', 'release', 'enqueue'] as const) {
          face.on(type as 'enqueue', () => events.push(type));
        }
      }
      await Promise.all([pool.query('select 1'), pool.query('select 2')]);
      const connection = await pool.getConnection();
      connection.release();
      await sleep(20);
      return events.sort();
    };
    const [theirs, ours] = both({ connectionLimit: 1 });
    expect(await told(ours)).toEqual(await told(theirs));
  });

  it('hands out connections that are the driver’s, and takes them back', async () => {
    const pool = lab.pool({ connectionLimit: 1 });
    {
      await using connection = await pool.getConnection();
      await connection.beginTransaction();
      expect((await connection.query('select 1 as a'))[0]).toEqual([{ a: 1 }]);
      await connection.commit();
      const statement = await connection.prepare('select ? + 1 as a');
      expect((await statement.execute([1]))[0]).toEqual([{ a: 2 }]);
      await statement.close();
      await connection.ping();
    }
    const again = await pool.getConnection();
    pool.releaseConnection(again);
    expect((await pool.query('select 2 as a'))[0]).toEqual([{ a: 2 }]);
  });

  it('is disposed of, and refuses what comes later as the driver does', async () => {
    let kept: Pool;
    {
      await using pool = lab.pool();
      kept = pool;
      await pool.query('select 1');
    }
    expect((await failureOf(kept.query('select 1'))).message).toBe('Pool is closed.');
    expect((await failureOf(kept.getConnection())).message).toMatch(/closed/);
  });

  const options = () => lab.server.config({ port: lab.proxy.port });

  it('calls back, by the face with callbacks, with rows and fields, or with the error', async () => {
    const pool = callbacks.createPool({ ...options(), connectionLimit: 2 });
    lab.closing(pool.promise());
    const called = await new Promise<unknown[]>((resolve) => {
      pool.query('select ? as a', [1], (...args: unknown[]) => resolve(args));
    });
    expect(called).toMatchObject([null, [{ a: 1 }], [{ name: 'a' }]]);
    const executed = await new Promise<unknown[]>((resolve) => {
      pool.execute('select 1 as a', (...args: unknown[]) => resolve(args));
    });
    expect(executed).toMatchObject([null, [{ a: 1 }], [{ name: 'a' }]]);
    const failed = await new Promise<unknown>((resolve) => {
      pool.query({ sql: 'selec 1' }, (error: unknown) => resolve(error));
    });
    expect(failed).toMatchObject({ errno: 1064 });
    const connection = await new Promise<PoolConnection>((resolve, reject) => {
      pool.getConnection((error, one) => (error ? reject(error) : resolve(one)));
    });
    const rows = await new Promise((resolve) => {
      connection.query('select 3 as a', (_: unknown, found: unknown) => resolve(found));
    });
    expect(rows).toEqual([{ a: 3 }]);
    connection.release();
    expect((await pool.promise().query('select 4 as a'))[0]).toEqual([{ a: 4 }]);
  });

  it('streams by it, after having waited for its connection', async () => {
    const pool = callbacks.createPool(options());
    lab.closing(pool.promise());
    lab.proxy.refuse();
    const stream = pool.query('select 1 as a union all select 2').stream();
    const rows: unknown[] = [];
    const read = (async () => {
      for await (const row of stream) rows.push(row);
    })();
    await sleep(200);
    await lab.proxy.accept();
    await read;
    expect(rows).toEqual([{ a: 1 }, { a: 2 }]);
    const failing = pool.query('selec 1').stream();
    await expect(failing.toArray()).rejects.toMatchObject({ errno: 1064 });
  });

  it('ends a stream whose connection breaks, and does not replay it', async () => {
    const pool = callbacks.createPool(options());
    lab.closing(pool.promise());
    await pool.promise().query('select 1');
    const armed = lab.proxy.arm({ when: { bytes: "'streamed'" }, fault: 'cut-after' });
    const error = await failureOf(pool.query("select 'streamed'").stream().toArray());
    expect(error).toMatchObject({ code: 'ECONNRESET' });
    expect(retryInfo(error)?.outcome).toBe('unknown');
    expect(armed.fired).toBe(1);
    expect((await pool.promise().query('select 1 as a'))[0]).toEqual([{ a: 1 }]);
  });
});
