import { expect, it } from 'vitest';
import type { Driver } from './driver.js';

/** Retold from test/functional/pipeline.ts. */
export function pipelineCases(driver: Driver): void {
  it('returns a result for each command, in order', async () => {
    const key = driver.lab.key();
    const batch = driver.make().pipeline().set(key, '1').get(key).set(key, '2').incr(key).get(key);
    expect(batch.length).toBe(5);
    expect(await batch.exec()).toEqual([
      [null, 'OK'],
      [null, '1'],
      [null, 'OK'],
      [null, 3],
      [null, '3'],
    ]);
  });

  it('returns nothing for nothing', async () => {
    expect(await driver.make().pipeline().exec()).toEqual([]);
  });

  it('mixes texts and bytes', async () => {
    const key = driver.lab.key();
    const bytes = Buffer.from('bar');
    const batch = driver.make().pipeline().set(key, bytes).getBuffer(key).get(Buffer.from(key));
    expect(await batch.exec()).toEqual([
      [null, 'OK'],
      [null, bytes],
      [null, 'bar'],
    ]);
  });

  it('puts the error of a command in its place, and calls callbacks', async () => {
    const key = driver.lab.key();
    const told: unknown[] = [];
    const results = await driver
      .make()
      .pipeline()
      .set(key, 'bar')
      .get(key, (error, value) => told.push(error, value))
      .call('set', key)
      .lpush(key, 'x')
      .exec((error, all) => told.push(error, all?.length));
    expect(told).toEqual([null, 'bar', null, 4]);
    expect(results?.[2]?.[0]?.message).toMatch('wrong number of arguments');
    expect(results?.[3]?.[0]?.message).toMatch('WRONGTYPE');
  });

  it('holds a transaction', async () => {
    const key = driver.lab.key();
    const batch = driver.make().pipeline([['multi'], ['set', key, 'foo'], ['get', key], ['exec']]);
    expect((await batch.exec())?.map(([, value]) => value)).toEqual([
      'OK',
      'QUEUED',
      'QUEUED',
      ['OK', 'foo'],
    ]);
  });

  it('prefixes keys', async () => {
    const prefix = `${driver.lab.key()}:`;
    const redis = driver.make({ keyPrefix: prefix });
    const batch = redis.pipeline().set('bar', 'baz').get('bar').lpush('list', 'one').lpop('list');
    expect((await batch.exec())?.map(([, value]) => value)).toEqual(['OK', 'baz', 1, 'one']);
    expect(await driver.lab.ask('GET', `${prefix}bar`)).toBe('baz');
  });

  it('takes commands as a list', async () => {
    const key = driver.lab.key();
    let told: unknown;
    const batch = driver.make().pipeline([
      ['set', key, 'bar'],
      ['get', key, (_: unknown, value: unknown) => (told = value)],
    ]);
    expect(batch.length).toBe(2);
    expect((await batch.exec())?.[1]).toEqual([null, 'bar']);
    expect(told).toBe('bar');
  });

  it('works before the connection is ready', async () => {
    const redis = driver.make();
    const results = await new Promise((resolve) => {
      redis.once('connect', () => resolve(redis.pipeline().info().config('GET', 'save').exec()));
    });
    expect(results).toMatchObject([
      [null, expect.stringContaining('redis_version')],
      [null, ['save', '']],
    ]);
  });

  it('loads scripts at most once', async () => {
    const redis = driver.make();
    redis.defineCommand('pair', { numberOfKeys: 1, lua: 'return {KEYS[1],ARGV[1]}' });
    const pair = (key: string): Promise<unknown> =>
      (redis.pipeline() as unknown as { pair(...a: string[]): { exec(): Promise<unknown> } })
        .pair(key, 'x')
        .exec();
    const key = driver.lab.key();
    expect(await pair(key)).toEqual([[null, [key, 'x']]]);
    const seen = await driver.monitored(redis, async () => {
      await pair(key);
      await pair(key);
    });
    expect(seen).toEqual(['evalsha', 'evalsha']);
  });
}
