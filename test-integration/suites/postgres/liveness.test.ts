import { isOutcomeUnknown, retryInfo } from '@outlast/pg-retry';
import { describe, expect, it } from 'vitest';
import { ending, failureOf } from '../support/errors.js';
import { openLab } from '../support/postgres-lab.js';

const lab = await openLab({ own: true });

describe.skipIf(lab.reason)(`a server that vanishes under a statement ${lab.reason}`, () => {
  lab.use();

  it('frozen: a write has its verdict, a read its answer once the server goes on', async () => {
    const table = await lab.table();
    const pool = lab.pool({ max: 3, livenessMs: 300 });
    const held = await pool.connect();
    await Promise.all([1, 2].map(() => pool.query('select pg_sleep(0.05)')));
    await lab.server.pause();
    const write = ending(pool.query(`insert into ${table} values ('a')`));
    const read = pool.query('select 1 as one');
    const own = ending(held.query('select 1'));
    for (const { ok, ...end } of [await write, await own]) {
      const { error } = end as { error: Error & { code: string } };
      expect([ok, error.code, isOutcomeUnknown(error)]).toEqual([false, 'ETIMEDOUT', true]);
      expect(error.message).toMatch(/silent for 300 ms and does not answer on another connection/);
    }
    await lab.server.resume();
    expect((await read).rows).toEqual([{ one: 1 }]);
    held.release();
  });

  it('healthy: a slow statement is left alone for as long as it takes', async () => {
    const pool = lab.pool({ livenessMs: 100 });
    const retries: unknown[] = [];
    pool.policy.on('retry', (event) => retries.push(event));
    const { rows } = await pool.query('select pg_sleep(1.2), 1 as one');
    expect([rows[0].one, retries]).toEqual([1, []]);
  });

  it('is refused a period that is none', async () => {
    expect(() => lab.pool({ livenessMs: 0 })).toThrow(
      /livenessMs must be a number of milliseconds/,
    );
    const pool = lab.pool({ livenessMs: Infinity });
    expect((await pool.query('select 1 as one')).rowCount).toBe(1);
    const error = await failureOf(pool.query('select 1 / 0'));
    expect(retryInfo(error)?.attempts).toBe(1);
  });
});
