import { isOptionError, RetryPolicy, retryOptionsFromEnv } from '@outlast/core-retry';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { connectorOptionsFromEnv } from '../src/options-env.js';

const PREFIXES = ['PG_RETRY', 'DB_RETRY', 'DATABASE_RETRY'];

// Variable, values with what they mean, values that are refused, and what is said to be valid.
const TABLE: readonly (readonly [
  string,
  readonly (readonly [string, object])[],
  readonly string[],
  string,
])[] = [
  [
    'MAX_ATTEMPTS',
    [
      ['1', { maxAttempts: 1 }],
      ['5', { maxAttempts: 5 }],
      [' 7 ', { maxAttempts: 7 }],
    ],
    ['0', '-1', '1.5', 'three', 'Infinity', 'NaN', '1e3', '0x10', '9'.repeat(20)],
    'a whole number, 1 or more',
  ],
  [
    'BASE_DELAY',
    [
      ['0', { baseDelayMs: 0 }],
      ['0.5', { baseDelayMs: 500 }],
      ['.25', { baseDelayMs: 250 }],
      ['2', { baseDelayMs: 2000 }],
    ],
    ['-1', '1s', '1,5', 'Infinity', '1e3', '0x1'],
    'a number of seconds, 0 or more',
  ],
  [
    'MAX_DELAY',
    [
      ['30', { maxDelayMs: 30_000 }],
      ['0', { maxDelayMs: 0 }],
    ],
    ['-1', 'long', 'NaN'],
    'a number of seconds, 0 or more',
  ],
  [
    'WAIT',
    [
      ['0', { waitMs: 0 }],
      ['45', { waitMs: 45_000 }],
    ],
    ['-0.5', 'forever', 'Infinity'],
    'a number of seconds, 0 or more',
  ],
  [
    'BACKOFF_FACTOR',
    [
      ['1', { backoffFactor: 1 }],
      ['1.5', { backoffFactor: 1.5 }],
    ],
    ['0.5', '0', '-2', '1001', 'two'],
    'a number, from 1 to 1000',
  ],
  [
    'JITTER',
    [
      ['0', { jitter: 0 }],
      ['0.3', { jitter: 0.3 }],
      ['.3', { jitter: 0.3 }],
      ['1', { jitter: 1 }],
      ['1.0', { jitter: 1 }],
      ['true', { jitter: true }],
      ['false', { jitter: false }],
      ['full', { jitter: 'full' }],
      ['equal', { jitter: 'equal' }],
      ['decorrelated', { jitter: 'decorrelated' }],
    ],
    ['1.1', '-0.1', 'some', '2', 'NaN'],
    "a ratio from 0 to 1, 'true', 'false', 'full', 'equal' or 'decorrelated'",
  ],
  [
    'ATTEMPT_TIMEOUT',
    [
      ['1.5', { attemptTimeoutMs: 1500 }],
      ['0.001', { attemptTimeoutMs: 1 }],
    ],
    ['0', '-1', 'Infinity'],
    'a number of seconds, 0.001 or more',
  ],
  [
    'TOTAL_TIMEOUT',
    [['60', { totalTimeoutMs: 60_000 }]],
    ['0', '-1', 'none'],
    'a number of seconds, 0.001 or more',
  ],
  [
    'ENABLED',
    [
      ['true', {}],
      ['YES', {}],
      ['1', {}],
      ['on', {}],
      ['false', { maxAttempts: 1, waitMs: 0 }],
      ['No', { maxAttempts: 1, waitMs: 0 }],
      ['0', { maxAttempts: 1, waitMs: 0 }],
      ['off', { maxAttempts: 1, waitMs: 0 }],
    ],
    ['maybe', '2', 'disabled'],
    "'true' or 'false'",
  ],
];

function thrownBy(env: Record<string, string>): unknown {
  try {
    connectorOptionsFromEnv(PREFIXES, env);
  } catch (error) {
    return error;
  }
  throw new Error('expected it to throw');
}

describe.each(TABLE)('the variable …_%s', (suffix, valid, invalid, says) => {
  it.each(valid)('%s means %j, under any prefix', (text, options) => {
    for (const prefix of PREFIXES) {
      expect(connectorOptionsFromEnv(PREFIXES, { [`${prefix}_${suffix}`]: text })).toEqual(options);
    }
  });

  it.each(invalid)('%s is refused, under any prefix', (text) => {
    for (const prefix of PREFIXES) {
      const name = `${prefix}_${suffix}`;
      const error = thrownBy({ [name]: text });
      expect(isOptionError(error)).toBe(true);
      expect(error).toMatchObject({ option: name });
      expect((error as Error).message).toBe(`${name} must be ${says}; got '${text}' (string).`);
    }
  });

  it('empty counts as unset, and the next prefix is asked', () => {
    const [text, options] = valid[0] as readonly [string, object];
    for (const empty of ['', '  ']) {
      expect(connectorOptionsFromEnv(PREFIXES, { [`PG_RETRY_${suffix}`]: empty })).toEqual({});
      const env = { [`PG_RETRY_${suffix}`]: empty, [`DATABASE_RETRY_${suffix}`]: text };
      expect(connectorOptionsFromEnv(PREFIXES, env)).toEqual(options);
    }
  });

  it('the first prefix that is set wins, however bad the later ones are', () => {
    const [text, options] = valid[0] as readonly [string, object];
    const env = {
      [`DATABASE_RETRY_${suffix}`]: 'bad',
      [`DB_RETRY_${suffix}`]: text,
    };
    expect(connectorOptionsFromEnv(PREFIXES, env)).toEqual(options);
  });
});

describe('retryOptionsFromEnv', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it('searches the prefixes variable by variable', () => {
    const env = {
      DATABASE_RETRY_MAX_ATTEMPTS: '9',
      DATABASE_RETRY_JITTER: 'full',
      DB_RETRY_MAX_ATTEMPTS: '5',
      PG_RETRY_BASE_DELAY: '0.1',
    };
    expect(connectorOptionsFromEnv(PREFIXES, env)).toEqual({
      maxAttempts: 5,
      baseDelayMs: 100,
      jitter: 'full',
    });
  });

  it('gives only the keys that are set', () => {
    expect(connectorOptionsFromEnv(PREFIXES, {})).toEqual({});
    expect(connectorOptionsFromEnv(PREFIXES, { PG_RETRY_MAX_ATTEMPTS: undefined })).toEqual({});
    expect(connectorOptionsFromEnv([], { PG_RETRY_MAX_ATTEMPTS: '2' })).toEqual({});
  });

  it('ENABLED=false overrides the other variables, of whatever prefix', () => {
    const env = {
      PG_RETRY_MAX_ATTEMPTS: '9',
      PG_RETRY_WAIT: '60',
      DATABASE_RETRY_ENABLED: 'false',
    };
    expect(connectorOptionsFromEnv(PREFIXES, env)).toEqual({ maxAttempts: 1, waitMs: 0 });
  });

  it('reads process.env unless told otherwise', () => {
    vi.stubEnv('PG_RETRY_MAX_ATTEMPTS', '4');
    expect(connectorOptionsFromEnv(['PG_RETRY'])).toEqual({ maxAttempts: 4 });
  });

  it.each([
    ['PG_RETRY_MAX_ATEMPTS', 'PG_RETRY_MAX_ATTEMPTS'],
    ['PG_RETRY_MAX_ATTEMPT', 'PG_RETRY_MAX_ATTEMPTS'],
    ['PG_RETRY_JITER', 'PG_RETRY_JITTER'],
    ['PG_RETRY_ENABLE', 'PG_RETRY_ENABLED'],
  ])('a typing error under the first prefix is refused: %s', (name, near) => {
    const error = thrownBy({ [name]: '5' });
    expect(isOptionError(error)).toBe(true);
    expect((error as Error).message).toContain(`${name} is not an environment variable of ours`);
    expect((error as Error).message).toContain(`Did you mean ${near}?`);
  });

  it('what only looks alike is left alone: other prefixes, far names, empty ones', () => {
    const env = {
      DB_RETRY_MAX_ATEMPTS: '5',
      PG_RETRY_POLICY_DOCUMENT: 'x',
      PG_RETRY_JITER: '',
      PG_RETRYING: '1',
      MY_PG_RETRY_JITER: '1',
    };
    expect(connectorOptionsFromEnv(PREFIXES, env)).toEqual({});
  });
});

describe('what a policy of one’s own takes from the environment', () => {
  const env = { MY_RETRY_ENABLED: 'false', MY_RETRY_WAIT: '5', MY_RETRY_JITTER: 'full' };

  it('goes into a policy as it is: a connector’s patience is left out', () => {
    const options = retryOptionsFromEnv(['MY_RETRY'], env);
    expect(options).toEqual({ maxAttempts: 1, jitter: 'full' });
    expect(new RetryPolicy(options).settings).toMatchObject(options);
  });

  it('is checked all the same', () => {
    expect(() => retryOptionsFromEnv(['MY_RETRY'], { MY_RETRY_WAIT: 'long' })).toThrow(
      'MY_RETRY_WAIT must be a number of seconds, 0 or more',
    );
  });
});
