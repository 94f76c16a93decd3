import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster, isOutcomeUnknown, type RedisRetryOptions, retryInfo } from '@outlast/redis-retry';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import {
  freePort,
  missingRedis,
  type NativeRedis,
  type RedisCluster,
  startRedisCluster,
  waitFor,
} from '../../servers/index.js';
import { findRedis } from '../../servers/redis-binaries.js';
import { ending } from '../support/errors.js';
import { watchRejections } from '../support/outage.js';

const reason = findRedis().length === 0 ? missingRedis() : '';

/** Reads and writes of many keys, without pause. */
function startLoad(redis: Cluster, keys: readonly string[]) {
  const ledger = {
    sets: 0,
    gets: 0,
    unknown: 0,
    errors: [] as unknown[],
    counts: new Map<string, number>(),
  };
  let running = true;
  const worker = async (key: string): Promise<void> => {
    const step = async (act: () => Promise<unknown>): Promise<void> => {
      try {
        await act();
      } catch (error) {
        ledger.errors.push(error);
      }
    };
    for (let n = 0; running; n++) {
      await step(async () => {
        await redis.set(`{${key}}:text`, n);
        ledger.sets += 1;
      });
      await step(async () => {
        const [text] = await Promise.all([redis.get(`{${key}}:text`), redis.get(`{${key}}:count`)]);
        expect(Number(text)).toBe(n);
        ledger.gets += 1;
      });
      const counted = await ending(redis.incr(`{${key}}:count`));
      if (counted.ok) ledger.counts.set(key, (ledger.counts.get(key) ?? 0) + 1);
      else if (isOutcomeUnknown(counted.error)) ledger.unknown += 1;
      else ledger.errors.push(counted.error);
      await sleep(1);
    }
  };
  const workers = Promise.all(keys.map(worker));
  return {
    ledger,
    async stop() {
      running = false;
      await workers;
      return ledger;
    },
  };
}

describe.skipIf(reason !== '')(`Cluster ${reason}`, async () => {
  const taken: RedisCluster | undefined = reason === '' ? await startRedisCluster() : undefined;
  const cluster = taken as RedisCluster;
  const clients: Cluster[] = [];
  let keys = 0;

  afterEach(() => {
    for (const client of clients.splice(0)) client.disconnect();
  });
  afterAll(() => taken?.dispose());

  function client(retry?: RedisRetryOptions, addresses = cluster.addresses): Cluster {
    const redis = new Cluster(addresses, retry && { retry });
    clients.push(redis);
    return redis;
  }

  /** Keys whose slots lie on a node. */
  async function keysOn(node: NativeRedis, count: number): Promise<string[]> {
    const found: string[] = [];
    while (found.length < count) {
      const key = `key${keys++}`;
      if ((await cluster.ownerOf(await cluster.slotOf(key))) === node) found.push(key);
    }
    return found;
  }

  async function total(key: string): Promise<number> {
    const owner = await cluster.ownerOf(await cluster.slotOf(key));
    return Number((await owner.admin('GET', `{${key}}:count`)) ?? 0);
  }

  it('costs no error and doubles nothing while slots move', async () => {
    const rejections = watchRejections();
    const [a, b] = cluster.nodes as [NativeRedis, NativeRedis];
    const own = [...(await keysOn(a, 4)), ...(await keysOn(b, 4))];
    const load = startLoad(client(), own);
    await waitFor(() => load.ledger.sets >= 100, { what: 'the load' });
    for (let round = 0; round < 3; round++) {
      for (const key of own) {
        const slot = await cluster.slotOf(key);
        const target = (await cluster.ownerOf(slot)) === a ? b : a;
        // between two steps the clients are told ASK, and TRYAGAIN
        await cluster.moveSlot(slot, target, () => sleep(20));
      }
    }
    const before = load.ledger.sets;
    await waitFor(() => load.ledger.sets >= before + 100, { what: 'the load to go on' });
    const { errors, unknown, counts } = await load.stop();
    expect(errors).toEqual([]);
    expect(unknown).toBe(0);
    for (const key of own) expect([key, await total(key)]).toEqual([key, counts.get(key)]);
    expect(rejections.stop()).toEqual([]);
  });

  it('waits for a dead node that has no replica', async () => {
    const rejections = watchRejections();
    const node = cluster.nodes[2] as NativeRedis;
    const own = [...(await keysOn(node, 4)), ...(await keysOn(cluster.nodes[0] as NativeRedis, 2))];
    const load = startLoad(client(), own);
    await waitFor(() => load.ledger.sets >= 100, { what: 'the load' });
    await node.kill9();
    await sleep(3000);
    await node.start();
    const before = load.ledger.sets;
    await waitFor(() => load.ledger.sets >= before + 100, { what: 'the load to go on' });
    const { errors, unknown, counts } = await load.stop();
    expect(errors).toEqual([]);
    let surplus = 0;
    for (const key of own) surplus += (await total(key)) - (counts.get(key) ?? 0);
    expect(surplus).toBeGreaterThanOrEqual(0);
    expect(surplus).toBeLessThanOrEqual(unknown);
    expect(rejections.stop()).toEqual([]);
    await cluster.settled();
  });

  it('gives up on a dead node when its patience ends, with a known outcome', async () => {
    const node = cluster.nodes[1] as NativeRedis;
    const [key = ''] = await keysOn(node, 1);
    const redis = client({ waitMs: 1500 });
    await redis.set(`{${key}}:text`, 1);
    await node.kill9();
    try {
      const other = cluster.nodes[0] as NativeRedis;
      await waitFor(
        async () => String(await other.admin('CLUSTER', 'INFO')).includes('cluster_state:fail'),
        { what: 'the loss to be noticed' },
      );
      const ended = await ending(redis.incr(`{${key}}:count`));
      expect(ended.ok).toBe(false);
      expect(ended.ms).toBeGreaterThan(1000);
      expect(ended.ms).toBeLessThan(5000);
      expect(!ended.ok && retryInfo(ended.error)).toMatchObject({ outcome: 'not-applied' });
    } finally {
      await node.start();
      await cluster.settled();
    }
    expect(await total(key)).toBe(0);
    expect(await redis.incr(`{${key}}:count`)).toBe(1);
  });

  it('says why when no node can be reached', async () => {
    const addresses = [{ host: '127.0.0.1', port: await freePort() }];
    const ended = await ending(client({ waitMs: 600 }, addresses).get('anything'));
    expect(ended.ok).toBe(false);
    expect(ended.ms).toBeLessThan(4000);
    const { error } = ended as { error: Error };
    expect(retryInfo(error)).toMatchObject({ outcome: 'not-applied' });
    // the reason and not only “None of startup nodes is available”
    const told = [error, error.cause].map((one) => String((one as Error)?.message));
    expect(told.join()).toContain('ECONNREFUSED');
  });

  it('keeps exactly-once replies in the slot of the key', async () => {
    const redis = client();
    const [key = ''] = await keysOn(cluster.nodes[0] as NativeRedis, 1);
    const id = `once-${key}`;
    expect(await redis.exactlyOnce(id).incr(`{${key}}:count`)).toBe(1);
    expect(await redis.exactlyOnce(id).incr(`{${key}}:count`)).toBe(1);
    expect(await total(key)).toBe(1);
  });

  it('gives each slot of a pipeline its own verdict, over nodes', async () => {
    const redis = client();
    const [key = ''] = await keysOn(cluster.nodes[1] as NativeRedis, 1);
    const results = await redis
      .pipeline()
      .set(`{${key}}:a`, 1)
      .incr(`{${key}}:a`)
      .lpush(`{${key}}:a`, 'x')
      .exec();
    expect(results?.map(([error, value]) => error?.message.split(' ')[0] ?? value)).toEqual([
      'OK',
      2,
      'WRONGTYPE',
    ]);
  });
});
