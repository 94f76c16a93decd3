import { setTimeout as sleep } from 'node:timers/promises';
import { retryInfo } from '@outlast/pg-retry';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { ending } from '../support/errors.js';
import { openLab } from '../support/postgres-lab.js';

const lab = await openLab();
const WAITERS = 1000;

describe.skipIf(lab.reason)(`a pool with one client and a thousand waiters ${lab.reason}`, () => {
  lab.use();

  const numbers = Array.from({ length: WAITERS }, (_, n) => n);

  it('serves them all, in their order, on one connection', async () => {
    const pool = lab.pool({ max: 1 });
    const held = await pool.connect();
    const order: number[] = [];
    const all = numbers.map(async (n) => {
      const { rows } = await pool.query('select $1::int as n', [n]);
      order.push(rows[0].n);
    });
    await waitFor(() => pool.waitingCount === WAITERS, { what: 'all to wait' });
    held.release();
    await Promise.all(all);
    expect(order).toEqual(numbers);
    expect(lab.proxy.counts.connections).toBe(1);
    expect([pool.totalCount, pool.idleCount, pool.waitingCount]).toEqual([1, 1, 0]);
  });

  it('serves the rest when half of them are withdrawn, whatever they wait for', async () => {
    const pool = lab.pool({ max: 1 });
    const held = await pool.connect();
    const controller = new AbortController();
    const { signal } = controller;
    const all = numbers.map((n) => {
      const options = n % 2 === 0 ? { signal } : {};
      if (n % 3 === 0) return ending(pool.transaction((tx) => tx.query('select 1'), options));
      return ending(pool.query({ text: 'select 1', ...options }));
    });
    const clients = [1, 2, 3].map(async () => (await pool.connect()).release());
    await waitFor(() => pool.waitingCount === WAITERS + 3, { what: 'all to wait' });
    controller.abort();
    held.release();
    const ends = await Promise.all(all);
    await Promise.all(clients);
    expect(ends.filter((end) => !end.ok).length).toBe(WAITERS / 2);
    expect(ends.every((end, n) => end.ok === (n % 2 === 1))).toBe(true);
    expect(ends.every((end) => end.ok || end.error === signal.reason)).toBe(true);
    expect([pool.totalCount, pool.idleCount, pool.waitingCount]).toEqual([1, 1, 0]);
  });

  it('tells them all when their time for a slot is over, and is in order afterwards', async () => {
    const pool = lab.pool({ max: 1, connectionTimeoutMillis: 200 });
    const held = await pool.connect();
    const ends = await Promise.all(numbers.map(() => ending(pool.query('select 1'))));
    expect(ends.every((end) => !end.ok && end.error.message.startsWith('timeout exceeded'))).toBe(
      true,
    );
    expect(ends.every((end) => !end.ok && retryInfo(end.error)?.outcome === 'not-applied')).toBe(
      true,
    );
    held.release();
    expect(pool.waitingCount).toBe(0);
    expect((await pool.query('select 1 as n')).rows).toEqual([{ n: 1 }]);
  });

  it('serves them all after an outage, without a storm of connects', async () => {
    const pool = lab.pool({ max: 1 });
    lab.proxy.refuse();
    const all = Promise.all(numbers.map((n) => pool.query('select $1::int as n', [n])));
    await waitFor(() => pool.waitingCount === WAITERS, { what: 'all to wait' });
    await sleep(300);
    await lab.proxy.accept();
    expect((await all).map(({ rows }) => rows[0].n)).toEqual(numbers);
    expect(lab.proxy.counts.connections).toBeLessThanOrEqual(2);
    expect([pool.totalCount, pool.idleCount, pool.waitingCount]).toEqual([1, 1, 0]);
  });

  it('rejects them all when it ends, each once, and ends', async () => {
    const pool = lab.pool({ max: 1 });
    const held = await pool.connect();
    const all = numbers.map(() => ending(pool.query('select 1')));
    await waitFor(() => pool.waitingCount === WAITERS, { what: 'all to wait' });
    const ended = pool.end();
    const ends = await Promise.all(all);
    expect(ends.every((end) => !end.ok && end.error instanceof Error)).toBe(true);
    held.release();
    await ended;
    expect([pool.totalCount, pool.waitingCount]).toEqual([0, 0]);
    expect(await lab.sessions()).toEqual([]);
  });
});
