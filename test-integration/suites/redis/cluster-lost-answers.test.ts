import { setTimeout as sleep } from 'node:timers/promises';
import { isOutcomeUnknown } from '@outlast/redis-retry';
import { describe, expect, it } from 'vitest';
import type { FaultProxy } from '../../faults/index.js';
import { waitFor } from '../../servers/index.js';
import { ending, failureOf } from '../support/errors.js';
import { watchRejections } from '../support/outage.js';
import { noCluster, openRedisClusterLab } from '../support/redis-cluster-lab.js';

const WORKERS = 20;

describe.skipIf(noCluster !== '')(`lost answers in a Cluster ${noCluster}`, async () => {
  const lab = await openRedisClusterLab('lost');
  lab.use();

  it('surfaces an INCR whose answer was lost as unknown, and does not send it again', async () => {
    const { key, node, proxy } = await lab.place();
    const redis = lab.client();
    await redis.get(key);
    const armed = proxy.arm({ when: { bytes: `incr\r\n$${key.length}` }, fault: 'cut-after' });
    const error = await failureOf(redis.incr(key));
    expect(armed.fired).toBe(1);
    expect(isOutcomeUnknown(error)).toBe(true);
    expect(await node.admin('GET', key)).toBe('1');
    expect(await redis.incr(key)).toBe(2);
  });

  it('sends a read whose answer was lost again, and an INCR under an operation id', async () => {
    const { key, node, proxy } = await lab.place();
    const redis = lab.client();
    await redis.set(key, 5);
    const reading = proxy.arm({ when: { bytes: `get\r\n$${key.length}` }, fault: 'cut-after' });
    expect(await redis.get(key)).toBe('5');
    expect(reading.fired).toBe(1);
    const once = proxy.arm({ when: { bytes: /eval(sha)?\r\n/ }, fault: 'cut-after' });
    expect(await redis.exactlyOnce(`id of ${key}`).incr(key)).toBe(6);
    expect(once.fired).toBe(1);
    expect(await node.admin('GET', key)).toBe('6');
  });

  it('doubles nothing under load while answers are swallowed on every node', async () => {
    const rejections = watchRejections();
    const redis = lab.client();
    const places = await Promise.all(Array.from({ length: WORKERS }, () => lab.place()));
    const tally = { reads: 0, unknown: 0, errors: [] as unknown[] };
    const counts = places.map(() => ({ ok: 0, unknown: 0, value: 0 }));
    let running = true;
    const workers = places.map(async ({ key }, n) => {
      const own = counts[n] as (typeof counts)[number];
      while (running) {
        await redis.get(key).then(
          () => {
            tally.reads += 1;
          },
          (error) => tally.errors.push(error),
        );
        const counted = await ending(redis.incr(key));
        if (counted.ok) {
          own.ok += 1;
          own.value = counted.value;
        } else if (isOutcomeUnknown(counted.error)) own.unknown += 1;
        else tally.errors.push(counted.error);
        await sleep(5);
      }
    });
    await waitFor(() => tally.reads >= 200, { what: 'the load' });
    for (let round = 0; round < 9; round++) {
      const proxy = lab.proxies[round % lab.proxies.length] as FaultProxy;
      const armed = proxy.arm({ when: { bytes: 'incr' }, fault: 'silence' });
      const { connection } = await armed.hit;
      await sleep(5);
      proxy.cut(connection);
      const before = tally.reads;
      await waitFor(() => tally.reads >= before + 200, { what: 'the load to go on' });
    }
    running = false;
    await Promise.all(workers);
    expect(tally.errors).toEqual([]);
    let unknown = 0;
    for (const [n, { key, node }] of places.entries()) {
      const held = Number(await node.admin('GET', key));
      const own = counts[n] as (typeof counts)[number];
      unknown += own.unknown;
      // each swallowed answer was that of an INCR that had been applied
      expect([key, held]).toEqual([key, own.ok + own.unknown]);
    }
    expect(unknown).toBeGreaterThanOrEqual(9);
    expect(rejections.stop()).toEqual([]);
  });
});
