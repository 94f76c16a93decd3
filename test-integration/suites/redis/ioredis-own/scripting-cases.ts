import { expect, it } from 'vitest';
import { failureOf } from '../../support/errors.js';
import type { Driver, Options } from './driver.js';

const ECHO = 'return {KEYS[1],KEYS[2],ARGV[1],ARGV[2]}';
const GET = 'return redis.call("get", KEYS[1])';

type Script = (...args: (string | number)[]) => Promise<unknown>;

/** Retold from test/functional/scripting.ts. */
export function scriptingCases(driver: Driver): void {
  function define(definition: object, options?: Options) {
    const redis = driver.make(options);
    redis.defineCommand('own', definition as { lua: string });
    return { redis, own: redis as unknown as { own: Script; ownBuffer: Script } };
  }

  it.each([
    ['a fixed number of keys', { numberOfKeys: 2, lua: ECHO }, ['k1', 'k2', 'a1', 'a2']],
    ['a number of keys with each call', { lua: ECHO }, [2, 'k1', 'k2', 'a1', 'a2']],
  ] as [string, object, (string | number)[]][])('passes %s', async (_, definition, args) => {
    const { own } = define(definition);
    expect(await own.own(...args)).toEqual(['k1', 'k2', 'a1', 'a2']);
  });

  it('passes no keys', async () => {
    const { own } = define({ numberOfKeys: 0, lua: 'return {ARGV[1],ARGV[2]}' });
    expect(await own.own('2', 'a2')).toEqual(['2', 'a2']);
  });

  it('passes the server’s complaint about a missing number of keys', async () => {
    const { own } = define({ lua: ECHO });
    expect((await failureOf(own.own('k1', 'k2'))).message).toMatch('value is not an integer');
  });

  it('has a twin for bytes', async () => {
    const { own } = define({ numberOfKeys: 2, lua: ECHO });
    expect(await own.ownBuffer('k1', 'k2', 'a1', 'a2')).toEqual(
      ['k1', 'k2', 'a1', 'a2'].map((text) => Buffer.from(text)),
    );
  });

  it('prefixes the keys of a script', async () => {
    const { own } = define({ numberOfKeys: 2, lua: ECHO }, { keyPrefix: 'foo:' });
    expect(await own.own('k1', 'k2', 'a1', 'a2')).toEqual(['foo:k1', 'foo:k2', 'a1', 'a2']);
  });

  it('sends the hash, and the text only if the server does not know it', async () => {
    const { redis, own } = define({ numberOfKeys: 1, lua: GET });
    await own.own('first');
    expect(await driver.monitored(redis, () => own.own('second'))).toEqual(['evalsha', 'get']);
    await redis.script('FLUSH');
    const seen = await driver.monitored(redis, async () => {
      await own.own('third');
      await own.own('fourth');
    });
    expect(seen).toEqual(['evalsha', 'eval', 'get', 'evalsha', 'get']);
  });

  it('does not fall back to the text within a transaction', async () => {
    const { redis, own } = define({ numberOfKeys: 1, lua: GET });
    await own.own('first');
    await redis.script('FLUSH');
    const batch: unknown[][] = [
      ['own', 'foo'],
      ['own', 'bar'],
    ];
    const results = await redis.multi(batch).exec();
    for (const [error] of results ?? []) expect(error?.message).toMatch('NOSCRIPT');
  });
}
