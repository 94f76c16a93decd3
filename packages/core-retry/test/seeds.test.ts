/** The programs of the seed documents 000 to 003, in their order, as they are written here. */
import {
  BreakerRegistry,
  type Category,
  CircuitBreaker,
  composeClassifiers,
  type Failure,
  isCircuitOpenError,
  RetryManager,
  RetryPolicy,
  retry,
  retryOptionsFromEnv,
  retryOptionsFromObject,
  retrySync,
} from '@outlast/core-retry';
import { failTimes, ManualClock, recordDelays } from '@outlast/core-retry/testing';
import { describe, expect, it, vi } from 'vitest';
import { coded, RESET, rejection, settled } from './helpers.js';
import { MemoryStore } from './memory-store.js';

const clockAnd = () => {
  const clock = new ManualClock();
  return { clock, still: { clock, jitter: false } as const };
};

describe('seed 000', () => {
  it('RetryConfig and @retry, with on_retry', async () => {
    const { clock } = clockAnd();
    const seen: unknown[] = [];
    const policy = new RetryPolicy({
      ...retryOptionsFromObject({
        max_attempts: 5,
        base_delay: 1.0,
        max_delay: 30.0,
        exponential_base: 2.0,
        jitter: true,
        retryable_exceptions: [Error],
      }),
      clock,
      random: () => 0.5,
      onRetry: (event) => seen.push([event.attempt, (event.error as Error).message]),
    });
    const delays = recordDelays(policy);
    const getMatch = policy.wrap(failTimes(4, { id: 7 }));
    expect(await clock.runUntilSettled(getMatch())).toEqual({ id: 7 });
    expect(delays).toEqual([1000, 2000, 4000, 8000]);
    expect(seen).toEqual([1, 2, 3, 4].map((n) => [n, `scripted failure ${n}`]));
  });

  it('CircuitBreaker(failure_threshold, recovery_timeout).call', async () => {
    const { clock } = clockAnd();
    const breaker = new CircuitBreaker({ clock, jitter: false, failureThreshold: 2 });
    for (let i = 0; i < 2; i++) await rejection(breaker.execute(failTimes(1, 'v')));
    expect(isCircuitOpenError(await rejection(breaker.execute(failTimes(0, 'v'))))).toBe(true);
    await clock.advance(60_000);
    expect(await breaker.execute(failTimes(0, 'v'))).toBe('v');
    expect(breaker.state).toBe('closed');
  });

  it('configuration by environment', () => {
    const env = {
      DATABASE_RETRY_MAX_ATTEMPTS: '5',
      DATABASE_RETRY_BASE_DELAY: '1.0',
      DATABASE_RETRY_MAX_DELAY: '30.0',
    };
    expect(retryOptionsFromEnv(['DATABASE_RETRY'], env)).toEqual({
      maxAttempts: 5,
      baseDelayMs: 1000,
      maxDelayMs: 30_000,
    });
  });
});

describe('seed 001', () => {
  const names = { service: 'ExternalAPI', operation: 'fetch_molecules' };
  const fetchMolecules = async (ids: readonly number[], options: { properties: boolean }) =>
    ids.map((id) => `${id} ${options.properties}`);

  it('execute with arguments; the result is processed', async () => {
    const manager = new RetryManager();
    const result = await manager.execute(() => fetchMolecules([1, 2], { properties: true }), names);
    expect(result).toEqual(['1 true', '2 true']);
  });

  it('the decorator and the simplified retry: wrap, and options beside the names', async () => {
    const { clock, still } = clockAnd();
    const manager = new RetryManager({ retry: still });
    const delays: number[] = [];
    manager.on('retry', (event) => delays.push(event.delayMs));
    const work = failTimes(4, 'data');
    const fetch = manager.wrap(() => work(), {
      service: 'DataSource',
      operation: 'fetch_molecule_data',
      maxAttempts: 5,
      baseDelayMs: 1000,
      backoffFactor: 2,
    });
    expect(await clock.runUntilSettled(fetch())).toBe('data');
    expect(delays).toEqual([1000, 2000, 4000, 8000]);
  });

  it('custom configuration: categories, errors that are never retried, a breaker', async () => {
    const { clock, still } = clockAnd();
    class KeyError extends Error {}
    const manager = new RetryManager({
      retry: {
        ...still,
        ...retryOptionsFromObject({
          max_attempts: 5,
          initial_delay: 0.5,
          max_delay: 30.0,
          backoff_factor: 1.5,
          retryable_error_categories: ['network', 'timeout'],
          non_retryable_errors: [KeyError, TypeError],
        }),
      },
      breaker: { failureThreshold: 3, halfOpenMaxCalls: 2, successThreshold: 2 },
    });
    const calls = async (error: unknown, more = {}) => {
      const work = vi.fn(() => Promise.reject(error));
      await clock.runUntilSettled(settled(manager.execute(work, { ...names, ...more })));
      return work.mock.calls.length;
    };
    expect(await calls(coded(RESET))).toBe(5);
    expect(await calls(coded(RESET), { maxAttempts: 2 })).toBe(2);
    expect(await calls(new KeyError('missing'))).toBe(1);
    // Three operations have failed: the breaker is open, and is gone by, or another operation's asked.
    expect(await calls(coded(RESET))).toBe(0);
    expect(await calls(coded(RESET), { breaker: false })).toBe(5);
    expect(await calls(coded('EBUSY'), { operation: 'other' })).toBe(1);
  });

  it('monitoring and reset', async () => {
    const { clock, still } = clockAnd();
    const manager = new RetryManager({ retry: still, breaker: { failureThreshold: 1 } });
    await clock.runUntilSettled(settled(manager.execute(failTimes(3, 'v'), names)));
    const lines = Object.entries(manager.status().breakers).map(([key, breaker]) => {
      const [service, operation] = key.split(':');
      return [service, operation, breaker.state, breaker.failures, typeof breaker.openUntil];
    });
    expect(lines).toEqual([['ExternalAPI', 'fetch_molecules', 'open', 1, 'number']]);
    manager.reset('ExternalAPI', 'fetch_molecules');
    expect(await manager.execute(failTimes(0, 'v'), names)).toBe('v');
  });

  it('an error classifier of its own', async () => {
    const { clock, still } = clockAnd();
    const classifier = (error: unknown): Failure | undefined => {
      const category: Category | undefined =
        (error as Error).message === 'slow down' ? 'throttled' : undefined;
      return category && { category, transient: true, outcome: 'not-applied' };
    };
    const manager = new RetryManager({
      retry: { ...still, classify: composeClassifiers(classifier), idempotent: false },
    });
    const work = failTimes([new Error('slow down')], 'v');
    expect(await clock.runUntilSettled(manager.execute(work, names))).toBe('v');
    const other = failTimes([new Error('lost')], 'v');
    await rejection(manager.execute(other, names));
    expect(other.calls).toBe(1);
  });

  it('operations that share a breaker by their name', async () => {
    const { clock, still } = clockAnd();
    const manager = new RetryManager({ retry: still, breaker: { failureThreshold: 1 } });
    const run = (errors: number, operation: string) =>
      clock.runUntilSettled(
        settled(manager.execute(failTimes(errors, 'v'), { service: 'ChEMBL', operation })),
      );
    await run(3, 'fetch_data');
    expect(await run(0, 'fetch_data')).toMatchObject({ ok: false });
    expect(await run(0, 'fetch_properties')).toMatchObject({ ok: true });
  });

  it('a registry with state that outlives the process, given to the manager', async () => {
    const { clock, still } = clockAnd();
    const store = new MemoryStore(clock);
    const start = () =>
      new RetryManager({
        retry: still,
        registry: new BreakerRegistry({ store, breaker: { clock, failureThreshold: 1 } }),
      });
    await clock.runUntilSettled(settled(start().execute(failTimes(3, 'v'), names)));
    const error = await rejection(start().execute(failTimes(0, 'v'), names));
    expect(isCircuitOpenError(error)).toBe(true);
  });

  it('CircuitBreakerRegistry.report_success and report_failure, by hand', () => {
    const registry = new BreakerRegistry({ breaker: { failureThreshold: 2 } });
    const breaker = registry.get('ExternalAPI', 'stream');
    breaker.acquire().failure(coded(RESET));
    breaker.acquire().success();
    expect(breaker.status()).toMatchObject({ state: 'closed', failures: 0 });
    for (let i = 0; i < 2; i++) breaker.acquire().failure(coded(RESET));
    expect(registry.status()['ExternalAPI:stream']).toMatchObject({ state: 'open' });
  });
});

describe('seed 002', () => {
  it('the context manager: RetryableOperation', async () => {
    const { clock, still } = clockAnd();
    const policy = new RetryPolicy({ ...still, maxAttempts: 3, operation: 'data_processing' });
    const names: string[] = [];
    policy.on('success', ({ operation }) => names.push(operation));
    const work = failTimes(1, 'result');
    const process = async () => {
      for await (const attempt of policy.attempts()) {
        const result = await attempt.run(work);
        if (result !== undefined) return result;
      }
      return undefined;
    };
    expect(await clock.runUntilSettled(process())).toBe('result');
    expect(names).toEqual(['data_processing']);
  });

  it('the three log lines, with their fields', async () => {
    const { clock, still } = clockAnd();
    const lines: unknown[] = [];
    const note = (level: string) => (message: string, fields: object) =>
      lines.push({ level, message, ...fields });
    const logger = { info: note('INFO'), warn: note('WARNING'), error: note('ERROR') };
    const policy = new RetryPolicy({ ...still, logger });
    const broken = (text: string) => Object.assign(new Error(text), { name: 'KafkaError' });
    const publish = { operation: 'kafka_publish', idempotent: true, baseDelayMs: 2150 };
    await clock.runUntilSettled(
      policy.execute(failTimes([broken('Broker not available')], 'v'), publish),
    );
    const down = ['a', 'b', 'Connection refused'].map(broken);
    await clock.runUntilSettled(settled(policy.execute(failTimes(down, 'v'), publish)));
    expect(lines).toEqual(
      expect.arrayContaining([
        {
          level: 'WARNING',
          message: 'Retry attempt 1/3 failed for kafka_publish, waiting 2.15s',
          operation: 'kafka_publish',
          attempt: 1,
          max_attempts: 3,
          delay_seconds: 2.15,
          error: 'KafkaError: Broker not available',
        },
        {
          level: 'INFO',
          message: 'Retry succeeded for kafka_publish',
          operation: 'kafka_publish',
          attempt: 2,
          max_attempts: 3,
        },
        {
          level: 'ERROR',
          message: 'All retry attempts exhausted for kafka_publish',
          operation: 'kafka_publish',
          attempts: 3,
          error: 'KafkaError: Connection refused',
        },
      ]),
    );
  });

  it('retry with fallback, and conditional retry', async () => {
    const { clock, still } = clockAnd();
    const secondary = () => 'secondary';
    const primary = retry(failTimes(3, 'primary'), { ...still, fallback: secondary });
    expect(await clock.runUntilSettled(primary)).toBe('secondary');
    const status = (code: number) => Object.assign(new Error('HTTP'), { status: code });
    const retryIf = (error: unknown) =>
      [408, 429, 500, 502, 503, 504].includes((error as { status: number }).status);
    const work = failTimes([status(503), status(404)], 'v');
    const error = await clock.runUntilSettled(rejection(retry(work, { ...still, retryIf })));
    expect([work.calls, error]).toMatchObject([2, { status: 404 }]);
  });

  it('dead letters for any operation: a listener on exhausted', async () => {
    const { clock, still } = clockAnd();
    const manager = new RetryManager({ retry: still });
    const letters: unknown[] = [];
    manager.on('exhausted', ({ operation, attempts, reason }) => {
      letters.push({ operation, attempts, reason });
    });
    const publish = { service: 'kafka', operation: 'publish' };
    await clock.runUntilSettled(settled(manager.execute(failTimes(3, 'v'), publish)));
    expect(letters).toEqual([{ operation: 'kafka:publish', attempts: 3, reason: 'exhausted' }]);
  });
});

describe('seed 003', () => {
  it('retry_wrapper around what waits and what does not', async () => {
    const { clock, still } = clockAnd();
    const policy = new RetryPolicy({
      ...still,
      ...retryOptionsFromObject({ max_attempts: 4, sleep_time: 1, backoff: 1.5, log_tries: false }),
    });
    const delays = recordDelays(policy);
    expect(await clock.runUntilSettled(policy.wrap(failTimes(3, 'v'))())).toBe('v');
    let calls = 0;
    const read = policy.wrapSync((path: string) => {
      calls += 1;
      if (calls < 3) throw coded('EBUSY');
      return path;
    });
    expect(read('/etc/hosts')).toBe('/etc/hosts');
    expect(delays).toEqual([1000, 1500, 2250, 1000, 1500]);
  });

  it('retry(func, …) and retry_async(func, …)', async () => {
    const { clock, still } = clockAnd();
    expect(await clock.runUntilSettled(retry(failTimes(2, 'user'), { ...still }))).toBe('user');
    expect(retrySync((attempt) => attempt.number, still)).toBe(1);
  });

  it('log_tries logs to the console', async () => {
    const { clock, still } = clockAnd();
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
    const info = vi.spyOn(console, 'info').mockImplementation(() => {});
    const options = retryOptionsFromObject({ log_tries: true });
    await clock.runUntilSettled(retry(failTimes(1, 'v'), { ...still, ...options }));
    expect([warn.mock.calls.length, info.mock.calls.length]).toEqual([1, 1]);
    warn.mockRestore();
    info.mockRestore();
  });

  it('6: retryable errors by their class; a negative result is none', async () => {
    const { clock, still } = clockAnd();
    class RetryableError extends Error {}
    const run = (...results: readonly (number | undefined)[]) => {
      let calls = 0;
      return clock.runUntilSettled(
        settled(
          retry(
            async () => {
              const result = results[calls++];
              if (result === undefined) throw new RetryableError('Operation returned None');
              if (result < 0) throw new Error('Invalid result');
              return result;
            },
            { ...still, retryOn: [RetryableError] },
          ),
        ),
      );
    };
    expect(await run(undefined, 5)).toEqual({ ok: true, value: 5 });
    expect(await run(undefined, -1, 5)).toMatchObject({ error: { message: 'Invalid result' } });
    // The same without an error.
    const values = [undefined, 5];
    const byValue = retry(async () => values.shift(), {
      ...still,
      retryResult: (value) => value === undefined,
    });
    expect(await clock.runUntilSettled(byValue)).toBe(5);
  });
});
