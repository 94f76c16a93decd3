import { checkOptions, duration, type Known } from '@outlast/core-retry/connector';
import type { BreakerSnapshot, BreakerStore, ProbeClaim } from './breaker-store-contract.js';
import type { RetryRedisOptions } from './options.js';
import { Redis } from './redis.js';

/** Where a {@link RedisBreakerStore} keeps its state. */
export interface RedisBreakerStoreOptions {
  /** Where Redis is: what `new Redis(…)` takes. The store has a connection of its own. */
  readonly connection?: string | RetryRedisOptions;
  /** Stands before the keys. Default `outlast:breaker:`. */
  readonly keyPrefix?: string;
  /** How long a key that nobody writes is kept, in milliseconds. Default 24 hours. */
  readonly ttlMs?: number;
  /** After how long a call is given up, in milliseconds. Default 200. */
  readonly timeoutMs?: number;
}

const KNOWN: Known<RedisBreakerStoreOptions> = {
  connection: undefined,
  keyPrefix: (value) => (typeof value === 'string' ? undefined : 'a text'),
  ttlMs: duration({ min: 1 }),
  timeoutMs: duration({ min: 1 }),
};

const DAY_MS = 24 * 60 * 60 * 1000;
const DEFAULT_TIMEOUT_MS = 200;
/** Nobody waits for long, and so not many do. */
const MAX_QUEUED = 1000;

/** The fence only grows: whoever holds an older one has lost his lease to somebody else. */
const SAVE = `
local fence = ARGV[3]
if fence ~= '' then
  if tonumber(redis.call('HGET', KEYS[1], 'fence') or '0') > tonumber(fence) then return 0 end
  redis.call('HDEL', KEYS[1], 'lease')
end
redis.call('HSET', KEYS[1], 'snapshot', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
`;

/** Leases are measured by the clock of Redis, the only one that all processes share. */
const CLAIM = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local snapshot = redis.call('HGET', KEYS[1], 'snapshot')
local lease = tonumber(redis.call('HGET', KEYS[1], 'lease') or '0')
if lease > now then return { 0, '', snapshot } end
local fence = redis.call('HINCRBY', KEYS[1], 'fence', 1)
redis.call('HSET', KEYS[1], 'lease', now + ARGV[1])
redis.call('PEXPIRE', KEYS[1], math.max(tonumber(ARGV[2]), tonumber(ARGV[1])))
return { 1, tostring(fence), snapshot }
`;

interface Commands {
  outlastSave(key: string, snapshot: string, ttlMs: number, fence: string): Promise<number>;
  outlastClaim(
    key: string,
    leaseMs: number,
    ttlMs: number,
  ): Promise<[granted: number, fence: string, snapshot: string | null]>;
}

/**
 * Breakers of many processes and machines share their state in Redis. A half-open breaker's probe is
 * leased, so that a fleet sends one and not a thousand; the result of a probe whose lease was lost to
 * another is ignored. A Redis that is down rejects within `timeoutMs`, or at once, and the breaker goes on
 * by what it knows itself.
 *
 * @throws OptionError for an unknown key or a bad value
 */
export class RedisBreakerStore implements BreakerStore {
  private readonly redis: Redis & Commands;
  private readonly keyPrefix: string;
  private readonly ttlMs: number;

  constructor(options: RedisBreakerStoreOptions = {}) {
    checkOptions('RedisBreakerStore', options, KNOWN);
    const { connection = {}, keyPrefix = 'outlast:breaker:', ttlMs = DAY_MS } = options;
    this.keyPrefix = keyPrefix;
    this.ttlMs = Math.ceil(ttlMs);
    const own: RetryRedisOptions = {
      commandTimeout: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      retry: { maxAttempts: 1, waitMs: 0, maxQueued: MAX_QUEUED },
      connectionName: 'outlast-breaker-store',
    };
    const redis =
      typeof connection === 'string'
        ? new Redis(connection, own)
        : new Redis({ ...connection, ...own });
    redis.defineCommand('outlastSave', { lua: SAVE, numberOfKeys: 1 });
    redis.defineCommand('outlastClaim', { lua: CLAIM, numberOfKeys: 1 });
    this.redis = redis as Redis & Commands;
  }

  async load(key: string): Promise<BreakerSnapshot | undefined> {
    return parse(await this.redis.hget(this.keyPrefix + key, 'snapshot'));
  }

  async save(key: string, snapshot: BreakerSnapshot, fence = ''): Promise<void> {
    await this.redis.outlastSave(this.keyPrefix + key, JSON.stringify(snapshot), this.ttlMs, fence);
  }

  async claimProbe(key: string, leaseMs: number): Promise<ProbeClaim> {
    const name = this.keyPrefix + key;
    const [granted, fence, stored] = await this.redis.outlastClaim(
      name,
      Math.ceil(leaseMs),
      this.ttlMs,
    );
    const snapshot = parse(stored);
    return {
      granted: granted === 1,
      ...(granted === 1 ? { fence } : undefined),
      ...(snapshot === undefined ? undefined : { snapshot }),
    };
  }

  /** Closes the store's connection; later calls reject. */
  close(): void {
    this.redis.disconnect();
  }
}

// Whoever reads it checks what it says; here it must only be one.
function parse(stored: string | null): BreakerSnapshot | undefined {
  if (stored === null) return undefined;
  try {
    const snapshot: unknown = JSON.parse(stored);
    return typeof snapshot === 'object' && snapshot !== null
      ? (snapshot as BreakerSnapshot)
      : undefined;
  } catch {
    return undefined;
  }
}
