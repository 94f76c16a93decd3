import { Readable } from 'node:stream';
import { inspect } from 'node:util';
import { isOutcomeUnknown, withRetry } from '@outlast/http-retry';
import axios, { type AxiosInstance } from 'axios';
import axiosRetry from 'axios-retry';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { HttpScript } from '../../servers/index.js';
import { CERTIFICATE } from '../support/certificate.js';
import { failureOf } from '../support/errors.js';

let server: HttpScript;
let secure: HttpScript;

beforeAll(async () => {
  server = await HttpScript.start();
  secure = await HttpScript.start(CERTIFICATE);
});
beforeEach(() => server.reset());
afterAll(async () => {
  await server.close();
  await secure.close();
});

/** axios-retry with three retries, as its documentation has it. */
function theirs(): AxiosInstance {
  const client = axios.create({ baseURL: server.url });
  axiosRetry(client, { retries: 3 });
  return client;
}

function ours(): AxiosInstance {
  const client = axios.create({ baseURL: server.url });
  return withRetry(client, { baseDelayMs: 5, maxAttempts: 4, jitter: false });
}

const cut: HttpScript['handler'] = (_request, _response, socket) => socket.resetAndDestroy();
const busy: HttpScript['handler'] = (_request, response) => response.writeHead(503).end();
const fine: HttpScript['handler'] = (_request, response) => response.end('ok');

describe('axios-retry and ours, on one server', () => {
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

  it('a timeout: given up by one, repeated by the other', async () => {
    server.answers(() => {}, fine);
    expect((await failureOf(theirs().get('/a', { timeout: 100 }))).code).toBe('ECONNABORTED');
    server.answers(() => {}, fine);
    expect((await ours().get('/a', { timeout: 100 })).data).toBe('ok');
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
