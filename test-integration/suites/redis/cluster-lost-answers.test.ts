import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster, isOutcomeUnknown, type RedisRetryOptions } from '@outlast/redis-retry';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type FaultProxy, startProxy } from '../../faults/index.js';
import {
  freePort,
  missingRedis,
  type NativeRedis,
  type RedisCluster,
  startRedisCluster,
  waitFor,
} from '../../servers/index.js';
import { findRedis } from '../../servers/redis-binaries.js';
import { ending, failureOf } from '../support/errors.js';
import { watchRejections } from '../support/outage.js';

const reason = findRedis().length === 0 ? missingRedis() : '';
const WORKERS = 20;

/** A Cluster whose nodes announce the ports of fault proxies in front of them. */
async function startProxied(): Promise<{ cluster: RedisCluster; announce: number[] }> {
  const announce = [await freePort(), await freePort(), await freePort()];
  return { cluster: await startRedisCluster({ announce }), announce };
}

describe.skipIf(reason !== '')(`lost answers in a Cluster ${reason}`, async () => {
  const started = reason === '' ? await startProxied() : undefined;
  const cluster = started?.cluster as RedisCluster;
  let proxies: FaultProxy[] = [];
  const clients: Cluster[] = [];
  let keys = 0;

  beforeEach(async () => {
    proxies = await Promise.all(
      cluster.nodes.map(({ port }, n) =>
        startProxy({ targetPort: port, port: started?.announce[n] as number }),
      ),
    );
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.disconnect();
    await Promise.all(proxies.map((proxy) => proxy.close()));
  });
  afterAll(() => cluster?.dispose());

  function client(retry?: RedisRetryOptions): Cluster {
    const redis = new Cluster(cluster.addresses, retry && { retry });
    redis.on('error', () => {});
    clients.push(redis);
    return redis;
  }

  /** A key, its node and the proxy before it. */
  async function place(): Promise<{ key: string; node: NativeRedis; proxy: FaultProxy }> {
    const key = `lost${keys++}`;
    const node = await cluster.ownerOf(await cluster.slotOf(key));
    return { key, node, proxy: proxies[cluster.nodes.indexOf(node)] as FaultProxy };
  }

  it('surfaces an INCR whose answer was lost as unknown, and does not send it again', async () => {
    const { key, node, proxy } = await place();
    const redis = client();
    await redis.get(key);
    const armed = proxy.arm({ when: { bytes: `incr\r\n$${key.length}` }, fault: 'cut-after' });
    const error = await failureOf(redis.incr(key));
    expect(armed.fired).toBe(1);
    expect(isOutcomeUnknown(error)).toBe(true);
    expect(await node.admin('GET', key)).toBe('1');
    expect(await redis.incr(key)).toBe(2);
  });

  it('sends a read whose answer was lost again, and an INCR under an operation id', async () => {
    const { key, node, proxy } = await place();
    const redis = client();
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
    const redis = client();
    const places = await Promise.all(Array.from({ length: WORKERS }, place));
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
      const proxy = proxies[round % proxies.length] as FaultProxy;
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
