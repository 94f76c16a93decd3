import { expect, it } from 'vitest';
import { failureOf } from '../../support/errors.js';
import type { Driver } from './driver.js';

/** Retold from test/functional/transaction.ts, watch_exec.ts and hgetall.ts. */
export function transactionCases(driver: Driver): void {
  it('works like a pipeline', async () => {
    const key = driver.lab.key();
    expect(await driver.make().multi().set(key, 'a').get(key).exec()).toEqual([
      [null, 'OK'],
      [null, 'a'],
    ]);
  });

  it('puts the error of one command in its place', async () => {
    const key = driver.lab.key();
    const results = await driver.make().multi().set(key, 'a').lpush(key, 'b').exec();
    expect(results?.[0]).toEqual([null, 'OK']);
    expect(results?.[1]?.[0]?.message).toMatch('wrong kind of value');
  });

  it('rejects as a whole when the server discards it, and tells the callback of the command', async () => {
    const key = driver.lab.key();
    let told: Error | null | undefined;
    const batch = driver.make().multi();
    batch.call('set', key, (error: Error | null | undefined) => {
      told = error;
    });
    const error = await failureOf(batch.get(key).exec());
    expect(error.message).toMatch('Transaction discarded because of previous errors');
    expect(told?.message).toMatch('wrong number of arguments');
  });

  it('tells each command’s callback that it is queued', async () => {
    const key = driver.lab.key();
    let told: unknown;
    const batch = driver.make().multi([
      ['set', key, 'bar'],
      ['get', key, (_: unknown, value: unknown) => (told = value)],
    ]);
    expect((await batch.exec())?.[1]).toEqual([null, 'bar']);
    expect(told).toBe('QUEUED');
  });

  it('works without a pipeline', async () => {
    const key = driver.lab.key();
    const redis = driver.make();
    await redis.multi({ pipeline: false });
    expect(await redis.set(key, 'bar')).toBe('QUEUED');
    expect(await redis.get(key)).toBe('QUEUED');
    expect(await redis.exec()).toEqual([
      [null, 'OK'],
      [null, 'bar'],
    ]);
  });

  it('refuses EXEC without MULTI', async () => {
    expect((await failureOf(driver.make().exec())).message).toBe('ERR EXEC without MULTI');
  });

  it('transforms replies', async () => {
    const key = driver.lab.key();
    const data = { name: 'Bob', age: '17' };
    const results = await driver
      .make()
      .multi()
      .hmset(key, data)
      .hgetall(key)
      .hgetallBuffer(key)
      .get(key)
      .exec();
    expect(results?.slice(0, 3)).toEqual([
      [null, 'OK'],
      [null, data],
      [null, { name: Buffer.from('Bob'), age: Buffer.from('17') }],
    ]);
    expect(results?.[3]?.[0]?.message).toMatch('WRONGTYPE');
  });

  it('transforms replies inside a pipeline, between other commands', async () => {
    const key = driver.lab.key();
    const data = { name: 'Bob' };
    const batch = driver
      .make()
      .pipeline([
        ['hmset', key, data],
        ['multi'],
        ['typeBuffer', key],
        ['hgetall', key],
        ['exec'],
        ['hgetall', key],
      ]);
    expect((await batch.exec())?.map(([, value]) => value)).toEqual([
      'OK',
      'OK',
      Buffer.from('QUEUED'),
      'QUEUED',
      [Buffer.from('hash'), data],
      data,
    ]);
  });

  it('answers null when a watched key has changed, and runs when it has not', async () => {
    const key = driver.lab.key();
    const redis = driver.make();
    await redis.watch(key);
    await driver.lab.ask('SET', key, 'other');
    expect(await redis.multi().set(key, 'own').exec()).toBeNull();
    await redis.watch(key);
    expect(await redis.multi().set(key, 'own').exec()).toEqual([[null, 'OK']]);
    expect(await driver.lab.ask('GET', key)).toBe('own');
  });

  it('reads a hash as an object, and a missing one as an empty one', async () => {
    const redis = driver.make();
    expect(await redis.hgetall(driver.lab.key())).toEqual({});
  });
}
