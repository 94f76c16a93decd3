import { expect, it } from 'vitest';
import { freePort, waitFor } from '../../../servers/index.js';
import { failureOf } from '../../support/errors.js';
import type { Driver } from './driver.js';

/** Retold from test/functional/{connection,lazy_connect,disconnection,select,duplicate,monitor,auth}.ts. */
export function connectionCases(driver: Driver): void {
  it('tells of its life in events', async () => {
    const redis = driver.make({ lazyConnect: true });
    const told: string[] = [];
    for (const event of ['connect', 'ready', 'close', 'end']) {
      redis.on(event, () => told.push(event));
    }
    expect(redis.status).toBe('wait');
    await redis.connect();
    expect(redis.status).toBe('ready');
    expect((await failureOf(redis.connect())).message).toMatch('already connecting');
    redis.disconnect();
    await waitFor(() => redis.status === 'end', { what: 'the end' });
    expect(told).toEqual(['connect', 'ready', 'close', 'end']);
  });

  it('connects for the first command, if it is lazy', async () => {
    const redis = driver.make({ lazyConnect: true });
    expect(await redis.ping()).toBe('PONG');
  });

  it('connects again after it was ended', async () => {
    const redis = driver.make();
    await redis.quit();
    await waitFor(() => redis.status === 'end', { what: 'the end' });
    await redis.connect();
    expect(await redis.ping()).toBe('PONG');
  });

  it('rejects connect() where nobody listens', async () => {
    const redis = driver.make({
      port: await freePort(),
      lazyConnect: true,
      retryStrategy: null as never,
    });
    expect((await failureOf(redis.connect())).message).toMatch('Connection is closed');
    expect(redis.status).toBe('end');
  });

  it('answers quit() before it has ever connected, and connects no more', async () => {
    const redis = driver.make({ port: await freePort() });
    expect(await redis.quit()).toBe('OK');
    await waitFor(() => redis.status === 'end', { what: 'the end' });
  });

  it('refuses commands once it has ended', async () => {
    const redis = driver.make();
    await redis.quit();
    await waitFor(() => redis.status === 'end', { what: 'the end' });
    expect((await failureOf(redis.get('foo'))).message).toMatch('Connection is closed');
  });

  it('gives itself a name, also after a reconnect', async () => {
    const redis = driver.make({ connectionName: 'niceName' });
    expect(await redis.client('GETNAME')).toBe('niceName');
    redis.disconnect(true);
    expect(await redis.client('GETNAME')).toBe('niceName');
  });

  it('selects its database, also after a reconnect', async () => {
    const key = driver.lab.key();
    const redis = driver.make({ db: 2 });
    await redis.set(key, 'two');
    await redis.select(3);
    await redis.set(key, 'three');
    redis.disconnect(true);
    expect(await redis.get(key)).toBe('three');
    await redis.select(2);
    expect(await redis.get(key)).toBe('two');
    expect(await driver.lab.ask('GET', key)).toBeNull();
  });

  it('emits "select"', async () => {
    const redis = driver.make();
    const told: unknown[] = [];
    redis.on('select', (db) => told.push(db));
    await redis.select(4);
    expect(told).toEqual([4]);
  });

  it('duplicates itself with its options, and with others', async () => {
    const redis = driver.make({ db: 5, keyPrefix: 'twin:' });
    const twin = driver.lab.track(redis.duplicate());
    const other = driver.lab.track(redis.duplicate({ db: 6 }));
    const key = driver.lab.key();
    await redis.set(key, 1);
    expect(await twin.get(key)).toBe('1');
    expect(await other.get(key)).toBeNull();
    expect(Object.getPrototypeOf(twin)).toBe(Object.getPrototypeOf(redis));
  });

  it('monitors', async () => {
    const redis = driver.make();
    const monitor = driver.lab.track(await redis.monitor());
    const seen: unknown[] = [];
    monitor.on('monitor', (_time: string, args: unknown[]) => seen.push(args));
    const key = driver.lab.key();
    await redis.set(key, 'bar');
    await waitFor(() => seen.length > 0, { what: 'the command' });
    expect(seen[0]).toEqual(['set', key, 'bar']);
  });

  it('takes a URL, and an address in pieces', async () => {
    const { host, port } = driver.lab.server.config();
    for (const args of [[`redis://${host}:${port}/3`], [port, host, { db: 3 }], [port, { host }]]) {
      const redis = driver.build(...args);
      expect(await redis.ping()).toBe('PONG');
    }
  });
}
