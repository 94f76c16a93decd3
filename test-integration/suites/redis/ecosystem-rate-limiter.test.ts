import { setTimeout as sleep } from 'node:timers/promises';
import { isOutcomeUnknown } from '@outlast/redis-retry';
import { RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { type Down, outage, watchRejections } from '../support/outage.js';
import { openRedisLab } from '../support/redis-lab.js';

const lab = await openRedisLab({ own: true });
const WORKERS = 20;

describe.skipIf(lab.reason !== '')(`rate-limiter-flexible on our client ${lab.reason}`, () => {
  lab.use();

  /** Consumes one point after the other from one key until told to stop. */
  async function consumeDuring(act: () => Promise<void>): Promise<{
    counted: number;
    acknowledged: number[];
    unknown: number;
    others: unknown[];
  }> {
    const rejections = watchRejections();
    const prefix = lab.key('limit');
    const storeClient = lab.redis();
    const limiter = new RateLimiterRedis({
      storeClient,
      keyPrefix: prefix,
      points: 1_000_000,
      duration: 3600,
    });
    const acknowledged: number[] = [];
    const others: unknown[] = [];
    let unknown = 0;
    let running = true;
    const workers = Array.from({ length: WORKERS }, async () => {
      while (running) {
        try {
          acknowledged.push((await limiter.consume('one')).consumedPoints);
        } catch (error) {
          if (isOutcomeUnknown(error)) unknown += 1;
          else others.push(error);
        }
        await sleep(2);
      }
    });
    await waitFor(() => acknowledged.length >= 500, { what: 'the load to run' });
    await act();
    const before = acknowledged.length;
    await waitFor(() => acknowledged.length >= before + 500, { what: 'the load to run again' });
    running = false;
    await Promise.all(workers);
    expect(rejections.stop()).toEqual([]);
    return { counted: await lab.count(`${prefix}:one`), acknowledged, unknown, others };
  }

  it.each(['stop', 'kill9'] as Down[])(
    'counts nobody twice across an outage of 3 s (%s)',
    async (down) => {
      const run = await consumeDuring(() => outage(lab.server, down));
      const { counted, acknowledged, unknown, others } = run;
      expect(others).toEqual([]);
      expect(new Set(acknowledged).size).toBe(acknowledged.length);
      expect(counted).toBeGreaterThanOrEqual(acknowledged.length);
      expect(counted).toBeLessThanOrEqual(acknowledged.length + unknown);
    },
  );

  it('counts nobody twice when answers are lost, and says so', async () => {
    const run = await consumeDuring(async () => {
      for (let n = 0; n < 10; n++) {
        const armed = lab.proxy.arm({ when: { bytes: 'evalsha' }, fault: 'silence' });
        const { connection } = await armed.hit;
        await sleep(5);
        lab.proxy.cut(connection);
      }
    });
    const { counted, acknowledged, unknown, others } = run;
    expect(others).toEqual([]);
    expect(unknown).toBeGreaterThanOrEqual(10);
    // those that were silenced had reached the server; what was on its way when the wire was cut had not
    expect(counted).toBeGreaterThanOrEqual(acknowledged.length + 10);
    expect(counted).toBeLessThanOrEqual(acknowledged.length + unknown);
    expect(new Set(acknowledged).size).toBe(acknowledged.length);
  });

  it('still knows who has consumed too much', async () => {
    const storeClient = lab.redis();
    const limiter = new RateLimiterRedis({ storeClient, points: 2, duration: 60 });
    const key = lab.key('guest');
    expect((await limiter.consume(key)).remainingPoints).toBe(1);
    await limiter.consume(key);
    await expect(limiter.consume(key)).rejects.toBeInstanceOf(RateLimiterRes);
  });
});
