import { isOutcomeUnknown, withRetry } from '@outlast/redis-retry';
import { describe, expect, it } from 'vitest';
import { failureOf } from '../support/errors.js';
import { watchRejections } from '../support/outage.js';
import { noCluster, openRedisClusterLab } from '../support/redis-cluster-lab.js';

describe.skipIf(noCluster !== '')(`a Cluster that somebody else made ${noCluster}`, async () => {
  const lab = await openRedisClusterLab('adopted');
  lab.use();

  it('is watched over from where it stands', async () => {
    const rejections = watchRejections();
    const plain = lab.plain();
    const { key, proxy } = await lab.place();
    // given to it before it has a map of slots
    const early = [plain.set(key, 1), plain.incr(key), plain.pipeline().incr(key).exec()];
    const redis = withRetry(plain);
    expect(redis).toBe(plain);
    expect(withRetry(plain)).toBe(plain);
    expect(await Promise.all(early)).toEqual(['OK', 2, [[null, 3]]]);
    proxy.arm({ when: { bytes: `get\r\n$${key.length}` }, fault: 'cut-after' });
    expect(await redis.get(key)).toBe('3');
    proxy.arm({ when: { bytes: `incr\r\n$${key.length}` }, fault: 'cut-after' });
    expect(isOutcomeUnknown(await failureOf(redis.incr(key)))).toBe(true);
    const once = proxy.arm({ when: { bytes: /eval(sha)?\r\n/ }, fault: 'cut-after' });
    expect(await redis.exactlyOnce(`${key}:id`).incr(key)).toBe(5);
    expect(once.fired).toBe(1);
    const copy = lab.track(redis.duplicate());
    proxy.arm({ when: { bytes: `incr\r\n$${key.length}` }, fault: 'cut-after' });
    expect(isOutcomeUnknown(await failureOf(copy.incr(key)))).toBe(true);
    expect(await redis.get(key)).toBe('6');
    expect(await redis.healthCheck()).toMatchObject({ ok: true, attempts: 1 });
    await redis.watch(key);
    proxy.cutAll();
    await lab.left(redis, proxy);
    expect(await redis.multi().set(key, 'overwritten').exec()).toBeNull();
    expect(rejections.stop()).toEqual([]);
  });

  it('does not double what was on its way before', async () => {
    const rejections = watchRejections();
    const plain = lab.plain();
    const { key, node, proxy } = await lab.place();
    await plain.set(key, 0);
    const armed = proxy.arm({ when: { bytes: `incr\r\n$${key.length}` }, fault: 'silence' });
    const counted = failureOf(plain.incr(key));
    const read = plain.get(key);
    const slots = plain.pipeline().incr(key).get(key).exec();
    const { connection } = await armed.hit;
    withRetry(plain);
    proxy.cut(connection);
    expect(isOutcomeUnknown(await counted)).toBe(true);
    expect(Number(await read)).toBeGreaterThanOrEqual(1);
    const [added, got] = (await slots) ?? [];
    expect(isOutcomeUnknown(added?.[0])).toBe(true);
    expect(got?.[0]).toBeNull();
    expect(await node.admin('GET', key)).toBe('2');
    expect(rejections.stop()).toEqual([]);
  });

  it('takes an outage that has begun', async () => {
    const plain = lab.plain();
    const { key, node, proxy } = await lab.place();
    await plain.set(key, 1);
    proxy.refuse();
    proxy.cutAll();
    await lab.left(plain, proxy);
    const waiting = plain.incr(key);
    const redis = withRetry(plain, { waitMs: 5000 });
    const later = redis.incr(key);
    await proxy.accept();
    expect([await waiting, await later].sort()).toEqual([2, 3]);
    expect(await node.admin('GET', key)).toBe('3');
  });
});
