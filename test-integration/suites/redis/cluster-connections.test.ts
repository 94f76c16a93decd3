import { setTimeout as sleep } from 'node:timers/promises';
import { isOutcomeUnknown, retryInfo } from '@outlast/redis-retry';
import { describe, expect, it } from 'vitest';
import type { NativeRedis } from '../../servers/index.js';
import { ending, failureOf } from '../support/errors.js';
import { watchRejections } from '../support/outage.js';
import { noCluster, openRedisClusterLab } from '../support/redis-cluster-lab.js';

// What a connection holds for its user is lost with it, and in a Cluster there is one a node.
describe.skipIf(noCluster !== '')(`the connections of a Cluster ${noCluster}`, async () => {
  const lab = await openRedisClusterLab('conn');
  lab.use();

  it('an EXEC whose WATCH was lost with its connection does not run', async () => {
    const rejections = watchRejections();
    const { key, node, proxy } = await lab.place();
    const apply = async (redis: ReturnType<typeof lab.client>): Promise<unknown> => {
      await redis.set(key, 'mine');
      await redis.watch(key);
      expect(await redis.get(key)).toBe('mine');
      proxy.cutAll();
      await lab.left(redis, proxy);
      await node.admin('SET', key, 'theirs');
      return redis.multi().set(key, 'overwritten').exec();
    };
    const redis = lab.client();
    expect(await apply(redis)).toBeNull();
    expect(await node.admin('GET', key)).toBe('theirs');
    // the loop that everybody has begins anew, and comes through
    await redis.watch(key);
    expect(await redis.multi().set(key, 'seen').exec()).toEqual([[null, 'OK']]);
    expect(await node.admin('GET', key)).toBe('seen');
    // the driver's own loses the other's update
    expect(await apply(lab.plain() as never)).toEqual([[null, 'OK']]);
    expect(rejections.stop()).toEqual([]);
  });

  it('an EXEC is run if its own WATCH holds, and minds no other', async () => {
    const redis = lab.client();
    const [here, there] = [await lab.place(0), await lab.place(1)];
    await redis.watch(there.key);
    await redis.watch(here.key);
    there.proxy.cutAll();
    await lab.left(redis, there.proxy);
    expect(await redis.multi().set(here.key, 1).exec()).toEqual([[null, 'OK']]);
    expect(await redis.multi().set(there.key, 1).exec()).toBeNull();
    // both have been ended by their EXECs; a WATCH that was taken back binds nobody
    await redis.watch(there.key);
    there.proxy.cutAll();
    await lab.left(redis, there.proxy);
    await redis.unwatch();
    expect(await redis.multi().set(there.key, 2).exec()).toEqual([[null, 'OK']]);
    // changed by others while it holds: Redis' own word
    await redis.watch(here.key);
    await here.node.admin('SET', here.key, 'theirs');
    expect(await redis.multi().set(here.key, 3).exec()).toBeNull();
  });

  it('an EXEC whose slot has moved since its WATCH does not run', async () => {
    const { cluster } = lab;
    const { key, node } = await lab.place(0);
    const redis = lab.client();
    await redis.set(key, 'mine');
    await redis.watch(key);
    const slot = await cluster.slotOf(key);
    const target = cluster.nodes[1] as NativeRedis;
    await cluster.moveSlot(slot, target);
    await target.admin('SET', key, 'theirs');
    expect(await redis.multi().set(key, 'overwritten').exec()).toBeNull();
    expect(await target.admin('GET', key)).toBe('theirs');
    // one without WATCH follows its slot, as a whole
    await cluster.moveSlot(slot, node);
    const moved = await redis.multi().set(key, 5).incr(key).exec();
    expect(moved).toEqual([
      [null, 'OK'],
      [null, 6],
    ]);
  });

  it('a transaction that was never sent waits for its node, and goes as a whole', async () => {
    const rejections = watchRejections();
    const redis = lab.client();
    const { key, node, proxy } = await lab.place();
    await redis.get(key);
    proxy.refuse();
    proxy.cutAll();
    await lab.left(redis, proxy);
    const waiting = ending(redis.multi().incr(key).incr(key).exec());
    const hasty = ending(redis.with({ waitMs: 200 }).multi().incr(key).exec());
    const short = await hasty;
    expect(!short.ok && retryInfo(short.error)).toMatchObject({ outcome: 'not-applied' });
    expect(await node.admin('GET', key)).toBeNull();
    await proxy.accept();
    expect(await waiting).toMatchObject({
      ok: true,
      value: [
        [null, 1],
        [null, 2],
      ],
    });
    expect(await node.admin('GET', key)).toBe('2');
    expect(rejections.stop()).toEqual([]);
  });

  it('what was given up while its node was being dialled is not sent later', async () => {
    const redis = lab.client();
    const { key, node, proxy } = await lab.place();
    await redis.get(key);
    proxy.silence();
    proxy.cutAll();
    await lab.left(redis, proxy);
    const given = await Promise.all([
      ending(redis.with({ totalTimeoutMs: 300 }).incr(key)),
      ending(redis.with({ totalTimeoutMs: 300 }).pipeline().incr(key).incr(key).exec()),
      ending(redis.with({ totalTimeoutMs: 300 }).multi().incr(key).exec()),
    ]);
    const [alone, slots] = given;
    expect(!alone.ok && retryInfo(alone.error)).toMatchObject({ outcome: 'not-applied' });
    expect(slots.ok && slots.value?.map(([error]) => retryInfo(error)?.outcome)).toEqual([
      'not-applied',
      'not-applied',
    ]);
    proxy.speak();
    expect(await redis.get(key)).toBeNull();
    expect(await redis.incr(key)).toBe(1);
    expect(await node.admin('GET', key)).toBe('1');
  });

  it('attemptTimeoutMs drops the connection, and asks again what may be', async () => {
    const redis = lab.client({ attemptTimeoutMs: 300 });
    const { key, node, proxy } = await lab.place();
    await redis.set(key, 5);
    proxy.arm({ when: { bytes: `get\r\n$${key.length}` }, fault: 'silence' });
    const read = await ending(redis.get(key));
    expect(read).toMatchObject({ ok: true, value: '5' });
    expect(read.ms).toBeGreaterThanOrEqual(290);
    expect(read.ms).toBeLessThan(3000);
    proxy.arm({ when: { bytes: `incr\r\n$${key.length}` }, fault: 'silence' });
    const error = await failureOf(redis.incr(key));
    expect(error.message).toBe('Command timed out');
    expect(isOutcomeUnknown(error)).toBe(true);
    expect(await node.admin('GET', key)).toBe('6');
  });

  it('a write that the kernel refuses at once was never sent, and goes again', async () => {
    const { key, node, proxy } = await lab.place();
    const redis = lab.client();
    const onDeadSocket = async <T>(write: () => T): Promise<T> => {
      await redis.get(key);
      const [own] = redis.nodes('master').filter(({ options }) => options.port === proxy.port);
      proxy.cutAll('reset');
      const written = write();
      expect(own?.stream.errored).toMatchObject({ syscall: 'write' });
      return written;
    };
    expect(await onDeadSocket(() => redis.incr(key))).toBe(1);
    expect(await onDeadSocket(() => redis.multi().incr(key).exec())).toEqual([[null, 2]]);
    expect(await onDeadSocket(() => redis.pipeline().incr(key).exec())).toEqual([[null, 3]]);
    expect(await node.admin('GET', key)).toBe('3');
  });

  it('a node that has gone silent is left when its host takes no connections any more', async () => {
    const { key, proxy } = await lab.place();
    const redis = lab.client({ livenessMs: 200 });
    await redis.get(key);
    proxy.silence('drop');
    proxy.refuse();
    const lost = await ending(redis.incr(key));
    expect(!lost.ok && isOutcomeUnknown(lost.error)).toBe(true);
    expect(lost.ms).toBeLessThan(3000);
    await proxy.heal();
    expect(await redis.incr(key)).toBe(1);
  });

  describe('a transaction by hand', () => {
    it('goes to the node of its first key, whichever that is', async () => {
      const redis = lab.client();
      for (const n of [0, 1, 2]) {
        const { key, node } = await lab.place(n);
        expect(await redis.multi({ pipeline: false })).toBe('OK');
        expect(await redis.set(key, 1)).toBe('QUEUED');
        expect(await redis.incr(key)).toBe('QUEUED');
        expect(await redis.exec()).toEqual([
          [null, 'OK'],
          [null, 2],
        ]);
        expect(await node.admin('GET', key)).toBe('2');
        // without waiting for each, and taken back
        const all = [redis.multi({ pipeline: false }), redis.incr(key), redis.discard()];
        expect(await Promise.all(all)).toEqual(['OK', 'QUEUED', 'OK']);
        expect(await redis.get(key)).toBe('2');
      }
      await redis.multi({ pipeline: false });
      expect(await redis.exec()).toEqual([]);
    });

    it('that lost its connection before EXEC has not happened, and says so', async () => {
      const redis = lab.client();
      const { key, node, proxy } = await lab.place();
      await redis.multi({ pipeline: false });
      await redis.incr(key);
      proxy.cutAll();
      await lab.left(redis, proxy);
      for (const lost of [redis.incr(key), redis.exec()]) {
        const error = await failureOf(lost);
        expect(error.message).toBe('Connection is closed.');
        expect(retryInfo(error)).toMatchObject({ outcome: 'not-applied' });
      }
      expect(await node.admin('GET', key)).toBeNull();
      expect(await redis.incr(key)).toBe(1);
    });

    it('whose EXEC lost its answer is unknown', async () => {
      const redis = lab.client();
      const { key, node, proxy } = await lab.place();
      await redis.multi({ pipeline: false });
      await redis.incr(key);
      const armed = proxy.arm({ when: { bytes: 'exec\r\n' }, fault: 'cut-after' });
      expect(isOutcomeUnknown(await failureOf(redis.exec()))).toBe(true);
      expect(armed.fired).toBe(1);
      expect(await node.admin('GET', key)).toBe('1');
    });

    it('does not run without one of its commands that was given up', async () => {
      const redis = lab.client();
      const { key, node, proxy } = await lab.place();
      await redis.get(key);
      proxy.refuse();
      proxy.cutAll();
      await lab.left(redis, proxy);
      const begun = redis.multi({ pipeline: false });
      const first = redis.incr(key);
      const given = failureOf(redis.with({ totalTimeoutMs: 150 }).incr(key));
      const executed = failureOf(redis.exec());
      expect(retryInfo(await given)).toMatchObject({ outcome: 'not-applied' });
      await proxy.accept();
      expect(await begun).toBe('OK');
      const error = await executed;
      expect(error.message).toMatch(/^EXECABORT/);
      expect(retryInfo(error)).toMatchObject({ outcome: 'not-applied' });
      expect(await first).toBe('QUEUED');
      expect(await redis.get(key)).toBeNull();
      expect(await node.admin('GET', key)).toBeNull();
    });

    it('whose node does not come back is given up with it', async () => {
      const redis = lab.client({ waitMs: 300 });
      const { key, proxy } = await lab.place();
      await redis.get(key);
      proxy.refuse();
      proxy.cutAll();
      await lab.left(redis, proxy);
      await redis.multi({ pipeline: false });
      for (const given of [() => redis.incr(key), () => redis.incr(key), () => redis.exec()]) {
        expect(retryInfo(await failureOf(given()))).toMatchObject({ outcome: 'not-applied' });
      }
      await proxy.accept();
      expect(await redis.incr(key)).toBe(1);
    });

    it('waits for its node, and minds its WATCH', async () => {
      const redis = lab.client();
      const { key, node, proxy } = await lab.place();
      await redis.watch(key);
      proxy.refuse();
      proxy.cutAll();
      await lab.left(redis, proxy);
      const begun = redis.multi({ pipeline: false });
      const queued = redis.set(key, 'overwritten');
      const executed = redis.exec();
      await sleep(100);
      await proxy.accept();
      expect(await Promise.all([begun, queued, executed])).toEqual(['OK', 'QUEUED', null]);
      expect(await node.admin('GET', key)).toBeNull();
    });
  });
});
