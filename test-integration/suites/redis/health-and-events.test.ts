import { isCircuitOpenError, retryInfo } from '@outlast/core-retry';
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

  it('a logger gets its lines: retries, what recovered, what did not', async () => {
    const lines: string[] = [];
    const write = (level: string) => (message: string) => {
      lines.push(`${level} ${message}`);
    };
    const logger = { info: write('info'), warn: write('warn'), error: write('error') };
    const redis = lab.redis({ retry: { logger } });
    const key = lab.key();
    await redis.set(key, 1);
    lab.proxy.arm({ when: { bytes: key }, fault: 'cut-after' });
    await redis.get(key);
    lab.proxy.arm({ when: { bytes: key }, fault: 'cut-after' });
    await failureOf(redis.incr(key));
    expect(lines.filter((line) => !/can be reached|cannot be reached/.test(line))).toEqual([
      'warn Retry attempt 1/4 failed for redis.get, waiting 0.00s',
      'info Retry succeeded for redis.get',
      'error Outcome is unknown and a replay is not safe, no further attempt for redis.incr',
      'error Outcome unknown for redis.incr: it failed and may have taken effect',
    ]);
  });

  it('a breaker refuses at once, lets transactions alone, and probes when Redis is back', async () => {
    const redis = lab.redis({
      retry: { breaker: { failureThreshold: 2, resetTimeoutMs: 60_000 }, waitMs: 0 },
    });
    const key = lab.key();
    await redis.set(key, 1);
    lab.proxy.refuse();
    lab.proxy.cutAll();
    await waitFor(() => redis.status === 'reconnecting');
    for (let i = 0; i < 2; i++) await failureOf(redis.incr(key));
    const refused = await failureOf(redis.get(key));
    expect(isCircuitOpenError(refused)).toBe(true);
    expect(retryInfo(refused)).toMatchObject({ reason: 'circuit-open', outcome: 'not-applied' });
    expect(isCircuitOpenError(await failureOf(redis.multi().incr(key).exec()))).toBe(false);
    await lab.proxy.heal();
    await waitFor(() => redis.status === 'ready');
    // one probe is let through, and a pipeline is one: half of it on the wire would mix up all answers
    const probe = redis.pipeline().get(key).echo('b').echo('c').exec();
    expect((await probe)?.map(([, value]) => value)).toEqual(['1', 'b', 'c']);
    expect(await redis.get(key)).toBe('1');
    // An answer that refuses is an answer: the breaker stays closed.
    for (let i = 0; i < 3; i++) await failureOf(redis.lpush(key, 'x'));
    expect(await redis.incr(key)).toBe(2);
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
