import type * as outlast from '@outlast/pg-retry';
import { retryInfo } from '@outlast/pg-retry';
import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { failureOf } from '../support/errors.js';
import { openLab } from '../support/postgres-lab.js';

const lab = await openLab();

type AnyQuery = (...args: unknown[]) => Promise<pg.QueryResult> | undefined;

/** The answer of a `query`, by promise or by callback, of whichever pool. */
async function answer(pool: pg.Pool, args: readonly unknown[], callback: boolean) {
  const query = pool.query.bind(pool) as AnyQuery;
  if (!callback) {
    const { rows, rowCount, command, fields } = (await query(...args)) as pg.QueryResult;
    return { rows, rowCount, command, fields: fields.map((field) => field.name) };
  }
  return new Promise((resolve, reject) => {
    const returned = query(...args, (error: unknown, result: pg.QueryResult) => {
      if (error) return reject(error);
      const { rows, rowCount, command, fields } = result;
      resolve({ rows, rowCount, command, fields: fields.map((field) => field.name) });
    });
    if (returned !== undefined) reject(new Error('with a callback it must return nothing'));
  });
}

class Statement {
  readonly values: unknown[];
  private readonly strings: readonly string[];
  constructor(text: string, values: unknown[]) {
    this.strings = [text];
    this.values = values;
  }
  // As sql-template-strings has it: a getter on the prototype.
  get text(): string {
    return this.strings.join('');
  }
}

const TEXT = 'select $1::int as n, $2::text as t';
const VALUES = [7, 'x'];

describe.skipIf(lab.reason)(`pool.query as the driver has it ${lab.reason}`, () => {
  lab.use();

  const overloads: readonly (readonly [string, readonly unknown[]])[] = [
    ['text', ['select 1 as n']],
    ['text, values', [TEXT, VALUES]],
    ['config', [{ text: TEXT, values: VALUES }]],
    ['config, values', [{ text: TEXT }, VALUES]],
    ['config with its own values, values', [{ text: TEXT, values: [1, 'own'] }, VALUES]],
    ['a named config', [{ name: 'named', text: TEXT, values: VALUES }]],
    ['a config in row mode', [{ text: TEXT, values: VALUES, rowMode: 'array' }]],
    ['a config with types', [{ text: 'select 1 as n', types: { getTypeParser: () => String } }]],
    ['an object whose text is a getter', [new Statement(TEXT, VALUES)]],
    ['a config with undefined extras', [{ text: 'select 1 as n', idempotent: undefined }]],
    ['a config that queries in binary', [{ text: TEXT, values: VALUES, binary: true }]],
    ['a text that gives nothing', ['select']],
    ['a text of several columns of one name', ['select 1 as a, 2 as a']],
  ];

  it.each(overloads)(
    'answers %s, as the driver does, by promise and by callback',
    async (_, args) => {
      const ours = lab.pool();
      const plain = lab.plainPool();
      for (const callback of [false, true]) {
        const wanted = await answer(plain, args, callback);
        expect(await answer(ours, args, callback)).toEqual(wanted);
        expect(await answer(ours, args, callback)).toEqual(wanted);
      }
    },
  );

  it('leaves a callback in the config to clients: pool.query answers by its promise', async () => {
    for (const pool of [lab.plainPool(), lab.pool()]) {
      const told: unknown[] = [];
      const config = { text: 'select 1 as n', callback: (...args: unknown[]) => told.push(args) };
      expect((await pool.query(config)).rows).toEqual([{ n: 1 }]);
      expect(told).toEqual([]);
      const client = await pool.connect();
      const query = client.query as unknown as (config: unknown) => unknown;
      const returned = query.call(client, config);
      await client.query('select 2');
      expect([returned, told.length]).toEqual([undefined, 1]);
      client.release();
    }
  });

  it('tells a function that is given instead of a text that it is none', async () => {
    const told = [];
    for (const pool of [lab.plainPool(), lab.pool()]) {
      told.push(
        await new Promise<string>((resolve) => {
          const callback = (error: Error): void => resolve(error.message);
          void (pool.query as unknown as AnyQuery).call(pool, callback);
        }),
      );
    }
    expect(told[1]).toBe(told[0]);
    expect(told[1]).toMatch(/function/);
  });

  it('gives one result a statement for a text of several', async () => {
    const results = (await lab
      .pool()
      .query('select 1 as a; select 2 as b')) as unknown as pg.QueryResult[];
    expect(results.map((result) => result.rows)).toEqual([[{ a: 1 }], [{ b: 2 }]]);
  });

  it.each([
    ['null', [null]],
    ['undefined', [undefined]],
    ['a number', [7]],
    ['an empty object', [{}]],
    ['values that are no array', ['select $1::text', 'x']],
    ['an SQL error', ['selekt 1']],
  ] as [string, unknown[]][])('refuses %s with the error of the driver, once', async (_, args) => {
    const ours = lab.pool();
    const plain = lab.plainPool();
    const call = (pool: pg.Pool): Promise<unknown> =>
      failureOf((async () => (pool.query as unknown as AnyQuery).apply(pool, args))());
    const wanted = (await call(plain)) as Error;
    const retries: unknown[] = [];
    ours.policy.on('retry', (event) => retries.push(event));
    const error = (await call(ours)) as Error;
    expect(error).toBeInstanceOf(Error);
    expect(error.constructor).toBe(wanted.constructor);
    expect({ ...error, message: error.message }).toEqual({ ...wanted, message: wanted.message });
    expect(retries).toEqual([]);
    expect((await ours.query('select 1 as n')).rows).toEqual([{ n: 1 }]);
    expect(ours.totalCount).toBe(1);
  });

  it('shows the same properties of an error, and a stack that leads to the caller', async () => {
    const error = await failureOf(lab.pool().query('select no_such_column'));
    const wanted = await failureOf(lab.plainPool().query('select no_such_column'));
    expect(Object.keys(error)).toEqual(Object.keys(wanted));
    expect({ ...error }).toEqual({ ...wanted });
    expect(error).toBeInstanceOf(pg.DatabaseError);
    expect(error.name).toBe(wanted.name);
    expect(retryInfo(error)?.operation).toBe('pg.query');
    // As far back as the driver leads: to the code that asked, not to the socket.
    expect(error.stack).not.toContain('onStreamRead');
  });

  it('hands what a callback throws to the process, and keeps the client', async () => {
    const pool = lab.pool({ max: 1 });
    const thrown = new Promise((resolve) => {
      const before = process.listeners('uncaughtException');
      process.removeAllListeners('uncaughtException');
      process.once('uncaughtException', (error) => {
        for (const listener of before) process.on('uncaughtException', listener);
        resolve(error.message);
      });
    });
    void pool.query('select 1', () => {
      throw new Error('out of the callback');
    });
    expect(await thrown).toBe('out of the callback');
    expect((await pool.query('select 1 as n')).rows).toEqual([{ n: 1 }]);
  });

  it('changes nothing of the objects that it is given', async () => {
    const table = await lab.table();
    const pool = lab.pool();
    const config = Object.freeze({
      text: `insert into ${table} values ($1)`,
      values: Object.freeze(['a']) as unknown as unknown[],
      idempotent: false,
      resolveWrites: true,
    });
    const before = structuredClone(config);
    await pool.query(config);
    await pool.query({ ...config, resolveWrites: false });
    await failureOf(pool.query(Object.freeze({ text: 'selekt', values: [] })));
    expect(config).toEqual(before);
    const open = { name: 'open', text: 'select $1::int as n', values: [1] };
    lab.proxy.arm({ when: { bytes: /select \$1::int/ }, fault: 'cut-after' });
    await pool.query(open);
    await pool.query(open);
    expect(open).toEqual({ name: 'open', text: 'select $1::int as n', values: [1] });
    expect(Object.getOwnPropertyNames(open)).toEqual(['name', 'text', 'values']);
  });

  it('works through a client of the caller’s own class, and with a Promise of his own', async () => {
    class OwnClient extends pg.Client {
      readonly own = true;
    }
    class OwnPromise<T> extends Promise<T> {}
    const pool = lab.pool({ Client: OwnClient, Promise: OwnPromise } as outlast.RetryPoolConfig);
    const client = (await pool.connect()) as unknown as OwnClient & pg.PoolClient;
    expect(client.own).toBe(true);
    client.release();
    expect((await pool.query('select 1 as n')).rows).toEqual([{ n: 1 }]);
  });
});
