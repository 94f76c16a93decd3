import { list } from '@ioredis/commands';
import { describe, expect, it } from 'vitest';
import { isBarredFromScripts, isBlocking, isReadOnly, repeatable } from '../src/commands.js';
import type { Argument } from '../src/driver.js';

function verdict(line: string): string {
  const [name = '', ...args] = line.split(' ');
  return repeatable(name, args);
}

/** What a second run would do, command by command; the lines are what a user would type. */
const EXPECTED: Readonly<Record<'yes' | 'count' | 'no', readonly string[]>> = {
  yes: [
    'get k',
    'mget a b',
    'hgetall h',
    'xread block 0 streams s $',
    'set k v',
    'set k v ex 10',
    'set k v keepttl',
    'mset a 1 b 2',
    'hmset h f v',
    'setex k 10 v',
    'psetex k 10 v',
    'setrange k 0 v',
    'lset l 0 v',
    'expire k 10',
    'pexpireat k 10',
    'getex k',
    'getex k persist',
    'getex k exat 1',
    'xadd s 1-1 f v',
    'xadd s nomkstream maxlen ~ 100 limit 10 5-0 f v',
    'xadd s minid = 3-0 7 f v',
    'ltrim l 0 99',
    'ltrim l -100 -1',
    'bitfield k get u8 0',
    'bitop and d a b',
    'copy a b replace',
    'restore k 0 x replace',
    'sort l',
    'sort l store d',
    'georadius g 0 0 1 km',
    'sunionstore d a b',
    'zunionstore d 2 a b',
    'zrangestore d s 0 1',
    'pfmerge d a b',
    'xgroup setid s g 0',
    'script load x',
    'script exists x',
    'function load replace x',
    'client id',
    'client setname x',
    'config get x',
    'config set x y',
    'object encoding k',
    'memory usage k',
    'cluster info',
    'select 1',
    'ping',
    'subscribe c',
    'watch k',
    'eval_ro x 0',
    'fcall_ro f 0',
  ],
  count: [
    'del a b',
    'unlink a',
    'sadd s a',
    'srem s a',
    'zadd z 1 a',
    'zadd z nx 1 a',
    'zrem z a',
    'hset h f v',
    'hdel h f',
    'pfadd p a',
    'geoadd g 0 0 a',
    'setbit k 0 1',
    'persist k',
    'expire k 10 nx',
    'pexpire k 10 gt',
    'xack s g 1-1',
    'xdel s 1-1',
    'xtrim s minid 5',
    'xgroup destroy s g',
    'zremrangebyscore z 0 1',
  ],
  no: [
    'incr k',
    'incrby k 2',
    'decr k',
    'incrbyfloat k 1.5',
    'hincrby h f 1',
    'zincrby z 1 a',
    'zadd z incr 1 a',
    'zadd z xx ch incr 1 a',
    'append k v',
    'lpush l a',
    'rpushx l a',
    'lpop l',
    'rpoplpush a b',
    'lmove a b left right',
    'spop s',
    'zpopmin z',
    'getset k v',
    'getdel k',
    'getex k ex 10',
    'set k v nx',
    'set k v px 10 NX',
    'set k v xx',
    'set k v get',
    'setnx k v',
    'msetnx a 1',
    'hsetnx h f v',
    'rename a b',
    'renamenx a b',
    'move k 1',
    'smove a b c',
    'copy a b',
    'lrem l 1 a',
    'linsert l before a b',
    'ltrim l 1 -1',
    'ltrim l 0 -2',
    'zremrangebyrank z 0 1',
    'bitfield k incrby u8 0 1',
    'bitfield k set u8 0 1',
    'bitop xor a a b',
    'sort l limit 1 2 store l',
    'zunionstore a 2 a b',
    'zrangestore z z 0 1',
    'restore k 0 x',
    'xadd s * f v',
    'xadd s 5-* f v',
    'xadd s maxlen 100 * f v',
    'xtrim s maxlen 100',
    'xreadgroup group g c streams s >',
    'xclaim s g c 0 1-1',
    'xautoclaim s g c 0 0',
    'xgroup create s g $',
    'publish c m',
    'spublish c m',
    'eval x 0',
    'evalsha x 0',
    'fcall f 0',
    'function load x',
    'function delete x',
    'script flush',
    'client kill x',
    'config resetstat',
    'cluster failover',
    'blpop l 0',
    'bzpopmin z 0',
    'wait 1 0',
    'waitaof 1 0 0',
    'multi',
    'exec',
    'discard',
    'flushall',
    'flushdb',
    'swapdb 0 1',
    'migrate h 1 k 0 1',
    'debug sleep 1',
    'shutdown',
    'some.module k',
  ],
};

describe('whether a command may run again', () => {
  for (const [expected, lines] of Object.entries(EXPECTED)) {
    it.each(lines)(`${expected}: %s`, (line) => expect(verdict(line)).toBe(expected));
  }

  it('is answered for every command that the driver knows, and yes for none of unknown effect', () => {
    for (const name of list) expect(['yes', 'count', 'no']).toContain(repeatable(name, []));
    for (const name of list) {
      if (isReadOnly(name)) expect([name, repeatable(name, ['k', '0'])]).toEqual([name, 'yes']);
    }
  });

  it('reads options in any case, as text or bytes, and never a value as one', () => {
    const bytes = (...args: Argument[]): string => repeatable('set', args);
    expect(bytes('k', 'v', Buffer.from('nX'))).toBe('no');
    expect(bytes('nx', 'nx')).toBe('yes');
    expect(bytes('k', Buffer.from('get'))).toBe('yes');
    expect(bytes('k', 'v', 'EX', 10)).toBe('yes');
    expect(repeatable('bitop', ['xor', 'clé', Buffer.from('clé'), 'b'])).toBe('no');
  });
});

describe('what blocks', () => {
  it('is told by name and arguments', () => {
    expect(isBlocking('blpop', ['l', '0'])).toBe(true);
    expect(isBlocking('xread', ['BLOCK', '0', 'STREAMS', 's', '$'])).toBe(true);
    expect(isBlocking('xread', ['STREAMS', 's', '0'])).toBe(false);
    expect(isBlocking('get', ['k'])).toBe(false);
    expect(isBlocking('no.such', [])).toBe(false);
  });

  it('and what no script may do as well', () => {
    expect(isBarredFromScripts('incr')).toBe(false);
    expect(isBarredFromScripts('eval')).toBe(true);
    expect(isBarredFromScripts('watch')).toBe(true);
    expect(isBarredFromScripts('no.such')).toBe(true);
  });
});
