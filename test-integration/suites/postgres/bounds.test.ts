import { isDeadlineExceededError } from '@outlast/core-retry';
import { isOutcomeUnknown, retryInfo } from '@outlast/pg-retry';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { ending, failureOf } from '../support/errors.js';
import { openLab } from '../support/postgres-lab.js';

const lab = await openLab();
const PROMPT_MS = 1500;

describe.skipIf(lab.reason)(`a query with bounds ${lab.reason}`, () => {
  lab.use();

  const active = async (): Promise<number> =>
    (await lab.sessions()).filter((one) => one.state === 'active').length;

  it('is stopped on the server when its totalTimeoutMs is over', async () => {
    const table = await lab.table();
    const pool = lab.pool();
    const text = `insert into ${table} select 'a' from pg_sleep(30)`;
    const end = await ending(pool.query({ text, totalTimeoutMs: 300 }));
    expect(end.ms).toBeGreaterThanOrEqual(299);
    expect(end.ms).toBeLessThan(PROMPT_MS);
    expect(!end.ok && isDeadlineExceededError(end.error)).toBe(true);
    expect(!end.ok && isOutcomeUnknown(end.error)).toBe(true);
    await waitFor(async () => (await active()) === 0, { what: 'the statement to be stopped' });
    expect(await lab.count(table)).toBe(0);
  });

  it('is stopped on the server when its signal aborts, and rejects with the very reason', async () => {
    const pool = lab.pool();
    const controller = new AbortController();
    const pending = failureOf(
      pool.query({ text: 'select pg_sleep(30)', signal: controller.signal }),
    );
    await waitFor(async () => (await active()) === 1, { what: 'the statement to run' });
    const reason = new Error('enough');
    controller.abort(reason);
    expect(await pending).toBe(reason);
    await waitFor(async () => (await active()) === 0, { what: 'the statement to be stopped' });
    expect((await pool.query('select 1 as n')).rows).toEqual([{ n: 1 }]);
  });

  it('never sends anything for a signal that has aborted before', async () => {
    const table = await lab.table();
    const pool = lab.pool();
    const signal = AbortSignal.abort('before');
    const text = `insert into ${table} values ('a')`;
    expect(await failureOf(pool.query({ text, signal }))).toBe('before');
    expect(await failureOf(pool.transaction((tx) => tx.query(text), { signal }))).toBe('before');
    expect(await lab.count(table)).toBe(0);
    expect(lab.proxy.counts.connections).toBe(0);
  });

  it('is stopped on the server, and stopped for good, before an attempt that took too long is followed by another', async () => {
    const pool = lab.pool({ retry: { attemptTimeoutMs: 300, baseDelayMs: 10, maxAttempts: 3 } });
    let most = 0;
    const look = setInterval(() => {
      active().then(
        (now) => {
          most = Math.max(most, now);
        },
        () => {},
      );
    }, 20);
    const error = await failureOf(pool.query({ text: 'select pg_sleep(30)', idempotent: true }));
    clearInterval(look);
    expect(retryInfo(error)).toMatchObject({ attempts: 3, reason: 'exhausted' });
    expect(most).toBe(1);
    await waitFor(async () => (await active()) === 0, { what: 'the last to be stopped' });
  });

  it('withdraws 200 who wait for a slot when their signal aborts, and leaks nothing', async () => {
    const pool = lab.pool({ max: 2 });
    const held = [await pool.connect(), await pool.connect()];
    const controller = new AbortController();
    const { signal } = controller;
    const waiting = Array.from({ length: 200 }, () =>
      ending(pool.query({ text: 'select 1', signal })),
    );
    await waitFor(() => pool.waitingCount === 200, { what: 'all to wait' });
    const reason = new Error('all of you');
    controller.abort(reason);
    const ends = await Promise.all(waiting);
    expect(ends.every((end) => !end.ok && end.error === reason)).toBe(true);
    expect(isOutcomeUnknown(reason)).toBe(false);
    expect(pool.waitingCount).toBe(0);
    for (const client of held) client.release();
    expect([pool.totalCount, pool.idleCount]).toEqual([2, 2]);
    const texts = Array.from({ length: 10 }, (_, n) => pool.query('select $1::int as n', [n]));
    expect((await Promise.all(texts)).map(({ rows }) => rows[0].n)).toEqual([...texts.keys()]);
  });

  it('withdraws who wait for the server when their signal aborts, and stops dialling', async () => {
    const pool = lab.pool();
    lab.proxy.refuse();
    const controller = new AbortController();
    const { signal } = controller;
    const waiting = Array.from({ length: 50 }, () =>
      ending(pool.query({ text: 'select 1', signal })),
    );
    await waitFor(() => pool.waitingCount === 50, { what: 'all to wait' });
    controller.abort();
    const ends = await Promise.all(waiting);
    expect(ends.every((end) => !end.ok && end.error === signal.reason)).toBe(true);
    expect(pool.waitingCount).toBe(0);
    const before = lab.proxy.counts.connections;
    await lab.proxy.accept();
    await pool.query('select 1');
    expect(lab.proxy.counts.connections).toBe(before + 1);
  });

  it('takes the shorter of the pool’s totalTimeoutMs and its own', async () => {
    const pool = lab.pool({ retry: { totalTimeoutMs: 250 } });
    const end = await ending(pool.query({ text: 'select pg_sleep(30)', totalTimeoutMs: 20_000 }));
    expect(end.ok).toBe(false);
    expect(end.ms).toBeLessThan(PROMPT_MS);
    const wide = lab.pool({ retry: { totalTimeoutMs: 20_000 } });
    const late = await ending(wide.query({ text: 'select pg_sleep(30)', totalTimeoutMs: 250 }));
    expect(late.ok).toBe(false);
    expect(late.ms).toBeLessThan(PROMPT_MS);
    await waitFor(async () => (await active()) === 0, { what: 'both to be stopped' });
  });

  it('keeps an answer that came in time, and leaves no listener on the signal', async () => {
    const pool = lab.pool();
    const controller = new AbortController();
    const { signal } = controller;
    const warnings: Error[] = [];
    const warn = (warning: Error): unknown => warnings.push(warning);
    process.on('warning', warn);
    const all = await Promise.all(
      Array.from({ length: 30 }, (_, n) =>
        pool.query({ text: `select ${n}::int as n`, signal, totalTimeoutMs: 60_000 }),
      ),
    );
    controller.abort();
    expect(all.map(({ rows }) => rows[0].n)).toEqual([...all.keys()]);
    process.off('warning', warn);
    expect(warnings.filter(({ name }) => name === 'MaxListenersExceededWarning')).toEqual([]);
  });
});
