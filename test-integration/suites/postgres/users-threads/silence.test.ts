import { retryInfo } from '@outlast/pg-retry';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../../servers/index.js';
import { failureOf } from '../../support/errors.js';
import { openLab } from '../../support/postgres-lab.js';

const lab = await openLab();

describe.skipIf(lab.reason)(`a network that is switched off ${lab.reason}`, () => {
  lab.use();

  /** Fills a pool with idle clients. */
  const warm = (pool: ReturnType<typeof lab.pool>, n: number): Promise<unknown> =>
    Promise.all(Array.from({ length: n }, () => pool.query('select pg_sleep(0.05)')));

  it('and on again: whoever asked meanwhile is answered, on the same pool (node-postgres#2973)', async () => {
    const pool = lab.pool({ max: 2, livenessMs: 200 });
    const retries: unknown[] = [];
    pool.policy.on('retry', ({ failure }) => retries.push(failure.code));
    await warm(pool, 2);
    lab.proxy.silence();
    const reads = Promise.all(
      [0, 1, 2, 3, 4, 5].map((n) => pool.query('select $1::int as n', [n])),
    );
    await waitFor(() => retries.length === 2, {
      what: 'the two statements under way to be given up',
    });
    expect(retries).toEqual(['ETIMEDOUT', 'ETIMEDOUT']);
    lab.proxy.speak();
    expect((await reads).map(({ rows }) => rows[0].n)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(pool.totalCount).toBeLessThanOrEqual(2);
  });

  it('is told from a pool that is busy: by its error, and by `down` (node-postgres#2973)', async () => {
    const pool = lab.pool({ max: 1, connectionTimeoutMillis: 150, retry: { waitMs: 300 } });
    const told: unknown[] = [];
    pool.policy.on('down', () => told.push('down'));
    const held = await pool.connect();
    const busy = await failureOf(pool.query('select 1'));
    expect([busy.message, told]).toEqual(['timeout exceeded when trying to connect', []]);
    held.release(true);
    lab.proxy.silence();
    const away = await failureOf(pool.query('select 1'));
    expect(away.message).toBe('Connection terminated due to connection timeout');
    expect(told).toEqual(['down']);
    for (const error of [busy, away]) {
      expect(retryInfo(error)).toMatchObject({ reason: 'exhausted', outcome: 'not-applied' });
    }
  });

  it('leaves no dead client to be used again, be it query_timeout that notices (node-postgres#3399, pg-promise#944)', async () => {
    const pool = lab.pool({ max: 2, query_timeout: 200, livenessMs: Infinity });
    await warm(pool, 2);
    lab.proxy.silence('drop');
    const errors = [];
    for (const _ of [1, 2]) errors.push(await failureOf(pool.query('create table never (x int)')));
    expect(errors.map(({ message }) => message)).toEqual([
      'Query read timeout',
      'Query read timeout',
    ]);
    expect(pool.totalCount).toBe(0);
    // what was connected before stays dead
    await lab.proxy.heal();
    expect((await pool.query('select 7 as n')).rows).toEqual([{ n: 7 }]);
    expect(lab.proxy.counts.connections).toBeGreaterThanOrEqual(3);
  });

  it('while a library asks for a client: it gets one later, not an error (node-postgres#3491)', async () => {
    const pool = lab.pool({ connectionTimeoutMillis: 150 });
    const told: unknown[] = [];
    pool.policy.on('down', ({ error }) => told.push((error as Error).message));
    lab.proxy.silence('drop');
    const connecting = pool.connect();
    await waitFor(() => told.length === 1, { what: 'the first dial to be given up' });
    expect(told).toEqual(['Connection terminated due to connection timeout']);
    await lab.proxy.heal();
    const client = await connecting;
    expect((await client.query('select 1 as n')).rows).toEqual([{ n: 1 }]);
    client.release();
  });

  it.each(['refuses', 'is silent'] as const)(
    'or a server that %s: pool.connect() has an error once patience is over (node-postgres#2704)',
    async (how) => {
      const pool = lab.pool({ connectionTimeoutMillis: 150, retry: { waitMs: 300 } });
      if (how === 'refuses') lab.proxy.refuse();
      else lab.proxy.silence();
      const error = await failureOf(pool.connect());
      expect(error.message).toMatch(how === 'refuses' ? /ECONNREFUSED/ : /connection timeout/);
      expect(retryInfo(error)).toMatchObject({ reason: 'exhausted', outcome: 'not-applied' });
      expect(pool.waitingCount).toBe(0);
      await waitFor(() => pool.totalCount === 0, { what: 'the last probe to be given up' });
    },
  );
});
