import { isOptionError, type OptionError } from '@outlast/core-retry';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Pool, pgRetry } from '../src/index.js';
import { poolSettings, type RetryPoolConfig } from '../src/options.js';

function refusal(config: unknown): OptionError {
  try {
    poolSettings(config as RetryPoolConfig);
  } catch (error) {
    if (isOptionError(error)) return error;
    throw error;
  }
  throw new Error('It was expected to be refused.');
}

describe('the options of a pool', () => {
  it('have the documented defaults', () => {
    const { policy, waitMs, resolveWrites, driver } = poolSettings();
    expect(policy.settings).toMatchObject({
      maxAttempts: 5,
      baseDelayMs: 1000,
      maxDelayMs: 30_000,
      backoffFactor: 2,
      jitter: 0.5,
      attemptTimeoutMs: Infinity,
      totalTimeoutMs: Infinity,
      idempotent: false,
    });
    expect(policy.settings.budget).toBeDefined();
    expect({ waitMs, resolveWrites, driver }).toEqual({
      waitMs: 30_000,
      resolveWrites: false,
      driver: {},
    });
  });

  it('wait as long as the schedule of maxAttempts would have slept, unless waitMs says otherwise', () => {
    const wait = (retry: object) => poolSettings({ retry }).waitMs;
    expect(wait({ maxAttempts: 1 })).toBe(0);
    expect(wait({ maxAttempts: 2, baseDelayMs: 100, jitter: false })).toBe(100);
    expect(wait({ maxAttempts: 4, baseDelayMs: 100, jitter: false })).toBe(700);
    expect(wait({ maxAttempts: 1, waitMs: 50 })).toBe(50);
    expect(wait({ baseDelayMs: 100 })).toBe(30_000);
    expect(wait({ waitMs: Infinity })).toBe(Infinity);
  });

  const bad: Readonly<Record<string, readonly unknown[]>> = {
    maxAttempts: [0, -1, 1.5, Number.NaN, '3', null, true],
    baseDelayMs: [-1, Number.NaN, Infinity, '1s', null],
    maxDelayMs: [-1, Number.NaN, Infinity, {}],
    backoffFactor: [0, 0.5, Number.NaN, Infinity, '2'],
    jitter: [-0.1, 1.1, Number.NaN, 'much', null],
    attemptTimeoutMs: [0, -1, Number.NaN, '5'],
    totalTimeoutMs: [0, -1, Number.NaN, '5'],
    waitMs: [-1, Number.NaN, '30', null],
    idempotent: ['yes', 1, null],
    classify: ['x', {}],
    retryIf: [true, 'x'],
    delayMs: [100],
    budget: [true, {}, 0.2],
    onRetry: ['x'],
    signal: [{}, 'x', true],
    unref: ['x', 1],
    operation: ['', 7],
    clock: [{}, Date],
    random: [0.5],
  };
  const cases = Object.entries(bad).flatMap(([key, values]) =>
    values.map((value) => [key, value] as const),
  );

  it.each(cases)('refuse retry.%s = %j, and say what is valid', (key, value) => {
    const error = refusal({ retry: { [key]: value } });
    expect(error.option).toBe(`retry.${key}`);
    expect(error.message).toMatch(new RegExp(`^retry\\.${key} must be .+; got .+\\.$`));
    if (typeof value === 'number') expect(error.message).toContain(`got ${value} (number)`);
    if (typeof value === 'string') expect(error.message).toContain(`got '${value}' (string)`);
  });

  it('are the same for pgRetry', () => {
    expect(() => pgRetry({ maxAttempts: 0 })).toThrow(/retry\.maxAttempts must be/);
    expect(pgRetry().settings).toMatchObject({ maxAttempts: 5, idempotent: false });
  });

  it('let attempts be unlimited only where something else is a limit', () => {
    expect(refusal({ retry: { maxAttempts: Infinity } }).message).toMatch(
      /totalTimeoutMs or a signal/,
    );
    poolSettings({ retry: { maxAttempts: Infinity, totalTimeoutMs: 1000 } });
    poolSettings({ retry: { maxAttempts: Infinity, signal: new AbortController().signal } });
  });

  it.each([
    [{ retry: { maxAttempt: 3 } }, 'retry.maxAttempt', 'maxAttempts'],
    [{ retry: { baseDelay: 3 } }, 'retry.baseDelay', 'baseDelayMs'],
    [{ retry: { waitms: 3 } }, 'retry.waitms', 'waitMs'],
    [{ resolveWrite: true }, 'resolveWrite', 'resolveWrites'],
    [{ resolvewrites: true }, 'resolvewrites', 'resolveWrites'],
    [{ retrys: {} }, 'retrys', 'retry'],
    [{ Retry: {} }, 'Retry', 'retry'],
  ])('refuse the unknown key in %j with a hint', (config, option, hint) => {
    const error = refusal(config);
    expect(error.option).toBe(option);
    expect(error.message).toContain(`Did you mean ${hint}?`);
  });

  it.each([[true], ['yes'], [3], [[]], [null]])('refuse retry: %j, which is no object', (retry) => {
    if (retry === null) expect(poolSettings({ retry } as never).waitMs).toBe(30_000);
    else expect(refusal({ retry }).option).toBe('retry');
  });

  it.each([[1], ['true'], [{}], [Number.NaN]])('refuse resolveWrites: %j', (resolveWrites) => {
    expect(refusal({ resolveWrites }).message).toMatch(/^resolveWrites must be true or false/);
  });

  it('hand the driver its own keys, the unknown ones too, and none of ours', () => {
    const { driver } = poolSettings({
      host: 'db',
      max: 3,
      idleTimeoutMillis: 1,
      ssl: false,
      whatever: 7,
      retry: { maxAttempts: 2 },
      resolveWrites: true,
    } as RetryPoolConfig);
    expect(driver).toEqual({ host: 'db', max: 3, idleTimeoutMillis: 1, ssl: false, whatever: 7 });
  });

  it('keep a password that the caller has hidden, hidden', () => {
    const config = Object.defineProperty({ host: 'db' }, 'password', { value: 'secret' });
    const { driver } = poolSettings(config);
    expect(driver.password).toBe('secret');
    expect(Object.keys(driver)).toEqual(['host']);
  });

  it('change nothing of what they are given', async () => {
    const retry = Object.freeze({ maxAttempts: 2 });
    const config = Object.freeze({ host: 'db', retry, resolveWrites: true });
    const pool = new Pool(config);
    expect(config).toEqual({ host: 'db', retry: { maxAttempts: 2 }, resolveWrites: true });
    expect(pool.options).not.toBe(config);
    await pool.end();
  });
});

describe('the environment of a pool', () => {
  afterEach(() => vi.unstubAllEnvs());

  it.each([
    ['MAX_ATTEMPTS', '7', { maxAttempts: 7 }],
    ['BASE_DELAY', '0.5', { baseDelayMs: 500 }],
    ['MAX_DELAY', '2', { maxDelayMs: 2000 }],
    ['BACKOFF_FACTOR', '3', { backoffFactor: 3 }],
    ['JITTER', '0.25', { jitter: 0.25 }],
    ['JITTER', 'full', { jitter: 'full' }],
    ['ATTEMPT_TIMEOUT', '4', { attemptTimeoutMs: 4000 }],
    ['TOTAL_TIMEOUT', '60', { totalTimeoutMs: 60_000 }],
  ])('%s=%s is read under every prefix, the first found wins', (suffix, text, wanted) => {
    for (const prefix of ['DATABASE_RETRY', 'DB_RETRY', 'PG_RETRY']) {
      vi.stubEnv(`${prefix}_${suffix}`, text);
      expect(poolSettings().policy.settings).toMatchObject(wanted);
      // What a later prefix says is not even looked at: its readers may be others.
      vi.stubEnv(`${prefix}_${suffix}`, suffix === 'JITTER' ? 'equal' : '1');
    }
  });

  it('is searched variable by variable', () => {
    vi.stubEnv('PG_RETRY_MAX_ATTEMPTS', '2');
    vi.stubEnv('DB_RETRY_MAX_ATTEMPTS', '3');
    vi.stubEnv('DB_RETRY_BASE_DELAY', '0.2');
    vi.stubEnv('DATABASE_RETRY_BASE_DELAY', '0.3');
    vi.stubEnv('DATABASE_RETRY_WAIT', '4');
    const { policy, waitMs } = poolSettings();
    expect(policy.settings).toMatchObject({ maxAttempts: 2, baseDelayMs: 200 });
    expect(waitMs).toBe(4000);
  });

  it('counts an empty variable as unset, and loses against code', () => {
    vi.stubEnv('PG_RETRY_MAX_ATTEMPTS', '');
    vi.stubEnv('DB_RETRY_MAX_ATTEMPTS', '3');
    expect(poolSettings().policy.settings.maxAttempts).toBe(3);
    expect(poolSettings({ retry: { maxAttempts: 9 } }).policy.settings.maxAttempts).toBe(9);
  });

  it('means one attempt and no waiting with ENABLED=false, whatever else it says', () => {
    vi.stubEnv('PG_RETRY_MAX_ATTEMPTS', '7');
    vi.stubEnv('PG_RETRY_WAIT', '7');
    vi.stubEnv('DATABASE_RETRY_ENABLED', 'false');
    const { policy, waitMs } = poolSettings();
    expect([policy.settings.maxAttempts, waitMs]).toEqual([1, 0]);
  });

  const bad: Readonly<Record<string, readonly string[]>> = {
    MAX_ATTEMPTS: ['0', '-1', '1.5', 'many', 'NaN', 'Infinity', '1e3'],
    BASE_DELAY: ['-1', '1s', 'NaN', 'Infinity', '1,5'],
    MAX_DELAY: ['-1', 'x'],
    WAIT: ['-1', 'x'],
    BACKOFF_FACTOR: ['0', '0.5', 'x', '1001'],
    JITTER: ['-0.1', '1.1', 'x'],
    ATTEMPT_TIMEOUT: ['0', '-1', 'x'],
    TOTAL_TIMEOUT: ['0', '-1', 'x'],
    ENABLED: ['maybe', '2'],
  };
  const cases = Object.entries(bad).flatMap(([suffix, texts]) =>
    texts.flatMap((text) =>
      ['PG_RETRY', 'DB_RETRY', 'DATABASE_RETRY'].map(
        (prefix) => [`${prefix}_${suffix}`, text] as const,
      ),
    ),
  );

  it.each(cases)('stops construction for %s=%s, and says what is valid', (name, text) => {
    vi.stubEnv(name, text);
    const error = refusal({});
    expect(error.option).toBe(name);
    expect(error.message).toContain(`'${text}'`);
    expect(error.message).toMatch(/must be /);
    expect(() => new Pool()).toThrow(error.message);
  });

  it('has a hint for a variable that is all but one of ours', () => {
    vi.stubEnv('PG_RETRY_MAX_ATEMPTS', '3');
    expect(refusal({}).message).toContain('Did you mean PG_RETRY_MAX_ATTEMPTS?');
  });
});
