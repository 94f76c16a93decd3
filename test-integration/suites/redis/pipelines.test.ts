import { isOutcomeUnknown } from '@outlast/redis-retry';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { ending, failureOf } from '../support/errors.js';
import { openRedisLab } from '../support/redis-lab.js';

const lab = await openRedisLab();

describe.skipIf(lab.reason !== '')(`pipelines and transactions ${lab.reason}`, () => {
  lab.use();

  it('give each slot of a pipeline its own verdict', async () => {
    const redis = lab.redis();
    const key = lab.key();
    await redis.ping();
    lab.proxy.arm({ when: { bytes: key }, fault: 'cut-after' });
    const results = await redis
      .pipeline()
      .set(`${key}:a`, 1)
      .incr(`${key}:n`)
      .get(`${key}:a`)
      .lpush(`${key}:l`, 'x')
      .del(`${key}:none`)
      .exec();
    expect(results?.map(([error, value]) => (error ? isOutcomeUnknown(error) : value))).toEqual([
      'OK',
      true,
      '1',
      true,
      0,
    ]);
    expect(await lab.count(`${key}:n`)).toBe(1);
    expect(await lab.ask('LLEN', `${key}:l`)).toBe(1);
  });

  it('survive with a thousand reads, answered in part', async () => {
    const redis = lab.redis();
    const key = lab.key();
    await redis.set(key, 'x'.repeat(1000));
    lab.proxy.arm({ when: { bytes: 'xxxx', direction: 'reply' }, fault: 'cut-after' });
    const pipeline = redis.pipeline();
    for (let n = 0; n < 1000; n++) pipeline.get(key);
    const results = await pipeline.exec();
    expect(results).toHaveLength(1000);
    expect(results?.filter(([error]) => error !== null)).toEqual([]);
  });

  it('go on autopipelined, each command by itself', async () => {
    const redis = lab.redis({ enableAutoPipelining: true });
    const key = lab.key();
    await redis.set(key, 1);
    lab.proxy.arm({ when: { bytes: key }, fault: 'cut-after' });
    const [read, counted] = await Promise.all([
      ending(redis.get(key)),
      ending(redis.incr(`${key}:n`)),
    ]);
    expect(read).toMatchObject({ ok: true, value: '1' });
    expect(!counted.ok && isOutcomeUnknown(counted.error)).toBe(true);
    expect(await lab.count(`${key}:n`)).toBe(1);
  });

  it('wait for their server, and are sent as a whole', async () => {
    const { proxy } = lab;
    const redis = lab.redis();
    const key = lab.key();
    await redis.ping();
    proxy.refuse();
    proxy.cutAll();
    await waitFor(() => redis.status === 'reconnecting');
    const all = Promise.all([
      redis.pipeline().incr(key).incr(key).exec(),
      redis.multi().incr(key).incr(key).exec(),
      redis.pipeline([['incr', key], ['multi'], ['incr', key], ['exec'], ['incr', key]]).exec(),
    ]);
    await proxy.accept();
    const [first, second] = await all;
    expect(first?.map(([, value]) => value)).toEqual([1, 2]);
    expect(second?.map(([, value]) => value)).toEqual([3, 4]);
    expect(await lab.count(key)).toBe(7);
  });

  it('are given up as a whole when patience ends, and hold up nothing', async () => {
    const { proxy } = lab;
    const redis = lab.redis();
    const key = lab.key();
    await redis.ping();
    proxy.refuse();
    proxy.cutAll();
    await waitFor(() => redis.status === 'reconnecting');
    const brief = redis.with({ waitMs: 300 });
    const late = redis.pipeline().incr(key).exec();
    const [results, refused] = await Promise.all([
      brief.pipeline().incr(key).incr(key).exec(),
      failureOf(brief.multi().incr(key).exec()),
    ]);
    expect(results?.map(([error]) => (error as { code?: string })?.code)).toEqual([
      'ECONNREFUSED',
      'ECONNREFUSED',
    ]);
    expect(isOutcomeUnknown(refused)).toBe(false);
    await proxy.accept();
    expect(await late).toEqual([[null, 1]]);
    expect(await lab.count(key)).toBe(1);
  });

  describe('a transaction', () => {
    it('whose EXEC is lost is unknown, and never runs again', async () => {
      const redis = lab.redis();
      const key = lab.key();
      await redis.ping();
      lab.proxy.arm({ when: { bytes: key }, fault: 'cut-after' });
      const error = await failureOf(redis.multi().incr(key).get(key).exec());
      expect(isOutcomeUnknown(error)).toBe(true);
      await redis.ping();
      expect(await lab.count(key)).toBe(1);
    });

    it('by hand that loses its connection before EXEC did not happen', async () => {
      const redis = lab.redis();
      const key = lab.key();
      await redis.multi({ pipeline: false });
      await redis.incr(key);
      lab.proxy.cutAll();
      await waitFor(() => redis.status === 'reconnecting');
      const [counted, executed] = [failureOf(redis.incr(key)), failureOf(redis.exec())];
      for (const error of [await counted, await executed]) {
        expect(error.message).toBe('Connection is closed.');
        expect(isOutcomeUnknown(error)).toBe(false);
      }
      // and the next command is outside of it
      expect(await redis.incr(key)).toBe(1);
    });

    it('by hand whose EXEC is lost is unknown', async () => {
      const redis = lab.redis();
      const key = lab.key();
      await redis.multi({ pipeline: false });
      await redis.incr(key);
      lab.proxy.arm({ when: { bytes: /exec\r\n/ }, fault: 'cut-after' });
      expect(isOutcomeUnknown(await failureOf(redis.exec()))).toBe(true);
      expect(await lab.count(key)).toBe(1);
    });
  });

  describe('WATCH', () => {
    /** Reads under WATCH, loses the connection, and writes while another one has written. */
    async function update(redis: ReturnType<typeof lab.redis>, key: string): Promise<unknown> {
      await redis.watch(key);
      const stock = Number(await redis.get(key));
      lab.proxy.cutAll();
      await lab.ask('DECR', key);
      await waitFor(() => redis.status === 'ready' && lab.proxy.open > 0);
      return redis
        .multi()
        .set(key, stock - 1)
        .exec();
    }

    it('that was lost with its connection refuses the EXEC: no update is lost', async () => {
      const redis = lab.redis();
      const key = lab.key();
      await redis.set(key, 10);
      expect(await update(redis, key)).toBeNull();
      expect(await lab.count(key)).toBe(9);
      // the loop that every user of WATCH has anyway
      await redis.watch(key);
      const stock = Number(await redis.get(key));
      expect(
        await redis
          .multi()
          .set(key, stock - 1)
          .exec(),
      ).toEqual([[null, 'OK']]);
      expect(await lab.count(key)).toBe(8);
    });

    it('of plain ioredis loses one', async () => {
      const redis = lab.plain() as unknown as ReturnType<typeof lab.redis>;
      const key = lab.key();
      await redis.set(key, 10);
      expect(await update(redis, key)).toEqual([[null, 'OK']]);
      expect(await lab.count(key)).toBe(9);
    });

    it('that was not answered yet is sent again, and holds', async () => {
      const redis = lab.redis();
      const key = lab.key();
      await redis.set(key, 1);
      lab.proxy.arm({ when: { bytes: /watch\r\n/ }, fault: 'cut-after' });
      await redis.watch(key);
      expect(await redis.multi().incr(key).exec()).toEqual([[null, 2]]);
      await redis.watch(key);
      await lab.ask('INCR', key);
      expect(await redis.multi().incr(key).exec()).toBeNull();
    });

    it('is forgotten with UNWATCH', async () => {
      const redis = lab.redis();
      const key = lab.key();
      await redis.watch(key);
      lab.proxy.cutAll();
      await waitFor(() => redis.status === 'reconnecting');
      await redis.unwatch();
      expect(await redis.multi().incr(key).exec()).toEqual([[null, 1]]);
    });
  });
});
