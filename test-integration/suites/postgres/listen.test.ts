import { setTimeout as sleep } from 'node:timers/promises';
import { isOptionError, type ListenOptions, type Pool, retryInfo } from '@outlast/pg-retry';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { ending, failureOf } from '../support/errors.js';
import { watchRejections } from '../support/outage.js';
import { openLab } from '../support/postgres-lab.js';

const lab = await openLab({ own: true });

describe.skipIf(lab.reason)(`pool.listen() ${lab.reason}`, () => {
  lab.use();

  const notify = (channel: string, payload: string): Promise<unknown> =>
    lab.server.admin('select pg_notify($1, $2)', [channel, payload]);
  const terminate = (): Promise<unknown> =>
    lab.server.admin(
      `select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'`,
    );

  /** Listens, and writes down what is heard and which gaps there were. */
  async function ears(pool: Pool, channel = lab.name('chan'), options: ListenOptions = {}) {
    const heard: string[] = [];
    const gaps: number[] = [];
    const subscription = await pool.listen(channel, (payload) => heard.push(payload), {
      onGap: ({ channel: name, downMs }) => {
        expect(name).toBe(channel);
        gaps.push(downMs);
      },
      ...options,
    });
    const hears = async (payload: string): Promise<void> => {
      await notify(channel, payload);
      await waitFor(() => heard.includes(payload), { what: `${channel} to hear ${payload}` });
    };
    return { channel, heard, gaps, hears, close: () => subscription.close() };
  }

  it('hears payload and notification, on one connection for all channels that takes no slot', async () => {
    const pool = lab.pool({ max: 1 });
    const channels = await Promise.all(Array.from({ length: 20 }, () => ears(pool)));
    const twin = await ears(pool, channels[0]?.channel);
    expect([pool.totalCount, (await lab.sessions()).length]).toEqual([0, 1]);
    for (const one of channels) await one.hears(`to ${one.channel}`);
    expect(channels.map(({ heard }) => heard)).toEqual(
      channels.map((one) => [`to ${one.channel}`]),
    );
    expect(twin.heard).toEqual(channels[0]?.heard);
    let notification: unknown;
    const other = lab.name('chan');
    await pool.listen(other, (payload, whole) => {
      expect(payload).toBe('');
      notification = whole;
    });
    await notify(other, '');
    await waitFor(() => notification !== undefined, { what: 'the notification' });
    expect(notification).toMatchObject({ channel: other, payload: '' });
    // the only slot is free
    expect((await pool.query('select 1 as n')).rows).toEqual([{ n: 1 }]);
    expect(channels.every(({ gaps }) => gaps.length === 0)).toBe(true);
  });

  it.each(['Mixed Case', 'a"b', `'; drop table x; --`, 'ünï ☃', 'x'.repeat(63)])(
    'takes the name %s as it is',
    async (name) => {
      const one = await ears(lab.pool(), name);
      await one.hears('hello');
      await one.close();
      expect(await lab.sessions()).toEqual([]);
    },
  );

  it('refuses bad input by name', async () => {
    const pool = lab.pool();
    const fn = (): void => {};
    const calls: [unknown, unknown, unknown, RegExp][] = [
      ['', fn, {}, /channel/],
      ['x'.repeat(64), fn, {}, /1 to 63 bytes/],
      ['a\0b', fn, {}, /NUL/],
      [7, fn, {}, /channel/],
      ['a', undefined, {}, /a function/],
      ['a', fn, { onGap: 1 }, /listen\.onGap/],
      ['a', fn, { keepAliveMs: 0 }, /listen\.keepAliveMs/],
      ['a', fn, { onGaps: fn }, /onGap/],
    ];
    for (const [channel, handler, options, message] of calls) {
      const error = await failureOf(
        pool.listen(channel as never, handler as never, options as never),
      );
      expect(isOptionError(error)).toBe(true);
      expect(error.message).toMatch(message);
    }
    expect(lab.proxy.counts.connections).toBe(0);
  });

  it('listens again after its backend was ended, and tells each subscription of the gap once', async () => {
    const pool = lab.pool();
    const all = await Promise.all([ears(pool), ears(pool), ears(pool)]);
    for (let round = 1; round <= 3; round++) {
      await terminate();
      await waitFor(() => all.every(({ gaps }) => gaps.length === round), { what: 'the gaps' });
      for (const one of all) await one.hears(`round ${round}`);
    }
    expect(all.map(({ gaps }) => gaps.length)).toEqual([3, 3, 3]);
    expect((await lab.sessions()).length).toBe(1);
  });

  it('outlasts a restart without using up attempts, one gap for all of it', async () => {
    const pool = lab.pool({ retry: { maxAttempts: 1, waitMs: 300 } });
    const retries: unknown[] = [];
    pool.policy.on('retry', (event) => retries.push(event));
    const one = await ears(pool);
    await lab.server.stop();
    // longer than the patience of an operation: a subscription has no end
    await sleep(600);
    await lab.server.start();
    await waitFor(() => one.gaps.length > 0, { what: 'the gap' });
    await one.hears('after');
    expect(one.gaps).toHaveLength(1);
    expect(one.gaps[0]).toBeGreaterThan(600);
    expect(retries).toEqual([]);
  });

  it('does not hold up a server that shuts down smartly, once the pool has heard of it', async () => {
    // a new connection for each query: that is how one hears of it
    const pool = lab.pool({ maxUses: 1 });
    const one = await ears(pool);
    let down = false;
    pool.policy.on('down', () => {
      down = true;
    });
    const stopped = lab.server.stop('smart');
    const queries = (async () => {
      while (!down) await pool.query('select 1');
    })();
    await stopped;
    await lab.server.start();
    await queries;
    await waitFor(() => one.gaps.length === 1, { what: 'the gap' });
    await one.hears('after');
  });

  it('notices a connection that has gone silent', async () => {
    const pool = lab.pool();
    const one = await ears(pool, lab.name('chan'), { keepAliveMs: 150 });
    lab.proxy.silence();
    await sleep(600);
    // what was held is delivered now: the old connection would go on as if nothing had been
    lab.proxy.speak();
    await waitFor(() => one.gaps.length === 1, { timeoutMs: 2000, what: 'the gap' });
    await one.hears('after');
    expect(one.gaps).toHaveLength(1);
  });

  it('asks as often as the most careful subscription wants, also one that came later', async () => {
    const pool = lab.pool();
    await ears(pool, lab.name('chan'), { keepAliveMs: Infinity });
    const latest = async (): Promise<string | undefined> => (await lab.sessions())[0]?.query;
    await sleep(300);
    expect(await latest()).toMatch(/^LISTEN/);
    await ears(pool, lab.name('chan'), { keepAliveMs: 50 });
    await waitFor(async () => (await latest()) === 'SELECT 1', { what: 'a question' });
  });

  it('leaves a channel with its last subscription, and the server with the last channel', async () => {
    const pool = lab.pool();
    const first = await ears(pool);
    const twin = await ears(pool, first.channel);
    const other = await ears(pool);
    await first.close();
    await first.close();
    await twin.hears('still here');
    expect(first.heard).toEqual([]);
    await twin.close();
    await notify(twin.channel, 'nobody');
    await other.hears('me');
    expect(twin.heard).toEqual(['still here']);
    await other.close();
    expect(await lab.sessions()).toEqual([]);
    const again = await ears(pool, other.channel);
    await again.hears('again');
  });

  it('survives handlers that throw and reject, and says so', async () => {
    const rejections = watchRejections();
    const pool = lab.pool();
    const channel = lab.name('chan');
    const errors: string[] = [];
    const onError = (error: unknown): void => {
      errors.push((error as Error).message);
      throw new Error('onError itself');
    };
    const throwing = (payload: string): void => {
      throw new Error(`thrown ${payload}`);
    };
    await pool.listen(channel, throwing, { onError, onGap: throwing as never });
    await pool.listen(channel, async (payload) => throwing(payload), { onError });
    const warnings: Error[] = [];
    const warn = (warning: Error): unknown => warnings.push(warning);
    process.on('warning', warn);
    await pool.listen(channel, throwing);
    const one = await ears(pool, channel);
    await one.hears('1');
    await one.hears('2');
    await terminate();
    await waitFor(() => one.gaps.length === 1, { what: 'the gap' });
    await one.hears('3');
    process.off('warning', warn);
    expect(errors.filter((text) => text.startsWith('thrown'))).toHaveLength(7);
    expect(warnings.map(({ name }) => name)).toEqual(['OutlastListenWarning']);
    expect(rejections.stop()).toEqual([]);
  });

  it('waits for a server that is away, and gives up with the driver’s error when its patience ends', async () => {
    const pool = lab.pool();
    lab.proxy.refuse();
    const pending = ears(pool);
    await sleep(300);
    await lab.proxy.accept();
    await (await pending).hears('late');
    const hasty = lab.pool({ retry: { waitMs: 200 } });
    lab.proxy.refuse();
    const end = await ending(ears(hasty));
    expect(!end.ok && end.error.code).toBe('ECONNREFUSED');
    expect(!end.ok && retryInfo(end.error)).toMatchObject({
      operation: 'pg.listen',
      reason: 'exhausted',
      outcome: 'not-applied',
    });
    expect(end.ms).toBeLessThan(1500);
    await lab.proxy.accept();
    await (await ears(hasty)).hears('now');
  });

  it('is refused at once where waiting does not help', async () => {
    const pool = lab.pool({ password: 'wrong', user: 'nobody' });
    const error = await failureOf(ears(pool));
    expect(error.code).toBe('28000');
    expect(await lab.sessions()).toEqual([]);
  });

  it('goes on when the server refuses to listen again, and tells why', async () => {
    const pool = lab.pool();
    const errors: unknown[] = [];
    const one = await ears(pool, lab.name('chan'), { onError: (error) => errors.push(error) });
    await lab.server.admin('alter role app nologin');
    await terminate();
    await waitFor(() => errors.length > 1, { what: 'two refusals' });
    expect(errors[0]).toMatchObject({ code: '28000' });
    await lab.server.admin('alter role app login');
    await waitFor(() => one.gaps.length === 1, { what: 'the gap' });
    await one.hears('after');
  });

  it('dials no storm while every connection is cut at once', async () => {
    const pool = lab.pool();
    const one = await ears(pool);
    const before = lab.proxy.counts.connections;
    const cut = lab.proxy.arm({ when: { bytes: /LISTEN/ }, fault: 'cut-after', times: Infinity });
    lab.proxy.cutAll();
    await sleep(2000);
    expect(cut.fired).toBeGreaterThan(2);
    expect(lab.proxy.counts.connections - before).toBeLessThanOrEqual(12);
    await lab.proxy.heal();
    await waitFor(() => one.gaps.length === 1, { what: 'the gap' });
    await one.hears('after');
  });

  it('ends with the pool: who listens is closed, who waits is told, who comes later is refused', async () => {
    const pool = lab.pool();
    await ears(pool);
    await pool.end();
    expect(await lab.sessions()).toEqual([]);
    expect((await failureOf(ears(pool))).message).toMatch(/after calling end/);
    const waiting = lab.pool();
    lab.proxy.refuse();
    const pending = ending(ears(waiting));
    await waitFor(() => waiting.waitingCount === 1, { what: 'it to wait' });
    await new Promise<void>((resolve) => {
      waiting.end(resolve);
    });
    const end = await pending;
    expect(!end.ok && end.error.code).toBe('OUTLAST_CLOSED');
    const silent = lab.pool();
    await lab.proxy.accept();
    await ears(silent);
    lab.proxy.silence('drop');
    const from = performance.now();
    await silent.end();
    expect(performance.now() - from).toBeLessThan(2500);
  });
});
