import { setTimeout as sleep } from 'node:timers/promises';
import { isOutcomeUnknown, retryInfo } from '@outlast/redis-retry';
import { describe, expect, it } from 'vitest';
import { type NativeRedis, startRedis, waitFor } from '../../servers/index.js';
import { ending, failureOf } from '../support/errors.js';
import { openRedisLab } from '../support/redis-lab.js';

const lab = await openRedisLab({ own: true });

describe.skipIf(lab.reason !== '')(`what Redis refuses ${lab.reason}`, () => {
  lab.use();

  it('for good is asked once', async () => {
    const redis = lab.redis();
    const key = lab.key();
    await redis.set(key, 'text');
    const retries: unknown[] = [];
    redis.policy.on('retry', (event) => retries.push(event));
    for (const refused of [redis.incr(key), redis.lpush(key, 'x'), redis.call('NO.SUCH', key)]) {
      const error = await failureOf(refused);
      expect(error.name).toBe('ReplyError');
      expect(retryInfo(error)).toMatchObject({ attempts: 1, reason: 'permanent' });
      expect(isOutcomeUnknown(error)).toBe(false);
    }
    await lab.ask('CONFIG', 'SET', 'maxmemory', 1);
    const full = await failureOf(redis.set(`${key}:2`, 'x'));
    await lab.ask('CONFIG', 'SET', 'maxmemory', 0);
    expect(full.message).toMatch(/^OOM/);
    expect(retries).toEqual([]);
  });

  it('while a script runs is asked again, when it is over', async () => {
    const redis = lab.redis({ retry: { baseDelayMs: 200 } });
    const key = lab.key();
    await redis.ping();
    await lab.ask('CONFIG', 'SET', 'busy-reply-threshold', 50);
    const [runner, killer] = [lab.session(), lab.session()];
    await Promise.all([runner.ping(), killer.ping()]);
    const script = failureOf(runner.eval('while true do end', 0));
    await sleep(150);
    const delays: number[] = [];
    redis.policy.on('retry', ({ delayMs, failure }) => {
      expect(failure.code).toBe('BUSY');
      delays.push(delayMs);
    });
    const counted = redis.incr(key);
    await waitFor(() => delays.length > 0);
    await killer.script('KILL');
    expect(await counted).toBe(1);
    expect((await script).message).toContain('killed');
    await lab.ask('CONFIG', 'SET', 'busy-reply-threshold', 5000);
  });

  it('because it has too few replicas is asked again, as often as maxAttempts says', async () => {
    const redis = lab.redis({ retry: { baseDelayMs: 20, maxAttempts: 3 } });
    const key = lab.key();
    await lab.ask('CONFIG', 'SET', 'min-replicas-to-write', 1);
    const error = await failureOf(redis.incr(key));
    expect(error.message).toMatch(/^NOREPLICAS/);
    expect(retryInfo(error)).toMatchObject({
      attempts: 3,
      reason: 'exhausted',
      outcome: 'not-applied',
    });
    await lab.ask('CONFIG', 'SET', 'min-replicas-to-write', 0);
    expect(await redis.incr(key)).toBe(1);
  });

  it('as a replica is waited out, on another connection, until it is master again', async () => {
    const redis = lab.redis();
    const key = lab.key();
    await redis.set(key, 1);
    await lab.ask('REPLICAOF', '127.0.0.1', 1);
    const before = lab.proxy.counts.connections;
    const counted = ending(redis.incr(key));
    // reads go on meanwhile
    expect(await redis.get(key)).toBe('1');
    await sleep(600);
    await lab.ask('REPLICAOF', 'NO', 'ONE');
    expect(await counted).toMatchObject({ ok: true, value: 2 });
    expect(lab.proxy.counts.connections).toBeGreaterThan(before);
    // who has asked for a replica is told at once
    await lab.ask('REPLICAOF', '127.0.0.1', 1);
    const reader = lab.redis({ role: 'slave' });
    const refused = await ending(reader.incr(key));
    await lab.ask('REPLICAOF', 'NO', 'ONE');
    expect(refused).toMatchObject({ ok: false, error: { name: 'ReplyError' } });
    expect(refused.ms).toBeLessThan(500);
  });

  it('as a replica whose master is away is waited out', async () => {
    const redis = lab.redis();
    const key = lab.key();
    await redis.set(key, 1);
    await lab.ask('CONFIG', 'SET', 'replica-serve-stale-data', 'no');
    await lab.ask('REPLICAOF', '127.0.0.1', 1);
    const read = redis.get(key);
    await sleep(300);
    await lab.ask('REPLICAOF', 'NO', 'ONE');
    await lab.ask('CONFIG', 'SET', 'replica-serve-stale-data', 'yes');
    expect(await read).toBe('1');
  });

  it('a script half-way is unknown', async () => {
    const redis = lab.redis();
    const key = lab.key();
    await redis.set(`${key}:text`, 'text');
    const lua = "redis.call('INCR', KEYS[1]) return redis.call('INCR', KEYS[2])";
    const error = await failureOf(redis.eval(lua, 2, key, `${key}:text`));
    expect(isOutcomeUnknown(error)).toBe(true);
    expect(await lab.count(key)).toBe(1);
  });

  it('does not overtake what was issued after it', async () => {
    const redis = lab.redis({ retry: { baseDelayMs: 300 } });
    const key = lab.key();
    await redis.set(key, 1);
    await lab.ask('CONFIG', 'SET', 'min-replicas-to-write', 1);
    const refused = ending(redis.set(key, 'first'));
    await waitFor(async () => (await lab.ask('INFO', 'errorstats')).includes('NOREPLICAS'));
    await lab.ask('CONFIG', 'SET', 'min-replicas-to-write', 0);
    await redis.set(key, 'second');
    const ended = await refused;
    expect(!ended.ok && ended.error.message).toMatch(/^NOREPLICAS/);
    expect(await lab.ask('GET', key)).toBe('second');
  });

  it('while it loads its data is waited for, with and without a ready check', {
    timeout: 60_000,
  }, async () => {
    const slow = {
      appendonly: 'no',
      rdbcompression: 'no',
      'key-load-delay': 40_000,
      'loading-process-events-interval-bytes': 1024,
    };
    const server: NativeRedis = await startRedis({ settings: slow });
    try {
      for (let n = 0; n < 60; n++) await server.admin('SET', `filler:${n}`, 'x'.repeat(2000));
      await server.admin('SAVE');
      const checking = lab.track(lab.redis(server.config()));
      const direct = lab.track(lab.redis({ ...server.config(), enableReadyCheck: false }));
      await Promise.all([checking.ping(), direct.ping()]);
      await server.kill9();
      const back = server.start();
      const all = await Promise.all([
        ending(checking.get('filler:1')),
        ending(direct.get('filler:1')),
        ending(direct.set('written', 1)),
      ]);
      await back;
      expect(all.map(({ ok }) => ok)).toEqual([true, true, true]);
      expect(Math.max(...all.map(({ ms }) => ms))).toBeGreaterThan(1000);
    } finally {
      await server.dispose();
    }
  });
});
