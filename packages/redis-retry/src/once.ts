import { createHash } from 'node:crypto';
import { OptionError } from '@outlast/core-retry';
import { duration, invalidOption } from '@outlast/core-retry/connector';
import type { Redis as DriverRedis, RedisCommander } from 'ioredis';
import { text } from './args.js';
import { isBarredFromScripts, isBlocking } from './commands.js';
import { type Argument, type Command, CommandClass } from './driver.js';
import { warnOfEviction } from './eviction.js';
import { onceKey } from './once-key.js';
import { REPEATABLE } from './repeatable.js';

/** Options of `exactlyOnce`. */
export interface OnceOptions {
  /** How long the reply is kept, and with it the promise, in milliseconds. Default 24 hours. */
  readonly ttlMs?: number;
}

/** The commands of a client under one operation id. */
export type OnceCommands = Pick<
  DriverRedis,
  Exclude<keyof RedisCommander & keyof DriverRedis, 'multi' | 'exec' | 'pipeline'>
>;

const DAY_MS = 24 * 60 * 60 * 1000;
// Lua cannot take more arguments at once: "too many results to unpack" at 8000.
const MOST_ARGUMENTS = 7000;
// Of these RESP3 answers lists with null in them, where a list of Lua would end.
const HAS_NULLS: ReadonlySet<string> = new Set(
  'mget hmget zmscore geopos hgetdel hgetex hrandfield'.split(' '),
);
const MISMATCH = 'OUTLASTMISMATCH';

/**
 * The key is reserved before the command runs, so that what cannot be stored (out of memory) does not run
 * either: once a script has written, Redis refuses it nothing any more. A command that fails has changed
 * nothing and leaves nothing. KEYS: those of the command, then that of the reply. ARGV: time to live, hash,
 * RESP version of the reply, the command.
 */
const LUA = `
local key = KEYS[#KEYS]
local stored = redis.call('GET', key)
if tonumber(ARGV[3]) == 3 then redis.setresp(3) end
if stored then
  if string.sub(stored, 1, 40) ~= ARGV[2] then
    return redis.error_reply('${MISMATCH} another command ran under this operation id')
  end
  return cmsgpack.unpack(string.sub(stored, 41))[1]
end
local reserved = redis.pcall('SET', key, ARGV[2], 'PX', ARGV[1])
if reserved.err then return reserved end
local reply = redis.pcall(unpack(ARGV, 4))
if type(reply) == 'table' and reply.err then
  redis.call('DEL', key)
  return reply
end
redis.call('SET', key, ARGV[2] .. cmsgpack.pack({ reply }), 'PX', ARGV[1])
return reply
`;
const SHA = createHash('sha1').update(LUA).digest('hex');

/** What `exactlyOnce` needs of a client: a `Redis` or a `Cluster`. */
export interface OnceClient {
  readonly options: object;
  readonly isCluster: boolean;
  sendCommand(command: Command): unknown;
}

/**
 * The client's commands, each of which is sent as a script that does it and stores its reply.
 *
 * @throws OptionError for a bad id or time to live
 */
export function exactlyOnce(
  client: OnceClient,
  id: unknown,
  options: OnceOptions = {},
): OnceCommands {
  if (typeof id !== 'string' || id === '') {
    throw invalidOption('exactlyOnce(id)', id, 'a text that is not empty');
  }
  const { ttlMs = DAY_MS } = options;
  const valid = duration({ min: 1 })(ttlMs);
  if (valid !== undefined) throw invalidOption('exactlyOnce.ttlMs', ttlMs, valid);
  // All methods of the client make a command and hand it to `this.sendCommand`.
  return Object.create(client, {
    sendCommand: { value: (command: Command) => send(client, command, id, Math.ceil(ttlMs)) },
    // Pipelines send nothing one by one.
    options: { value: Object.create(client.options, { enableAutoPipelining: { value: false } }) },
    pipeline: { value: refusePipeline },
    multi: { value: refusePipeline },
  }) as OnceCommands;
}

function refusePipeline(): never {
  throw new OptionError('exactlyOnce', 'takes one command an id; it has no pipeline and no multi.');
}

function send(client: OnceClient, command: Command, id: string, ttlMs: number): unknown {
  const problem = problemOf(command);
  if (problem !== undefined) {
    const name = command.name.toLowerCase();
    command.reject(new OptionError('exactlyOnce', `cannot run ${name}: ${problem}.`));
    return command.promise;
  }
  warnOfEviction(client);
  const { replyMapping, protocol, keyPrefix } = client.options as Record<string, unknown>;
  const mapped = replyMapping === 'resp3' && protocol !== 2;
  const resp = mapped && !HAS_NULLS.has(command.name.toLowerCase()) ? 3 : 2;
  const keys = [...command.getKeys()];
  keys.push(onceKey(String(keyPrefix ?? ''), id, keys[0] as string | Buffer, client.isCluster));
  const hash = hashOf(command);
  const argv = [ttlMs, hash, resp, command.name, ...command.args];
  const carry = (first: string, name: string): Promise<unknown> => {
    const carrier = new CommandClass(name, [first, keys.length, ...keys, ...argv], {
      replyEncoding: null,
    });
    carrier[REPEATABLE] = true;
    client.sendCommand(carrier);
    return carrier.promise;
  };
  carry(SHA, 'evalsha')
    .catch((error: Error) => {
      // Nothing ran: the server does not know the script yet.
      if (!/^NOSCRIPT/.test(error.message)) throw error;
      return carry(LUA, 'eval');
    })
    .then(
      (reply) => {
        command.resolve(reply);
      },
      (error: Error) => command.reject(explained(error, command)),
    );
  return command.promise;
}

/** Why a command cannot be one that runs once, or undefined. */
function problemOf(command: Command): string | undefined {
  const name = command.name.toLowerCase();
  if (isBlocking(name, command.args)) return 'it blocks';
  if (command.getKeys().length === 0) return 'it has no key';
  if (isBarredFromScripts(name)) return 'Redis does not run it in a script';
  if (command.args.length > MOST_ARGUMENTS) return `it has more than ${MOST_ARGUMENTS} arguments`;
  return undefined;
}

/** Of name and arguments, each with its length, so that no two commands have the same. */
function hashOf(command: Command): string {
  const hash = createHash('sha1').update(command.name.toLowerCase());
  for (const arg of command.args as readonly Argument[]) {
    const bytes = Buffer.from(text(arg), 'latin1');
    hash.update(`\n${bytes.length}\n`).update(bytes);
  }
  return hash.digest('hex');
}

function explained(error: Error, command: Command): Error {
  if (!error.message.startsWith(MISMATCH)) {
    // The caller knows his command, and none of our script.
    if ('command' in error) error.command = { name: command.name, args: command.args };
    return error;
  }
  return new OptionError(
    'exactlyOnce(id)',
    'was used for another command or other arguments before. One id is one operation.',
  );
}
