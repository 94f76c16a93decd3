import { breakerOptionsFromEnv, CircuitBreaker, isOptionError } from '@outlast/core-retry';
import { describe, expect, it } from 'vitest';

describe('breakerOptionsFromEnv', () => {
  it('reads what is set, in seconds', () => {
    const env = {
      PG_BREAKER_FAILURE_THRESHOLD: '7',
      PG_BREAKER_RESET_TIMEOUT: '1.5',
      PG_BREAKER_MAX_OPEN_TIMEOUT: '90',
      PG_BREAKER_ENABLED: 'true',
      MYSQL_BREAKER_FAILURE_THRESHOLD: '9',
    };
    const options = breakerOptionsFromEnv('PG', env);
    expect(options).toEqual({
      failureThreshold: 7,
      resetTimeoutMs: 1500,
      maxOpenTimeoutMs: 90_000,
    });
    expect(new CircuitBreaker(options || {}).settings).toMatchObject(options || {});
  });

  it.each<[Record<string, string>, unknown]>([
    [{}, undefined],
    [{ PG_BREAKER_FAILURE_THRESHOLD: '  ' }, undefined],
    [{ PG_BREAKER_ENABLED: 'yes' }, {}],
    [{ PG_BREAKER_ENABLED: '0' }, false],
    [{ PG_BREAKER_ENABLED: 'off', PG_BREAKER_RESET_TIMEOUT: '5' }, false],
    [{ PG_BREAKER_RESET_TIMEOUT: ' 5 ' }, { resetTimeoutMs: 5000 }],
  ])('%j is %j', (env, options) => {
    expect(breakerOptionsFromEnv('PG', env)).toEqual(options);
  });

  it.each([
    ['PG_BREAKER_FAILURE_THRESHOLD', '0', 'a whole number, 1 or more'],
    ['PG_BREAKER_FAILURE_THRESHOLD', 'five', "got 'five'"],
    ['PG_BREAKER_RESET_TIMEOUT', '0', 'a number of seconds, 0.001 or more'],
    ['PG_BREAKER_RESET_TIMEOUT', '1e3', "got '1e3'"],
    ['PG_BREAKER_MAX_OPEN_TIMEOUT', '-1', 'a number of seconds'],
    ['PG_BREAKER_ENABLED', 'perhaps', "'true' or 'false'"],
    ['PG_BREAKER_FAILURE_TRESHOLD', '5', 'Did you mean PG_BREAKER_FAILURE_THRESHOLD?'],
  ])('%s=%s is refused by its name', (name, value, says) => {
    try {
      breakerOptionsFromEnv('PG', { [name]: value });
    } catch (error) {
      expect(isOptionError(error)).toBe(true);
      expect(error).toMatchObject({ option: name });
      expect((error as Error).message).toContain(says);
      return;
    }
    throw new Error('expected it to throw');
  });

  it('reads the environment of the process by default', () => {
    expect(breakerOptionsFromEnv('OUTLAST_TEST_NOBODY')).toBeUndefined();
  });
});
