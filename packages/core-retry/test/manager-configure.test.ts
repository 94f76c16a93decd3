import { BreakerRegistry, Bulkhead, RetryBudget, RetryManager } from '@outlast/core-retry';
import { failTimes, ManualClock } from '@outlast/core-retry/testing';
import { describe, expect, it } from 'vitest';
import { rejection, settled } from './helpers.js';
import { breakerOf, delaysOf, managed, NAMES, thrown } from './manager-helpers.js';

describe('configure', () => {
  it('takes camelCase in milliseconds', async () => {
    const { clock, manager } = managed();
    manager.configure({ retry: { maxAttempts: 4, baseDelayMs: 10, maxDelayMs: 25 } });
    expect(await delaysOf(manager, clock)).toEqual([10, 20, 25]);
  });

  it('takes the dictionary of seed 001, literally: snake_case in seconds', async () => {
    const registry = new BreakerRegistry();
    const { clock, manager } = managed({ registry });
    manager.configure({
      retry: {
        max_attempts: 5,
        initial_delay: 0.5,
        max_delay: 30.0,
        backoff_factor: 1.5,
        jitter_factor: 0.2,
      },
      circuit_breaker: {
        failure_threshold: 3,
        reset_timeout: 60.0,
        half_open_max_calls: 2,
        success_threshold: 2,
        open_timeout_increment_factor: 2.0,
        max_open_timeout: 300.0,
      },
    });
    await manager.execute(() => 'v', NAMES);
    expect(breakerOf(registry)).toMatchObject({
      failureThreshold: 3,
      resetTimeoutMs: 60_000,
      halfOpenMaxCalls: 2,
      successThreshold: 2,
      openTimeoutIncrementFactor: 2,
      maxOpenTimeoutMs: 300_000,
    });
    manager.configure({ retry: { random: () => 0.5 } });
    expect(await delaysOf(manager, clock)).toEqual([500, 750, 1125, 1687.5]);
    // The lower end of 1 ± 0.2.
    manager.configure({ retry: { random: () => 0 } });
    expect(await delaysOf(manager, clock)).toEqual([400, 600, 900, 1350]);
  });

  it("takes what seed 000's RetryConfig and CircuitBreaker take", async () => {
    const registry = new BreakerRegistry();
    const { clock, manager } = managed({ registry });
    class MlflowException extends Error {}
    manager.configure({
      services: {
        mlflow: {
          retry: {
            max_attempts: 3,
            base_delay: 2.0,
            max_delay: 30.0,
            exponential_base: 2.0,
            jitter: true,
            retryable_exceptions: [MlflowException],
          },
          circuit_breaker: { failure_threshold: 5, recovery_timeout: 60.0, retry_timeout: 30.0 },
        },
      },
      retry: { random: () => 0.5 },
    });
    const names = { service: 'mlflow', operation: 'fetch' };
    const work = failTimes([new MlflowException('busy'), new Error('other')], 'v');
    const end = await clock.runUntilSettled(settled(manager.execute(work, names)));
    expect(end).toMatchObject({ ok: false, error: { message: 'other' } });
    expect([work.calls, clock.now()]).toEqual([2, 2000]);
    expect(breakerOf(registry, names)).toMatchObject({
      resetTimeoutMs: 60_000,
      probeLeaseMs: 30_000,
    });
  });

  it("takes what seed 002's decorator takes, name included", async () => {
    const { clock, manager } = managed();
    class KafkaError extends Error {}
    manager.configure({
      services: {
        kafka: {
          operations: {
            publish: {
              retry: {
                max_attempts: 3,
                initial_delay: 1.0,
                max_delay: 10.0,
                exponential_base: 2.0,
                jitter: false,
                exceptions: [KafkaError],
                operation_name: 'kafka_publish',
              },
            },
          },
        },
      },
    });
    const names = { service: 'kafka', operation: 'publish' };
    const events: string[] = [];
    manager.on('retry', ({ operation, delayMs }) => events.push(`${operation} ${delayMs}`));
    const work = failTimes([new KafkaError('a'), new KafkaError('b')], 'sent');
    expect(await clock.runUntilSettled(manager.execute(work, names))).toBe('sent');
    expect(events).toEqual(['kafka_publish 1000', 'kafka_publish 2000']);
    const other = failTimes([new Error('not from Kafka')], 'sent');
    await rejection(manager.execute(other, names));
    expect(other.calls).toBe(1);
  });

  it("takes what seed 003's retry_wrapper takes", async () => {
    const { clock, manager } = managed();
    manager.configure({
      retry: {
        max_attempts: 4,
        sleep_time: 1,
        backoff: 1.5,
        exceptions: [Error],
        log_tries: false,
      },
    });
    expect(await delaysOf(manager, clock)).toEqual([1000, 1500, 2250]);
    manager.configure({ retry: { max_attempts: null, max_retries: 1 } });
    expect(await delaysOf(manager, clock)).toEqual([1000]);
    expect(thrown(() => manager.configure({ retry: { log_tries: 'yes' } })).message).toBe(
      "retry.log_tries must be true or false; got 'yes' (string).",
    );
  });

  it('the narrower wins, option by option, and later calls add to earlier ones', async () => {
    const registry = new BreakerRegistry();
    const { clock, manager } = managed({
      registry,
      breaker: { failureThreshold: 9, resetTimeoutMs: 900 },
    });
    manager.configure({
      retry: { maxAttempts: 5, baseDelayMs: 100 },
      services: { pg: { retry: { maxAttempts: 4 }, breaker: { failureThreshold: 8 } } },
    });
    manager.configure({
      services: {
        pg: {
          operations: { query: { retry: { maxAttempts: 3 }, breaker: { successThreshold: 2 } } },
        },
      },
    });
    const other = { service: 'pg', operation: 'other' };
    const mysql = { service: 'mysql', operation: 'query' };
    expect(await delaysOf(manager, clock)).toEqual([100, 200]);
    expect(await delaysOf(manager, clock, other)).toEqual([100, 200, 400]);
    expect(await delaysOf(manager, clock, mysql)).toEqual([100, 200, 400, 800]);
    const common = { resetTimeoutMs: 900, failureThreshold: 8, successThreshold: 1 };
    expect(breakerOf(registry)).toMatchObject({ ...common, successThreshold: 2 });
    expect(breakerOf(registry, other)).toMatchObject(common);
    expect(breakerOf(registry, mysql)).toMatchObject({ ...common, failureThreshold: 9 });
  });

  it('operations that are known already use it from the next call on', async () => {
    const { clock, manager } = managed();
    expect(await delaysOf(manager, clock)).toEqual([1000, 2000]);
    manager.configure({ retry: { baseDelayMs: 7 } });
    expect(await delaysOf(manager, clock)).toEqual([7, 14]);
    expect(manager.status().operations['pg:query']).toEqual({
      successes: 0,
      failures: 2,
      retries: 4,
    });
  });

  it.each(['__proto__', 'constructor', 'toString'])('a service may be called %s', async (name) => {
    const config = JSON.parse(
      `{"services":{"${name}":{"retry":{"maxAttempts":2},"operations":{"${name}":{"retry":{"baseDelayMs":5}}}}}}`,
    ) as object;
    const { clock, manager } = managed();
    expect(await delaysOf(manager, clock, { service: name, operation: name })).toHaveLength(2);
    manager.configure(config);
    expect(await delaysOf(manager, clock, { service: name, operation: name })).toEqual([5]);
    expect(await delaysOf(manager, clock, { service: name, operation: 'x' })).toEqual([1000]);
    expect(await delaysOf(manager, clock)).toHaveLength(2);
    expect(({} as Record<string, unknown>)['retry']).toBeUndefined();
  });

  it('changes nothing of what it was given', () => {
    const given = {
      retry: { max_retries: 2 },
      services: { pg: { breaker: { failureThreshold: 2 }, operations: { q: { breaker: false } } } },
    } as const;
    const copy = structuredClone(given);
    const { manager } = managed();
    manager.configure(given);
    manager.configure({ retry: { maxAttempts: 5 }, services: { pg: { breaker: false } } });
    expect(given).toEqual(copy);
  });

  it('takes instances of budgets and bulkheads, and their options', async () => {
    const clock = new ManualClock();
    const budget = new RetryBudget({ clock, ratio: 0, minPerSecond: 1 });
    const bulkhead = new Bulkhead({ maxConcurrent: 3 });
    const { manager } = managed({ budget, bulkhead });
    manager.configure({
      services: {
        own: {
          budget: { ratio: 0, min_per_second: 2, ttl: 5 },
          bulkhead: { max_concurrent: 2, max_queued: 4 },
        },
        none: { budget: false, bulkhead: false },
      },
    });
    for (const service of ['own', 'none', 'a', 'b']) {
      await manager.execute(() => 'v', { service, operation: 'x' });
    }
    const shared = { balance: 10, denied: 0 };
    const places = { running: 0, queued: 0, maxConcurrent: 3, maxQueued: 0, refused: 0 };
    expect(manager.status()).toMatchObject({
      budgets: { own: { balance: 10 }, a: shared, b: shared },
      bulkheads: { own: { ...places, maxConcurrent: 2, maxQueued: 4 }, a: places, b: places },
    });
    expect(Object.keys(manager.status().budgets)).toEqual(['own', 'a', 'b']);
    expect(Object.keys(manager.status().bulkheads)).toEqual(['own', 'a', 'b']);
  });
});

describe('a bad configuration', () => {
  const bad: readonly [object, string, RegExp][] = [
    [{ retrys: {} }, 'retrys', /Did you mean retry\?/],
    [{ circuit_braker: {} }, 'circuit_braker', /Did you mean circuit_breaker\?/],
    [{ retry: { max_atempts: 3 } }, 'retry.max_atempts', /Did you mean max_attempts\?/],
    [{ retry: { maxAttempts: 0 } }, 'retry.maxAttempts', /whole number/],
    [{ retry: 5 }, 'retry', /an object of options/],
    [{ retry: [] }, 'retry', /an object of options/],
    [{ retry: { maxAttempts: 3, max_retries: 1 } }, 'retry.max_retries', /says the same/],
    [{ retry: { maxAttempts: Infinity } }, 'retry.maxAttempts', /something must end it/],
    [{ retry: { breaker: {} } }, 'retry.breaker', /has its place beside retry: breaker\./],
    [{ retry: { budget: false } }, 'retry.budget', /beside retry: budget\./],
    [{ breaker: true }, 'breaker', /an object of options, or false/],
    [{ breaker: { failure_treshold: 3 } }, 'breaker.failure_treshold', /Did you mean/],
    [{ breaker: {}, circuit_breaker: {} }, 'circuit_breaker', /says the same as breaker/],
    [{ breaker: { windowCalls: 5 } }, 'breaker.windowCalls', /no meaning without/],
    [{ budget: { ratio: -1 } }, 'budget.ratio', /a number from 0/],
    [{ bulkhead: {} }, 'bulkhead.maxConcurrent', /whole number, 1 or more; got undefined/],
    [{ bulkhead: { maxConcurent: 1 } }, 'bulkhead.maxConcurent', /Did you mean maxConcurrent\?/],
    [{ services: [] }, 'services', /must be an object of options; got an array/],
    [{ services: { pg: 5 } }, 'services.pg', /an object of options/],
    [{ services: { pg: { retri: {} } } }, 'services.pg.retri', /Did you mean retry\?/],
    [{ services: { pg: { services: {} } } }, 'services.pg.services', /is not an option/],
    [
      { services: { pg: { retry: { jitter: 2 } } } },
      'services.pg.retry.jitter',
      /a ratio from 0 to 1/,
    ],
    [
      { services: { pg: { retry: { maxAttempts: Infinity } } } },
      'services.pg.retry.maxAttempts',
      /something must end it/,
    ],
    [
      { services: { pg: { breaker: { slowCallMs: 5 } } } },
      'services.pg.breaker.slowCallMs',
      /needs slowCallRate/,
    ],
    [
      // Each is good by itself; together they are not.
      {
        breaker: { max_open_timeout: 100 },
        services: { pg: { operations: { q: { breaker: { reset_timeout: 200 } } } } },
      },
      'services.pg.operations.q.breaker.maxOpenTimeoutMs',
      /resetTimeoutMs \(200000 ms\) or more/,
    ],
    [
      { services: { pg: { operations: { q: { budget: {} } } } } },
      'services.pg.operations.q.budget',
      /is not an option/,
    ],
    [
      { services: { pg: { operations: { q: { retry: { base_delay: '1' } } } } } },
      'services.pg.operations.q.retry.base_delay',
      /a number of seconds, 0 or more; got '1'/,
    ],
  ];

  it.each(bad)(
    '%j is refused by its name: by configure, and by the constructor',
    (config, option, says) => {
      const { manager } = managed();
      for (const error of [
        thrown(() => manager.configure(config)),
        thrown(() => new RetryManager(config)),
      ]) {
        expect(error.option).toBe(option);
        expect(error.message).toMatch(says);
      }
    },
  );

  it.each([null, undefined, 5, 'retry', []])('%j is no configuration', (config) => {
    const { manager } = managed();
    expect(() => manager.configure(config as object)).toThrow(/must be an object of options/);
  });

  it('changes nothing: what came before stays in force, whole', async () => {
    const { clock, manager } = managed();
    manager.configure({ retry: { baseDelayMs: 10 } });
    for (const [config] of bad) {
      const good = {
        retry: { baseDelayMs: 99, maxAttempts: 9 },
        services: { pg: { retry: { maxAttempts: 8 } } },
      };
      thrown(() => manager.configure({ ...good, ...config }));
    }
    expect(await delaysOf(manager, clock)).toEqual([10, 20]);
  });

  it.each<[object, string]>([
    [{ maxEntries: 0 }, 'maxEntries'],
    [{ registry: {} }, 'registry'],
    [{ registry: new BreakerRegistry(), maxEntries: 1.5 }, 'maxEntries'],
    [{ store: { load: 1 } }, 'store'],
    [{ registry: new BreakerRegistry(), store: { load() {}, save() {} } }, 'store'],
    [{ logger: {} }, 'retry.logger'],
  ])('a manager with %j is refused', (options, option) => {
    expect(thrown(() => new RetryManager(options)).option).toBe(option);
  });
});

describe('configureFromEnv', () => {
  it('reads <NAME>_RETRY_… and <NAME>_BREAKER_… of services, in seconds', async () => {
    const registry = new BreakerRegistry();
    const { clock, manager } = managed({ registry });
    manager.configureFromEnv(['pg', 'external-api'], {
      PG_RETRY_MAX_ATTEMPTS: '4',
      PG_RETRY_BASE_DELAY: '0.01',
      PG_BREAKER_FAILURE_THRESHOLD: '2',
      PG_BREAKER_RESET_TIMEOUT: '0.5',
      EXTERNAL_API_RETRY_MAX_ATTEMPTS: '2',
      EXTERNAL_API_BREAKER_ENABLED: 'false',
      MYSQL_RETRY_MAX_ATTEMPTS: '9',
    });
    expect(await delaysOf(manager, clock)).toEqual([10, 20, 40]);
    expect(breakerOf(registry)).toMatchObject({ failureThreshold: 2, resetTimeoutMs: 500 });
    const api = { service: 'external-api', operation: 'x' };
    expect(await delaysOf(manager, clock, api)).toEqual([1000]);
    expect(await delaysOf(manager, clock, { service: 'mysql', operation: 'x' })).toHaveLength(2);
    for (let i = 0; i < 9; i++)
      await rejection(manager.execute(failTimes(1, 'v'), { ...api, maxAttempts: 1 }));
    expect(await manager.execute(() => 'v', api)).toBe('v');
  });

  it("takes prefixes by name: seed 000's DATABASE_RETRY_…", async () => {
    const { clock, manager } = managed();
    manager.configureFromEnv(
      { database: 'DATABASE', mlflow: 'MLFLOW' },
      {
        DATABASE_RETRY_MAX_ATTEMPTS: '5',
        DATABASE_RETRY_BASE_DELAY: '1.0',
        DATABASE_RETRY_MAX_DELAY: '3.0',
        MLFLOW_RETRY_ENABLED: 'false',
      },
    );
    const database = { service: 'database', operation: 'get_match' };
    expect(await delaysOf(manager, clock, database)).toEqual([1000, 2000, 3000, 3000]);
    expect(await delaysOf(manager, clock, { service: 'mlflow', operation: 'x' })).toEqual([]);
  });

  it('a bad variable is refused by its name, and changes nothing', async () => {
    const { clock, manager } = managed();
    const error = thrown(() =>
      manager.configureFromEnv(['pg', 'mysql'], {
        PG_RETRY_MAX_ATTEMPTS: '9',
        MYSQL_BREAKER_RESET_TIMEOUT: 'soon',
      }),
    );
    expect(error.option).toBe('MYSQL_BREAKER_RESET_TIMEOUT');
    expect(await delaysOf(manager, clock)).toHaveLength(2);
  });

  it('reads the environment of the process by default', async () => {
    const { clock, manager } = managed();
    process.env['OUTLAST_TEST_RETRY_MAX_ATTEMPTS'] = '1';
    try {
      manager.configureFromEnv(['outlast_test']);
    } finally {
      delete process.env['OUTLAST_TEST_RETRY_MAX_ATTEMPTS'];
    }
    expect(await delaysOf(manager, clock, { service: 'outlast_test', operation: 'x' })).toEqual([]);
  });
});
