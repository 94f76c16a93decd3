import { expect, it } from 'vitest';
import { failureOf } from '../../support/errors.js';
import type { Driver } from './driver.js';

/**
 * Retold from test/functional/{send_command,string_numbers,transformer,scan_stream,autopipelining,
 * reconnect_on_error,show_friendly_error_stack,fatal_error,lazy_connect,commandTimeout}.ts.
 */
export function commandCases(driver: Driver): void {
  it('calls a command by its name', async () => {
    const redis = driver.make();
    const key = driver.lab.key();
    expect(await redis.call('set', key, 'bar')).toBe('OK');
    expect(await redis.call('get', [key])).toBe('bar');
    expect(await redis.callBuffer('get', key)).toEqual(Buffer.from('bar'));
    expect(await new Promise((resolve) => redis.call('get', key, (_, v) => resolve(v)))).toBe(
      'bar',
    );
  });

  it('tells the server’s error, with the command', async () => {
    const redis = driver.make();
    const error = await failureOf(redis.call('set', 'foo'));
    expect(error).toMatchObject({ name: 'ReplyError', command: { name: 'set', args: ['foo'] } });
    expect(error.message).toBe("ERR wrong number of arguments for 'set' command");
  });

  it('takes objects, maps and lists as arguments', async () => {
    const redis = driver.make();
    const [a, b] = [driver.lab.key(), driver.lab.key()];
    await redis.mset(new Map([[a, '1']]));
    await redis.mset({ [b]: '2' });
    expect(await redis.mget([a, b])).toEqual(['1', '2']);
    await redis.hset(driver.lab.key(), { one: 1, two: 2 });
    expect(await redis.del(a, b)).toBe(2);
  });

  it('answers numbers as texts if told so', async () => {
    const key = driver.lab.key();
    expect(await driver.make({ stringNumbers: true }).incr(key)).toBe('1');
  });

  it('scans as a stream', async () => {
    const redis = driver.make();
    const prefix = driver.lab.key('scan');
    await Promise.all(Array.from({ length: 50 }, (_, n) => redis.set(`${prefix}:${n}`, n)));
    const found = new Set<string>();
    for await (const keys of redis.scanStream({ match: `${prefix}:*`, count: 7 })) {
      for (const key of keys as string[]) found.add(key);
    }
    expect(found.size).toBe(50);
  });

  it('pipelines by itself', async () => {
    const redis = driver.make({ enableAutoPipelining: true });
    const key = driver.lab.key();
    await redis.set(key, 'bar');
    expect(redis.autoPipelineQueueSize).toBe(0);
    const reading = [redis.get(key), redis.get(key), redis.getBuffer(key)];
    expect(redis.autoPipelineQueueSize).toBe(3);
    expect(await Promise.all(reading)).toEqual(['bar', 'bar', Buffer.from('bar')]);
    expect(redis.autoPipelineQueueSize).toBe(0);
    const failing = failureOf((redis as unknown as { set(k: string): Promise<string> }).set(key));
    expect((await failing).message).toMatch('wrong number of arguments');
    redis.defineCommand('own', { numberOfKeys: 1, lua: 'return KEYS[1]' });
    const own = (redis as unknown as { own(k: string): Promise<string> }).own(key);
    expect(redis.autoPipelineQueueSize).toBe(1);
    expect(await own).toBe(key);
  });

  it('reconnects for an error that the caller names, and repeats the command if told so', async () => {
    const key = driver.lab.key();
    const told: string[] = [];
    const redis = driver.make({
      reconnectOnError: (error) => {
        told.push(error.message.split(' ')[0] ?? '');
        void redis.del(key);
        return 2;
      },
    });
    await redis.set(key, 'bar');
    expect(await redis.sadd(key, 'a')).toBe(1);
    expect(told).toEqual(['WRONGTYPE']);
  });

  it('reconnects without repeating, if told so', async () => {
    const redis = driver.make({ reconnectOnError: () => true });
    const key = driver.lab.key();
    await redis.set(key, 'bar');
    const ready = new Promise((resolve) => redis.once('ready', resolve));
    expect((await failureOf(redis.sadd(key, 'a'))).message).toMatch('WRONGTYPE');
    await ready;
  });

  it('shows where a command was called, if told so', async () => {
    const redis = driver.make({ showFriendlyErrorStack: true });
    const error = await failureOf(redis.call('set', 'foo'));
    expect(error.stack).toContain('command-cases');
  });

  it('calls back', async () => {
    const redis = driver.make();
    const key = driver.lab.key();
    const told = await new Promise((resolve) => {
      redis.set(key, 'bar', (...args) => resolve(args));
    });
    expect(told).toEqual([null, 'OK']);
    const error = await new Promise((resolve) => redis.incr(key, (failed) => resolve(failed)));
    expect(String(error)).toMatch('not an integer');
  });

  it('gives a command that is not answered in time back, if told so', async () => {
    const redis = driver.make({ commandTimeout: 100 });
    await redis.ping();
    await driver.lab.ask('CLIENT', 'PAUSE', 400, 'ALL');
    expect((await failureOf(redis.get('foo'))).message).toBe('Command timed out');
  });

  it('answers a command that is blocked', async () => {
    const redis = driver.make();
    const key = driver.lab.key();
    const waiting = redis.blpop(key, 0);
    await driver.lab.ask('RPUSH', key, 'one');
    expect(await waiting).toEqual([key, 'one']);
    expect(await redis.blpop(key, 0.05)).toBeNull();
  });
}
