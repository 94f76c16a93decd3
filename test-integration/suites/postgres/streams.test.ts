import { once } from 'node:events';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { isOutcomeUnknown, type Pool, retryInfo } from '@outlast/pg-retry';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import Cursor from 'pg-cursor';
import QueryStream from 'pg-query-stream';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { failureOf } from '../support/errors.js';
import { openLab } from '../support/postgres-lab.js';

const lab = await openLab({ log: 'all' });

const ROWS = 20_000;
const text = (mark: string): string =>
  `select n, repeat('x', 100) as fill, '${mark}' as mark from generate_series(1, ${ROWS}) n`;

describe.skipIf(lab.reason)(`cursors and streams ${lab.reason}`, () => {
  lab.use();

  /** How often the server has begun to run a text. */
  async function seen(log: () => Promise<string>, mark: string): Promise<number> {
    return (await log())
      .split('\n')
      .filter((line) => / execute (?!fetch)|statement: /.test(line) && line.includes(mark)).length;
  }

  async function backendOf(pool: Pool): Promise<number> {
    return (await pool.query('select pg_backend_pid() as pid')).rows[0].pid;
  }

  /** Reads a stream to its end; tells how many rows came before the error, if there was one. */
  async function drain(stream: Readable): Promise<{ rows: number; error: unknown }> {
    let rows = 0;
    try {
      for await (const _ of stream) rows += 1;
      return { rows, error: undefined };
    } catch (error) {
      return { rows, error };
    }
  }

  it('wait for a server that is away: only the connection is retried', async () => {
    const log = await lab.logMark();
    const pool = lab.pool();
    lab.proxy.refuse();
    const mark = lab.name('late');
    const stream = new QueryStream(text(mark));
    const done = pool.query(stream as never);
    const reading = drain(stream);
    const held = pool.connect();
    await sleep(300);
    await lab.proxy.accept();
    expect(await reading).toEqual({ rows: ROWS, error: undefined });
    await done;
    const client = await held;
    const cursor = client.query(new Cursor(text(mark)));
    expect(await cursor.read(7)).toHaveLength(7);
    await cursor.close();
    client.release();
    expect(await seen(log, mark)).toBeGreaterThanOrEqual(2);
    expect([pool.totalCount, pool.idleCount]).toEqual([2, 2]);
  });

  it.each(['pool.query', 'pool.connect'] as const)(
    'are never replayed when they break in the middle, and fail instead of hanging (%s)',
    async (how) => {
      const log = await lab.logMark();
      const pool = lab.pool({ max: 1 });
      const pid = await backendOf(pool);
      const mark = lab.name('mid');
      const stream = new QueryStream(text(mark), [], { batchSize: 100 });
      const client = how === 'pool.connect' ? await pool.connect() : undefined;
      const retries: unknown[] = [];
      pool.policy.on('retry', (event) => retries.push(event));
      if (client) client.query(stream);
      else void pool.query(stream as never);
      let rows = 0;
      const error = await failureOf(
        (async () => {
          for await (const _ of stream) {
            rows += 1;
            if (rows === 1000) lab.proxy.cutAll();
          }
        })(),
      );
      client?.release();
      expect(error).toMatchObject({ code: 'ECONNRESET' });
      expect(isOutcomeUnknown(error)).toBe(true);
      expect(rows).toBeLessThan(ROWS);
      expect(retries).toEqual([]);
      expect(await seen(log, mark)).toBe(1);
      // its client was not used again
      expect(await backendOf(pool)).not.toBe(pid);
      expect(pool.totalCount).toBe(1);
    },
  );

  it('are not replayed either when they are cut before the first row', async () => {
    const log = await lab.logMark();
    const pool = lab.pool({ max: 1 });
    const mark = lab.name('first');
    const fault = lab.proxy.arm({ when: { bytes: mark }, fault: 'cut-after' });
    const stream = new QueryStream(text(mark));
    const whole = failureOf(pool.query(stream as never));
    const { rows, error } = await drain(stream);
    expect(fault.fired).toBe(1);
    expect(rows).toBe(0);
    expect(await whole).toBe(error);
    expect(isOutcomeUnknown(error)).toBe(true);
    expect(await seen(log, mark)).toBeLessThanOrEqual(1);
    expect((await pool.query('select 1 as n')).rows).toEqual([{ n: 1 }]);
  });

  it('of a backend that is ended fail with its word, reads and closes that wait included', async () => {
    const pool = lab.pool();
    const client = await pool.connect();
    const { rows } = await client.query('select pg_backend_pid() as pid');
    const cursor = client.query(
      new Cursor(`select n, pg_sleep(0.002) from generate_series(1, ${ROWS}) n`),
    );
    expect(await cursor.read(10)).toHaveLength(10);
    const pending = failureOf(cursor.read(ROWS));
    await lab.server.admin('select pg_terminate_backend($1)', [rows[0].pid]);
    const error = await pending;
    expect(error).toMatchObject({ code: '57P01' });
    expect(retryInfo(error)).toMatchObject({ operation: 'pg.client.query', outcome: 'unknown' });
    await cursor.close();
    client.release();
    expect(pool.totalCount).toBe(0);
  });

  it('that break between their last row and the server’s goodbye fail too, and do not hang', async () => {
    const pool = lab.pool();
    const client = await pool.connect();
    const cursor = client.query(new Cursor('select n from generate_series(1, 3) n'));
    const armed = lab.proxy.arm({
      when: { bytes: 'SELECT 3', direction: 'reply' },
      fault: 'cut-after',
    });
    const error = await failureOf(cursor.read(10));
    expect(armed.fired).toBe(1);
    expect(error).toBeInstanceOf(Error);
    await cursor.close();
    client.release();
    expect(pool.totalCount).toBe(0);
  });

  it('give their connection back: at the end, after an SQL error, and when they are left half read', async () => {
    const pool = lab.pool({ max: 1 });
    const pid = await backendOf(pool);
    const whole = new QueryStream(text('whole'));
    void pool.query(whole as never);
    expect((await drain(whole)).rows).toBe(ROWS);
    const wrong = new QueryStream('select n / 0 from generate_series(1, 3) n');
    void pool.query(wrong as never);
    expect((await drain(wrong)).error).toMatchObject({ code: '22012' });
    const half = new QueryStream(text('half'));
    void pool.query(half as never);
    for await (const _ of half) break;
    const cursor = new Cursor(text('cursor'));
    void pool.query(cursor as never);
    expect(await cursor.read(5)).toHaveLength(5);
    await cursor.close();
    expect(await backendOf(pool)).toBe(pid);
    expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
  });

  it('tell a reader that no connection was to be had', async () => {
    const pool = lab.pool({ retry: { waitMs: 100 } });
    lab.proxy.refuse();
    const stream = new QueryStream(text('never'));
    const whole = failureOf(pool.query(stream as never));
    const { error } = await drain(stream);
    expect(error).toMatchObject({ code: 'ECONNREFUSED' });
    expect(await whole).toBe(error);
  });

  it('COPY FROM that breaks leaves nothing behind, and is not sent again', async () => {
    const log = await lab.logMark();
    const table = await lab.table('n int, fill text');
    const pool = lab.pool({ max: 1 });
    const client = await pool.connect();
    const copy = client.query(copyFrom(`copy ${table} from stdin`));
    let lines = 0;
    const source = Readable.from(
      (function* () {
        for (; lines < 5000; lines++) {
          if (lines === 2500) lab.proxy.cutAll();
          yield `${lines}\t${'x'.repeat(1000)}\n`;
        }
      })(),
    );
    const error = await failureOf(pipeline(source, copy));
    expect(error).toBeInstanceOf(Error);
    client.release();
    expect(await lab.count(table)).toBe(0);
    expect(await seen(log, `copy ${table}`)).toBe(1);
    const again = await pool.connect();
    await pipeline(
      Readable.from(['1\ta\n', '2\tb\n']),
      again.query(copyFrom(`copy ${table} from stdin`)),
    );
    again.release();
    expect(await lab.count(table)).toBe(2);
    expect(pool.totalCount).toBe(1);
  });

  it('COPY TO runs to its end by pool.query, and fails when it breaks', async () => {
    const pool = lab.pool({ max: 1 });
    const whole = copyTo(`copy (${text('copied')}) to stdout`);
    void pool.query(whole as never);
    let bytes = 0;
    whole.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    await once(whole, 'end');
    expect(bytes).toBeGreaterThan(ROWS * 100);
    const broken = copyTo(`copy (${text('cut')}) to stdout`);
    void pool.query(broken as never);
    broken.once('data', () => lab.proxy.cutAll());
    const { error } = await drain(broken);
    expect(error).toBeInstanceOf(Error);
    await waitFor(() => pool.totalCount === 0, { what: 'the broken client to leave' });
    expect((await pool.query('select 1 as n')).rows).toEqual([{ n: 1 }]);
  });
});
