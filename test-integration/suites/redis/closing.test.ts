import { setTimeout as sleep } from 'node:timers/promises';
import { isOutcomeUnknown, retryInfo } from '@outlast/redis-retry';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { ending, failureOf } from '../support/errors.js';
import { watchRejections } from '../support/outage.js';
import { openRedisLab } from '../support/redis-lab.js';

const lab = await openRedisLab();
type Client = ReturnType<typeof lab.redis>;

/** Brings a fresh client into each state that it can be in. */
const STATES: Readonly<Record<string, (redis: Client) => Promise<unknown>>> = {
  wait: async () => {},
  connecting: async (redis) => {
    redis.connect().catch(() => {});
  },
  greeting: async (redis) => {
    lab.proxy.silence();
    redis.connect().catch(() => {});
    await waitFor(() => redis.status === 'connect');
  },
  ready: (redis) => redis.ping(),
  reconnecting: async (redis) => {
    await redis.ping();
    lab.proxy.refuse();
    lab.proxy.cutAll();
    await waitFor(() => redis.status === 'reconnecting');
  },
  silent: async (redis) => {
    await redis.ping();
    lab.proxy.silence();
  },
};

describe.skipIf(lab.reason !== '')(`an end ${lab.reason}`, () => {
  lab.use();

  describe.each(['disconnect', 'quit'] as const)('by %s()', (end) => {
    it.each(Object.keys(STATES))('in state %s settles everything, and ends', async (state) => {
      const rejections = watchRejections();
      const redis = lab.redis({ lazyConnect: true });
      const key = lab.key();
      await STATES[state]?.(redis);
      const ended = new Promise((resolve) => redis.once('end', resolve));
      const pending = [
        ending(redis.get(key)),
        ending(redis.incr(key)),
        ending(redis.pipeline().get(key).incr(key).exec()),
        ending(redis.multi().incr(key).exec()),
        ending(redis.blpop(`${key}:list`, 1)),
      ];
      const closing = end === 'quit' ? ending(redis.quit()) : undefined;
      if (end === 'disconnect') redis.disconnect();
      if (state === 'silent' && end === 'quit') setTimeout(() => redis.disconnect(), 200);
      if (state === 'greeting') setTimeout(() => lab.proxy.speak(), 100);
      const all = await Promise.race([
        Promise.all([...pending, ...(closing === undefined ? [] : [closing])]),
        sleep(4000, 'a promise that never settled'),
      ]);
      expect(all).toBeInstanceOf(Array);
      if (closing !== undefined) expect(await closing).toMatchObject({ ok: true, value: 'OK' });
      await Promise.race([ended, sleep(4000).then(() => Promise.reject(new Error(redis.status)))]);
      const late = await failureOf(redis.incr(key));
      expect(late.message).toBe('Connection is closed.');
      expect(isOutcomeUnknown(late)).toBe(false);
      expect(retryInfo(late)?.reason).toBe('closed');
      expect(rejections.stop()).toEqual([]);
    });
  });

  it('by quit() waits for what is on its way', async () => {
    const redis = lab.redis();
    const key = lab.key();
    const counts = Array.from({ length: 100 }, () => redis.incr(key));
    expect(await redis.quit()).toBe('OK');
    expect(await Promise.all(counts)).toHaveLength(100);
    expect(await lab.count(key)).toBe(100);
  });

  it('is no end for ever: connect() begins anew', async () => {
    const redis = lab.redis();
    await redis.ping();
    redis.disconnect();
    await waitFor(() => redis.status === 'end');
    await redis.connect();
    expect(await redis.ping()).toBe('PONG');
    await redis.quit();
    await waitFor(() => redis.status === 'end');
    await redis.connect();
    expect(await redis.ping()).toBe('PONG');
  });

  it('by retryStrategy rejects what waits, and ends no process', async () => {
    const rejections = watchRejections();
    for (const retryStrategy of [null, () => null, () => 'soon' as unknown as number]) {
      await lab.proxy.accept();
      const redis = lab.redis({ retryStrategy });
      await redis.subscribe(lab.key('channel'));
      await redis.unsubscribe();
      const popped = failureOf(redis.blpop(lab.key(), 0));
      const read = failureOf(redis.get(lab.key()));
      lab.proxy.refuse();
      lab.proxy.cutAll();
      expect((await popped).message).toBe('Connection is closed.');
      expect((await read).message).toBe('Connection is closed.');
      await waitFor(() => redis.status === 'end');
    }
    await sleep(20);
    expect(rejections.stop()).toEqual([]);
  });

  it('comes at any time, and leaves no promise unsettled', async () => {
    const rejections = watchRejections();
    for (let round = 0; round < 25; round++) {
      const redis = lab.redis();
      const key = lab.key();
      const pending = Array.from({ length: 20 }, (_, n) =>
        ending<unknown>(
          n % 3 ? redis.incr(key) : n % 2 ? redis.get(key) : redis.multi().incr(key).exec(),
        ),
      );
      if (round % 3 === 0) setTimeout(() => lab.proxy.cutAll(), round);
      setTimeout(
        () => {
          if (round % 2) redis.disconnect();
          else redis.quit().catch(() => {});
        },
        (round * 7) % 40,
      );
      const all = await Promise.race([Promise.all(pending), sleep(5000, 'hangs')]);
      expect(all).toHaveLength(20);
      if (redis.status !== 'end') redis.disconnect();
    }
    expect(rejections.stop()).toEqual([]);
  });
});
