import { exists, hasFlag } from '@ioredis/commands';
import { contains, has, text, word } from './args.js';
import type { Argument } from './driver.js';

/**
 * Whether a command may run a second time although the first may have taken effect.
 * - `yes` same state and same reply;
 * - `count` same state, but the reply may lie: DEL answers 0 where the first run answered 1;
 * - `no` it would be doubled, or its reply decides what the caller does next.
 */
export type Repeatable = 'yes' | 'count' | 'no';

type Args = readonly Argument[];
type Rule = Repeatable | ((args: Args) => Repeatable);

/** Commands that only read and yet carry no `readonly` flag. Source: COMMAND of Redis 7.0.15 and 8. */
const HARMLESS =
  'ping echo time info command lastsave role pubsub readonly readwrite asking select auth hello ' +
  'subscribe psubscribe ssubscribe unsubscribe punsubscribe sunsubscribe watch unwatch';

/**
 * Writes that leave the same state and give the same reply when they run again. Source: the command
 * reference of Redis (redis.io/commands) for 7.0 … 8.x, each one read for what a second run answers.
 */
const SAME =
  'mset hmset setex psetex setrange lset expire pexpire expireat pexpireat hexpire hpexpire hexpireat ' +
  'hpexpireat pfmerge xsetid';

/** The state is the same, the number that is answered is not. Same source. */
const COUNTED =
  'del unlink hset hdel sadd srem zrem pfadd geoadd setbit persist hpersist xack xdel zremrangebyscore ' +
  'zremrangebylex delex';

/** Subcommands that may run again; every other one of these commands may not. Same source. */
const SUBCOMMANDS: Readonly<Record<string, string>> = {
  acl: 'cat dryrun genpass getuser help list users whoami',
  client: 'getname getredir id info list no-evict no-touch setinfo setname trackinginfo help',
  cluster:
    'countkeysinslot getkeysinslot info keyslot links myid myshardid nodes replicas shards slaves ' +
    'slots count-failure-reports help',
  config: 'get set help',
  function: 'dump list stats help',
  latency: 'doctor graph histogram history latest help',
  memory: 'doctor malloc-stats stats usage help',
  module: 'list help',
  object: 'encoding freq idletime refcount help',
  script: 'exists load help',
  slowlog: 'get len help',
  xinfo: 'consumers groups stream help',
};

/** `yes`, unless an option makes the reply decide (a condition) or the effect relative. */
const unless =
  (from: number, ...options: string[]): Rule =>
  (args) =>
    has(args, from, ...options) ? 'no' : 'yes';

/** EXPIRE … NX | XX | GT | LT: the same state, and another answer. */
const expiry: Rule = (args) => (has(args, 2, 'nx', 'xx', 'gt', 'lt') ? 'count' : 'yes');

/** Writes what it reads from other keys: again is the same, unless it reads what it wrote. */
const store =
  (target: number, firstSource: number): Rule =>
  (args) =>
    contains(args.slice(firstSource), args[target]) ? 'no' : 'yes';

/** Sorts, or looks for places; writes only with STORE, and not again into what it has read. */
const storeOption: Rule = (args) => {
  const at = args.findIndex((arg, i) => i > 0 && /^store(dist)?$/.test(word(arg)));
  return at < 0 || text(args[at + 1]) !== text(args[0]) ? 'yes' : 'no';
};

const EXPLICIT_ID = /^\d+(?:-\d+)?$/;

/** Where the entry's id stands among the arguments of XADD. */
export function xaddId(args: Args): string {
  let i = 1;
  while (i < args.length) {
    const option = word(args[i]);
    if (
      option === 'nomkstream' ||
      option === 'keepref' ||
      option === 'delref' ||
      option === 'acked'
    ) {
      i += 1;
    } else if (option === 'maxlen' || option === 'minid') {
      i += /^[=~]$/.test(word(args[i + 1])) ? 3 : 2;
    } else if (option === 'limit') i += 2;
    else break;
  }
  return text(args[i]);
}

/** What depends on arguments. Same source as above. */
const BY_ARGUMENTS: Readonly<Record<string, Rule>> = {
  // SET k v [EX …]: EX arms the time to live again. NX, XX and GET: the reply decides.
  set: unless(2, 'nx', 'xx', 'get', 'ifeq', 'ifne', 'ifdeq', 'ifdne'),
  msetex: unless(1, 'nx', 'xx'),
  hsetex: unless(1, 'fnx', 'fxx'),
  // A relative time would be armed again without the caller knowing, an absolute one is the same.
  getex: unless(1, 'ex', 'px'),
  hgetex: unless(1, 'ex', 'px'),
  expire: expiry,
  pexpire: expiry,
  expireat: expiry,
  pexpireat: expiry,
  hexpire: expiry,
  hpexpire: expiry,
  hexpireat: expiry,
  hpexpireat: expiry,
  zadd: (args) => (has(args.slice(0, 6), 1, 'incr') ? 'no' : 'count'),
  // A second run with an id of its own is refused, and looked up.
  xadd: (args) => (EXPLICIT_ID.test(xaddId(args)) ? 'yes' : 'no'),
  xtrim: (args) => (word(args[1]) === 'minid' ? 'count' : 'no'),
  xgroup: (args) =>
    (({ setid: 'yes', destroy: 'count', delconsumer: 'count', help: 'yes' })[word(args[0])] as
      | Repeatable
      | undefined) ?? 'no',
  function: (args) =>
    word(args[0]) === 'load'
      ? word(args[1]) === 'replace'
        ? 'yes'
        : 'no'
      : subcommand('function', args),
  // Keeps a prefix or a suffix: again is the same. Anything else moves with the list.
  ltrim: (args) => {
    const [start, stop] = [Number(text(args[1])), Number(text(args[2]))];
    return (start === 0 && stop >= 0) || (start < 0 && stop === -1) ? 'yes' : 'no';
  },
  bitfield: (args) => (has(args, 1, 'set', 'incrby') ? 'no' : 'yes'),
  bitop: store(1, 2),
  copy: (args) => (has(args, 2, 'replace') && text(args[0]) !== text(args[1]) ? 'yes' : 'no'),
  restore: (args) => (has(args, 3, 'replace') ? 'yes' : 'no'),
  sort: storeOption,
  georadius: storeOption,
  georadiusbymember: storeOption,
  geosearchstore: store(0, 1),
  zrangestore: store(0, 1),
  sdiffstore: store(0, 1),
  sinterstore: store(0, 1),
  sunionstore: store(0, 1),
  zdiffstore: store(0, 1),
  zinterstore: store(0, 1),
  zunionstore: store(0, 1),
};

function subcommand(name: string, args: Args): Repeatable {
  return (SUBCOMMANDS[name] ?? '').split(' ').includes(word(args[0])) ? 'yes' : 'no';
}

const TABLE: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ...HARMLESS.split(' ').map((name): [string, Rule] => [name, 'yes']),
  ...SAME.split(' ').map((name): [string, Rule] => [name, 'yes']),
  ...COUNTED.split(' ').map((name): [string, Rule] => [name, 'count']),
  ...Object.keys(SUBCOMMANDS).map((name): [string, Rule] => [
    name,
    (args) => subcommand(name, args),
  ]),
  ...Object.entries(BY_ARGUMENTS),
]);

/**
 * Whether a command may run again. First our own table, then the flag `readonly` of `@ioredis/commands`
 * (generated from COMMAND of Redis); a command that neither knows may not. WAIT may not either: on
 * another connection it answers at once for writes which that one never made.
 *
 * @param name in lower case
 */
export function repeatable(name: string, args: readonly Argument[]): Repeatable {
  const rule = TABLE.get(name);
  if (rule !== undefined) return typeof rule === 'function' ? rule(args) : rule;
  return isReadOnly(name) ? 'yes' : 'no';
}

/** Whether the command changes nothing, whatever its arguments. */
export function isReadOnly(name: string): boolean {
  return exists(name) && hasFlag(name, 'readonly');
}

/** Whether the command may wait for others to write: BLPOP, XREADGROUP BLOCK and their like. */
export function isBlocking(name: string, args: readonly Argument[]): boolean {
  if (!exists(name) || !hasFlag(name, 'blocking')) return false;
  return name === 'xread' || name === 'xreadgroup' ? has(args, 0, 'block') : true;
}

/** Whether the server refuses the command inside a script. */
export function isBarredFromScripts(name: string): boolean {
  return !exists(name) || hasFlag(name, 'noscript');
}
