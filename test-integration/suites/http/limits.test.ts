import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  Bulkhead,
  isBulkheadFullError,
  isCircuitOpenError,
  RetryBudget,
} from '@outlast/core-retry';
import {
  download,
  type HttpRetryOptions,
  type Retrying,
  retryInfo,
  withRetry,
} from '@outlast/http-retry';
import axios, { type AxiosInstance } from 'axios';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type FaultProxy, startProxy } from '../../faults/index.js';
import { HttpScript, waitFor } from '../../servers/index.js';
import { failureOf } from '../support/errors.js';
import { ServedFile } from '../support/files-server.js';

const MB = 1_000_000;

let server: HttpScript;
let proxy: FaultProxy;
let folder: string;

beforeAll(async () => {
  server = await HttpScript.start();
});
beforeEach(async () => {
  server.reset();
  server.answers((_request, response) => response.end('ok'));
  proxy = await startProxy({ targetPort: server.port });
  folder = await mkdtemp(join(tmpdir(), 'outlast-limits-'));
});
afterEach(async () => {
  await proxy.close();
  await rm(folder, { recursive: true });
});
afterAll(() => server.close());

function client(options: HttpRetryOptions = {}): Retrying & AxiosInstance {
  const instance = axios.create({ baseURL: `http://127.0.0.1:${proxy.port}` });
  return withRetry(instance, { baseDelayMs: 10, jitter: false, ...options });
}

const target = (): string => join(folder, 'f.bin');

it('a breaker opens while the server is away, dials it no more, and closes when it is back', async () => {
  const breaker = { failureThreshold: 2, resetTimeoutMs: 1000, jitter: false };
  const asking = client({ breaker, maxAttempts: 1 });
  const told: string[] = [];
  asking.policy.on('breaker', ({ to }) => told.push(to));
  proxy.refuse();
  for (let n = 0; n < 2; n++) expect((await failureOf(asking.get('/a'))).code).toBe('ECONNREFUSED');
  const refused = await failureOf(asking.get('/a'));
  expect(isCircuitOpenError(refused)).toBe(true);
  expect(retryInfo(refused)).toMatchObject({ reason: 'circuit-open', outcome: 'not-applied' });
  await proxy.accept();
  await waitFor(() => asking.policy.settings.breaker?.state === 'half-open', {
    what: 'the next try',
  });
  expect((await asking.get('/a')).data).toBe('ok');
  expect(told).toEqual(['open', 'half-open', 'closed']);
  expect(server.requests.length).toBe(1);
});

it('a bulkhead keeps the rest away from the server', async () => {
  const bulkhead = new Bulkhead({ maxConcurrent: 2, maxQueued: 6 });
  const asking = client({ bulkhead });
  let now = 0;
  let most = 0;
  server.handler = async (_request, response) => {
    now += 1;
    most = Math.max(most, now);
    await new Promise((resolve) => setTimeout(resolve, 20));
    now -= 1;
    response.end('ok');
  };
  const all = await Promise.allSettled(Array.from({ length: 10 }, (_, n) => asking.get(`/${n}`)));
  const refused = all.filter(({ status }) => status === 'rejected');
  expect([most, refused.length, server.requests.length]).toEqual([2, 2, 8]);
  for (const { reason } of refused as PromiseRejectedResult[]) {
    expect(isBulkheadFullError(reason)).toBe(true);
  }
});

it('totalTimeoutMs bounds patience too, and nothing is dialled after it', async () => {
  proxy.refuse();
  const asking = client({ totalTimeoutMs: 300, waitMs: 60_000 });
  const error = await failureOf(asking.post('/a', 'x'));
  expect(retryInfo(error)).toMatchObject({ reason: 'deadline', outcome: 'not-applied' });
  await proxy.accept();
  await new Promise((resolve) => setImmediate(resolve));
  expect(server.connections).toBe(0);
});

it('a budget that is spent ends the retries of an ill server', async () => {
  server.answers((_request, response) => response.writeHead(503).end());
  const budget = new RetryBudget({ ratio: 0.2, minPerSecond: 0 });
  const asking = client({ budget, maxAttempts: 5 });
  const all = await Promise.all(
    Array.from({ length: 20 }, (_, n) => failureOf(asking.get(`/${n}`))),
  );
  // Twenty requests, and a fifth of that.
  expect(server.requests.length).toBe(24);
  expect(new Set(all.map((error) => retryInfo(error)?.reason))).toEqual(new Set(['budget']));
});

describe('a download', () => {
  it('keeps its slot of a bulkhead while it is resumed', async () => {
    const file = new ServedFile(3 * MB, { etag: '"v1"', cuts: [MB, MB] });
    server.handler = (request, response) => file.answer(request, response);
    const bulkhead = new Bulkhead({ maxConcurrent: 1 });
    const asking = client({ bulkhead });
    const others: Promise<unknown>[] = [];
    const done = await asking.download('/f', target(), {
      sha256: file.sha256,
      onProgress: () => others.push(failureOf(asking.get('/other'))),
    });
    expect(done).toMatchObject({ requests: 3, bytes: 3 * MB });
    // The last was told of after the last byte.
    for (const other of await Promise.all(others.slice(0, -1))) {
      expect(isBulkheadFullError(other)).toBe(true);
    }
    expect(server.requests.filter(({ url }) => url === '/other')).toEqual([]);
    expect(bulkhead.status()).toMatchObject({ running: 0, queued: 0 });
  });

  it('that waits for a slot ends in time, and takes none later', async () => {
    const bulkhead = new Bulkhead({ maxConcurrent: 1, maxQueued: 1 });
    await bulkhead.enter();
    const asking = client({ bulkhead, totalTimeoutMs: 50 });
    expect((await failureOf(asking.download('/f', target()))).code).toBe(
      'OUTLAST_DEADLINE_EXCEEDED',
    );
    bulkhead.leave();
    expect(bulkhead.status()).toMatchObject({ running: 0, queued: 0 });
    expect(await readdir(folder)).toEqual([]);
  });

  it('ends as it failed, whatever the client does with its answers', async () => {
    server.answers((_request, response) => response.writeHead(404).end());
    const asking = client({
      fallback: () => ({ data: 'old' }) as never,
      retryResult: (answer) => (answer as { status: number }).status !== 200,
    });
    expect((await failureOf(asking.download('/f', target()))).response.status).toBe(404);
    server.answers((_request, response) => response.end('file'));
    expect((await asking.download('/f', target())).bytes).toBe(4);
  });

  it('is refused by an open breaker, and votes in it', async () => {
    const breaker = { failureThreshold: 1, resetTimeoutMs: 60_000 };
    const asking = client({ breaker, maxAttempts: 1 });
    server.answers((_request, response) => response.writeHead(503).end());
    expect((await failureOf(asking.download('/f', target()))).response.status).toBe(503);
    expect(isCircuitOpenError(await failureOf(asking.download('/f', target())))).toBe(true);
    expect(server.requests.length).toBe(1);
  });

  it('is retried as often as a policy that is given to it says, or its own options', async () => {
    server.answers((_request, response) => response.writeHead(503).end());
    const { policy } = client({ maxAttempts: 3 });
    for (const [options, requests] of [
      [{}, 3],
      [{ retry: { maxAttempts: 2 } }, 2],
    ] as const) {
      server.reset();
      const plain = axios.create({ baseURL: server.url });
      await failureOf(download('/f', target(), { client: plain, policy, ...options }));
      expect(server.requests.length).toBe(requests);
    }
  });
});
