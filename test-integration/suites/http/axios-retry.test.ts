import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { inspect } from 'node:util';
import { type HttpRetryOptions, isOutcomeUnknown, retryInfo, withRetry } from '@outlast/http-retry';
import axios, { type AxiosInstance } from 'axios';
import axiosRetry, { DEFAULT_OPTIONS, type IAxiosRetryConfig } from 'axios-retry';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { HttpScript } from '../../servers/index.js';
import { makeCertificate } from '../support/certificate.js';
import { failureOf } from '../support/errors.js';
import { ServedFile } from '../support/files-server.js';

let server: HttpScript;
let secure: HttpScript;

beforeAll(async () => {
  server = await HttpScript.start();
  secure = await HttpScript.start(await makeCertificate('alone'));
});
beforeEach(() => server.reset());
afterAll(async () => {
  await server.close();
  await secure.close();
});

/** axios-retry with three retries, as its documentation has it. */
function theirs(options: IAxiosRetryConfig = {}): AxiosInstance {
  const client = axios.create({ baseURL: server.url });
  axiosRetry(client, { retries: 3, ...options });
  return client;
}

function ours(options: HttpRetryOptions = {}) {
  const client = axios.create({ baseURL: server.url });
  return withRetry(client, { baseDelayMs: 5, maxAttempts: 4, jitter: false, ...options });
}

const cut: HttpScript['handler'] = (_request, _response, socket) => socket.resetAndDestroy();
const busy: HttpScript['handler'] = (_request, response) => response.writeHead(503).end();
const fine: HttpScript['handler'] = (_request, response) => response.end('ok');

describe('axios-retry and ours, on one server', () => {
  // Their issue 66.
  it('a POST whose answer was lost: sent again by one, unknown by the other', async () => {
    server.answers(cut, fine);
    await theirs().post('/pay', 'x');
    expect(server.requests.map(({ url }) => url)).toEqual(['/pay', '/pay']);
    server.reset();
    server.answers(cut, fine);
    expect(isOutcomeUnknown(await failureOf(ours().post('/pay', 'x')))).toBe(true);
    expect(server.requests.length).toBe(1);
  });

  it('a PUT with a stream: sent again empty by one, refused by the other', async () => {
    server.answers(busy, fine);
    const sent = { maxRedirects: 0 };
    await theirs()
      .put('/f', Readable.from(['hello']), sent)
      .catch(() => {});
    const bodies = server.requests.map(({ body }) => body);
    expect(bodies[0]).toBe('hello');
    expect(bodies.slice(1).every((body) => body === '')).toBe(true);
    server.reset();
    server.answers(busy, fine);
    await failureOf(ours().put('/f', Readable.from(['hello']), sent));
    expect(server.requests.map(({ body }) => body)).toEqual(['hello']);
  });

  it('a bad certificate: asked four times by one, once by the other', async () => {
    for (const [client, times] of [
      [theirs(), 4],
      [ours(), 1],
    ] as const) {
      const before = secure.connections;
      const error = await failureOf(client.get(`${secure.url}/a`));
      expect([error.code, secure.connections - before]).toEqual([
        'DEPTH_ZERO_SELF_SIGNED_CERT',
        times,
      ]);
    }
  });

  it('a redirect loop: four times five hops by one, once by the other', async () => {
    server.answers((_request, response) => response.writeHead(302, { location: '/a' }).end());
    for (const [client, times] of [
      [theirs(), 4],
      [ours(), 1],
    ] as const) {
      server.reset();
      await failureOf(client.get('/a', { maxRedirects: 4 }));
      expect(server.requests.length).toBe(5 * times);
    }
  });

  it('a request that can never be sent, and an answer that is malformed or too long: four times by one, once by the other', async () => {
    const malformed: HttpScript['handler'] = (_request, _response, socket) =>
      socket.end('HTTP/1.1 200 OK\r\nno header\r\n\r\n');
    const long: HttpScript['handler'] = (_request, response) => response.end('x'.repeat(100));
    for (const [url, config, handler] of [
      ['s3://bucket/key', {}, fine],
      ['/a', {}, malformed],
      ['/a', { maxContentLength: 10 }, long],
    ] as const) {
      server.answers(handler);
      let retries = 0;
      const onRetry = (): void => {
        retries += 1;
      };
      await failureOf(theirs({ onRetry }).get(url, config));
      expect(retries).toBe(3);
      const error = await failureOf(ours().get(url, config));
      expect(retryInfo(error)).toMatchObject({ attempts: 1, reason: 'permanent' });
    }
  });

  it('a body that was cut: given up by one, repeated by the other', async () => {
    const half: HttpScript['handler'] = (_request, response) => {
      response.writeHead(200, { 'content-length': 100 });
      response.write('half', () => response.destroy());
    };
    server.answers(half, fine);
    expect((await failureOf(theirs().get('/a'))).code).toBe('ERR_BAD_RESPONSE');
    server.answers(half, fine);
    expect((await ours().get('/a')).data).toBe('ok');
  });

  // Their issue 39.
  it('a timeout: given up by one, repeated by the other', async () => {
    server.answers(() => {}, fine);
    expect((await failureOf(theirs().get('/a', { timeout: 100 }))).code).toBe('ECONNABORTED');
    server.answers(() => {}, fine);
    expect((await ours().get('/a', { timeout: 100 })).data).toBe('ok');
  });

  // Their issues 24, 84 and 97.
  it('the attempt after a timeout: has no time left with one, all of its own with the other', async () => {
    const late: HttpScript['handler'] = (_request, response) =>
      setTimeout(() => response.end('late'), 100);
    const retryCondition = (error: { code?: string }) => error.code === 'ECONNABORTED';
    server.answers(() => {}, late);
    const error = await failureOf(theirs({ retryCondition }).get('/a', { timeout: 500 }));
    expect(error.code).toBe('ECONNABORTED');
    server.answers(() => {}, late);
    expect((await ours().get('/a', { timeout: 500 })).data).toBe('late');
  });

  // Their issue 150.
  it('a wait that is longer than the timeout: given up without waiting by one, waited by the other', async () => {
    const throttled: HttpScript['handler'] = (_request, response) =>
      response.writeHead(429, { 'retry-after': '1.2' }).end();
    server.answers(throttled, fine);
    expect((await failureOf(theirs().get('/a', { timeout: 1000 }))).status).toBe(429);
    expect(server.requests.length).toBe(1);
    server.answers(throttled, fine);
    expect((await ours().get('/a', { timeout: 1000 })).data).toBe('ok');
  });

  // Their issue 63.
  it('Retry-After with a backoff of one’s own: dropped by one, kept by the other', async () => {
    const throttled: HttpScript['handler'] = (_request, response) =>
      response.writeHead(429, { 'retry-after': '3600' }).end();
    server.answers(throttled, fine);
    expect((await theirs({ retryDelay: () => 0 }).get('/a')).data).toBe('ok');
    const delays: number[] = [];
    const controller = new AbortController();
    const client = ours({ baseDelayMs: 0, maxDelayMs: 4_000_000 });
    client.policy.on('retry', ({ delayMs }) => {
      delays.push(delayMs);
      controller.abort();
    });
    server.answers(throttled);
    await failureOf(client.get('/a', { signal: controller.signal }));
    expect(delays).toEqual([3_600_000]);
  });

  it('Retry-After of an hour: waited by one, failed at once by the other', async () => {
    server.answers((_r, response) => response.writeHead(503, { 'retry-after': '3600' }).end());
    let delay = 0;
    const controller = new AbortController();
    const retryDelay: IAxiosRetryConfig['retryDelay'] = (count, error) => {
      delay = Math.max(delay, axiosRetry.exponentialDelay(count, error));
      queueMicrotask(() => controller.abort());
      return delay;
    };
    await failureOf(theirs({ retryDelay }).get('/a', { signal: controller.signal }));
    expect(delay).toBeGreaterThanOrEqual(3_600_000);
    const error = await failureOf(ours().get('/a'));
    expect(retryInfo(error)).toMatchObject({ reason: 'retry-after', attempts: 1 });
  });

  it('a service that is down: asked again without any delay by one, with growing ones by the other', async () => {
    server.answers(busy);
    const delays: number[] = [];
    const onRetry: IAxiosRetryConfig['onRetry'] = (count, error) => {
      delays.push(DEFAULT_OPTIONS.retryDelay(count, error));
    };
    await failureOf(theirs({ onRetry }).get('/a'));
    expect(delays).toEqual([0, 0, 0]);
    const error = await failureOf(ours().get('/a'));
    expect(retryInfo(error)?.delaysMs).toEqual([5, 10, 20]);
    // By default there is jitter, and the first delay is of seconds.
    expect(withRetry(axios.create()).policy.settings).toMatchObject({
      baseDelayMs: 2000,
      jitter: 0.5,
    });
  });

  it('an abort: three retries are told of by one, none by the other', async () => {
    for (const [which, told] of [
      ['theirs', 3],
      ['ours', 0],
    ] as const) {
      server.answers(() => {});
      let retries = 0;
      const onRetry = (): void => {
        retries += 1;
      };
      const client = which === 'ours' ? ours({ onRetry }) : theirs({ onRetry });
      const controller = new AbortController();
      const failing = failureOf(client.get('/a', { signal: controller.signal }));
      setTimeout(() => controller.abort(), 50);
      expect((await failing).code).toBe('ERR_CANCELED');
      expect(retries).toBe(told);
    }
  });

  it('interceptors of a request that is repeated: run again by one, once by the other', async () => {
    for (const [client, runs] of [
      [theirs(), 2],
      [ours(), 1],
    ] as const) {
      let asked = 0;
      client.interceptors.request.use((config) => {
        asked += 1;
        return config;
      });
      server.answers(busy, fine);
      await client.get('/a');
      expect(asked).toBe(runs);
    }
  });

  it('a file whose body is cut: given up by one, resumed by the other', async () => {
    const file = new ServedFile(1_000_000, { etag: '"v1"', cuts: [400_000, 400_000] });
    server.handler = (request, response) => file.answer(request, response);
    const folder = await mkdtemp(join(tmpdir(), 'outlast-theirs-'));
    const { data } = await theirs().get('/f', { responseType: 'stream' });
    const error = await failureOf(pipeline(data, createWriteStream(join(folder, 'theirs'))));
    expect(error.code).toBe('ECONNRESET');
    const done = await ours().download('/f', join(folder, 'ours'), { sha256: file.sha256 });
    expect(done).toMatchObject({ bytes: 1_000_000, requests: 2 });
    await rm(folder, { recursive: true });
  });

  it('a token in what surfaces: shown by one, hidden by the other', async () => {
    server.answers((_request, response) => response.writeHead(403).end());
    const headers = { Authorization: 'Bearer s3cret-canary' };
    const shown = async (client: AxiosInstance): Promise<string> =>
      inspect(await failureOf(client.get('/a', { headers })), { depth: 12, showHidden: true });
    expect(await shown(theirs())).toContain('s3cret-canary');
    expect(await shown(ours())).not.toContain('s3cret-canary');
  });
});
