import { setTimeout as sleep } from 'node:timers/promises';
import { isOutcomeUnknown, Redis, type RedisRetryOptions } from '@outlast/redis-retry';
import { Redis as Plain } from 'ioredis';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { startProxy } from '../../faults/index.js';
import {
  missingRedis,
  type NativeRedis,
  type RedisSentinels,
  startRedis,
  startSentinels,
  waitFor,
} from '../../servers/index.js';
import { findRedis } from '../../servers/redis-binaries.js';
import { watchRejections } from '../support/outage.js';

const reason = findRedis().length === 0 ? missingRedis() : '';
const DOWN_AFTER_MS = 800;
/** What an election and the news of it may take. */
const ELECTION_MS = 3000;

/** One idempotent write every 10 ms, whatever becomes of the ones before. */
function startWrites(redis: Redis, prefix: string) {
  const acknowledged: { n: number; at: number }[] = [];
  const errors: unknown[] = [];
  const pending: Promise<unknown>[] = [];
  let n = 0;
  const timer = setInterval(() => {
    const own = n++;
    pending.push(
      redis.set(`${prefix}:${own}`, own).then(
        () => acknowledged.push({ n: own, at: performance.now() }),
        (error) => errors.push(error),
      ),
    );
  }, 10);
  return {
    acknowledged,
    errors,
    async stop() {
      clearInterval(timer);
      await Promise.all(pending);
    },
  };
}

describe.skipIf(reason !== '')(`Sentinel ${reason}`, async () => {
  const setup: RedisSentinels | undefined = reason === '' ? await startSentinels() : undefined;
  const sentinels = setup as RedisSentinels;
  const clients: Redis[] = [];

  afterEach(() => {
    for (const client of clients.splice(0)) client.disconnect();
  });
  afterAll(() => setup?.dispose());

  function client(retry?: RedisRetryOptions): Redis {
    const redis = new Redis({
      sentinels: sentinels.addresses,
      name: sentinels.name,
      ...(retry && { retry }),
    });
    clients.push(redis);
    return redis;
  }

  async function master(): Promise<NativeRedis> {
    return waitFor(() => sentinels.master(), { what: 'the Sentinels to agree' });
  }

  it('a Sentinel that takes connections and says nothing is left after a second', async () => {
    await master();
    const [first, ...others] = sentinels.addresses;
    const proxy = await startProxy({ targetPort: first?.port as number });
    proxy.silence();
    const addresses = [{ host: '127.0.0.1', port: proxy.port }, ...others];
    const start = performance.now();
    const redis = new Redis({ sentinels: addresses, name: sentinels.name });
    const plain = new Plain({ sentinels: addresses, name: sentinels.name });
    clients.push(redis, plain as never);
    expect(await redis.ping()).toBe('PONG');
    const tookMs = performance.now() - start;
    expect(tookMs).toBeGreaterThanOrEqual(900);
    expect(tookMs).toBeLessThan(3000);
    // the driver's own asks the silent one for as long as that likes
    await sleep(500);
    expect(plain.status).toBe('connecting');
    await proxy.close();
  });

  it('costs no write when the master is demoted, and none goes on at the old one', async () => {
    const rejections = watchRejections();
    const redis = client();
    const old = await master();
    const writes = startWrites(redis, 'demoted');
    await waitFor(() => writes.acknowledged.length >= 50, { what: 'the load' });
    const before = performance.now();
    const [first] = sentinels.sentinels;
    const told = new Redis({ port: first?.port as number, host: '127.0.0.1' });
    clients.push(told);
    await told.call('SENTINEL', 'FAILOVER', sentinels.name);
    const next = await waitFor(
      async () => {
        const now = await sentinels.master();
        return now !== old && now;
      },
      { timeoutMs: 15_000, what: 'another master' },
    );
    // until then it takes writes that will be lost, and knows no better
    await waitFor(async () => ((await old.admin('ROLE')) as string[])[0] === 'slave', {
      timeoutMs: 15_000,
      what: 'the old master to be demoted',
    });
    const from = writes.acknowledged.length;
    await waitFor(() => writes.acknowledged.length >= from + 100, { what: 'the load to go on' });
    await writes.stop();
    expect(writes.errors).toEqual([]);
    expect(longestGap(writes.acknowledged, before)).toBeLessThan(ELECTION_MS);
    const last = writes.acknowledged.at(-1);
    expect(await next.admin('GET', `demoted:${last?.n}`)).toBe(String(last?.n));
    expect(rejections.stop()).toEqual([]);
    await sentinels.settled();
  });

  it('fails over under load: 100 idempotent writes a second, no error', async () => {
    const rejections = watchRejections();
    const redis = client();
    const counting = client();
    const old = await master();
    const counter = { ok: 0, unknown: 0, others: [] as unknown[], value: 0 };
    const writes = startWrites(redis, 'failover');
    let running = true;
    const counted = (async () => {
      while (running) {
        try {
          counter.value = await counting.incr('failover:count');
          counter.ok += 1;
        } catch (error) {
          if (isOutcomeUnknown(error)) counter.unknown += 1;
          else counter.others.push(error);
        }
        await sleep(2);
      }
    })();
    await waitFor(() => writes.acknowledged.length >= 100, { what: 'the load' });
    const killed = performance.now();
    await old.kill9();
    await waitFor(() => writes.acknowledged.some(({ at }) => at > killed + DOWN_AFTER_MS), {
      timeoutMs: 20_000,
      what: 'the writes to go on',
    });
    const from = writes.acknowledged.length;
    await waitFor(() => writes.acknowledged.length >= from + 200, { what: 'the load to go on' });
    await writes.stop();
    running = false;
    await counted;

    expect(writes.errors).toEqual([]);
    expect(longestGap(writes.acknowledged, killed)).toBeLessThan(DOWN_AFTER_MS + ELECTION_MS);
    expect(counter.others).toEqual([]);
    const now = await master();
    expect(now).not.toBe(old);
    // what was acknowledged by the old master and not yet copied may be lost; nothing is there twice
    const held = Number(await now.admin('GET', 'failover:count'));
    expect(held).toBeLessThanOrEqual(counter.ok + counter.unknown);
    expect(held).toBe(counter.value);
    for (const { n, at } of writes.acknowledged) {
      if (at < killed + DOWN_AFTER_MS) continue;
      expect(await now.admin('GET', `failover:${n}`)).toBe(String(n));
    }
    expect(rejections.stop()).toEqual([]);
    await old.start();
  });

  it('works on when a Sentinel is gone, and for as long as its master lives without any', async () => {
    const redis = client();
    expect(await redis.set('kept', 1)).toBe('OK');
    for (const { process } of sentinels.sentinels.slice(0, 1)) await process.kill9();
    const second = client();
    expect(await second.get('kept')).toBe('1');
    for (const { process } of sentinels.sentinels.slice(1)) await process.kill9();
    expect(await redis.get('kept')).toBe('1');
    const third = client({ waitMs: 500 });
    const started = performance.now();
    await expect(third.get('kept')).rejects.toThrow();
    expect(performance.now() - started).toBeLessThan(2500);
  });
});

describe.skipIf(reason !== '')(`a demoted master without Sentinel ${reason}`, () => {
  it('is left at once for whoever answers at its address', async () => {
    await using old = await startRedis();
    await using next = await startRedis();
    await using proxy = await startProxy({ targetPort: old.port });
    const redis = new Redis(proxy.port, '127.0.0.1');
    try {
      await redis.incr('count');
      await next.admin('SET', 'count', 1);
      // as a load balancer does: what is open stays where it is, and new connections go to the new master
      await old.admin('REPLICAOF', '127.0.0.1', next.port);
      proxy.retarget(next.port);
      const started = performance.now();
      expect(await redis.incr('count')).toBe(2);
      expect(performance.now() - started).toBeLessThan(1000);
      expect(await next.admin('GET', 'count')).toBe('2');
    } finally {
      redis.disconnect();
    }
  });
});

/** The longest time from one acknowledgement to the next, after a moment. */
function longestGap(acknowledged: readonly { at: number }[], after: number): number {
  let longest = 0;
  let last = after;
  for (const { at } of acknowledged) {
    if (at < after) continue;
    longest = Math.max(longest, at - last);
    last = at;
  }
  return longest;
}
