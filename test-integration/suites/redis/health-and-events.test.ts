import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { failureOf } from '../support/errors.js';
import { openRedisLab } from '../support/redis-lab.js';

const lab = await openRedisLab();

describe.skipIf(lab.reason !== '')(`what is seen from outside ${lab.reason}`, () => {
  lab.use();

  it('a health check says what it found, and does not wait', async () => {
    const redis = lab.redis();
    expect(await redis.healthCheck()).toMatchObject({
      ok: true,
      attempts: 1,
      details: { status: 'ready', role: 'master', waiting: 0 },
    });
    lab.proxy.refuse();
    lab.proxy.cutAll();
    await waitFor(() => redis.status === 'reconnecting');
    redis.incr('waits').catch(() => {});
    const health = await redis.healthCheck();
    expect(health).toMatchObject({ ok: false, attempts: 3, details: { waiting: 1 } });
    expect(health.error).toMatchObject({ code: 'ECONNREFUSED' });
    expect(health.ms).toBeLessThan(5000);
  });

  it('events tell the story of a command, and nothing to those who do not listen', async () => {
    const redis = lab.redis();
    const key = lab.key();
    const told: string[] = [];
    const off = (['attempt', 'retry', 'success', 'exhausted', 'outcomeUnknown'] as const).map(
      (type) =>
        redis.policy.on(type, (event) => {
          expect(Object.isFrozen(event)).toBe(true);
          told.push(`${type} ${event.operation}`);
        }),
    );
    await redis.set(key, 1);
    lab.proxy.arm({ when: { bytes: key }, fault: 'cut-after' });
    await redis.get(key);
    lab.proxy.arm({ when: { bytes: key }, fault: 'cut-after' });
    await failureOf(redis.incr(key));
    expect(told).toEqual([
      'attempt redis.set',
      'success redis.set',
      'attempt redis.get',
      'retry redis.get',
      'success redis.get',
      'attempt redis.incr',
      'exhausted redis.incr',
      'outcomeUnknown redis.incr',
    ]);
    for (const stop of off) stop();
    await redis.get(key);
    expect(told).toHaveLength(8);
  });
});
