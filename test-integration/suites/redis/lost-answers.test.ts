import { isOutcomeUnknown, retryInfo } from '@outlast/redis-retry';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { failureOf } from '../support/errors.js';
import { openRedisLab } from '../support/redis-lab.js';

const lab = await openRedisLab();
const TOKEN = 'token-of-at-least-16-bytes';

describe.skipIf(lab.reason !== '')(`a lost answer ${lab.reason}`, () => {
  lab.use();

  /** The next request with this key is executed, and its answer is lost. */
  const loseAnswer = (key: string) => lab.proxy.arm({ when: { bytes: key }, fault: 'cut-after' });

  it('of INCR is unknown; the command ran once, and only once', async () => {
    const redis = lab.redis();
    const key = lab.key();
    await redis.ping();
    loseAnswer(key);
    const error = await failureOf(redis.incr(key));
    expect(error).toMatchObject({ message: 'Connection is closed.' });
    expect(error.cause).toMatchObject({ code: 'ECONNRESET' });
    expect(isOutcomeUnknown(error)).toBe(true);
    expect(retryInfo(error)).toMatchObject({ operation: 'redis.incr', attempts: 1 });
    await redis.ping();
    expect(await lab.count(key)).toBe(1);
  });

  it.each([
    ['get', ['k'], null],
    ['GETRANGE', ['k', '0', '1'], ''],
    ['set', ['k', 'v'], 'OK'],
    ['mset', ['k', 'v'], 'OK'],
    ['expire', ['k', '10'], 0],
  ] as const)('of %s is asked for again', async (name, args, expected) => {
    const redis = lab.redis();
    const key = lab.key();
    await redis.ping();
    loseAnswer(key);
    const [, ...rest] = args;
    expect(await redis.call(name, key, ...rest)).toBe(expected);
  });

  it('of a count is asked for again, and lies, unless told otherwise', async () => {
    const lying = lab.redis();
    const honest = lab.redis({ retry: { countReplies: 'unknown' } });
    for (const [redis, name] of [
      [lying, 'lying'],
      [honest, 'honest'],
    ] as const) {
      const key = lab.key(name);
      await redis.set(key, 1);
      lab.proxy.arm({ when: { bytes: /del\r\n/ }, fault: 'cut-after' });
      const ended = await redis.del(key).catch((error) => isOutcomeUnknown(error));
      expect([name, ended]).toEqual([name, name === 'lying' ? 0 : true]);
    }
  });

  it('of bytes, of callbacks and of commands by name goes the same way', async () => {
    const redis = lab.redis();
    const key = lab.key();
    await redis.set(key, Buffer.from([0, 255, 13, 10]));
    loseAnswer(key);
    expect(await redis.getBuffer(key)).toEqual(Buffer.from([0, 255, 13, 10]));
    loseAnswer(key);
    const called = await new Promise((resolve) => redis.append(key, 'x', (e) => resolve(e)));
    expect(isOutcomeUnknown(called)).toBe(true);
    loseAnswer(key);
    expect(isOutcomeUnknown(await failureOf(redis.call('APPEND', key, 'x')))).toBe(true);
    expect(await lab.ask('STRLEN', key)).toBe(6);
  });

  it('of what its caller calls idempotent is asked for again', async () => {
    const redis = lab.redis({ retry: { idempotentCommands: ['bump'] } });
    const lua = "return redis.call('INCR', KEYS[1])";
    redis.defineCommand('bump', { lua, numberOfKeys: 1 });
    redis.defineCommand('jump', { lua: `${lua} + 0`, numberOfKeys: 1, idempotent: true });
    redis.defineCommand('leap', { lua: `${lua} + 1`, numberOfKeys: 1 });
    const scripts = redis as unknown as Record<string, (key: string) => Promise<number>>;
    const key = lab.key();
    const lost = (name: string) => {
      loseAnswer(key);
      return scripts[name]?.(key) ?? Promise.reject(new Error(name));
    };
    expect(await lost('bump')).toBe(2);
    expect(await lost('jump')).toBe(4);
    expect(isOutcomeUnknown(await failureOf(lost('leap')))).toBe(true);
    loseAnswer(key);
    expect(await redis.with({ idempotent: true }).incr(key)).toBe(7);
    loseAnswer(key);
    expect(isOutcomeUnknown(await failureOf(redis.with({ idempotent: false }).get(key)))).toBe(
      true,
    );
  });

  describe('of SET … NX is looked up', () => {
    it('and found, if it was this call that set it', async () => {
      const redis = lab.redis();
      const key = lab.key();
      await redis.ping();
      loseAnswer(key);
      expect(await redis.set(key, TOKEN, 'PX', 60_000, 'NX')).toBe('OK');
      expect(await lab.ask('GET', key)).toBe(TOKEN);
    });

    it('and stays unknown, if the key holds another’s token or none', async () => {
      const redis = lab.redis();
      const key = lab.key();
      await lab.ask('SET', key, 'somebody else, for a long time');
      loseAnswer(key);
      expect(isOutcomeUnknown(await failureOf(redis.set(key, TOKEN, 'NX')))).toBe(true);
      const gone = lab.key();
      loseAnswer(gone);
      const lost = failureOf(redis.set(gone, `${TOKEN}2`, 'PX', 1, 'NX'));
      expect(isOutcomeUnknown(await lost)).toBe(true);
    });

    it.each([
      ['is too short to be one', ['short']],
      ['was used before', [TOKEN, TOKEN]],
    ])('and not believed, if its token %s', async (_, tokens) => {
      const redis = lab.redis();
      const keys = tokens.map(() => lab.key());
      for (const [n, token] of tokens.slice(0, -1).entries()) {
        await redis.set(keys[n] as string, token, 'NX');
      }
      const key = keys.at(-1) as string;
      loseAnswer(key);
      expect(isOutcomeUnknown(await failureOf(redis.set(key, tokens.at(-1) as string, 'NX')))).toBe(
        true,
      );
    });
  });

  it('of XADD with an id of its own is looked up in the stream', async () => {
    const redis = lab.redis();
    const key = lab.key();
    await redis.ping();
    loseAnswer(key);
    expect(await redis.xadd(key, '5-1', 'field', 'value')).toBe('5-1');
    expect(await lab.ask('XLEN', key)).toBe(1);
    // somebody else's entry under the same id is not ours
    loseAnswer(key);
    await expect(redis.xadd(key, '5-1', 'field', 'other')).rejects.toThrow('equal or smaller');
  });

  it('is asked for as often as maxAttempts says, with the backoff in between', async () => {
    const redis = lab.redis({ retry: { maxAttempts: 3, baseDelayMs: 50, jitter: false } });
    const key = lab.key();
    const delays: number[] = [];
    redis.policy.on('retry', ({ delayMs }) => delays.push(delayMs));
    await redis.ping();
    const armed = lab.proxy.arm({ when: { bytes: key }, fault: 'cut-after', times: 9 });
    const error = await failureOf(redis.get(key));
    expect(armed.fired).toBe(3);
    expect(delays).toEqual([0, 100]);
    expect(retryInfo(error)).toMatchObject({ attempts: 3, reason: 'exhausted' });
  });

  it('with autoResendUnfulfilledCommands: false is never asked for again, and settles', async () => {
    const redis = lab.redis({ autoResendUnfulfilledCommands: false });
    const key = lab.key();
    await redis.ping();
    loseAnswer(key);
    expect(await failureOf(redis.get(key))).toMatchObject({ message: 'Connection is closed.' });
    expect(await redis.get(key)).toBeNull();
  });

  it('keeps the order in which commands were issued', async () => {
    const redis = lab.redis();
    const key = lab.key();
    await redis.ping();
    lab.proxy.arm({ when: { bytes: /get\r\n/ }, fault: 'cut-after' });
    const all = [redis.set(key, 1), redis.set(key, 2), redis.get(key), redis.set(key, 3)];
    await Promise.all(all);
    await waitFor(() => redis.status === 'ready');
    expect(await lab.ask('GET', key)).toBe('3');
  });
});
