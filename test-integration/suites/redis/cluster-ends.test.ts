import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster, isOutcomeUnknown, retryInfo } from '@outlast/redis-retry';
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
import { ending, failureOf } from '../support/errors.js';
import { watchRejections } from '../support/outage.js';

const reason = findRedis().length === 0 ? missingRedis() : '';
type Options = ConstructorParameters<typeof Cluster>[1];

describe.skipIf(reason !== '')(`the ends of a Cluster’s commands ${reason}`, async () => {
  const taken: RedisCluster | undefined = reason === '' ? await startRedisCluster() : undefined;
  const cluster = taken as RedisCluster;
  const clients: Cluster[] = [];
  let keys = 0;

  afterEach(() => {
    for (const client of clients.splice(0)) client.disconnect();
  });
  afterAll(() => taken?.dispose());

  function client(options: Options = {}, addresses = cluster.addresses): Cluster {
    const redis = new Cluster(addresses, options);
    clients.push(redis);
    return redis;
  }

  async function keyOn(node: NativeRedis): Promise<string> {
    for (;;) {
      const key = `end${keys++}`;
      if ((await cluster.ownerOf(await cluster.slotOf(key))) === node) return key;
    }
  }

  /** The connections of our clients to a node are cut, as if the wire were. */
  async function cut(node: NativeRedis): Promise<void> {
    await node.admin('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  }

  it('a lost answer is asked for again, or unknown, and nothing runs twice', async () => {
    const redis = client();
    const node = cluster.nodes[0] as NativeRedis;
    const key = await keyOn(node);
    await redis.set(key, 'v');
    for (let round = 0; round < 5; round++) {
      // the node stands still: what is sent to it is on its way when its connection ends
      await node.pause();
      const read = ending(redis.get(key));
      const counted = ending(redis.incr(`{${key}}:n`));
      const slots = redis.pipeline().get(key).incr(`{${key}}:n`).exec();
      const executed = ending(redis.multi().incr(`{${key}}:n`).exec());
      await sleep(30);
      for (const one of redis.nodes('master')) {
        if (one.options.port === node.port) one.stream.destroy(new Error('cut'));
      }
      await node.resume();
      expect(await read).toMatchObject({ ok: true, value: 'v' });
      const lost = await counted;
      expect(!lost.ok && isOutcomeUnknown(lost.error)).toBe(true);
      const [got, added] = (await slots) ?? [];
      expect(got).toEqual([null, 'v']);
      expect(isOutcomeUnknown(added?.[0])).toBe(true);
      const gone = await executed;
      expect(!gone.ok && isOutcomeUnknown(gone.error)).toBe(true);
    }
    await redis.ping();
    const held = Number(await node.admin('GET', `{${key}}:n`));
    expect(held).toBeLessThanOrEqual(15);
  });

  it('a lost SET … NX is looked up', async () => {
    const redis = client();
    const node = cluster.nodes[1] as NativeRedis;
    const key = await keyOn(node);
    await redis.ping();
    await redis.get(key);
    await node.pause();
    const locked = redis.set(key, 'a-token-of-16-bytes', 'PX', 60_000, 'NX');
    await sleep(30);
    await node.resume();
    await sleep(0);
    await cut(node);
    expect(await locked).toBe('OK');
  });

  it.each(['wait', 'connecting', 'ready', 'reconnecting'])(
    'disconnect() and quit() in state %s settle everything',
    async (state) => {
      const rejections = watchRejections();
      for (const end of ['disconnect', 'quit'] as const) {
        const away = [{ host: '127.0.0.1', port: await freePort() }];
        const reachable = state === 'wait' || state === 'ready';
        const redis = client({ lazyConnect: true }, reachable ? cluster.addresses : away);
        if (state !== 'wait') redis.connect().catch(() => {});
        await waitFor(() => redis.status === state);
        const all = [
          ending(redis.get('a')),
          ending(redis.incr('b')),
          ending(redis.pipeline().incr('c').exec()),
          ending(redis.multi().incr('d').exec()),
        ];
        if (end === 'quit') redis.quit().catch(() => {});
        else redis.disconnect();
        const settled = await Promise.race([Promise.all(all), sleep(5000, 'hangs')]);
        expect([state, end, settled === 'hangs']).toEqual([state, end, false]);
      }
      expect(rejections.stop()).toEqual([]);
    },
  );

  it('a deadline and a signal end what waits and what is on its way', async () => {
    const redis = client();
    const node = cluster.nodes[2] as NativeRedis;
    const key = await keyOn(node);
    await redis.get(key);
    await node.pause();
    const controller = new AbortController();
    const timed = ending(redis.with({ totalTimeoutMs: 200 }).incr(key));
    const aborted = failureOf(redis.with({ signal: controller.signal }).incr(key));
    await sleep(50);
    const reason = new Error('enough');
    controller.abort(reason);
    expect(await aborted).toBe(reason);
    expect(isOutcomeUnknown(reason)).toBe(true);
    const late = await timed;
    expect(late.ms).toBeLessThan(1000);
    expect(!late.ok && retryInfo(late.error)).toMatchObject({ reason: 'deadline' });
    await node.resume();
  });

  it('a health check says what the nodes say', async () => {
    const redis = client();
    expect(await redis.healthCheck()).toMatchObject({ ok: true, details: { state: 'ok' } });
    const away = client({ retry: { waitMs: 100 } }, [
      { host: '127.0.0.1', port: await freePort() },
    ]);
    await waitFor(() => away.status === 'reconnecting');
    expect(await away.healthCheck()).toMatchObject({ ok: false, attempts: 3 });
  });
});
