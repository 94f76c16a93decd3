import { createHash } from 'node:crypto';
import { Command } from 'ioredis';
import { describe, expect, it } from 'vitest';
import type { Command as Internal } from '../src/driver.js';
import { clientSettings, type RedisRetryOptions } from '../src/options.js';
import { isSetNx, mayRepeat, rememberScript } from '../src/verdict.js';

const command = (name: string, ...args: (string | number | Buffer)[]): Internal =>
  new Command(name, args) as unknown as Internal;

function may(retry: RedisRetryOptions | undefined, name: string, ...args: string[]): boolean {
  return mayRepeat(clientSettings(retry, {}).verdict, command(name, ...args));
}

describe('what may run again', () => {
  it('is what the table says, in any case of letters', () => {
    expect(may(undefined, 'GET', 'k')).toBe(true);
    expect(may(undefined, 'INCR', 'k')).toBe(false);
  });

  it('is what counts, unless told otherwise', () => {
    expect(may(undefined, 'del', 'k')).toBe(true);
    expect(may({ countReplies: 'unknown' }, 'del', 'k')).toBe(false);
    expect(may({ countReplies: 'unknown' }, 'set', 'k', 'v')).toBe(true);
  });

  it('is what the caller names', () => {
    expect(may({ idempotentCommands: ['INCR'] }, 'incr', 'k')).toBe(true);
    const mine = (_: string, args: readonly unknown[]): boolean => args[0] === 'mine';
    expect(may({ idempotentCommands: [mine] }, 'incr', 'mine')).toBe(true);
    expect(may({ idempotentCommands: [mine] }, 'incr', 'yours')).toBe(false);
    const broken = (): boolean => {
      throw new Error('no');
    };
    expect(may({ idempotentCommands: [broken] }, 'incr', 'k')).toBe(false);
    expect(may({ idempotent: true }, 'incr', 'k')).toBe(true);
  });

  it('is a blocking read, no blocking pop, and BullMQ’s marker', () => {
    expect(may(undefined, 'xread', 'BLOCK', '0', 'STREAMS', 's', '$')).toBe(true);
    expect(may(undefined, 'blpop', 'l', '0')).toBe(false);
    expect(may({ blocking: 'resend' }, 'blpop', 'l', '0')).toBe(true);
    expect(may(undefined, 'bzpopmin', 'bull:q:marker', '5')).toBe(true);
    expect(may(undefined, 'bzpopmin', 'z', '5')).toBe(false);
    expect(may(undefined, 'bzpopmin', 'a', 'bull:q:marker', '5')).toBe(false);
  });

  it('is a script that says so, by its text, by its hash and by its name', () => {
    const lua = "return redis.call('INCR', KEYS[1])";
    const sha = createHash('sha1').update(lua).digest('hex');
    const { verdict } = clientSettings(undefined, {});
    expect(mayRepeat(verdict, command('eval', lua, 1, 'k'))).toBe(false);
    rememberScript(verdict, 'bump', { lua });
    expect(mayRepeat(verdict, command('evalsha', sha, 1, 'k'))).toBe(false);
    rememberScript(verdict, 'bump', { lua, idempotent: true });
    expect(mayRepeat(verdict, command('evalsha', sha, 1, 'k'))).toBe(true);
    expect(mayRepeat(verdict, command('eval', lua, 1, 'k'))).toBe(true);
    const named = clientSettings({ idempotentCommands: ['bump'] }, {}).verdict;
    rememberScript(named, 'bump', { lua });
    expect(mayRepeat(named, command('evalsha', sha, 1, 'k'))).toBe(true);
  });
});

describe('a SET that may be looked up', () => {
  it('has NX and not GET', () => {
    expect(isSetNx(command('set', 'k', 'v', 'NX'))).toBe(true);
    expect(isSetNx(command('set', 'k', 'v', 'PX', 10, 'nx'))).toBe(true);
    expect(isSetNx(command('set', 'k', 'v', 'NX', 'GET'))).toBe(false);
    expect(isSetNx(command('set', 'k', 'nx'))).toBe(false);
  });
});
