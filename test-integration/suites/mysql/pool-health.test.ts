import { setTimeout as sleep } from 'node:timers/promises';
import { isOutcomeUnknown, type Pool, type RowDataPacket, retryInfo } from '@outlast/mysql-retry';
import type { PoolConnection } from '@outlast/mysql-retry/callback';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { ending, failureOf } from '../support/errors.js';
import { openMysqlLab } from '../support/mysql-lab.js';

const lab = await openMysqlLab({ log: true });

const id = async (pool: { query: (sql: string) => Promise<unknown> }): Promise<number> => {
  const [[row]] = (await pool.query('select connection_id() as id')) as [RowDataPacket[]];
  return row?.['id'];
};

/** How many wait in the driver's queue. */
const queued = (pool: Pool): number =>
  (pool.pool as unknown as { _connectionQueue: { length: number } })._connectionQueue.length;

describe.skipIf(lab.reason)(`the connections of a pool ${lab.reason}`, () => {
  lab.use();

  it('are waited for no longer than acquireTimeoutMs, and a thousand who waited in vain leave nothing (node-mysql2#4497, #4498)', async () => {
    const pool = lab.pool({ connectionLimit: 1, acquireTimeoutMs: 150 });
    const held = await pool.getConnection();
    const waiting = await Promise.all(
      Array.from({ length: 1000 }, (_, n) =>
        ending<unknown>(n % 2 ? pool.query('select 1') : pool.getConnection()),
      ),
    );
    for (const one of waiting) {
      expect(one).toMatchObject({ ok: false, error: { code: 'POOL_ACQUIRE_TIMEOUT' } });
    }
    const [first] = waiting;
    if (first?.ok === false) {
      expect(retryInfo(first.error)).toMatchObject({ reason: 'exhausted', outcome: 'not-applied' });
      expect(first.ms).toBeLessThan(2000);
    }
    held.release();
    expect((await pool.query('select 1 as a'))[0]).toEqual([{ a: 1 }]);
    expect(await lab.server.sessions()).toHaveLength(1);
    expect((await pool.healthCheck()).details).toMatchObject({ total: 1, idle: 1, waiting: 0 });
  });

  it('are waited for by many, and whoever gives up is gone: by his signal, and by the end of the pool', async () => {
    for (const outage of [false, true]) {
      const pool = lab.pool({ connectionLimit: 1 });
      const held = outage ? undefined : await pool.getConnection();
      if (outage) lab.proxy.refuse();
      const controller = new AbortController();
      const reason = new Error('enough');
      const asked = Array.from({ length: 200 }, (_, n) =>
        ending<unknown>(
          n % 2 === 0
            ? pool.query({ sql: 'select 1', signal: controller.signal })
            : pool.transaction((tx) => tx.query('select 1')),
        ),
      );
      const waiting = async () => (await pool.healthCheck()).details.waiting;
      // What waits for a pool that is down is asked of it no more: the health check waits for nobody.
      await waitFor(async () => (outage ? (await waiting()) === 200 : queued(pool) === 200), {
        what: 'all of them to wait',
      });
      controller.abort(reason);
      const aborted = await Promise.all(asked.filter((_, n) => n % 2 === 0));
      expect(aborted.every((one) => !one.ok && one.error === reason)).toBe(true);
      if (!outage) expect(queued(pool)).toBe(100);
      const ended = pool.end();
      const closed = await Promise.all(asked.filter((_, n) => n % 2 === 1));
      for (const one of closed) {
        expect(!one.ok && one.error.message).toMatch(/closed/);
        expect(!one.ok && isOutcomeUnknown(one.error)).toBe(false);
      }
      held?.release();
      await ended;
      if (outage) await lab.proxy.accept();
      await waitFor(async () => (await lab.server.sessions()).length === 0, {
        what: 'the server to be rid of it',
      });
    }
  });

  it('free their slot when a statement times out on a half-open wire: the next one works (node-postgres#3399)', async () => {
    const pool = lab.pool({ connectionLimit: 1, retry: { maxAttempts: 1, waitMs: 10_000 } });
    await pool.query({ sql: 'select 1', timeout: 500 });
    lab.proxy.silence();
    const error = await failureOf(pool.query({ sql: 'select 2', timeout: 300 }));
    expect(error).toMatchObject({ code: 'PROTOCOL_SEQUENCE_TIMEOUT' });
    expect(isOutcomeUnknown(error)).toBe(true);
    await lab.proxy.heal();
    expect((await pool.query('select 3 as a'))[0]).toEqual([{ a: 3 }]);
  });

  it('free their slot when a stream times out on a half-open wire, and are not used again', async () => {
    const { pool } = lab.pool({ connectionLimit: 1, livenessMs: Infinity });
    const ask = pool.promise();
    const first = await id(ask);
    const armed = lab.proxy.arm({ when: { bytes: "'streamed'" }, fault: 'silence', times: 2 });
    const timed = { sql: "select 'streamed'", timeout: 200 };
    expect(await failureOf(pool.query(timed).stream().toArray())).toMatchObject({
      code: 'PROTOCOL_SEQUENCE_TIMEOUT',
    });
    const connection = await ask.getConnection();
    const { threadId } = connection;
    expect(threadId).not.toBe(first);
    const core = connection.connection as unknown as PoolConnection;
    const own = core.query(timed).stream().toArray();
    expect(await failureOf(own)).toMatchObject({ code: 'PROTOCOL_SEQUENCE_TIMEOUT' });
    connection.release();
    expect(armed.fired).toBe(2);
    expect(await id(ask)).not.toBe(threadId);
  });

  it('have a statement that timed out stopped on the server before it is replayed', async () => {
    const pool = lab.pool({ connectionLimit: 1 });
    // A server that has been up for a moment only could be another life of itself.
    await waitFor(
      async () => Number((await lab.server.admin("show status like 'Uptime'"))[0].Value) > 4,
      {
        what: 'the server to be of age',
      },
    );
    await pool.query({ sql: 'select 1', timeout: 5000 });
    const mark = await lab.logMark();
    const [rows] = await pool.query({
      sql: 'select sleep(if(@@session.tx_read_only or @@in_transaction, 0, 30)) as s',
      timeout: 400,
    });
    expect(rows).toEqual([{ s: 0 }]);
    const texts = (await mark()).map(({ text }) => text);
    const kill = texts.findIndex((text) => text.startsWith('KILL QUERY'));
    const replay = texts.indexOf('START TRANSACTION READ ONLY');
    expect(kill).toBeGreaterThan(0);
    expect(replay).toBeGreaterThan(kill);
  });

  it('are pinged after they were idle, and what does not answer is replaced', async () => {
    const pool = lab.pool({ connectionLimit: 1, pingAfterIdleMs: 0 });
    const first = await id(pool);
    expect(await id(pool)).toBe(first);
    lab.proxy.arm({ when: { requestNumber: 1 }, fault: 'cut-before' });
    const retries: unknown[] = [];
    pool.policy.on('retry', (event) => retries.push(event));
    // A write: were it the statement that met the dead wire, its outcome would be unknown.
    const table = await lab.table();
    await pool.query(`insert into ${table} values ('a')`);
    expect(retries).toEqual([]);
    expect(await lab.count(table)).toBe(1);
    expect(await id(pool)).not.toBe(first);
  });

  it('are rolled back when they come back in a transaction, by whatever way it was begun', async () => {
    const table = await lab.table();
    const pool = lab.pool({ connectionLimit: 1 });
    const begun = [
      (one: Awaited<ReturnType<typeof pool.getConnection>>) => one.beginTransaction(),
      (one: Awaited<ReturnType<typeof pool.getConnection>>) => one.query('set autocommit = 0'),
      (one: Awaited<ReturnType<typeof pool.getConnection>>) => one.execute('start transaction'),
    ];
    for (const begin of begun) {
      const connection = await pool.getConnection();
      await begin(connection);
      await connection.query(`insert into ${table} values ('left open')`);
      connection.release();
      await pool.query('select 1');
      expect(await lab.count(table)).toBe(0);
      await pool.query('set autocommit = 1');
    }
    await pool.query('begin');
    await pool.query(`insert into ${table} values ('b')`);
    expect(await lab.count(table)).toBe(1);
  });

  it('that were killed, idle or in a user’s hands, are not used again', async () => {
    const pool = lab.pool({ connectionLimit: 2 });
    const held = await pool.getConnection();
    const idle = await id(pool);
    await lab.server.admin(`kill ${idle}`);
    await lab.server.admin(`kill ${held.threadId}`);
    await sleep(50);
    const error = await failureOf(held.query('select 1'));
    expect(retryInfo(error)).toMatchObject({ outcome: 'not-applied' });
    held.release();
    const ids = await Promise.all([id(pool), id(pool)]);
    expect(ids).not.toContain(idle);
    expect(ids).not.toContain(held.threadId);
  });

  it('on which nobody answers any more are given up after two noes of the server, and reads go on', async () => {
    const pool = lab.pool({ connectionLimit: 1, livenessMs: 400 });
    await pool.query('select 1');
    const armed = lab.proxy.arm({ when: { bytes: "'lost'" }, fault: 'silence' });
    const read = await ending(pool.query("select 'lost' as a"));
    expect(armed.fired).toBe(1);
    expect(read).toMatchObject({ ok: true, value: [[{ a: 'lost' }], expect.anything()] });
    expect(read.ms).toBeLessThan(3000);
    const table = await lab.table();
    lab.proxy.arm({ when: { bytes: 'insert into' }, fault: 'silence' });
    const error = await failureOf(pool.query(`insert into ${table} values ('a')`));
    expect(error).toMatchObject({ code: 'PROTOCOL_CONNECTION_LOST' });
    expect(isOutcomeUnknown(error)).toBe(true);
  });

  it('on which a statement takes its time are left alone', async () => {
    const pool = lab.pool({ connectionLimit: 1, livenessMs: 200 });
    const before = await id(pool);
    expect((await pool.query('select sleep(1.5) as s'))[0]).toEqual([{ s: 0 }]);
    expect(await id(pool)).toBe(before);
  });
});
