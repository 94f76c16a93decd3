import { isOptionError, RetryPolicy, retryOptionsFromObject } from '@outlast/core-retry';
import { RETRY_OPTIONS } from '@outlast/core-retry/connector';
import { describe, expect, it } from 'vitest';

function thrownBy(object: unknown, where?: string): Error {
  try {
    retryOptionsFromObject(object as Record<string, unknown>, where);
  } catch (error) {
    expect(isOptionError(error)).toBe(true);
    return error as Error;
  }
  throw new Error('expected it to throw');
}

describe('retryOptionsFromObject', () => {
  it('takes camelCase keys in milliseconds', () => {
    const options = {
      maxAttempts: 5,
      baseDelayMs: 250,
      maxDelayMs: 9000,
      backoffFactor: 3,
      jitter: 'full',
      attemptTimeoutMs: 100,
      totalTimeoutMs: 5000,
      idempotent: false,
      unref: true,
      operation: 'pg.query',
    };
    expect(retryOptionsFromObject(options)).toEqual(options);
    expect(new RetryPolicy(retryOptionsFromObject(options)).settings).toMatchObject(options);
  });

  it('takes every option of a policy', () => {
    for (const key of Object.keys(RETRY_OPTIONS)) {
      expect(thrownBy({ [key]: Symbol('never valid') }).message).toContain(`retry.${key} must be `);
    }
  });

  it.each([
    ['max_attempts', 4, { maxAttempts: 4 }],
    ['max_retries', 4, { maxAttempts: 5 }],
    ['max_retries', 0, { maxAttempts: 1 }],
    ['base_delay', 0.5, { baseDelayMs: 500 }],
    ['initial_delay', 2, { baseDelayMs: 2000 }],
    ['sleep_time', 5, { baseDelayMs: 5000 }],
    ['max_delay', 60, { maxDelayMs: 60_000 }],
    ['backoff_factor', 1.5, { backoffFactor: 1.5 }],
    ['exponential_base', 2, { backoffFactor: 2 }],
    ['backoff', 3, { backoffFactor: 3 }],
    ['jitter', true, { jitter: true }],
    ['jitter_factor', 0.25, { jitter: 0.25 }],
    ['attempt_timeout', 10, { attemptTimeoutMs: 10_000 }],
    ['total_timeout', 0.5, { totalTimeoutMs: 500 }],
    ['operation_name', 'save', { operation: 'save' }],
  ])('takes snake_case in seconds: %s %s', (key, value, options) => {
    expect(retryOptionsFromObject({ [key]: value })).toEqual(options);
  });

  it('null and undefined count as not given', () => {
    expect(retryOptionsFromObject({ max_delay: null, jitter: undefined, maxAttempts: 2 })).toEqual({
      maxAttempts: 2,
    });
  });

  it.each([
    [{ maxAttempts: 3, max_attempts: 3 }, 'retry.max_attempts says the same as retry.maxAttempts'],
    [{ max_retries: 3, max_attempts: 3 }, 'retry.max_attempts says the same as retry.max_retries'],
    [{ base_delay: 1, baseDelayMs: 5 }, 'retry.baseDelayMs says the same as retry.base_delay'],
    [{ backoff: 2, exponential_base: 2 }, 'retry.exponential_base says the same as retry.backoff'],
  ])('two keys for one option are refused: %j', (object, says) => {
    expect(thrownBy(object).message).toBe(`${says}. Keep one of them.`);
  });

  it.each([
    [{ max_attempts: '3' }, 'retry.max_attempts', 'a whole number, 1 or more'],
    [{ max_attempts: 0 }, 'retry.max_attempts', 'a whole number, 1 or more'],
    [{ max_retries: -1 }, 'retry.max_retries', 'a whole number of retries, 0 or more'],
    [{ max_retries: 1.5 }, 'retry.max_retries', 'a whole number of retries, 0 or more'],
    [{ max_retries: 'two' }, 'retry.max_retries', "got 'two' (string)"],
    [{ base_delay: -1 }, 'retry.base_delay', 'a number of seconds, 0 or more'],
    [{ base_delay: '1' }, 'retry.base_delay', "got '1' (string)"],
    [{ max_delay: Number.NaN }, 'retry.max_delay', 'got NaN (number)'],
    [{ total_timeout: Infinity }, 'retry.total_timeout', 'got Infinity (number)'],
    [{ jitter_factor: 2 }, 'retry.jitter_factor', 'a ratio from 0 to 1'],
    [{ backoff: 0 }, 'retry.backoff', 'a number from 1 to 1000'],
    [{ operation_name: '' }, 'retry.operation_name', 'a text that is not empty'],
    [{ maxAttempts: Number.NaN }, 'retry.maxAttempts', 'got NaN (number)'],
  ])('a bad value is refused under the name that the caller wrote: %j', (object, name, says) => {
    const error = thrownBy(object);
    expect(error).toMatchObject({ option: name });
    expect(error.message).toContain(`${name} must be `);
    expect(error.message).toContain(says);
  });

  it.each([
    [{ max_atempts: 3 }, 'retry.max_atempts is not an option. Did you mean max_attempts?'],
    [{ maxAttemps: 3 }, 'retry.maxAttemps is not an option. Did you mean maxAttempts?'],
    [{ wibble: 3 }, 'retry.wibble is not an option. Known are: maxAttempts, '],
    [{ constructor: 3 }, 'retry.constructor is not an option.'],
    [JSON.parse('{"__proto__": 3}'), 'retry.__proto__ is not an option.'],
  ])('an unknown key is refused: %j', (object, says) => {
    expect(thrownBy(object).message).toContain(says);
  });

  it('names what it reads', () => {
    expect(thrownBy({ jitter: 5 }, 'services.db').message).toContain('services.db.jitter must be');
  });

  it.each([null, undefined, 'max_attempts=3', 5, [{ maxAttempts: 3 }]])(
    '%j is no object of options',
    (object) => {
      expect(thrownBy(object).message).toContain('retry must be an object of options; got ');
    },
  );
});
