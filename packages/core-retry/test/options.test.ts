import {
  Bulkhead,
  CATEGORIES,
  CircuitBreaker,
  isOptionError,
  RetryBudget,
  type RetryOptions,
  RetryPolicy,
  type Settings,
} from '@outlast/core-retry';
import { invalidOption, nearest, RETRY_OPTIONS } from '@outlast/core-retry/connector';
import { ManualClock } from '@outlast/core-retry/testing';
import { describe, expect, it } from 'vitest';
import { checkOptions } from '../src/options-check.js';
import { bench, rejection } from './helpers.js';

interface Row {
  readonly valid: readonly unknown[];
  readonly invalid: readonly unknown[];
  /** What the message says would be valid. */
  readonly says: string;
}

const fn = () => true;
const foreignSignal = { aborted: false, addEventListener: fn, removeEventListener: fn };
const ms = [0, 0.5, 1, 30_000, Number.MAX_VALUE];
const notMs = [-1, Number.NaN, Infinity, -Infinity, '100', '1s', null, true, {}, []];
const notFn = [null, 1, 'fn', {}, [], true];
const wrongFlag = [0, 1, 'true', null, {}];
const bounded: Row = {
  valid: [1, 1.5, 1e9, Infinity],
  invalid: [0, 0.5, ...notMs.filter((value) => value !== Infinity)],
  says: 'a number of milliseconds, 1 or more, or Infinity',
};
const delay: Row = { valid: ms, invalid: notMs, says: 'a number of milliseconds, 0 or more' };
const callback: Row = { valid: [fn, class {}], invalid: notFn, says: 'a function' };
const classes: Row = {
  valid: [[], [Error], [TypeError, RangeError]],
  invalid: [Error, [new Error('no class')], ['Error'], null, {}, fn],
  says: 'an array of error classes',
};
const flag: Row = { valid: [true, false], invalid: wrongFlag, says: 'true or false' };

// A new option without a row here fails the first test.
const ROWS: Readonly<Record<keyof RetryOptions, Row>> = {
  maxAttempts: {
    valid: [1, 2, 1e6],
    invalid: [0, -1, 1.5, Number.NaN, -Infinity, '3', null, true, {}, 2 ** 53],
    says: 'a whole number, 1 or more, or Infinity',
  },
  baseDelayMs: delay,
  maxDelayMs: delay,
  backoffFactor: {
    valid: [1, 1.5, 2, 1000],
    invalid: [0, 0.99, -1, 1001, Number.NaN, Infinity, '2', null],
    says: 'a number from 1 to 1000',
  },
  jitter: {
    valid: [0, 0.5, 1, true, false, 'full', 'equal', 'decorrelated'],
    invalid: [-0.1, 1.1, Number.NaN, Infinity, 'none', 'FULL', '0.5', null, {}, []],
    says: "a ratio from 0 to 1, true, false, 'full', 'equal' or 'decorrelated'",
  },
  attemptTimeoutMs: bounded,
  totalTimeoutMs: bounded,
  idempotent: flag,
  classify: callback,
  retryIf: callback,
  delayMs: callback,
  budget: {
    valid: [false, new RetryBudget()],
    invalid: [true, null, {}, { ratio: 0.2 }, 0, 'none'],
    says: 'a RetryBudget, or false',
  },
  breaker: {
    valid: [false, new CircuitBreaker()],
    invalid: [true, null, {}, { failureThreshold: 5 }, 0, 'none'],
    says: 'a CircuitBreaker, or false',
  },
  bulkhead: {
    valid: [false, new Bulkhead({ maxConcurrent: 1 })],
    invalid: [true, null, {}, { maxConcurrent: 1 }, 0, 'none'],
    says: 'a Bulkhead, or false',
  },
  logger: {
    valid: [false, console, { info: fn, warn: fn, error: fn }],
    invalid: [true, null, {}, { info: fn, warn: fn }, 0, 'console'],
    says: 'a logger with the methods info, warn and error, or false',
  },
  retryOn: classes,
  neverRetry: classes,
  retryCategories: {
    valid: [[], ['network', 'timeout'], CATEGORIES],
    invalid: ['network', ['netwrk'], [1], null, {}, fn],
    says: `an array of categories: ${CATEGORIES.join(', ')}`,
  },
  // One that sends nothing back, or the call would wait for its turns.
  retryResult: { ...callback, valid: [() => false] },
  fallback: callback,
  onRetry: callback,
  signal: {
    valid: [new AbortController().signal, AbortSignal.abort(), foreignSignal],
    invalid: [
      { aborted: false, addEventListener: fn },
      new AbortController(),
      null,
      {},
      true,
      'signal',
      fn,
    ],
    says: 'an AbortSignal',
  },
  unref: flag,
  operation: {
    valid: ['pg.query', ' '],
    invalid: ['', null, 5, {}, fn],
    says: 'a text that is not empty',
  },
  clock: {
    valid: [new ManualClock()],
    invalid: [
      null,
      {},
      Date,
      { now: fn, setTimeout: fn },
      { now: 1, wallNow: 2, setTimeout: 3 },
      5,
    ],
    says: 'a Clock: { now, wallNow, setTimeout }',
  },
  random: callback,
};

function thrownBy(make: () => unknown): unknown {
  try {
    make();
  } catch (error) {
    return error;
  }
  throw new Error('expected it to throw');
}

/** Options whose `false` means none. */
const OR_FALSE = ['budget', 'breaker', 'bulkhead'];

const all = (which: 'valid' | 'invalid') =>
  Object.entries(ROWS).flatMap(([name, row]) =>
    row[which].map((value) => [name, value, row.says] as const),
  );

describe('the options of a policy', () => {
  it('every one has a row in this file', () => {
    expect(Object.keys(ROWS).toSorted()).toEqual(Object.keys(RETRY_OPTIONS).toSorted());
  });

  it.each(all('valid'))('%s may be %s', async (name, value) => {
    const policy = new RetryPolicy({ [name]: value });
    const { settings } = policy;
    if (name === 'logger')
      expect(settings.log).toBeTypeOf(value === false ? 'undefined' : 'function');
    else {
      const expected = OR_FALSE.includes(name) && value === false ? undefined : value;
      expect(settings[name as keyof Settings]).toBe(expected);
    }
    const call = { clock: new ManualClock(), [name]: value };
    expect(
      await bench()
        .policy.execute(() => 1, call)
        .catch((error: unknown) => error),
    ).toSatisfy((result: unknown) => !isOptionError(result));
  });

  it.each(all('invalid'))(
    '%s may not be %s, of a policy or of a call',
    async (name, value, says) => {
      const errors = [
        thrownBy(() => new RetryPolicy({ [name]: value })),
        await rejection(bench().policy.execute(() => 1, { [name]: value })),
      ];
      for (const error of errors) {
        expect(isOptionError(error)).toBe(true);
        expect(error).toMatchObject({ option: name, code: 'OUTLAST_OPTION', name: 'OptionError' });
        expect((error as Error).message).toBe(invalidOption(name, value, says).message);
      }
    },
  );

  it.each(Object.keys(ROWS))('%s: undefined counts as not given', async (name) => {
    const key = name as keyof Settings;
    const plain = new RetryPolicy().settings;
    expect(new RetryPolicy({ [key]: undefined }).settings[key]).toBe(plain[key]);
    expect(await bench().policy.execute(() => 1, { [key]: undefined })).toBe(1);
  });

  it('3.9 the defaults are those of the documentation', () => {
    expect(new RetryPolicy().settings).toMatchObject({
      maxAttempts: 3,
      baseDelayMs: 1000,
      maxDelayMs: 30_000,
      backoffFactor: 2,
      jitter: 0.5,
      attemptTimeoutMs: Infinity,
      totalTimeoutMs: Infinity,
      idempotent: true,
      budget: undefined,
      unref: false,
    });
  });

  it.each([
    ['maxAtempts', 'Did you mean maxAttempts?'],
    ['maxattempts', 'Did you mean maxAttempts?'],
    ['jiter', 'Did you mean jitter?'],
    ['retries', 'Known are: maxAttempts, baseDelayMs'],
    ['__proto__x', 'Known are: '],
    ['toString', 'Known are: '],
    ['constructor', 'Known are: '],
  ])('the unknown key %s is refused: %s', async (key, hint) => {
    const options = { [key]: 1 };
    const error = thrownBy(() => new RetryPolicy(options));
    expect(isOptionError(error)).toBe(true);
    expect((error as Error).message).toContain(`${key} is not an option. ${hint}`);
    const ofCall = await rejection(bench().policy.execute(() => 1, options));
    expect((ofCall as Error).message).toContain(`${key} is not an option. ${hint}`);
  });

  it('a call may be asked about resolve and stop by a typing error', async () => {
    // @ts-expect-error a typing error
    const error = await rejection(bench().policy.execute(() => 1, { resolv: () => 1 }));
    expect(String(error)).toContain('Did you mean resolve?');
    // @ts-expect-error a wrong type
    const wrong = await rejection(bench().policy.execute(() => 1, { stop: true }));
    expect(String(wrong)).toContain('stop must be a function; got true (boolean).');
  });

  it.each([null, 5, 'options', [], fn])('%s is no object of options', (options) => {
    const error = thrownBy(() => checkOptions('retry', options as object, {}));
    expect(isOptionError(error)).toBe(true);
    expect(String(error)).toContain('retry must be an object of options, got ');
  });
});

describe('maxAttempts: Infinity', () => {
  const { signal } = new AbortController();
  it.each([[{ totalTimeoutMs: 5 }], [{ signal }]])('needs an end, and %j is one', (bound) => {
    expect(new RetryPolicy({ maxAttempts: Infinity, ...bound }).settings.maxAttempts).toBe(
      Infinity,
    );
  });

  it('without one is refused, of a policy and of a call', async () => {
    const says = /maxAttempts may be Infinity only together with totalTimeoutMs or a signal/;
    expect(() => new RetryPolicy({ maxAttempts: Infinity })).toThrow(says);
    expect(() => new RetryPolicy({ maxAttempts: Infinity, totalTimeoutMs: Infinity })).toThrow(
      says,
    );
    const { policy } = bench();
    for (const call of [{ maxAttempts: Infinity }, { maxAttempts: Infinity, baseDelayMs: 5 }]) {
      expect(String(await rejection(policy.execute(() => 1, call)))).toMatch(says);
    }
  });

  it('of a call may lean on the bound of its policy, and the other way round', async () => {
    const call = { maxAttempts: Infinity };
    expect(await bench({ totalTimeoutMs: 5 }).policy.execute(() => 1, call)).toBe(1);
    expect(await bench({ signal }).policy.execute(() => 1, call)).toBe(1);
    expect(await bench().policy.execute(() => 1, { ...call, totalTimeoutMs: 5 })).toBe(1);
    expect(await bench().policy.execute(() => 1, { ...call, signal })).toBe(1);
    expect(await bench().policy.execute(() => 1, { ...call, signal, baseDelayMs: 1 })).toBe(1);
  });
});

describe('how a wrong value is shown', () => {
  it.each([
    ['text', "'text' (string)"],
    ['x'.repeat(100), `'${'x'.repeat(60)}…' (string)`],
    ['postgres://u:hunter2@h/db', "'postgres://u:***@h/db' (string)"],
    [5, '5 (number)'],
    [5n, '5 (bigint)'],
    [true, 'true (boolean)'],
    [null, 'null'],
    [undefined, 'undefined'],
    [[1], 'an array'],
    [{}, 'an object'],
    [fn, 'a function'],
    [Symbol('s'), 'a symbol'],
  ])('%s as %s', (value, shown) => {
    expect(invalidOption('port', value, 'a port').message).toBe(
      `port must be a port; got ${shown}.`,
    );
  });
});

describe('did you mean', () => {
  it.each([
    ['maxAttempt', 'maxAttempts'],
    ['MAXATTEMPTS', 'maxAttempts'],
    ['mxAtempts', 'maxAttempts'],
    ['timeout', undefined],
    ['x', undefined],
    ['', undefined],
  ])('%s: %s', (name, expected) => {
    expect(nearest(name, ['maxAttempts', 'baseDelayMs'])).toBe(expected);
  });

  it('the nearest of several', () => {
    expect(nearest('hots', ['hosted', 'hosts', 'posts'])).toBe('hosts');
  });
});
