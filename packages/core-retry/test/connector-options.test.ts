import {
  CircuitBreaker,
  isCircuitOpenError,
  isOptionError,
  RetryBudget,
  RetryPolicy,
  retryInfo,
} from '@outlast/core-retry';
import {
  type ConnectorRetryOptions,
  connectorOptions,
  Reconnect,
} from '@outlast/core-retry/connector';
import { ManualClock } from '@outlast/core-retry/testing';
import { describe, expect, it } from 'vitest';

const defaults = { maxAttempts: 5, baseDelayMs: 1000, maxDelayMs: 30_000 };

function made(options: ConnectorRetryOptions | undefined, env: Record<string, string> = {}) {
  return connectorOptions(options, ['PG_RETRY', 'DB_RETRY'], defaults, env);
}

describe('the options of a connector', () => {
  it('are its defaults, an unsafe replay, a budget of its own and 30 s of patience', () => {
    const { retry, waitMs } = made(undefined);
    expect(retry).toMatchObject({ ...defaults, idempotent: false });
    expect(retry.budget).toBeInstanceOf(RetryBudget);
    expect(made(undefined).retry.budget).not.toBe(retry.budget);
    expect(waitMs).toBe(30_000);
    expect(new RetryPolicy(retry).settings.idempotent).toBe(false);
  });

  it('code goes before environment, environment before defaults', () => {
    const env = { PG_RETRY_MAX_ATTEMPTS: '7', DB_RETRY_BASE_DELAY: '2', PG_RETRY_WAIT: '9' };
    expect(made({}, env)).toMatchObject({
      retry: { maxAttempts: 7, baseDelayMs: 2000, maxDelayMs: 30_000 },
      waitMs: 9000,
    });
    expect(made({ maxAttempts: 2, waitMs: 5 }, env)).toMatchObject({
      retry: { maxAttempts: 2, baseDelayMs: 2000 },
      waitMs: 5,
    });
  });

  it('undefined in code counts as not given', () => {
    const env = { PG_RETRY_MAX_ATTEMPTS: '7' };
    const options = {
      maxAttempts: undefined,
      waitMs: undefined,
    } as unknown as ConnectorRetryOptions;
    expect(made(options, env).retry.maxAttempts).toBe(7);
    expect(made(options).waitMs).toBe(30_000);
  });

  it.each([
    [1, 0],
    [2, 1000],
    [4, 1000 + 2000 + 4000],
    [8, 1000 + 2000 + 4000 + 8000 + 16_000 + 30_000 + 30_000],
  ])(
    'with maxAttempts %d given, patience is what that schedule would have slept: %d',
    (n, waitMs) => {
      expect(made({ maxAttempts: n, jitter: 'full' }).waitMs).toBe(waitMs);
      expect(made({}, { PG_RETRY_MAX_ATTEMPTS: String(n) }).waitMs).toBe(waitMs);
      expect(made({ maxAttempts: n, waitMs: 77 }).waitMs).toBe(77);
      expect(made({ maxAttempts: n }, { PG_RETRY_WAIT: '3' }).waitMs).toBe(3000);
    },
  );

  it('that schedule takes its figures from wherever they come', () => {
    expect(made({ maxAttempts: 3, baseDelayMs: 10 }).waitMs).toBe(30);
    expect(made({ maxAttempts: 3 }, { PG_RETRY_BASE_DELAY: '0.1' }).waitMs).toBe(300);
    expect(made({ maxAttempts: 3, backoffFactor: 1 }).waitMs).toBe(2000);
  });

  it('ENABLED=false: one attempt, no waiting; code still goes before it', () => {
    const env = { PG_RETRY_ENABLED: 'false' };
    expect(made(undefined, env)).toMatchObject({ retry: { maxAttempts: 1 }, waitMs: 0 });
    expect(made({ waitMs: 50 }, env)).toMatchObject({ retry: { maxAttempts: 1 }, waitMs: 50 });
  });

  it('the budget may be given, refused, and runs on the clock that is given', async () => {
    const budget = new RetryBudget();
    expect(made({ budget }).retry.budget).toBe(budget);
    expect(made({ budget: false }).retry.budget).toBe(false);
    const clock = new ManualClock();
    const own = made({ clock }).retry.budget as RetryBudget;
    while (own.withdraw());
    await clock.advance(10_000);
    expect(own.status().balance).toBe(100);
  });

  it.each([
    [{ maxAtempts: 3 }, {}, /^retry\.maxAtempts is not an option\. Did you mean maxAttempts\?/],
    [{ waitms: 3 }, {}, /^retry\.waitms is not an option\. Did you mean waitMs\?/],
    [{ waitMs: -1 }, {}, /^retry\.waitMs must be a number of milliseconds, 0 or more, or Infinity/],
    [{ maxAttempts: 0 }, {}, /^retry\.maxAttempts must be a whole number/],
    ['fast', {}, /^retry must be an object of options/],
    [{}, { PG_RETRY_MAX_ATTEMPTS: 'x' }, /^PG_RETRY_MAX_ATTEMPTS must be/],
  ])('refuses %j with %j', (options, env, says) => {
    let thrown: unknown;
    try {
      made(options as ConnectorRetryOptions, env as Record<string, string>);
    } catch (error) {
      thrown = error;
    }
    expect(isOptionError(thrown)).toBe(true);
    expect((thrown as Error).message).toMatch(says);
  });

  it('waitMs may be Infinity', () => {
    expect(made({ waitMs: Infinity }).waitMs).toBe(Infinity);
  });

  it("the caller's object is not changed", () => {
    const options = Object.freeze({ maxAttempts: 2, waitMs: 5 });
    made(options);
    expect(options).toEqual({ maxAttempts: 2, waitMs: 5 });
  });

  it('reads process.env unless told otherwise', () => {
    expect(connectorOptions(undefined, ['NOBODY_SETS_THIS'], defaults).waitMs).toBe(30_000);
  });
});

describe('the breaker of a connector', () => {
  const ENV = { PG_BREAKER_FAILURE_THRESHOLD: '3', PG_BREAKER_RESET_TIMEOUT: '2' };
  const settings = (options: ConnectorRetryOptions | undefined, env = {}) => {
    const { breaker } = made(options, env).retry;
    return breaker === false ? false : breaker?.settings;
  };

  it('exists only if code or environment ask for it', () => {
    expect(settings(undefined)).toBe(false);
    expect(settings({ breaker: false }, ENV)).toBe(false);
    expect(settings({ breaker: false }, { PG_BREAKER_ENABLED: 'true' })).toBe(false);
    expect(settings({ breaker: true })).toMatchObject({ failureThreshold: 5 });
    expect(settings(undefined, { PG_BREAKER_ENABLED: 'true' })).toMatchObject({
      failureThreshold: 5,
    });
    expect(settings(undefined, { ...ENV, PG_BREAKER_ENABLED: 'false' })).toBe(false);
  });

  it('takes code before environment before defaults, and is named for its service', () => {
    const made3 = settings({ breaker: { resetTimeoutMs: 7 } }, ENV);
    expect(made3).toMatchObject({ failureThreshold: 3, resetTimeoutMs: 7, successThreshold: 1 });
    const { breaker } = made(undefined, ENV).retry;
    expect((breaker as CircuitBreaker).name).toBe('pg');
    const own = new CircuitBreaker();
    expect(made({ breaker: own }, ENV).retry.breaker).toBe(own);
  });

  it('refuses what is none, and bad values, by name', () => {
    const thrown = (options: unknown, env = {}): unknown => {
      try {
        return made(options as ConnectorRetryOptions, env);
      } catch (error) {
        return error;
      }
    };
    expect(thrown({ breaker: 5 })).toMatchObject({ option: 'retry.breaker' });
    expect(thrown({ breaker: { failureTreshold: 5 } })).toSatisfy(isOptionError);
    expect(thrown({}, { PG_BREAKER_RESET_TIMEOUT: 'soon' })).toMatchObject({
      option: 'PG_BREAKER_RESET_TIMEOUT',
    });
  });

  it('may probe as soon as the client has reached its service again', async () => {
    const clock = new ManualClock();
    const { retry } = made({ breaker: { failureThreshold: 1 }, clock, maxAttempts: 1 });
    const policy = new RetryPolicy(retry);
    const reconnect = new Reconnect({
      service: 'pg',
      policy,
      isPermanent: () => false,
      probe: async () => {},
    });
    const down = Object.assign(new Error('down'), { code: 'ECONNREFUSED' });
    await policy.execute(() => Promise.reject(down)).catch(() => {});
    const refused = await policy.execute(() => 1).catch((error: unknown) => error);
    expect(isCircuitOpenError(refused)).toBe(true);
    expect(retryInfo(refused)?.reason).toBe('circuit-open');
    reconnect.failed(down);
    reconnect.succeeded();
    expect(await policy.execute(() => 'well')).toBe('well');
    expect((retry.breaker as CircuitBreaker).state).toBe('closed');
  });
});
