import { setTimeout as sleep } from 'node:timers/promises';
import type { Gap } from '@outlast/redis-retry';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { watchRejections } from '../support/outage.js';
import { openRedisLab } from '../support/redis-lab.js';

const lab = await openRedisLab();

describe.skipIf(lab.reason !== '')(`a subscriber ${lab.reason}`, () => {
  lab.use();

  it.each([2, 3] as const)(
    'is told once a reconnect what it cannot have heard (RESP%s)',
    async (protocol) => {
      const rejections = watchRejections();
      const { proxy } = lab;
      const redis = lab.redis({ protocol } as never);
      const channel = lab.key('channel');
      const gaps: Gap[] = [];
      const heard: string[] = [];
      redis.on('gap', (gap: Gap) => gaps.push(gap));
      redis.on('message', (_, message) => heard.push(message));
      await redis.subscribe(channel, `${channel}:2`);
      await redis.psubscribe(`${channel}:*`);
      await lab.ask('PUBLISH', channel, 'before');
      await waitFor(() => heard.length === 1);
      for (let round = 1; round <= 3; round++) {
        proxy.refuse();
        proxy.cutAll();
        await waitFor(() => redis.status === 'reconnecting');
        await lab.ask('PUBLISH', channel, 'nobody hears it');
        await sleep(100);
        await proxy.accept();
        await waitFor(() => gaps.length === round, { what: 'the gap to be told' });
        // it is told when messages are heard again
        await lab.ask('PUBLISH', channel, `after ${round}`);
        await waitFor(() => heard.length === 1 + round);
      }
      expect(heard).toEqual(['before', 'after 1', 'after 2', 'after 3']);
      for (const gap of gaps) {
        expect([...gap.channels].sort()).toEqual([channel, `${channel}:2`]);
        expect(gap.patterns).toEqual([`${channel}:*`]);
        expect(gap.downMs).toBeGreaterThanOrEqual(90);
        expect(gap.downMs).toBeLessThan(5000);
        expect(Object.isFrozen(gap)).toBe(true);
      }
      expect(rejections.stop()).toEqual([]);
    },
  );

  it('stays subscribed when its subscription is cut as well', async () => {
    const redis = lab.redis();
    const channel = lab.key('channel');
    const heard: string[] = [];
    redis.on('message', (_, message) => heard.push(message));
    await redis.subscribe(channel);
    const armed = lab.proxy.arm({
      when: { bytes: /subscribe\r\n/ },
      fault: 'cut-before',
      times: 3,
    });
    lab.proxy.cutAll();
    await waitFor(() => armed.fired === 3);
    await waitFor(async () => (await lab.ask('PUBLISH', channel, 'x')) === 1);
    await waitFor(() => heard.length > 0);
  });

  it('that subscribes while its server is down is subscribed when it is back', async () => {
    const { proxy } = lab;
    const redis = lab.redis();
    const channel = lab.key('channel');
    await redis.ping();
    proxy.refuse();
    proxy.cutAll();
    await waitFor(() => redis.status === 'reconnecting');
    const subscribed = redis.subscribe(channel);
    await proxy.accept();
    expect(await subscribed).toBe(1);
  });

  it('hears of no gap if there is nothing to hear, and none that it did not want', async () => {
    const gaps: Gap[] = [];
    const quiet = lab.redis();
    const deaf = lab.redis({ autoResubscribe: false });
    for (const redis of [quiet, deaf]) redis.on('gap', (gap: Gap) => gaps.push(gap));
    await quiet.ping();
    await deaf.subscribe(lab.key('channel'));
    lab.proxy.cutAll();
    await waitFor(() => quiet.status === 'reconnecting');
    await waitFor(() => quiet.status === 'ready' && deaf.status === 'ready');
    await sleep(50);
    expect(gaps).toEqual([]);
  });
});
