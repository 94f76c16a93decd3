import { isOptionError, type OptionError } from '@outlast/core-retry';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createConnection, createPool, mysqlRetry } from '../src/index.js';
import { poolSettings, type RetryPoolOptions, splitOptions } from '../src/options.js';

function refusal(options: unknown): OptionError {
  try {
    poolSettings(options as RetryPoolOptions);
  } catch (error) {
    if (isOptionError(error)) return error;
    throw error;
  }
  throw new Error('It was expected to be refused.');
}

describe('the options of a pool', () => {
  it('have the documented defaults', () => {
    const { policy, driver, ...settings } = poolSettings({});
    expect(policy.settings).toMatchObject({
      maxAttempts: 4,
      baseDelayMs: 1000,
      maxDelayMs: 30_000,
      attemptTimeoutMs: Infinity,
      totalTimeoutMs: Infinity,
      idempotent: false,
    });
    expect(policy.settings.budget).toBeDefined();
    expect(driver).toEqual({});
    expect(settings).toEqual({
      waitMs: 30_000,
      resolveWrites: false,
      acquireTimeoutMs: Infinity,
      pingAfterIdleMs: 5000,
      livenessMs: 10_000,
      hosts: [],
      target: 'any',
    });
    expect(poolSettings({ hosts: ['a'] }).target).toBe('primary');
  });

  const bad: Readonly<Record<string, readonly unknown[]>> = {
    resolveWrites: ['yes', 1, null],
    acquireTimeoutMs: [0, -1, Number.NaN, '5', null],
    pingAfterIdleMs: [-1, Number.NaN, '5', null],
    livenessMs: [0, -1, Number.NaN, '5', null],
    target: ['master', '', 1, null],
    hosts: [[], 'a:3306', null, {}],
    retry: [true, 'yes', 3],
  };
  const cases = Object.entries(bad).flatMap(([key, values]) =>
    values.map((value) => [key, value] as const),
  );

  it.each(cases)('refuse %s = %j, and say what is valid', (key, value) => {
    const error = refusal({ [key]: value });
    expect(error.option).toBe(key);
    expect(error.message).toMatch(new RegExp(`^${key} must be .+\\.$`));
  });

  it.each([
    ['a:0', 'hosts[0].port'],
    ['a:65536', 'hosts[0].port'],
    ['a:b', 'hosts[0]'],
    ['::1', 'hosts[0]'],
    [{ port: 1 }, 'hosts[0]'],
    [{ host: '' }, 'hosts[0]'],
    [{ host: 'a', port: 1.5 }, 'hosts[0].port'],
    [7, 'hosts[0]'],
  ])('refuse the host %j', (host, option) => {
    expect(refusal({ hosts: [host] }).option).toBe(option);
  });

  it('take hosts as texts and as objects', () => {
    expect(
      poolSettings({ hosts: ['a', 'b:3307', '[::1]:3308', { host: 'c', port: 1 }] }).hosts,
    ).toEqual([
      { host: 'a', port: 3306 },
      { host: 'b', port: 3307 },
      { host: '::1', port: 3308 },
      { host: 'c', port: 1 },
    ]);
  });

  it.each([
    [{ retry: { maxAttempts: 0 } }, 'retry.maxAttempts'],
    [{ retry: { baseDelayMs: -1 } }, 'retry.baseDelayMs'],
    [{ retry: { waitMs: '1' } }, 'retry.waitMs'],
    [{ retry: { maxAttempt: 3 } }, 'retry.maxAttempt'],
    [{ resolveWrite: true }, 'resolveWrite'],
    [{ liveness: 1 }, 'liveness'],
    [{ acquireTimeout: 1 }, 'acquireTimeout'],
    [{ retrys: {} }, 'retrys'],
    [{ targets: 'any' }, 'targets'],
  ])('refuse %j, naming %s', (options, option) => {
    expect(refusal(options).option).toBe(option);
  });

  it.each([[null], [undefined], [7]])('refuse %j in their place', (options) => {
    expect(refusal(options).message).toContain('a URI or an object of options');
  });

  it('reach the driver without ours, and leave the caller’s objects as they are', () => {
    const ssl = Object.freeze({ ca: 'x' });
    const options = Object.freeze({
      host: 'h',
      user: 'u',
      ssl,
      connectionLimit: 3,
      retry: Object.freeze({ maxAttempts: 2 }),
      resolveWrites: true,
      livenessMs: 1,
      pingAfterIdleMs: 1,
      acquireTimeoutMs: 1,
    });
    const { driver } = poolSettings(options as RetryPoolOptions);
    expect(driver).toEqual({ host: 'h', user: 'u', ssl: { ca: 'x' }, connectionLimit: 3 });
    const warned = vi.spyOn(console, 'error').mockImplementation(() => {});
    void createPool(options as unknown as RetryPoolOptions).end();
    expect(warned).not.toHaveBeenCalled();
    warned.mockRestore();
    expect(poolSettings('mysql://u@h/d').driver).toBe('mysql://u@h/d');
  });

  it('are refused before anything is connected, by createConnection too', async () => {
    const made = createConnection({ retry: { maxAttempts: 0 } });
    await expect(made).rejects.toThrow(/retry\.maxAttempts must be/);
    expect(() => createPool({ retry: { maxAttempts: 0 } })).toThrow(/retry\.maxAttempts must be/);
    expect(() => mysqlRetry({ maxAttempts: 0 })).toThrow(/retry\.maxAttempts must be/);
    expect(mysqlRetry().settings).toMatchObject({ maxAttempts: 4, idempotent: false });
  });
});

describe('the environment', () => {
  afterEach(() => vi.unstubAllEnvs());

  it('is read under three names, variable by variable, and code wins over it', () => {
    vi.stubEnv('MYSQL_RETRY_MAX_ATTEMPTS', '7');
    vi.stubEnv('DB_RETRY_MAX_ATTEMPTS', '8');
    vi.stubEnv('DB_RETRY_BASE_DELAY', '0.5');
    vi.stubEnv('DATABASE_RETRY_BASE_DELAY', '9');
    vi.stubEnv('DATABASE_RETRY_MAX_DELAY', '10');
    vi.stubEnv('MYSQL_RETRY_WAIT', '');
    vi.stubEnv('DB_RETRY_WAIT', '2');
    const { policy, waitMs } = poolSettings({});
    expect(policy.settings).toMatchObject({ maxAttempts: 7, baseDelayMs: 500, maxDelayMs: 10_000 });
    expect(waitMs).toBe(2000);
    expect(poolSettings({ retry: { maxAttempts: 2 } }).policy.settings.maxAttempts).toBe(2);
  });

  it('turns everything off with ENABLED=false, and stops what it cannot read', () => {
    vi.stubEnv('DB_RETRY_ENABLED', 'false');
    expect(poolSettings({})).toMatchObject({ waitMs: 0 });
    expect(poolSettings({}).policy.settings.maxAttempts).toBe(1);
    vi.stubEnv('DATABASE_RETRY_MAX_ATTEMPTS', 'many');
    expect(refusal({}).message).toMatch(/DATABASE_RETRY_MAX_ATTEMPTS.*many/);
  });
});

describe('the options of a statement', () => {
  it('are the caller’s own object, where none of ours is in it', () => {
    const options = { sql: 'select 1', timeout: 5, nestTables: true };
    expect(splitOptions(options)).toEqual({ extras: undefined, driver: options });
    expect(splitOptions(options).driver).toBe(options);
  });

  it('are taken apart, where one is', () => {
    const options = Object.freeze({ sql: 'select 1', values: [1], idempotent: true, timeout: 5 });
    expect(splitOptions(options)).toEqual({
      extras: { idempotent: true },
      driver: { sql: 'select 1', values: [1], timeout: 5 },
    });
  });

  it.each([
    [{ idempotent: 'yes' }, 'query.idempotent'],
    [{ resolveWrites: 1 }, 'query.resolveWrites'],
    [{ idempotant: true }, 'query.idempotant'],
    [{ totalTimeout: 5 }, 'query.totalTimeout'],
  ])('refuse %j, naming %s', (extras, option) => {
    expect(() => splitOptions({ sql: 'select 1', ...extras })).toThrow(option);
  });
});
