import { isOutcomeUnknown, withRetry } from '@outlast/redis-retry';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { failureOf } from '../support/errors.js';
import { openRedisLab } from '../support/redis-lab.js';

const lab = await openRedisLab();

describe.skipIf(lab.reason !== '')(`a client that somebody else made ${lab.reason}`, () => {
  lab.use();

  it('is watched over from where it stands', async () => {
    const plain = lab.plain();
    const key = lab.key();
    // written before, queued before
    const early = [plain.set(key, 1), plain.incr(key)];
    const redis = withRetry(plain);
    expect(redis).toBe(plain);
    expect(withRetry(plain)).toBe(plain);
    expect(await Promise.all(early)).toEqual(['OK', 2]);
    lab.proxy.arm({ when: { bytes: key }, fault: 'cut-after' });
    expect(await redis.get(key)).toBe('2');
    lab.proxy.arm({ when: { bytes: key }, fault: 'cut-after' });
    expect(isOutcomeUnknown(await failureOf(redis.incr(key)))).toBe(true);
    lab.proxy.arm({ when: { bytes: key }, fault: 'cut-after' });
    expect(await redis.exactlyOnce(`${key}:id`).incr(key)).toBe(4);
    expect(await lab.count(key)).toBe(4);
    const copy = lab.track(redis.duplicate());
    lab.proxy.arm({ when: { bytes: key }, fault: 'cut-after' });
    expect(isOutcomeUnknown(await failureOf(copy.incr(key)))).toBe(true);
    expect(await redis.healthCheck()).toMatchObject({ ok: true, attempts: 1 });
  });

  it('takes an outage that has begun', async () => {
    const plain = lab.plain();
    const key = lab.key();
    await plain.set(key, 1);
    lab.proxy.refuse();
    lab.proxy.cutAll();
    await waitFor(() => plain.status === 'reconnecting');
    const waiting = plain.incr(key);
    const redis = withRetry(plain, { waitMs: 5000 });
    const ups: number[] = [];
    redis.policy.on('up', ({ downMs }) => ups.push(downMs));
    const later = redis.incr(key);
    await lab.proxy.accept();
    expect([await waiting, await later]).toEqual([2, 3]);
    expect(ups).toHaveLength(1);
  });
});
