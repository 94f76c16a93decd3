import { setTimeout as sleep } from 'node:timers/promises';
import { isOutcomeUnknown } from '@outlast/redis-retry';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { ending } from '../support/errors.js';
import { watchRejections } from '../support/outage.js';
import { openRedisLab } from '../support/redis-lab.js';

const lab = await openRedisLab();

describe.skipIf(lab.reason !== '')(`a socket whose other end is gone ${lab.reason}`, () => {
  lab.use();

  describe('a write that the kernel refuses at once was never sent', () => {
    /** The reset has come when the next line runs, and Node has not seen it yet. */
    async function onDeadSocket<T>(
      write: (redis: ReturnType<typeof lab.redis>) => T,
      before: (redis: ReturnType<typeof lab.redis>) => Promise<unknown> = (redis) => redis.ping(),
    ): Promise<T> {
      const redis = lab.redis();
      await before(redis);
      lab.proxy.cutAll('reset');
      expect(redis.status).toBe('ready');
      const written = write(redis);
      // without it the test would test something else
      expect(redis.stream.errored).toMatchObject({ syscall: 'write' });
      return written;
    }

    it('whatever it is', async () => {
      const rejections = watchRejections();
      const key = lab.key();
      const executed = await lab.executions('incr');
      expect(await onDeadSocket((redis) => redis.incr(key))).toBe(1);
      const pipeline = await onDeadSocket((redis) => redis.pipeline().incr(key).incr(key).exec());
      expect(pipeline).toEqual([
        [null, 2],
        [null, 3],
      ]);
      const transaction = await onDeadSocket((redis) => redis.multi().incr(key).exec());
      expect(transaction).toEqual([[null, 4]]);
      expect(await executed()).toBe(4);
      expect(await lab.count(key)).toBe(4);
      expect(rejections.stop()).toEqual([]);
    });

    it('and what was written before it may have been', async () => {
      const key = lab.key();
      const redis = lab.redis();
      await redis.ping();
      lab.proxy.silence('drop');
      const sent = ending(redis.incr(key));
      await sleep(20);
      lab.proxy.cutAll('reset');
      const refused = ending(redis.incr(key));
      await lab.proxy.heal();
      const lost = await sent;
      expect(!lost.ok && isOutcomeUnknown(lost.error)).toBe(true);
      expect(await refused).toMatchObject({ ok: true, value: 1 });
    });

    it('but an EXEC lost its WATCH', async () => {
      const key = lab.key();
      const executed = await onDeadSocket(
        (redis) => redis.multi().set(key, 1).exec(),
        (redis) => redis.watch(key),
      );
      expect(executed).toBeNull();
      expect(await lab.count(key)).toBe(0);
    });

    it('nor does it wait for those who want nothing queued', async () => {
      const redis = lab.redis({ enableOfflineQueue: false, lazyConnect: true });
      await redis.connect();
      const key = lab.key();
      lab.proxy.cutAll('reset');
      const refused = await ending(redis.incr(key));
      expect(refused).toMatchObject({ ok: false, error: { message: 'Connection is closed.' } });
      expect(!refused.ok && isOutcomeUnknown(refused.error)).toBe(false);
    });
  });

  describe('a connection that has gone silent', () => {
    it('is left when its host takes no connections any more', async () => {
      const { proxy } = lab;
      const key = lab.key();
      const redis = lab.redis({ retry: { livenessMs: 200 } });
      await redis.ping();
      proxy.silence('drop');
      proxy.refuse();
      const counted = ending(redis.incr(key));
      const read = redis.get(key);
      const lost = await counted;
      expect(!lost.ok && isOutcomeUnknown(lost.error)).toBe(true);
      expect(!lost.ok && lost.error.cause).toMatchObject({ code: 'ECONNREFUSED' });
      expect(lost.ms).toBeLessThan(3000);
      await proxy.heal();
      expect(await read).toBeNull();
      expect(await redis.incr(key)).toBe(1);
    });

    it('is waited for while its host takes connections: a server may be slow', async () => {
      const { proxy } = lab;
      const key = lab.key();
      const redis = lab.redis({ retry: { livenessMs: 100 } });
      await redis.ping();
      const { stream } = redis;
      const before = proxy.counts.connections;
      proxy.silence();
      const counted = redis.incr(key);
      await waitFor(() => proxy.counts.connections >= before + 3, { what: 'three looks' });
      proxy.speak();
      expect(await counted).toBe(1);
      expect(redis.stream).toBe(stream);
    });

    it('may be one that waits for others to write', async () => {
      const { proxy } = lab;
      const key = lab.key();
      const redis = lab.redis({ retry: { livenessMs: 50 } });
      await redis.ping();
      const popped = redis.blpop(key, 0);
      proxy.refuse();
      await sleep(500);
      await lab.ask('RPUSH', key, 'element');
      expect(await popped).toEqual([key, 'element']);
    });
  });
});
