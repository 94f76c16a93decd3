import { retryInfo } from '@outlast/pg-retry';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { ending, failureOf } from '../support/errors.js';
import { openLab } from '../support/postgres-lab.js';

const lab = await openLab();
// Far above what settling takes, far below any patience.
const AT_ONCE_MS = 500;

describe.skipIf(lab.reason)(`pool.end() ${lab.reason}`, () => {
  lab.use();

  it('closes the connections and refuses what comes later, as the driver does', async () => {
    const pool = lab.pool();
    const plain = lab.plainPool();
    for (const one of [pool, plain]) {
      await one.query('select 1');
      await one.end();
      expect(one.ended).toBe(true);
      expect(one.totalCount).toBe(0);
    }
    const calls = [
      (one: typeof plain) => one.query('select 1'),
      (one: typeof plain) => one.connect(),
      (one: typeof plain) => one.end(),
    ];
    for (const call of calls) {
      const wanted = await failureOf(call(plain));
      expect((await failureOf(call(pool))).message).toBe(wanted.message);
    }
    expect((await failureOf(pool.transaction(() => {}))).message).toMatch(/end|closed/);
  });

  it('takes a callback', async () => {
    const pool = lab.pool();
    await pool.query('select 1');
    await new Promise<void>((resolve) => {
      pool.end(resolve);
    });
    expect(pool.totalCount).toBe(0);
    await new Promise<void>((resolve) => {
      void pool.query('select 1', (error) => {
        expect(error).toBeInstanceOf(Error);
        resolve();
      });
    });
    await new Promise<void>((resolve) => {
      pool.connect((error, client) => {
        expect(error).toBeInstanceOf(Error);
        expect(client).toBeUndefined();
        resolve();
      });
    });
  });

  it('lets a query finish that is running', async () => {
    const table = await lab.table();
    const pool = lab.pool();
    const query = pool.query(`insert into ${table} select 'a' from pg_sleep(0.3)`);
    await waitFor(async () => (await lab.sessions()).some((one) => one.state === 'active'));
    await pool.end();
    expect((await query).rowCount).toBe(1);
    expect(await lab.count(table)).toBe(1);
  });

  it('rejects at once who waits for a slot', async () => {
    const pool = lab.pool({ max: 1 });
    const client = await pool.connect();
    const waiting = [
      ending(pool.query('select 1')),
      ending(pool.connect()),
      ending(pool.transaction((tx) => tx.query('select 1'))),
      ending(pool.query({ text: 'select 1', totalTimeoutMs: 60_000 })),
    ];
    await waitFor(() => pool.waitingCount === waiting.length, { what: 'all to wait' });
    const ended = pool.end();
    for (const one of await Promise.all(waiting)) {
      expect(one.ok).toBe(false);
      expect(!one.ok && one.error).toBeInstanceOf(Error);
      expect(!one.ok && retryInfo(one.error)?.outcome).not.toBe('unknown');
    }
    client.release();
    await ended;
  });

  it('rejects at once who waits for the server', async () => {
    const pool = lab.pool();
    lab.proxy.refuse();
    const waiting = [
      ending(pool.query('select 1')),
      ending(pool.connect()),
      ending(pool.transaction((tx) => tx.query('select 1'))),
      ending(pool.query({ text: 'select 1', totalTimeoutMs: 60_000 })),
    ];
    await waitFor(() => pool.waitingCount === waiting.length, { what: 'all to wait' });
    const start = performance.now();
    await pool.end();
    for (const one of await Promise.all(waiting)) {
      expect(one.ok).toBe(false);
      expect(!one.ok && retryInfo(one.error)?.outcome).not.toBe('unknown');
    }
    expect(performance.now() - start).toBeLessThan(AT_ONCE_MS);
    expect(pool.waitingCount).toBe(0);
  });

  it('rejects at once who sleeps before another attempt', async () => {
    const table = await lab.table();
    await lab.server.admin(`create function ${table}_f() returns trigger language plpgsql as $$ begin
      raise 'busy' using errcode = '53200'; end $$`);
    await lab.server.admin(
      `create trigger t before insert on ${table} for each row execute function ${table}_f()`,
    );
    const pool = lab.pool({ retry: { baseDelayMs: 60_000, maxDelayMs: 60_000 } });
    let delayMs = 0;
    pool.policy.on('retry', (event) => {
      delayMs = event.delayMs;
    });
    const pending = ending(pool.query(`insert into ${table} values ('a')`));
    await waitFor(() => delayMs > 10_000, { what: 'a long delay' });
    const start = performance.now();
    await pool.end();
    const end = await pending;
    expect(performance.now() - start).toBeLessThan(AT_ONCE_MS);
    expect(!end.ok && retryInfo(end.error)).toMatchObject({
      reason: 'closed',
      outcome: 'not-applied',
    });
  });

  it('lets a transaction finish that is running', async () => {
    const table = await lab.table();
    const pool = lab.pool();
    let proceed: () => void = () => {};
    const gate = new Promise<void>((resolve) => {
      proceed = resolve;
    });
    let inside = false;
    const transaction = pool.transaction(async (tx) => {
      await tx.query(`insert into ${table} values ('a')`);
      inside = true;
      await gate;
      await tx.query(`insert into ${table} values ('b')`);
      return 'done';
    });
    await waitFor(() => inside, { what: 'the callback' });
    const ended = pool.end();
    proceed();
    expect(await transaction).toBe('done');
    await ended;
    expect(await lab.count(table)).toBe(2);
  });

  it('waits for a client that is checked out, as the driver does', async () => {
    const pool = lab.pool();
    const client = await pool.connect();
    let ended = false;
    const end = pool.end().then(() => {
      ended = true;
    });
    expect((await client.query('select 1 as n')).rows).toEqual([{ n: 1 }]);
    expect(ended).toBe(false);
    client.release();
    await end;
    expect(pool.totalCount).toBe(0);
  });
});
