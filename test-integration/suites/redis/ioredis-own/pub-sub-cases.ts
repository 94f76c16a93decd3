import { expect, it } from 'vitest';
import { waitFor } from '../../../servers/index.js';
import type { Driver } from './driver.js';

/** Retold from test/functional/pub_sub.ts and spub_ssub.ts. */
export function pubSubCases(driver: Driver): void {
  it('counts subscriptions', async () => {
    const redis = driver.make();
    const [a, b, c] = [driver.lab.key('a'), driver.lab.key('b'), driver.lab.key('c')];
    expect(await Promise.all([redis.subscribe(a, b), redis.subscribe(a, c)])).toEqual([2, 3]);
    expect(await redis.unsubscribe(a, b, c)).toBe(0);
    expect(await redis.set(a, 1)).toBe('OK');
    await redis.subscribe(a);
    expect(await redis.unsubscribe()).toBe(0);
    expect(await redis.get(a)).toBe('1');
  });

  it.each([
    ['subscribe', 'message'],
    ['psubscribe', 'pmessage'],
  ] as const)('hears by %s, as texts and as bytes', async (subscribe, event) => {
    const redis = driver.make();
    const channel = driver.lab.key('channel');
    const pattern = channel.replace('channel', 'ch?nnel');
    const heard: unknown[][] = [];
    redis.on(event, (...args: unknown[]) => heard.push(args));
    redis.on(`${event}Buffer`, (...args: unknown[]) => heard.push(args));
    await redis[subscribe](event === 'message' ? channel : pattern);
    await driver.lab.session().publish(channel, 'news');
    await waitFor(() => heard.length === 2, { what: 'both events' });
    const before = event === 'message' ? [] : [pattern];
    expect(heard).toContainEqual([...before, channel, 'news']);
    expect(heard).toContainEqual([...before, Buffer.from(channel), Buffer.from('news')]);
  });

  it.each([
    ['subscribe', 'message'],
    ['psubscribe', 'pmessage'],
  ] as const)('hears again after a reconnect (%s)', async (subscribe, event) => {
    const redis = driver.make();
    const channels = [driver.lab.key('one'), driver.lab.key('two')];
    const heard: unknown[] = [];
    redis.on(event, (...args: unknown[]) => heard.push(args.at(-1)));
    await redis[subscribe](...channels);
    const ready = new Promise((resolve) => redis.once('ready', resolve));
    redis.disconnect(true);
    await ready;
    // makes sure that the subscriptions are sent
    await redis.ping();
    const publisher = driver.lab.session();
    for (const channel of channels) await publisher.publish(channel, channel);
    await waitFor(() => heard.length === 2, { what: 'both messages' });
    expect(heard).toEqual(channels);
  });

  it('quits while it is subscribed', async () => {
    const redis = driver.make();
    await redis.subscribe(driver.lab.key());
    const ended = new Promise((resolve) => redis.once('end', resolve));
    expect(await redis.quit()).toBe('OK');
    await ended;
    expect(redis.status).toBe('end');
  });
}
