import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { isOutcomeUnknown, isQueueFullError, retryInfo } from '@outlast/redis-retry';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { ending } from '../support/errors.js';
import { watchRejections } from '../support/outage.js';
import { openRedisLab } from '../support/redis-lab.js';

const lab = await openRedisLab();
const ROUNDS = 30;
const UP_MS = 200;
const DOWN_MS = 800;
const WORKERS = 50;

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

async function heapUsed(): Promise<number> {
  for (let n = 0; n < 3; n++) {
    gc();
    await sleep(10);
  }
  return process.memoryUsage().heapUsed;
}

describe.skipIf(lab.reason !== '')(`a server that crashes again and again ${lab.reason}`, () => {
  lab.use();

  it(`is dialled at most six times a second for ${ROUNDS} s, and nothing grows`, async () => {
    const rejections = watchRejections();
    const { proxy } = lab;
    const redis = lab.redis({ retry: { maxAttempts: 1000, baseDelayMs: 20 } });
    const key = lab.key();
    await redis.get(key);
    const tally = { reads: 0, ok: 0, unknown: 0, others: [] as unknown[] };
    let running = true;
    const workers = Array.from({ length: WORKERS }, async () => {
      while (running) {
        await redis.get(key).then(
          () => {
            tally.reads += 1;
          },
          (error) => tally.others.push(error),
        );
        const counted = await ending(redis.incr(key));
        if (counted.ok) tally.ok += 1;
        else if (isOutcomeUnknown(counted.error)) tally.unknown += 1;
        else tally.others.push(counted.error);
        await sleep(5);
      }
    });
    const before = proxy.counts;
    let half = 0;
    for (let round = 0; round < ROUNDS; round++) {
      proxy.refuse();
      proxy.cutAll();
      await sleep(DOWN_MS);
      if (round === ROUNDS / 2) half = await heapUsed();
      await proxy.accept();
      await sleep(UP_MS);
    }
    const after = proxy.counts;
    running = false;
    await Promise.all(workers);
    const grown = (await heapUsed()) - half;

    expect(tally.others).toEqual([]);
    expect(tally.reads).toBeGreaterThan(ROUNDS * WORKERS);
    const held = await lab.count(key);
    expect(held).toBeGreaterThanOrEqual(tally.ok);
    expect(held).toBeLessThanOrEqual(tally.ok + tally.unknown);
    // what came through: connects while it is down are refused by the kernel, and not counted
    expect(after.connections - before.connections).toBeGreaterThanOrEqual(ROUNDS);
    expect(after.connections - before.connections).toBeLessThanOrEqual(ROUNDS * 6);
    expect(grown).toBeLessThan(0.5 * 1024 * 1024);
    expect(rejections.stop()).toEqual([]);
  }, 90_000);

  it('is asked by no more commands than may wait, and those that are too many are told so', async () => {
    const { proxy } = lab;
    const redis = lab.redis({ retry: { maxQueued: 100 } });
    const key = lab.key();
    await redis.get(key);
    proxy.refuse();
    proxy.cutAll();
    // until then a command is sent, and lost
    await waitFor(() => redis.status !== 'ready', { what: 'the loss to be noticed' });
    const all = Array.from({ length: 150 }, () => ending(redis.incr(key)));
    const refused = await Promise.race([
      Promise.all(all.slice(100)),
      sleep(1000, undefined, { ref: false }),
    ]);
    expect(refused).toHaveLength(50);
    for (const one of refused ?? []) {
      expect(one.ok).toBe(false);
      expect(!one.ok && isQueueFullError(one.error)).toBe(true);
      expect(!one.ok && retryInfo(one.error)).toMatchObject({ outcome: 'not-applied' });
    }
    await proxy.accept();
    const waited = await Promise.all(all.slice(0, 100));
    expect(waited.filter(({ ok }) => !ok)).toEqual([]);
    expect(await lab.count(key)).toBe(100);
  });
});
