import {
  CircuitBreaker,
  type CircuitBreakerOptions,
  classifyError,
  isOptionError,
  systemClock,
} from '@outlast/core-retry';
import { ManualClock } from '@outlast/core-retry/testing';
import { describe, expect, it } from 'vitest';

function refusal(options: unknown): string {
  try {
    new CircuitBreaker(options as CircuitBreakerOptions);
  } catch (error) {
    if (!isOptionError(error)) throw error;
    expect(error.message.startsWith(error.option)).toBe(true);
    return error.message;
  }
  throw new Error('these options were accepted');
}

const MS = (min: number) => `a number of milliseconds, ${min} or more`;
const WHOLE = 'a whole number, 1 or more';
const SHARE = 'a number above 0, up to 1';
const rated = { failureRate: 0.5 };
const slow = { slowCallRate: 0.5 };
const snapshot = {
  version: 1,
  state: 'closed',
  failures: 0,
  trips: 0,
  openTimeoutMs: 1,
  savedAt: 0,
} as const;

describe('every option', () => {
  it('has a default', () => {
    const { settings, name } = new CircuitBreaker();
    expect(settings).toEqual({
      failureThreshold: 5,
      failureRate: Infinity,
      slowCallRate: Infinity,
      slowCallMs: Infinity,
      windowCalls: undefined,
      windowMs: undefined,
      minimumCalls: 10,
      resetTimeoutMs: 60_000,
      openTimeoutIncrementFactor: 1.5,
      maxOpenTimeoutMs: 300_000,
      jitter: 0.1,
      halfOpenMaxCalls: 1,
      successThreshold: 1,
      probeLeaseMs: 60_000,
      votePer: 'operation',
      classify: classifyError,
      clock: systemClock,
      random: Math.random,
    });
    expect(name).toBe('breaker');
    expect(Object.isFrozen(settings)).toBe(true);
  });

  const clock = new ManualClock();
  const random = () => 0;
  const classify = classifyError;
  it.each<[keyof CircuitBreakerOptions, readonly unknown[], CircuitBreakerOptions?]>([
    ['failureThreshold', [1, 2, 1000]],
    ['failureRate', [1e-9, 0.5, 1]],
    ['windowCalls', [1, 10, 1_000_000], rated],
    ['windowMs', [1, 0.5 + 1, 1e9], rated],
    ['minimumCalls', [1, 50, 100], rated],
    ['slowCallMs', [0, 1, 60_000], slow],
    ['slowCallRate', [1e-9, 0.5, 1], { slowCallMs: 5 }],
    ['resetTimeoutMs', [1, 1.5, 60_000, 300_000]],
    ['openTimeoutIncrementFactor', [1, 2, 1000]],
    ['maxOpenTimeoutMs', [60_000, 1e9]],
    ['jitter', [0, 0.1, 1, true, false, 'full', 'equal', 'decorrelated']],
    ['halfOpenMaxCalls', [1, 10]],
    ['successThreshold', [1, 10]],
    ['probeLeaseMs', [1, 1e6]],
    ['votePer', ['operation', 'attempt']],
    ['classify', [classify]],
    ['clock', [clock, systemClock]],
    ['random', [random]],
  ])('%s is taken as it is', (key, values, beside = {}) => {
    for (const value of values) {
      const { settings } = new CircuitBreaker({ ...beside, [key]: value });
      expect(settings[key as keyof typeof settings]).toBe(value);
    }
  });

  it.each<[keyof CircuitBreakerOptions, readonly unknown[], string, CircuitBreakerOptions?]>([
    ['failureThreshold', [0, -1, 1.5, Number.NaN, Infinity, '5', null, true], WHOLE],
    ['failureRate', [0, -0.1, 1.01, Number.NaN, Infinity, '0.5', null], SHARE],
    ['slowCallRate', [0, -0.1, 1.01, Number.NaN, '0.5'], SHARE, { slowCallMs: 5 }],
    [
      'windowCalls',
      [0, -1, 1.5, Number.NaN, Infinity, 1_000_001, 2 ** 53, '9', null],
      'a whole number from 1 to 1000000',
      rated,
    ],
    ['windowMs', [0, 0.99, -1, Number.NaN, Infinity, '1'], MS(1), rated],
    ['minimumCalls', [0, -1, 1.5, Number.NaN, Infinity, '9'], WHOLE, rated],
    ['slowCallMs', [-1, Number.NaN, Infinity, '1'], MS(0), slow],
    ['resetTimeoutMs', [0, 0.99, -1, Number.NaN, Infinity, '1', null], MS(1)],
    ['openTimeoutIncrementFactor', [0.99, 0, 1001, Number.NaN, '2'], 'a number from 1 to 1000'],
    ['maxOpenTimeoutMs', [0, -1, Number.NaN, Infinity, '1'], MS(1)],
    [
      'jitter',
      [-0.1, 1.1, Number.NaN, 'half', null, {}],
      "a ratio from 0 to 1, true, false, 'full', 'equal' or 'decorrelated'",
    ],
    ['halfOpenMaxCalls', [0, 1.5, Infinity, '1'], WHOLE],
    ['successThreshold', [0, 1.5, Infinity, '1'], WHOLE],
    ['probeLeaseMs', [0, 0.5, Number.NaN, Infinity, '1'], MS(1)],
    ['votePer', ['call', '', null, 1], "'operation' or 'attempt'"],
    ['classify', [null, {}, 'classify'], 'a function'],
    ['name', ['', 5, null, {}], 'a text that is not empty'],
    ['clock', [null, {}, Date], 'a Clock: { now, wallNow, setTimeout }'],
    ['random', [null, 0.5], 'a function'],
    ['snapshot', [null, 5], 'a snapshot of a breaker (it is not an object)'],
  ])('%s is refused with what is valid', (key, values, valid, beside = {}) => {
    for (const value of values) {
      const message = refusal({ ...beside, [key]: value });
      expect(message).toContain(`${key} must be ${valid}; got `);
    }
  });

  it('a value that is refused is shown with its type', () => {
    expect(refusal({ failureThreshold: '5' })).toBe(
      "failureThreshold must be a whole number, 1 or more; got '5' (string).",
    );
    expect(refusal({ failureRate: 0 })).toBe(
      'failureRate must be a number above 0, up to 1; got 0 (number).',
    );
  });

  it('undefined counts as not given', () => {
    const given = Object.fromEntries(
      Object.keys(new CircuitBreaker().settings).map((key) => [key, undefined]),
    );
    expect(
      new CircuitBreaker({ ...given, name: undefined, snapshot: undefined } as object),
    ).toMatchObject({ name: 'breaker', settings: new CircuitBreaker().settings });
  });

  it('a misspelt one is refused with the name that was meant', () => {
    expect(refusal({ failureTreshold: 5 })).toBe(
      'failureTreshold is not an option. Did you mean failureThreshold?',
    );
    expect(refusal({ store: 5 })).toContain('store is not an option. Known are: failureThreshold,');
  });

  it.each([null, 'x', 7, []])('%j is no object of options', (options) => {
    expect(refusal(options)).toContain('options must be an object of options, got ');
  });
});

describe('options that do not go together', () => {
  it.each<[CircuitBreakerOptions, string]>([
    [{ slowCallMs: 5 }, 'slowCallMs needs slowCallRate beside it.'],
    [{ slowCallRate: 0.5 }, 'slowCallRate needs slowCallMs beside it.'],
    [{ ...rated, slowCallMs: 5 }, 'slowCallMs needs slowCallRate beside it.'],
    [
      { ...rated, windowCalls: 5, windowMs: 5 },
      'windowMs and windowCalls exclude one another. Keep one of them.',
    ],
    [{ windowCalls: 5 }, 'windowCalls has no meaning without failureRate or slowCallRate.'],
    [{ windowMs: 5 }, 'windowMs has no meaning without failureRate or slowCallRate.'],
    [{ minimumCalls: 5 }, 'minimumCalls has no meaning without failureRate or slowCallRate.'],
    [
      { ...rated, minimumCalls: 101 },
      'minimumCalls is 101, which a window of 100 calls never reaches.',
    ],
    [
      { ...rated, minimumCalls: 6, windowCalls: 5 },
      'minimumCalls is 6, which a window of 5 calls never reaches.',
    ],
    [
      { resetTimeoutMs: 1000, maxOpenTimeoutMs: 999 },
      'maxOpenTimeoutMs must be resetTimeoutMs (1000 ms) or more; got 999 (number).',
    ],
    [
      { maxOpenTimeoutMs: 59_999 },
      'maxOpenTimeoutMs must be resetTimeoutMs (60000 ms) or more; got 59999 (number).',
    ],
  ])('%j', (options, message) => {
    expect(refusal(options)).toBe(message);
  });

  it('are named with the place where they stand', async () => {
    const { resolveBreaker } = await import('../src/breaker-options.js');
    for (const options of [
      { slowCallMs: 5 },
      { windowMs: 5 },
      { maxOpenTimeoutMs: 5 },
      { failureThreshold: 0 },
    ] as CircuitBreakerOptions[]) {
      const key = Object.keys(options)[0];
      expect(() => resolveBreaker('retry.breaker', options)).toThrow(`retry.breaker.${key} `);
    }
  });
});

describe('what is derived from others', () => {
  const settings = (options: CircuitBreakerOptions) => new CircuitBreaker(options).settings;

  it('a rate of failures switches the consecutive rule off; one of slow calls does not', () => {
    expect(settings(rated).failureThreshold).toBe(Infinity);
    expect(settings({ ...rated, failureThreshold: 3 }).failureThreshold).toBe(3);
    const slowOnly = { ...slow, slowCallMs: 5 };
    expect(settings(slowOnly).failureThreshold).toBe(5);
    expect(settings({ ...slowOnly, failureThreshold: 3 }).failureThreshold).toBe(3);
    expect(settings({ ...slowOnly, ...rated }).failureThreshold).toBe(Infinity);
  });

  it('the window is 100 calls unless one is given; without a rate there is none', () => {
    expect(settings(rated)).toMatchObject({ windowCalls: 100, windowMs: undefined });
    expect(settings({ ...slow, slowCallMs: 5 })).toMatchObject({ windowCalls: 100 });
    expect(settings({ ...rated, windowMs: 7 })).toMatchObject({
      windowCalls: undefined,
      windowMs: 7,
    });
    expect(settings({})).toMatchObject({ windowCalls: undefined, windowMs: undefined });
  });

  it('minimumCalls is 10, or the window if that is smaller', () => {
    expect(settings(rated).minimumCalls).toBe(10);
    expect(settings({ ...rated, windowCalls: 4 }).minimumCalls).toBe(4);
    expect(settings({ ...rated, windowCalls: 4, minimumCalls: 4 }).minimumCalls).toBe(4);
    expect(settings({ ...rated, windowMs: 4 }).minimumCalls).toBe(10);
    expect(settings({ ...rated, windowMs: 4, minimumCalls: 500 }).minimumCalls).toBe(500);
  });

  it('maxOpenTimeoutMs is never below resetTimeoutMs', () => {
    expect(settings({ resetTimeoutMs: 300_001 }).maxOpenTimeoutMs).toBe(300_001);
    expect(settings({ resetTimeoutMs: 7, maxOpenTimeoutMs: 7 }).maxOpenTimeoutMs).toBe(7);
  });

  it('only breakers that look for slow calls time them', () => {
    expect(new CircuitBreaker(rated).timed).toBe(false);
    expect(new CircuitBreaker({ ...slow, slowCallMs: 0 }).timed).toBe(true);
  });
});

describe('snapshot', () => {
  it.each<[object, string]>([
    [{ version: 2 }, 'its version is number, not 1'],
    [{ version: 'postgres://u:hunter2@db' }, 'its version is postgres://u:***@db, not 1'],
    [{ state: 'half-open' }, 'its state is half-open'],
    [{ state: 99 }, 'its state is number'],
    [{ state: undefined }, 'its state is undefined'],
    [{ failures: -1 }, 'its failures are number'],
    [{ failures: 1.5 }, 'its failures are number'],
    [{ trips: '1' }, 'its trips are 1'],
    [{ trips: Infinity }, 'its trips are number'],
    [{ openTimeoutMs: Number.NaN }, 'its times are not numbers of milliseconds'],
    [{ openTimeoutMs: -1 }, 'its times are not numbers of milliseconds'],
    [{ savedAt: 'now' }, 'its times are not numbers of milliseconds'],
    [{ savedAt: undefined }, 'its times are not numbers of milliseconds'],
    [{ lastFailureAt: Infinity }, 'its times are not numbers of milliseconds'],
    [{ state: 'open' }, 'its times are not numbers of milliseconds'],
    [{ state: 'open', openUntil: Number.NaN }, 'its times are not numbers of milliseconds'],
  ])('3.36 one that is corrupt is refused: %j', (change, problem) => {
    expect(refusal({ snapshot: { ...snapshot, ...change } })).toContain(
      `snapshot must be a snapshot of a breaker (${problem}); got an object.`,
    );
  });

  it('one of a later version of ours may hold more', () => {
    const later = { ...snapshot, colour: 'blue' } as never;
    expect(new CircuitBreaker({ snapshot: later }).state).toBe('closed');
  });

  it('openUntil and lastFailureAt may be missing from one that is closed', () => {
    const { state, failures } = new CircuitBreaker({ snapshot }).status();
    expect({ state, failures }).toEqual({ state: 'closed', failures: 0 });
  });
});
