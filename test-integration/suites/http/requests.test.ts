import { getEventListeners } from 'node:events';
import { Readable } from 'node:stream';
import { inspect } from 'node:util';
import { isOutcomeUnknown, type Retrying, retryInfo, withRetry } from '@outlast/http-retry';
import axios, { type AxiosInstance, type CreateAxiosDefaults } from 'axios';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type FaultProxy, startProxy } from '../../faults/index.js';
import { HttpScript } from '../../servers/index.js';
import { failureOf } from '../support/errors.js';

let server: HttpScript;
let proxy: FaultProxy;

beforeAll(async () => {
  server = await HttpScript.start();
});
beforeEach(async () => {
  server.reset();
  server.answers((_request, response) => response.end('ok'));
  proxy = await startProxy({ targetPort: server.port });
});
afterEach(() => proxy.close());
afterAll(() => server.close());

const QUICK = { baseDelayMs: 10, jitter: false } as const;

function client(
  options: object = {},
  defaults: CreateAxiosDefaults = {},
): Retrying & AxiosInstance {
  const instance = axios.create({ baseURL: `http://127.0.0.1:${proxy.port}`, ...defaults });
  return withRetry(instance, { ...QUICK, ...options });
}

describe('which requests run again after a lost answer', () => {
  it.each(['get', 'head', 'options', 'put', 'delete'] as const)('%s does', async (method) => {
    proxy.arm({ when: { requestNumber: 1 }, fault: 'cut-after' });
    await client().request({ method, url: '/a' });
    expect(server.requests.length).toBe(2);
  });

  it.each(['post', 'patch'] as const)(
    '%s does not, and says that its outcome is unknown',
    async (method) => {
      proxy.arm({ when: { requestNumber: 1 }, fault: 'cut-after' });
      const error = await failureOf(client().request({ method, url: '/a' }));
      expect(axios.isAxiosError(error)).toBe(true);
      expect(error.code).toBe('ECONNRESET');
      expect(isOutcomeUnknown(error)).toBe(true);
      expect(retryInfo(error)).toMatchObject({
        attempts: 1,
        reason: 'outcome-unknown',
        operation: `http.${method}`,
      });
      expect(server.requests.length).toBe(1);
    },
  );

  it('a post does under an idempotency key, or on the caller’s word', async () => {
    proxy.arm({ when: { requestNumber: 1 }, fault: 'cut-after' });
    await client().post('/a', 'x', { headers: { 'Idempotency-Key': 'k1' } });
    proxy.arm({ when: { bytes: 'POST /b' }, fault: 'cut-after' });
    await client().post('/b', 'x', { retry: { idempotent: true } });
    expect(server.requests.map(({ url }) => url)).toEqual(['/a', '/a', '/b', '/b']);
    expect(server.requests[1]?.headers['idempotency-key']).toBe('k1');
  });

  it('a post that was never sent waits for the server, and runs once', async () => {
    proxy.refuse();
    const posting = client().post('/a', { n: 1 });
    setTimeout(() => void proxy.accept(), 300);
    expect((await posting).status).toBe(200);
    expect(server.requests.map(({ body }) => body)).toEqual(['{"n":1}']);
  });
});

describe('statuses', () => {
  const status =
    (code: number, headers: Record<string, string> = {}) =>
    (_: unknown, response: import('node:http').ServerResponse) => {
      response.writeHead(code, headers).end('no');
    };

  it.each([408, 425, 429, 500, 502, 503, 504])(
    'a get answered with %i runs again',
    async (code) => {
      server.answers(status(code), status(200));
      expect((await client().get('/a')).status).toBe(200);
      expect(server.requests.length).toBe(2);
    },
  );

  it.each([400, 401, 404, 409, 501])('one answered with %i does not', async (code) => {
    server.answers(status(code), status(200));
    const error = await failureOf(client().get('/a'));
    expect([error.response.status, error.response.data]).toEqual([code, 'no']);
    expect(retryInfo(error)).toMatchObject({ attempts: 1, reason: 'permanent' });
  });

  it('a post runs again after 429 and after a 503 that says when, not after a bare 503', async () => {
    server.answers(status(429), status(503, { 'retry-after': '0' }), status(201));
    expect((await client().post('/a', 'x')).status).toBe(201);
    server.reset();
    server.answers(status(503), status(201));
    const error = await failureOf(client().post('/a', 'x'));
    expect([error.response.status, isOutcomeUnknown(error)]).toEqual([503, true]);
    expect(server.requests.length).toBe(1);
  });

  it('waits for as long as Retry-After says, and gives up at once where that is too long', async () => {
    const delays: number[] = [];
    const patient = client();
    patient.policy.on('retry', ({ delayMs }) => delays.push(delayMs));
    server.answers(status(429, { 'retry-after': '0.2' }), status(200));
    await patient.get('/a');
    server.answers(status(429, { 'retry-after': 'soon' }), status(200));
    await patient.get('/a');
    expect(delays).toEqual([200, 10]);
    server.answers(status(429, { 'retry-after': '3600' }));
    const error = await failureOf(patient.get('/a'));
    expect(retryInfo(error)).toMatchObject({
      reason: 'retry-after',
      retryAfterMs: 3_600_000,
      attempts: 1,
    });
  });

  it('leaves to validateStatus what is an error', async () => {
    server.answers(status(503));
    const response = await client().get('/a', { validateStatus: () => true });
    expect([response.status, server.requests.length]).toEqual([503, 1]);
  });

  it('follows as many redirects as axios is told to, and none it is not', async () => {
    server.handler = (request, response) => {
      if (request.url === '/to') return response.end('there');
      return response.writeHead(302, { location: '/to' }).end();
    };
    expect((await client().get('/a')).data).toBe('there');
    const error = await failureOf(client().get('/a', { maxRedirects: 0 }));
    expect([error.response.status, retryInfo(error)?.attempts]).toEqual([302, 1]);
  });

  it('does not repeat a post whose redirect leads to a closed port: it was answered', async () => {
    server.answers((_request, response) =>
      response.writeHead(303, { location: 'http://127.0.0.1:1/gone' }).end(),
    );
    const error = await failureOf(client().post('/a', 'x'));
    expect([error.code, isOutcomeUnknown(error), server.requests.length]).toEqual([
      'ECONNREFUSED',
      true,
      1,
    ]);
  });
});

describe('bodies', () => {
  it('sends a stream once, and refuses to send the rest of it as the whole', async () => {
    server.answers(
      (_request, response) => response.writeHead(503).end(),
      (_r, response) => response.end(),
    );
    const error = await failureOf(client().put('/a', Readable.from(['hello'])));
    expect(error.response.status).toBe(503);
    expect(server.requests.map(({ body }) => body)).toEqual(['hello']);
  });

  it('sends a stream anew that a function makes', async () => {
    server.answers(
      (_request, response) => response.writeHead(503).end(),
      (_r, response) => response.end(),
    );
    await client().put('/a', undefined, { retry: { data: () => Readable.from(['hello']) } });
    expect(server.requests.map(({ body }) => body)).toEqual(['hello', 'hello']);
  });

  it('sends objects and forms again as they were, transformed once', async () => {
    server.answers(
      (_request, response) => response.writeHead(503).end(),
      (_r, response) => response.end(),
    );
    await client().put('/a', { a: [1] });
    expect(server.requests.map(({ body }) => body)).toEqual(['{"a":[1]}', '{"a":[1]}']);
    server.reset();
    server.answers(
      (_request, response) => response.writeHead(503).end(),
      (_r, response) => response.end(),
    );
    const form = new FormData();
    form.set('field', 'value');
    await client().put('/a', form);
    expect(server.requests.map(({ body }) => body.includes('name="field"\r\n\r\nvalue'))).toEqual([
      true,
      true,
    ]);
  });

  it('repeats a get whose answer was cut inside its body', async () => {
    server.answers(
      (_request, response, socket) => {
        response.writeHead(200, { 'content-length': 100 });
        response.write('half', () => socket.destroy());
      },
      (_request, response) => response.end('whole'),
    );
    expect((await client().get('/a')).data).toBe('whole');
  });
});

describe('time', () => {
  it('gives each attempt axios’ timeout anew', async () => {
    server.answers(
      () => {},
      (_request, response) => response.end('late'),
    );
    expect((await client().get('/a', { timeout: 150 })).data).toBe('late');
    expect(server.requests.length).toBe(2);
  });

  it('bounds an attempt, and everything', async () => {
    server.answers(
      () => {},
      (_request, response) => response.end('late'),
    );
    expect((await client({ attemptTimeoutMs: 150 }).get('/a')).data).toBe('late');
    server.answers(() => {});
    const error = await failureOf(client({ totalTimeoutMs: 200 }).get('/a'));
    expect(error.code).toBe('OUTLAST_DEADLINE_EXCEEDED');
  });

  it('ends by a signal or a cancel token, with the error of axios, also while it sleeps', async () => {
    server.answers((_request, response) => response.writeHead(503).end());
    const slow = { baseDelayMs: 60_000, maxDelayMs: 60_000 };
    const controller = new AbortController();
    const signalled = client(slow);
    signalled.policy.on('retry', () => setTimeout(() => controller.abort(), 10));
    const { signal } = controller;
    expect(axios.isCancel(await failureOf(signalled.get('/a', { signal })))).toBe(true);
    const source = axios.CancelToken.source();
    const cancelled = client(slow);
    cancelled.policy.on('retry', () => setTimeout(() => source.cancel('enough'), 10));
    const byToken = await failureOf(cancelled.get('/a', { cancelToken: source.token }));
    expect([axios.isCancel(byToken), byToken.message]).toEqual([true, 'enough']);
    expect(server.requests.length).toBe(2);
  });

  it('leaves no listener on a signal or a cancel token that serve many requests', async () => {
    const { signal } = new AbortController();
    const { token: cancelToken } = axios.CancelToken.source();
    for (let n = 0; n < 3; n++) await client().get('/a', { signal, cancelToken });
    const { _listeners: listeners } = cancelToken as unknown as { _listeners: unknown[] };
    expect([getEventListeners(signal, 'abort'), listeners]).toEqual([[], []]);
  });

  it('waits for a server that is away, over many requests with one loop', async () => {
    const waiting = client();
    const told: string[] = [];
    waiting.policy.on('down', () => told.push('down'));
    waiting.policy.on('up', () => told.push('up'));
    proxy.refuse();
    const all = Array.from({ length: 20 }, (_, n) => waiting.post(`/${n}`, 'x'));
    setTimeout(() => void proxy.accept(), 400);
    await Promise.all(all);
    expect(server.requests.length).toBe(20);
    expect(told).toEqual(['down', 'up']);
  });
});

describe('it stays an instance of axios', () => {
  it('runs interceptors once, shares defaults, and leaves the given instance alone', async () => {
    const base = axios.create({ baseURL: `http://127.0.0.1:${proxy.port}` });
    const retrying = withRetry(base, QUICK);
    let asked = 0;
    retrying.interceptors.request.use((config) => {
      asked += 1;
      return config;
    });
    retrying.defaults.headers.common['x-mine'] = 'yes';
    server.answers(
      (_request, response) => response.writeHead(503).end(),
      (_r, response) => response.end(),
    );
    await retrying('/a');
    expect([asked, server.requests.length, server.requests[1]?.headers['x-mine']]).toEqual([
      1,
      2,
      'yes',
    ]);
    server.answers((_request, response) => response.writeHead(503).end());
    expect((await failureOf(base.get('/b'))).response.status).toBe(503);
    expect(server.requests.length).toBe(3);
  });

  it('lets an interceptor see the error as axios made it, and the caller one without secrets', async () => {
    const retrying = client();
    let seen: unknown;
    retrying.interceptors.response.use(undefined, (error) => {
      seen = error.config.headers.get('authorization');
      throw error;
    });
    server.answers((_request, response) => response.writeHead(401).end());
    const error = await failureOf(
      retrying.get('/a', { headers: { Authorization: 'Bearer s3cret' } }),
    );
    expect(seen).toBe('Bearer s3cret');
    expect(error.config.headers.Authorization).toBe('***');
    // What is shown can be sent again, and is what it was.
    server.answers((_request, response) => response.end());
    await retrying.request(error.config);
    expect(server.requests.at(-1)?.headers.authorization).toBe('Bearer s3cret');
  });

  it('shows no secret in what is told of the attempts before', async () => {
    server.answers((_request, response) => response.writeHead(503).end());
    const headers = { Authorization: 'Bearer s3cret' };
    const error = await failureOf(client().get('/a', { headers }));
    expect(retryInfo(error)?.failures.length).toBe(2);
    expect(inspect([error, retryInfo(error)], { depth: 12, showHidden: true })).not.toContain(
      's3cret',
    );
  });

  it('makes instances that retry, with the policy of their maker or their own', async () => {
    const made = client().create({ baseURL: server.url });
    server.answers(
      (_request, response) => response.writeHead(503).end(),
      (_r, response) => response.end(),
    );
    expect((await made.get('/a')).status).toBe(200);
    const own = client().create({ baseURL: server.url, retry: { maxAttempts: 1 } });
    server.answers((_request, response) => response.writeHead(503).end());
    expect(retryInfo(await failureOf(own.get('/a')))).toMatchObject({
      attempts: 1,
      reason: 'exhausted',
    });
  });

  it('retries under the fetch adapter and a custom one', async () => {
    server.answers(
      (_request, response) => response.writeHead(503).end(),
      (_r, response) => response.end('fetched'),
    );
    expect((await client().get('/a', { adapter: 'fetch' })).data).toBe('fetched');
    let calls = 0;
    const adapter = axios.getAdapter('http');
    const counted = client(
      {},
      {
        adapter: (config) => {
          calls += 1;
          return adapter(config);
        },
      },
    );
    server.answers(
      (_request, response) => response.writeHead(503).end(),
      (_r, response) => response.end(),
    );
    await counted.get('/a');
    expect(calls).toBe(2);
  });

  it('keeps onDownloadProgress, agents and a request of its own without retry', async () => {
    const progress: number[] = [];
    server.answers((_request, response) => response.end('x'.repeat(1000)));
    await client().get('/a', { onDownloadProgress: ({ loaded }) => progress.push(loaded) });
    expect(progress.at(-1)).toBe(1000);
    server.reset();
    server.answers((_request, response) => response.writeHead(503).end());
    await failureOf(client().get('/a', { retry: false }));
    expect(server.requests.length).toBe(1);
  });

  it('says whether the service is well, and never rejects', async () => {
    expect(await client().healthCheck('/health')).toMatchObject({
      ok: true,
      attempts: 1,
      details: { status: 200 },
    });
    server.answers((_request, response) => response.writeHead(404).end());
    expect(await client().healthCheck()).toMatchObject({
      ok: false,
      attempts: 1,
      details: { status: 404 },
    });
    const lost = withRetry(axios.create()).healthCheck();
    expect((await lost).ok).toBe(false);
  });
});
