/** The programs of the seed documents 000, 002 and 003 that call a service over HTTP, in their order, as they are written here. */
import { CircuitBreaker, isCircuitOpenError, RetryManager, retry } from '@outlast/core-retry';
import {
  classifyHttp,
  httpRetry,
  isOutcomeUnknown,
  retryInfo,
  withRetry,
} from '@outlast/http-retry';
import axios from 'axios';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { HttpScript } from '../../servers/index.js';
import { failureOf } from '../support/errors.js';

const quick = { baseDelayMs: 5, maxDelayMs: 1000, jitter: false } as const;

let server: HttpScript;

beforeAll(async () => {
  server = await HttpScript.start();
});
beforeEach(() => server.reset());
afterAll(() => server.close());

const busy: HttpScript['handler'] = (_request, response) => response.writeHead(503).end();
const json: HttpScript['handler'] = ({ url }, response) => response.end(JSON.stringify({ url }));
const status =
  (code: number): HttpScript['handler'] =>
  (_request, response) =>
    response.writeHead(code).end();

/** `response.raise_for_status(); return response.json()`, once. */
const getOnce = async (path: string) => (await axios.get(server.url + path)).data;

describe('seed 000', () => {
  it('@retry(config, on_retry), and its CircuitBreaker.call around it', async () => {
    const told: unknown[] = [];
    const policy = httpRetry({
      ...quick,
      maxAttempts: 3,
      idempotent: true,
      onRetry: ({ attempt, failure }) => told.push([attempt, failure.code]),
      breaker: { failureThreshold: 2, resetTimeoutMs: 60_000 },
    });
    const getPrediction = policy.wrap(getOnce);
    server.answers(busy, busy, json);
    expect(await getPrediction('/predictions/7')).toEqual({ url: '/predictions/7' });
    expect(told).toEqual([
      [1, '503'],
      [2, '503'],
    ]);
    server.answers(busy);
    for (let n = 0; n < 2; n++) await failureOf(getPrediction('/predictions/7'));
    server.reset();
    expect(isCircuitOpenError(await failureOf(getPrediction('/predictions/7')))).toBe(true);
    expect(server.requests).toEqual([]);
  });
});

describe('seed 002', () => {
  const api = () =>
    withRetry(axios.create({ baseURL: server.url, timeout: 5000 }), { ...quick, maxAttempts: 3 });

  it('@retry_with_backoff fetch_user_data(user_id), call_external_api(endpoint) with raise_for_status', async () => {
    const client = api();
    const fetchUserData = async (id: string) => (await client.get(`/users/${id}`)).data;
    server.answers(busy, json);
    expect(await fetchUserData('7')).toEqual({ url: '/users/7' });
    server.answers(status(404));
    expect(retryInfo(await failureOf(fetchUserData('8')))).toMatchObject({ attempts: 1 });
  });

  it('async with RetryableOperation(operation_name, max_attempts)', async () => {
    server.answers(busy, busy, json);
    const policy = httpRetry({ ...quick, maxAttempts: 3, operation: 'data_processing' });
    let result: unknown;
    for await (const attempt of policy.attempts({ idempotent: true })) {
      await attempt.run(async () => {
        result = await getOnce('/process');
      });
    }
    expect([result, server.requests.length]).toEqual([{ url: '/process' }, 3]);
  });

  it('Request → Retry → Circuit Breaker', async () => {
    const client = withRetry(axios.create({ baseURL: server.url }), {
      ...quick,
      maxAttempts: 3,
      breaker: new CircuitBreaker({ failureThreshold: 1 }),
    });
    server.answers(busy);
    expect((await failureOf(client.get('/a'))).response.status).toBe(503);
    expect(isCircuitOpenError(await failureOf(client.get('/a')))).toBe(true);
    expect(server.requests.length).toBe(3);
  });

  it('its log: a warning each retry, an info after it, an error at the end', async () => {
    const lines: [string, Record<string, unknown>][] = [];
    const log = (level: string) => (_message: string, fields: Record<string, unknown>) => {
      lines.push([level, fields]);
    };
    const logger = { info: log('info'), warn: log('warn'), error: log('error') };
    const client = withRetry(axios.create({ baseURL: server.url }), { ...quick, logger });
    server.answers(busy, json);
    await client.get('/a');
    server.answers(status(429));
    await failureOf(client.get('/a'));
    expect(lines.map(([level]) => level)).toEqual(['warn', 'info', 'warn', 'warn', 'error']);
    expect(lines[0]?.[1]).toMatchObject({
      operation: 'http.get',
      attempt: 1,
      max_attempts: 3,
      delay_seconds: 0.005,
    });
  });

  it('is_retryable_error: 408, 429, 500, 502, 503, 504, and nothing else', async () => {
    for (const [code, attempts] of [
      [408, 2],
      [429, 2],
      [500, 2],
      [502, 2],
      [503, 2],
      [504, 2],
      [400, 1],
      [422, 1],
    ] as const) {
      server.reset();
      server.answers(status(code), json);
      await api()
        .get('/data')
        .catch(() => {});
      expect([code, server.requests.length]).toEqual([code, attempts]);
    }
  });

  it('fetch_with_fallback', async () => {
    await using secondary = await HttpScript.start();
    secondary.answers(json);
    server.answers(busy);
    const fallback = () => axios.get(`${secondary.url}/data`);
    const { data } = await api().get('/data', { retry: { fallback } });
    expect([data, server.requests.length]).toEqual([{ url: '/data' }, 3]);
  });

  it('fetch_with_timeout: each attempt has its own', async () => {
    server.answers(() => {}, json);
    expect((await api().get('/data', { timeout: 100 })).data).toEqual({ url: '/data' });
  });

  it('UNSAFE to retry: create_payment is not', async () => {
    server.answers(busy, json);
    const error = await failureOf(api().post('/payments', { amount: 7 }));
    expect([isOutcomeUnknown(error), server.requests.length]).toEqual([true, 1]);
  });
});

describe('seed 003', () => {
  const wrapper = { ...quick, maxAttempts: 3, backoffFactor: 2, idempotent: true } as const;

  it('@retry_wrapper fetch_data(url), and fetch_multiple_users at once', async () => {
    const fetchData = httpRetry(wrapper).wrap(getOnce);
    server.answers(busy, json);
    expect(await fetchData('/data')).toEqual({ url: '/data' });
    server.answers(busy, busy, json);
    const users = await Promise.all([1, 2, 3, 4, 5].map((id) => fetchData(`/users/${id}`)));
    expect(users).toEqual([1, 2, 3, 4, 5].map((id) => ({ url: `/users/${id}` })));
  });

  it('retry(fetch_user, 123), retry_async(fetch_data_async, url)', async () => {
    server.answers(busy, json);
    const options = { ...quick, classify: classifyHttp };
    expect(await retry(() => getOnce('/users/123'), options)).toEqual({ url: '/users/123' });
  });

  it('custom_api_call: retries what is named, with a factor of its own', async () => {
    const named = { ...quick, maxAttempts: 5, backoffFactor: 1.5, idempotent: true } as const;
    const policy = httpRetry({ ...named, retryCategories: ['timeout', 'throttled', 'network'] });
    const delays: number[] = [];
    policy.on('retry', ({ delayMs }) => delays.push(delayMs));
    server.answers(status(429), status(429), status(504), json);
    expect(await policy.wrap(getOnce)('/data')).toEqual({ url: '/data' });
    expect(delays).toEqual([5, 7.5, 11.25]);
    server.reset();
    server.answers(busy);
    await failureOf(policy.wrap(getOnce)('/data'));
    expect(server.requests.length).toBe(1);
  });

  it('process_data: retries an answer that is not ready, not one that is wrong', async () => {
    class NotReady extends Error {}
    const policy = httpRetry({ ...wrapper, retryOn: [NotReady] });
    const processData = policy.wrap(async (path: string) => {
      const { result } = await getOnce(path);
      if (result === null) throw new NotReady('Operation returned None');
      if (result < 0) throw new Error('Invalid result');
      return result;
    });
    const results = (...all: unknown[]): void =>
      server.answers(
        ...all.map((result): HttpScript['handler'] => (_request, response) => {
          response.end(JSON.stringify({ result }));
        }),
      );
    results(null, null, 7);
    expect(await processData('/data')).toBe(7);
    server.reset();
    results(-1);
    expect((await failureOf(processData('/data'))).message).toBe('Invalid result');
    expect(server.requests.length).toBe(1);
  });
});

it('retry_manager.execute(fetch_data, "ExternalAPI", "fetch_molecules") over HTTP', async () => {
  const manager = new RetryManager({ retry: { ...quick, classify: classifyHttp } });
  server.answers(busy, json);
  const names = { service: 'ExternalAPI', operation: 'fetch_molecules' };
  expect(await manager.execute(() => getOnce('/molecules'), names)).toEqual({ url: '/molecules' });
});
