import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Retrying, retryInfo, withRetry } from '@outlast/http-retry';
import axios, { type AxiosInstance } from 'axios';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Arrived, HttpScript } from '../../servers/index.js';
import { makeCertificate } from '../support/certificate.js';
import { failureOf } from '../support/errors.js';

const CANARY = 's3cret-canary';
const certificate = await makeCertificate('127.0.0.1');
const httpsAgent = new Agent({ ca: certificate.cert });

let secure: HttpScript;
let plain: HttpScript;
let folder: string;

beforeAll(async () => {
  secure = await HttpScript.start(certificate);
  plain = await HttpScript.start();
  folder = await mkdtemp(join(tmpdir(), 'outlast-redirects-'));
});
beforeEach(() => {
  for (const server of [secure, plain]) {
    server.reset();
    server.answers((_request, response) => response.end('ok'));
  }
});
afterAll(async () => {
  httpsAgent.destroy();
  await secure.close();
  await plain.close();
  await rm(folder, { recursive: true });
});

/** Everything that a caller can have that is his own. */
function client(server: HttpScript): Retrying & AxiosInstance {
  const headers = {
    'x-api-key': CANARY,
    Cookie: CANARY,
    'x-trace': CANARY,
    'Accept-Language': 'de',
  };
  const auth = { username: 'u', password: CANARY };
  const instance = axios.create({ baseURL: server.url, headers, auth, httpsAgent });
  return withRetry(instance, { baseDelayMs: 5, jitter: false });
}

const to =
  (location: () => string, status = 302): HttpScript['handler'] =>
  (_request, response) =>
    response.writeHead(status, { location: location() }).end();

const target = (): string => join(folder, 'f.bin');
const ways: [string, (client: Retrying & AxiosInstance) => Promise<unknown>][] = [
  ['a request', (client) => client.get('/a')],
  ['a POST', (client) => client.post('/a', 'x')],
  ['a download', (client) => client.download('/a', target())],
];

describe.each(ways)('%s', (way, ask) => {
  it('is not led from https to http, where anybody may read along', async () => {
    secure.answers(to(() => `${plain.url}/b`, 307));
    const error = await failureOf(ask(client(secure)));
    expect(error.message).toMatch(/leads from https to http/);
    expect(retryInfo(error)).toMatchObject({ attempts: 1, reason: 'permanent' });
    expect([secure.requests.length, plain.connections]).toEqual([1, 0]);
    expect(await readdir(folder)).toEqual([]);
  });

  it('shows nothing of its caller’s to another origin, and all of it to its own', async () => {
    await using other = await HttpScript.start();
    other.answers(
      to(() => `${plain.url}/d`, 307),
      (_request, response) => response.end('ok'),
    );
    plain.answers(
      to(() => '/b', 307),
      to(() => `${other.url}/c`, 307),
      // It came back, and is a stranger now.
      (_request, response) => response.end('ok'),
    );
    await ask(client(plain));
    const told = [...plain.requests, ...other.requests].map(({ url, headers }) => [
      url,
      JSON.stringify(headers).includes(CANARY),
    ]);
    expect(told).toEqual([
      ['/a', true],
      ['/b', true],
      ['/d', false],
      ['/c', false],
    ]);
    for (const { headers } of [plain.requests[2], other.requests[0]] as Arrived[]) {
      expect(headers).not.toHaveProperty('authorization');
    }
    if (way === 'a POST') expect(other.requests[0]?.body).toBe('x');
  });
});

it('what says what is asked for, not who asks, goes along', async () => {
  await using other = await HttpScript.start();
  plain.answers(to(() => `${other.url}/b`, 307));
  const headers = {
    Range: 'bytes=0-9',
    'If-None-Match': '"v1"',
    'Content-Type': 'text/x',
    'X-Mine': '1',
  };
  await client(plain).put('/a', 'body', { headers });
  expect(other.requests[0]).toMatchObject({
    body: 'body',
    headers: {
      range: 'bytes=0-9',
      'if-none-match': '"v1"',
      'content-type': 'text/x',
      'accept-language': 'de',
    },
  });
  expect(other.requests[0]?.headers).not.toHaveProperty('x-mine');
});

it('the caller’s own beforeRedirect has the last word', async () => {
  await using other = await HttpScript.start();
  plain.answers(to(() => `${other.url}/b`));
  await client(plain).get('/a', {
    beforeRedirect: (options, { statusCode }) => {
      options['headers']['x-api-key'] = `for ${options['hostname']} after ${statusCode}`;
    },
  });
  expect(other.requests[0]?.headers['x-api-key']).toBe('for 127.0.0.1 after 302');
});

it('health is asked by the same rules', async () => {
  secure.answers(to(() => `${plain.url}/b`));
  expect((await client(secure).healthCheck('/health')).ok).toBe(false);
  expect(plain.connections).toBe(0);
});

it('a bare `retry: false` is plain axios, and follows', async () => {
  secure.answers(to(() => `${plain.url}/b`));
  expect((await client(secure).get('/a', { retry: false })).data).toBe('ok');
});
