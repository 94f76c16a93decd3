import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster, Gap } from '@outlast/redis-retry';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { watchRejections } from '../support/outage.js';
import { noCluster, openRedisClusterLab } from '../support/redis-cluster-lab.js';

describe.skipIf(noCluster !== '')(`a subscriber of a Cluster ${noCluster}`, async () => {
  const lab = await openRedisClusterLab('sub');
  lab.use();

  function listen(redis: Cluster, event: 'message' | 'smessage') {
    const gaps: Gap[] = [];
    const heard: string[] = [];
    redis.on('gap', (gap: Gap) => gaps.push(gap));
    redis.on(event, (_: string, message: string) => heard.push(message));
    return { gaps, heard };
  }

  it('is told once a reconnect what it cannot have heard', async () => {
    const rejections = watchRejections();
    // the driver alone dials without a pause, and Node warns of what that leaves behind
    const warnings: string[] = [];
    const warned = ({ name }: Error): unknown => warnings.push(name);
    process.on('warning', warned);
    const [node] = lab.cluster.nodes;
    const redis = lab.client();
    const { gaps, heard } = listen(redis, 'message');
    const quiet = lab.client();
    const nothing = listen(quiet, 'message');
    await quiet.ping();
    await redis.subscribe('news', 'weather');
    await redis.psubscribe('news:*');
    await node?.admin('PUBLISH', 'news', 'before');
    await waitFor(() => heard.length === 1);
    for (let round = 1; round <= 3; round++) {
      for (const proxy of lab.proxies) proxy.refuse();
      for (const proxy of lab.proxies) proxy.cutAll();
      await node?.admin('PUBLISH', 'news', 'nobody hears it');
      // it is on its way between the nodes
      await sleep(150);
      await Promise.all(lab.proxies.map((proxy) => proxy.accept()));
      await waitFor(() => gaps.length === round, { what: 'the gap to be told' });
      // it is told when messages are heard again
      await node?.admin('PUBLISH', 'news', `after ${round}`);
      await waitFor(() => heard.length === 1 + round);
    }
    expect(heard).toEqual(['before', 'after 1', 'after 2', 'after 3']);
    expect(gaps).toHaveLength(3);
    for (const gap of gaps) {
      expect([...gap.channels].sort()).toEqual(['news', 'weather']);
      expect(gap.patterns).toEqual(['news:*']);
      expect(gap.shardChannels).toEqual([]);
      expect(gap.downMs).toBeGreaterThanOrEqual(100);
      expect(gap.downMs).toBeLessThan(10_000);
      expect(Object.isFrozen(gap)).toBe(true);
    }
    expect(nothing.gaps).toEqual([]);
    process.off('warning', warned);
    expect(warnings).toEqual([]);
    expect(rejections.stop()).toEqual([]);
  });

  it('of sharded channels is told of those of the node that was lost', async () => {
    const rejections = watchRejections();
    const redis = lab.client(undefined, { shardedSubscribers: true });
    const { gaps, heard } = listen(redis, 'smessage');
    const [lost, kept] = [await lab.place(0), await lab.place(1)];
    await redis.get(lost.key);
    await redis.ssubscribe(lost.key);
    await redis.ssubscribe(kept.key);
    await lost.node.admin('SPUBLISH', lost.key, 'before');
    await waitFor(() => heard.length === 1);
    await lost.node.admin('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await waitFor(() => gaps.length === 1, { what: 'the gap to be told' });
    await lost.node.admin('SPUBLISH', lost.key, 'after');
    await kept.node.admin('SPUBLISH', kept.key, 'always heard');
    await waitFor(() => heard.length === 3);
    expect(gaps[0]).toMatchObject({ channels: [], patterns: [], shardChannels: [lost.key] });
    expect(gaps).toHaveLength(1);
    expect(rejections.stop()).toEqual([]);
  });
});
