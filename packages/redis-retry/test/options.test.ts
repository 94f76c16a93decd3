import { isOptionError } from '@outlast/core-retry';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Cluster, Redis, RedisBreakerStore, redisRetry, withRetry } from '../src/index.js';
import { clientSettings } from '../src/options.js';

afterEach(() => vi.unstubAllEnvs());

function refusal(make: () => unknown): { option: string; message: string } {
  try {
    make();
  } catch (error) {
    expect(isOptionError(error)).toBe(true);
    return error as { option: string; message: string };
  }
  throw new Error('it was accepted');
}

const lazy = { lazyConnect: true } as const;

describe('defaults', () => {
  it('are four attempts, 0.5 s to 10 s, and 30 s of patience', () => {
    const { policy, waitMs, maxQueued } = clientSettings(undefined, {});
    expect(policy.settings).toMatchObject({ maxAttempts: 4, baseDelayMs: 500, maxDelayMs: 10_000 });
    expect(policy.settings.idempotent).toBe(false);
    expect([waitMs, maxQueued]).toEqual([30_000, 100_000]);
  });

  it('take maxAttempts as a word about patience too', () => {
    expect(clientSettings({ maxAttempts: 1 }, {}).waitMs).toBe(0);
    expect(clientSettings({ maxAttempts: 3 }, {}).waitMs).toBe(1500);
  });

  it.each([
    [null, Infinity],
    [-1, Infinity],
    [0, 0],
    [1, 50],
    [3, 350],
    [20, 71_350],
    [undefined, 30_000],
  ] as const)(
    'take maxRetriesPerRequest: %s as the time it would have taken: %s',
    (retries, waitMs) => {
      expect(clientSettings(undefined, { maxRetriesPerRequest: retries }).waitMs).toBe(waitMs);
      expect(clientSettings({ waitMs: 7 }, { maxRetriesPerRequest: retries }).waitMs).toBe(7);
    },
  );
});

describe('the environment', () => {
  it('counts less than the code and more than the defaults', () => {
    vi.stubEnv('REDIS_RETRY_MAX_ATTEMPTS', '7');
    vi.stubEnv('REDIS_RETRY_BASE_DELAY', '0.25');
    vi.stubEnv('REDIS_RETRY_WAIT', '5');
    const { policy, waitMs } = clientSettings({ maxAttempts: 2 }, { maxRetriesPerRequest: null });
    expect(policy.settings).toMatchObject({ maxAttempts: 2, baseDelayMs: 250 });
    expect(waitMs).toBe(5000);
    expect(redisRetry().settings.maxAttempts).toBe(7);
  });

  it('can switch everything off', () => {
    vi.stubEnv('REDIS_RETRY_ENABLED', 'false');
    const { policy, waitMs } = clientSettings(undefined, {});
    expect([policy.settings.maxAttempts, waitMs]).toEqual([1, 0]);
  });

  it('is never ignored', () => {
    vi.stubEnv('REDIS_RETRY_MAX_DELAY', 'soon');
    expect(refusal(() => new Redis(lazy)).message).toContain('REDIS_RETRY_MAX_DELAY');
  });
});

describe('bad input', () => {
  it.each([
    [{ maxAttempts: 0 }, 'retry.maxAttempts'],
    [{ maxAttemps: 3 }, 'retry.maxAttemps'],
    [{ waitMs: -1 }, 'retry.waitMs'],
    [{ countReplies: 'never' }, 'retry.countReplies'],
    [{ blocking: true }, 'retry.blocking'],
    [{ maxQueued: 1.5 }, 'retry.maxQueued'],
    [{ maxQueue: 1 }, 'retry.maxQueue'],
    [{ livenessMs: 0 }, 'retry.livenessMs'],
    [{ livenesMs: 1 }, 'retry.livenesMs'],
    [{ idempotentCommands: 'bump' }, 'retry.idempotentCommands'],
    [{ idempotentCommands: [7] }, 'retry.idempotentCommands'],
    [[], 'retry'],
  ])('%j is refused by name', (retry, option) => {
    expect(refusal(() => new Redis({ ...lazy, retry: retry as object })).option).toBe(option);
    const cluster = (): Cluster => new Cluster([{ port: 1 }], { ...lazy, retry: retry as object });
    expect(refusal(cluster).option).toBe(option);
  });

  it('finds typing errors beside the driver’s own options', () => {
    const options = { ...lazy, retyr: {} };
    expect(refusal(() => new Redis(options)).message).toContain('retry?');
  });

  it.each(['http://localhost', 'postgres://u:canary@h/0', 'redis+tls://h'])(
    'refuses the URL %s',
    (url) => {
      const { message } = refusal(() => new Redis(url, lazy));
      expect(message).toContain('redis://');
      expect(message).not.toContain('canary');
    },
  );

  it.each(['redis://localhost:1', 'rediss://localhost:1', '/tmp/no.sock', '1', 'localhost:1'])(
    'takes %s',
    (url) => {
      const redis = new Redis(url, lazy);
      expect(redis.status).toBe('wait');
      redis.disconnect();
    },
  );

  it('of a call is refused too', () => {
    const redis = new Redis(lazy);
    expect(refusal(() => redis.with({ timeout: 5 } as never)).option).toContain('timeout');
    expect(refusal(() => redis.with({ totalTimeoutMs: 0 })).option).toContain('totalTimeoutMs');
    expect(refusal(() => redis.exactlyOnce('')).option).toBe('exactlyOnce(id)');
    expect(refusal(() => redis.exactlyOnce('a', { ttlMs: 0 })).option).toBe('exactlyOnce.ttlMs');
    expect(refusal(() => (redis.exactlyOnce('a') as Redis).pipeline()).option).toBe('exactlyOnce');
    expect(refusal(() => withRetry({} as never)).option).toBe('withRetry(client)');
    expect(refusal(() => new RedisBreakerStore({ prefix: 'x' } as never)).message).toContain(
      'prefix',
    );
    redis.disconnect();
  });
});

describe('what the driver sees', () => {
  it('has none of our keys, and the caller’s objects stay as they are', () => {
    const options = Object.freeze({
      ...lazy,
      retry: Object.freeze({ waitMs: 5 }),
      commandTimeout: 300,
      maxRetriesPerRequest: 2,
    });
    const redis = new Redis(options);
    expect('retry' in redis.options).toBe(false);
    // BullMQ looks for it; the driver would flush by it what was never sent.
    expect(redis.options.maxRetriesPerRequest).toBeNull();
    const copy = redis.duplicate();
    expect(copy).toBeInstanceOf(Redis);
    expect(copy.options.maxRetriesPerRequest).toBeNull();
    const made = Redis.createClient(lazy);
    expect(made).toBeInstanceOf(Redis);
    made.disconnect();
    redis.disconnect();
    copy.disconnect();
  });
});
