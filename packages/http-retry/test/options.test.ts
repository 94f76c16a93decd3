import { isOptionError } from '@outlast/core-retry';
import axios from 'axios';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { download, httpRetry, withRetry } from '../src/index.js';

afterEach(() => vi.unstubAllEnvs());

const thrown = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    expect(isOptionError(error)).toBe(true);
    return (error as Error).message;
  }
  throw new Error('It was expected to throw.');
};

describe('a client', () => {
  it('has three attempts, 2 s to 30 s between them, and repeats nothing by itself', () => {
    const { policy } = withRetry(axios.create());
    expect(policy.settings).toMatchObject({
      maxAttempts: 3,
      baseDelayMs: 2000,
      maxDelayMs: 30_000,
      idempotent: false,
    });
  });

  it('reads HTTP_RETRY_ variables, below options in code', () => {
    vi.stubEnv('HTTP_RETRY_MAX_ATTEMPTS', '7');
    vi.stubEnv('HTTP_RETRY_BASE_DELAY', '0.25');
    expect(httpRetry().settings).toMatchObject({ maxAttempts: 7, baseDelayMs: 250 });
    expect(httpRetry({ maxAttempts: 2 }).settings.maxAttempts).toBe(2);
  });

  it.each([
    [{ maxAttempt: 3 }, /maxAttempt is not an option. Did you mean maxAttempts\?/],
    [{ maxAttempts: 0 }, /retry\.maxAttempts must be a whole number, 1 or more.*got 0/],
    [{ waitMs: -1 }, /retry\.waitMs must be a number of milliseconds/],
  ])('refuses %j', (options, message) => {
    expect(thrown(() => withRetry(axios.create(), options as object))).toMatch(message);
  });

  it('refuses a bad variable by its name', () => {
    vi.stubEnv('HTTP_RETRY_WAIT', 'long');
    expect(thrown(() => withRetry(axios.create()))).toMatch(/HTTP_RETRY_WAIT.*long/);
  });

  it('refuses what is no instance', () => {
    expect(thrown(() => withRetry({} as never))).toMatch(/must be an instance of axios/);
  });

  it.each([
    [{ retry: 3 }, /retry must be an object of options, or false/],
    [{ retry: { waitMs: 'x' } }, /retry\.waitMs must be a number of milliseconds/],
    [{ retry: { data: 'x' } }, /retry\.data must be a function that returns the body/],
    [{ retry: { maxAttemps: 2 } }, /Did you mean maxAttempts/],
  ])('refuses a request with %j', async (config, message) => {
    const error = await withRetry(axios.create())
      .get('http://127.0.0.1:1/', config as object)
      .catch((e) => e);
    expect(isOptionError(error)).toBe(true);
    expect(error.message).toMatch(message);
  });
});

describe('a download', () => {
  it.each([
    [{ expectedSize: -1 }, /expectedSize must be a whole number, 0 or more/],
    [{ sha256: 'abc' }, /sha256 must be true, false or a SHA-256 in 64 hex digits/],
    [{ resume: 'maybe' }, /resume must be 'validator', 'size', 'auto' or false/],
    [{ resume: 'size' }, /resume 'size' needs expectedSize/],
    [{ idleTimeout: 1 }, /idleTimeout is not an option. Did you mean idleTimeoutMs/],
    [{ client: {} }, /client must be an instance of axios/],
    [{ maxRedirects: -1 }, /maxRedirects must be a whole number/],
    [{ retry: 3 }, /retry must be an object/],
    [{ retry: { waitMs: 'long' } }, /retry\.waitMs must be a number of milliseconds/],
    [{ retry: { fallback: () => 'old' } }, /retry\.fallback is for answers of requests/],
    [{ retry: { retryResult: () => true } }, /retry\.retryResult is for answers of requests/],
    [{ client: withRetry(axios.create()), policy: httpRetry() }, /policy is for .*plain axios/],
    [{ client: withRetry(axios.create()), retry: { breaker: true } }, /breaker must be/],
  ])('refuses %j', async (options, message) => {
    const error = await download('http://127.0.0.1:1/f', '/tmp/f', options as object).catch(
      (e) => e,
    );
    expect(isOptionError(error)).toBe(true);
    expect(error.message).toMatch(message);
  });

  it('refuses a bad URL, a bad path and a folder', async () => {
    for (const [url, path] of [
      ['', '/tmp/f'],
      ['no url', '/tmp/f'],
      ['http://127.0.0.1:1/', ''],
      ['http://127.0.0.1:1/', '/tmp'],
    ]) {
      expect(isOptionError(await download(url as string, path as string).catch((e) => e))).toBe(
        true,
      );
    }
  });
});
