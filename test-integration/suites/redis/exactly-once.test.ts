import { isOptionError, isOutcomeUnknown } from '@outlast/redis-retry';
import { Redis as Driver } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { failureOf } from '../support/errors.js';
import { outage } from '../support/outage.js';
import { openRedisLab } from '../support/redis-lab.js';

const Plain = Driver as unknown as { defaultOptions: object };
const lab = await openRedisLab({ own: true });

describe.skipIf(lab.reason !== '')(`exactlyOnce ${lab.reason}`, () => {
  lab.use();

  const shapes = [
    ['RESP3', {}],
    ['RESP2', { protocol: 2 as const }],
    ['a key prefix', { keyPrefix: 'app:' }],
  ] as const;

  it.each(shapes)('answers a repetition as it answered the first, over %s', async (_, options) => {
    const redis = lab.redis(options);
    const key = lab.key();
    const bytes = Buffer.from([0, 255, 13, 10, 128]);
    const calls: ((id: string) => Promise<unknown>)[] = [
      (id) => redis.exactlyOnce(id).incr(`${key}:n`),
      (id) => redis.exactlyOnce(id).set(`${key}:s`, bytes),
      (id) => redis.exactlyOnce(id).getBuffer(`${key}:s`),
      (id) => redis.exactlyOnce(id).get(`${key}:none`),
      (id) => redis.exactlyOnce(id).hset(`${key}:h`, { a: '1', b: '2' }),
      (id) => redis.exactlyOnce(id).hgetall(`${key}:h`),
      (id) => redis.exactlyOnce(id).rpush(`${key}:l`, 'a', 'b', 'c'),
      (id) => redis.exactlyOnce(id).lpop(`${key}:l`, 2),
      (id) => redis.exactlyOnce(id).mget(`${key}:n`, `${key}:none`),
      (id) => redis.exactlyOnce(id).zincrby(`${key}:z`, 1.5, 'm'),
      (id) => redis.exactlyOnce(id).zpopmin(`${key}:z`),
      (id) => redis.exactlyOnce(id).spop(`${key}:none`),
      (id) => redis.exactlyOnce(id).callBuffer('APPEND', `${key}:s`, bytes),
    ];
    for (const [n, call] of calls.entries()) {
      const first = await call(`${key}:${n}`);
      expect([n, await call(`${key}:${n}`)]).toEqual([n, first]);
    }
    expect(await redis.getBuffer(`${key}:s`)).toEqual(Buffer.concat([bytes, bytes]));
    expect(await redis.get(`${key}:n`)).toBe('1');
  });

  // ioredis 5 knows no RESP3; a case that is skipped would be a failure in CI
  const resp3 = 'protocol' in Plain.defaultOptions;
  if (resp3)
    it('keeps RESP3’s own shapes', async () => {
      const redis = lab.redis({ replyMapping: 'resp3' } as never);
      const key = lab.key();
      await redis.zadd(key, 1, 'm');
      for (let n = 0; n < 2; n++) {
        expect(await redis.exactlyOnce(`${key}:a`).zincrby(key, 1.5, 'm')).toBe(2.5);
        expect(await redis.exactlyOnce(`${key}:b`).mget('no', 'such')).toEqual([null, null]);
      }
    });

  it('turns a lost answer into the answer', async () => {
    const redis = lab.redis();
    const key = lab.key();
    await redis.ping();
    for (let n = 1; n <= 10; n++) {
      lab.proxy.arm({ when: { bytes: key }, fault: n % 2 ? 'cut-after' : 'cut-before' });
      expect(await redis.exactlyOnce(`${key}:${n}`).incr(key)).toBe(n);
    }
    expect(await lab.count(key)).toBe(10);
  });

  it('gives concurrent callers of one id one answer', async () => {
    const key = lab.key();
    const clients = [lab.redis(), lab.redis(), lab.redis()];
    const all = Array.from({ length: 60 }, (_, n) =>
      (clients[n % 3] as (typeof clients)[0]).exactlyOnce(`${key}:id`).incr(key),
    );
    expect(new Set(await Promise.all(all))).toEqual(new Set([1]));
    expect(await lab.count(key)).toBe(1);
  });

  it('loses and doubles nothing of 300 counts over two kills', { timeout: 60_000 }, async () => {
    const redis = lab.redis();
    const key = lab.key();
    await redis.ping();
    const workers = Array.from({ length: 30 }, async (_, worker) => {
      for (let n = 0; n < 10; n++) {
        await redis.exactlyOnce(`${key}:${worker}:${n}`).incr(key);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    });
    await outage(lab.server, 'kill9', 300);
    await new Promise((resolve) => setTimeout(resolve, 100));
    await outage(lab.server, 'kill9', 300);
    await Promise.all(workers);
    expect(await lab.count(key)).toBe(300);
  });

  it('loads its script when the server has forgotten it', async () => {
    const redis = lab.redis();
    const key = lab.key();
    await redis.exactlyOnce(`${key}:a`).incr(key);
    await lab.ask('SCRIPT', 'FLUSH');
    expect(await redis.exactlyOnce(`${key}:b`).incr(key)).toBe(2);
  });

  it('keeps the reply for ttlMs', async () => {
    const redis = lab.redis();
    const key = lab.key();
    await redis.exactlyOnce(key, { ttlMs: 30_000 }).incr(key);
    const left = await lab.ask('PTTL', `outlast:once:${key}`);
    expect(left).toBeGreaterThan(20_000);
    expect(left).toBeLessThanOrEqual(30_000);
  });

  it('stores nothing of a command that fails', async () => {
    const redis = lab.redis();
    const key = lab.key();
    await redis.set(key, 'text');
    const error = await failureOf(redis.exactlyOnce(`${key}:id`).incr(key));
    expect(error).toMatchObject({ name: 'ReplyError', command: { name: 'incr' } });
    expect(isOutcomeUnknown(error)).toBe(false);
    expect(await lab.ask('EXISTS', `outlast:once:${key}:id`)).toBe(0);
    await redis.set(key, 1);
    expect(await redis.exactlyOnce(`${key}:id`).incr(key)).toBe(2);
  });

  it('runs nothing whose reply could not be stored', async () => {
    const redis = lab.redis();
    const key = lab.key();
    await redis.set(key, 1);
    await lab.ask('CONFIG', 'SET', 'maxmemory', 1);
    try {
      // DEL is allowed when memory is short, and the reply could not be kept
      await expect(redis.exactlyOnce(`${key}:id`).del(key)).rejects.toThrow('OOM');
    } finally {
      await lab.ask('CONFIG', 'SET', 'maxmemory', 0);
    }
    expect(await redis.exactlyOnce(`${key}:id`).del(key)).toBe(1);
  });

  it('refuses what cannot run once', async () => {
    const redis = lab.redis();
    const key = lab.key();
    const once = redis.exactlyOnce(key);
    await once.incr(key);
    const refused = [
      once.incrby(key, 2),
      once.decr(key),
      redis.exactlyOnce('b').blpop(key, 1),
      redis.exactlyOnce('c').publish('channel', 'message'),
      redis.exactlyOnce('d').eval('return 1', 1, key),
      redis.exactlyOnce('e').rpush(key, ...Array.from({ length: 8000 }, String)),
    ];
    const errors = await Promise.all(refused.map((one) => failureOf(one)));
    expect(errors.map(isOptionError)).toEqual(refused.map(() => true));
    expect(await lab.count(key)).toBe(1);
  });

  it('warns of a server that may throw replies away', async () => {
    const warnings: { code?: string }[] = [];
    const listener = (warning: Error): unknown => warnings.push(warning as { code?: string });
    process.on('warning', listener);
    await lab.ask('CONFIG', 'SET', 'maxmemory', '100mb', 'maxmemory-policy', 'volatile-lru');
    try {
      const key = lab.key();
      const redis = lab.redis();
      await redis.exactlyOnce(key).incr(key);
      await redis.ping();
      await new Promise((resolve) => setImmediate(resolve));
    } finally {
      await lab.ask('CONFIG', 'SET', 'maxmemory', 0, 'maxmemory-policy', 'noeviction');
      process.off('warning', listener);
    }
    expect(warnings.map(({ code }) => code)).toEqual(['OUTLAST_REDIS_EVICTION']);
  });
});
