import {
  isOutcomeUnknown,
  mysqlRetry,
  type Pool,
  type RowDataPacket,
  retryInfo,
} from '@outlast/mysql-retry';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { ending, failureOf } from '../support/errors.js';
import { openMysqlLab } from '../support/mysql-lab.js';
import { sequelizeOn } from './libraries/sequelize-on.js';

const lab = await openMysqlLab();

const PING = '\x01\0\0\0\x0e';

const idOf = async (asked: Pick<Pool, 'query'>): Promise<number> => {
  const [[row]] = await asked.query<RowDataPacket[]>('select connection_id() as id');
  return row?.['id'];
};

// Threads of mysql2 and of what stands on it that have a home elsewhere are named in the titles there:
// `grep -rn '#' test-integration/suites/mysql`.
describe.skipIf(lab.reason)(`what users of mysql2 ask for ${lab.reason}`, () => {
  lab.use();

  it('a pool gets rid of connections whose server takes no writes any more, getConnection included (node-mysql2#2050, #3123, #4075)', async () => {
    const table = await lab.table();
    const ours = lab.pool({ connectionLimit: 2 });
    const theirs = lab.plainPool({ connectionLimit: 1 });
    const checkOut = async (pool: Pick<Pool, 'getConnection'>): Promise<[number, unknown]> => {
      const connection = await pool.getConnection();
      const error = await failureOf(connection.query(`insert into ${table} values ('a')`));
      connection.release();
      return [connection.threadId, error];
    };
    await lab.server.admin('set global read_only = 1');
    try {
      const [stuck] = await checkOut(theirs);
      expect((await checkOut(theirs))[0]).toBe(stuck);
      const [first, error] = await checkOut(ours);
      expect(error).toMatchObject({ errno: 1290 });
      expect(retryInfo(error)).toMatchObject({ outcome: 'not-applied' });
      expect((await checkOut(ours))[0]).not.toBe(first);
    } finally {
      await lab.server.admin('set global read_only = 0');
    }
    expect(await lab.count(table)).toBe(0);
  });

  it('a pool that met a server which takes no writes is not stuck on it until it is restarted (lido-keys-api#268)', async () => {
    const table = await lab.table();
    const pool = lab.pool({ connectionLimit: 3, retry: { baseDelayMs: 50 } });
    await Promise.all([1, 2, 3].map(() => pool.query('select sleep(0.05)')));
    await lab.server.admin('set global read_only = 1');
    let promoted: Promise<unknown> | undefined;
    pool.policy.on('retry', ({ error }) => {
      expect(error).toMatchObject({ errno: 1290 });
      promoted ??= lab.server.admin('set global read_only = 0');
    });
    await pool.query(`insert into ${table} values ('a')`);
    await pool.transaction((tx) => tx.query(`insert into ${table} values ('b')`));
    await promoted;
    expect(await lab.count(table)).toBe(2);
  });

  it('who waits for a connection can tell a busy pool from a server that is down (node-mysql2#4497, node-postgres#2973)', async () => {
    const pool = lab.pool({ connectionLimit: 1, acquireTimeoutMs: 100, retry: { waitMs: 200 } });
    const held = await pool.getConnection();
    expect(await failureOf(pool.getConnection())).toMatchObject({ code: 'POOL_ACQUIRE_TIMEOUT' });
    held.destroy();
    lab.proxy.refuse();
    expect(await failureOf(pool.getConnection())).toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('who waited in vain takes nothing from the pool, though its connection was being proved (node-mysql2#4498)', async () => {
    const pool = lab.pool({ connectionLimit: 1, acquireTimeoutMs: 100, pingAfterIdleMs: 0 });
    await pool.query('select 1');
    const armed = lab.proxy.arm({ when: { bytes: PING }, fault: 'silence' });
    const first = ending(pool.query('select 1'));
    const second = ending(pool.query('select 2 as a'));
    for (const end of await Promise.all([first, second])) {
      expect(end).toMatchObject({ ok: false, error: { code: 'POOL_ACQUIRE_TIMEOUT' } });
    }
    expect(armed.fired).toBe(1);
    expect((await pool.query('select 3 as a'))[0]).toEqual([{ a: 3 }]);
    expect((await pool.healthCheck()).details).toMatchObject({ total: 1, idle: 1, waiting: 0 });
  });

  it('a connection that was cut while it lay idle costs nobody an error (node-mysql2#128, #683, #964)', async () => {
    const table = await lab.table();
    const pool = lab.pool({ connectionLimit: 3 });
    await Promise.all([1, 2, 3].map(() => pool.query('select sleep(0.05)')));
    for (const how of ['reset', 'fin'] as const) {
      expect(lab.proxy.cutAll(how)).toBeGreaterThan(0);
      await waitFor(async () => (await pool.healthCheck()).ok, { what: 'a new connection' });
      await Promise.all([
        pool.query(`insert into ${table} values ('${how}')`),
        pool.execute(`insert into ${table} values (?)`, [how]),
        pool.transaction((tx) => tx.query(`insert into ${table} values ('${how}')`)),
      ]);
    }
    expect(await lab.count(table)).toBe(6);
  });

  it('a connection that a firewall forgot while it lay idle costs a ping, and not a write (node-mysql2#907, #982)', async () => {
    const table = await lab.table();
    const pool = lab.pool({ connectionLimit: 1, pingAfterIdleMs: 0 });
    const before = await idOf(pool);
    const armed = lab.proxy.arm({ when: { bytes: PING }, fault: 'silence' });
    const retries: unknown[] = [];
    pool.policy.on('retry', (event) => retries.push(event));
    await pool.query(`insert into ${table} values ('a')`);
    expect([armed.fired, retries]).toEqual([1, []]);
    expect(await lab.count(table)).toBe(1);
    expect(await idOf(pool)).not.toBe(before);
  });

  it('"Can\'t add new command when connection is in closed state" is no answer of a pool (node-mysql2#939, #1898, #2152, #2498)', async () => {
    const table = await lab.table();
    const pool = lab.pool({ connectionLimit: 1 });
    const runs: number[] = [];
    await pool.transaction(async (tx, { attempt }) => {
      runs.push(attempt);
      if (attempt === 1) {
        await lab.server.admin(`kill ${await idOf(tx as unknown as Pool)}`);
        await failureOf(tx.query('select 1'));
        const closed = await failureOf(tx.query('select 1'));
        expect(retryInfo(closed)?.outcome ?? 'not-applied').toBe('not-applied');
      }
      await tx.query(`insert into ${table} values ('a')`);
    });
    expect(runs).toEqual([1, 2]);
    const connection = await pool.getConnection();
    connection.destroy();
    const error = await failureOf(connection.query('select 1'));
    expect(error.message).toContain("Can't add new command");
    expect(retryInfo(error)).toMatchObject({ outcome: 'not-applied' });
    connection.release();
    await pool.execute(`insert into ${table} values ('b')`);
    expect(await lab.count(table)).toBe(2);
  });

  it('a write whose answer was lost is not sent again by anybody’s guess (archestra#3051, boardsesh#2078)', async () => {
    const table = await lab.table();
    const pool = lab.pool();
    await pool.query('select 1');
    for (const [fault, present] of [
      ['cut-after', 1],
      ['cut-before', 1],
    ] as const) {
      const armed = lab.proxy.arm({ when: { bytes: `into ${table}` }, fault });
      const error = await failureOf(pool.query(`insert into ${table} values ('a')`));
      expect(armed.fired).toBe(1);
      expect(isOutcomeUnknown(error)).toBe(true);
      expect(retryInfo(error)).toMatchObject({ attempts: 1, reason: 'outcome-unknown' });
      expect(await lab.count(table)).toBe(present);
    }
  });

  it('Sequelize replays a whole transaction after a deadlock, by mysqlRetry around it (sequelize#1478, #8294, #8352, #17466)', async () => {
    const table = await lab.table('id int primary key, v int');
    await lab.server.admin(`insert into ${table} values (1, 0), (2, 0)`);
    const db = sequelizeOn(lab);
    const policy = mysqlRetry({ baseDelayMs: 10 });
    const retries: unknown[] = [];
    policy.on('retry', ({ error }) => retries.push((error as { errno?: number }).errno));
    let arrived = 0;
    const cross = (first: number, second: number) =>
      policy.execute(async ({ number }) => {
        try {
          await db.transaction(async (transaction) => {
            const up = (id: number) =>
              db.query(`update ${table} set v = v + 1 where id = ${id}`, { transaction });
            await up(first);
            arrived += 1;
            if (number === 1) await waitFor(() => arrived >= 2, { everyMs: 2 });
            await up(second);
          });
        } catch (error) {
          throw (error as { original?: unknown }).original ?? error;
        }
      });
    await Promise.all([cross(1, 2), cross(2, 1)]);
    await db.close();
    expect(retries).toEqual([1213]);
    expect(await lab.value(`select group_concat(v) from ${table}`)).toBe('2,2');
  });
});
