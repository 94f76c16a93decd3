import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ManualClock } from '@outlast/core-retry/testing';
import {
  type FetchOptions,
  isDeadlineExceededError,
  isOptionError,
  retryInfo,
} from '@outlast/mlflow-retry';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { failureOf } from '../support/errors.js';
import {
  expectFiles,
  expectTidy,
  filesIn,
  modelsIn,
  openFetchLab,
  randomFile,
} from './fetch-lab.js';

const lab = await openFetchLab();
const MB = 1_048_576;

function expectLate(error: unknown, totalTimeoutMs: number): void {
  expect(isDeadlineExceededError(error), String(error)).toBe(true);
  expect(String(error)).toContain(
    `mlflow.fetchModel did not finish within its totalTimeoutMs of ${totalTimeoutMs} ms`,
  );
  expect(retryInfo(error)).toMatchObject({
    operation: 'mlflow.fetchModel',
    reason: 'deadline',
    outcome: 'not-applied',
  });
}

describe.skipIf(lab.reason !== '')('the time of a fetch', () => {
  lab.use();

  it('ends a download that stands still, and the next fetch goes on where it was', async () => {
    const files = { MLmodel: 'm', 'w.bin': randomFile(24 * MB) };
    const { name } = await lab.seed(files);
    const proxy = await lab.proxy();
    const cacheDir = lab.folder();
    const clock = new ManualClock();
    const uri = `models:/${name}/1`;
    let frozen = false;
    const failing = failureOf(
      lab.client(proxy.port, { retry: { clock } }).fetchModel(uri, {
        cacheDir,
        totalTimeoutMs: 3_000,
        onProgress: ({ file }) => {
          if (frozen || file !== 'w.bin') return;
          // At once: a pause that is awaited would come after the last byte.
          process.kill(lab.server.pid as number, 'SIGSTOP');
          frozen = true;
        },
      }),
    );
    await waitFor(() => frozen);
    await clock.advance(3_000);
    expectLate(await failing, 3_000);
    await lab.server.resume();
    expect(modelsIn(cacheDir)).toBe(0);
    expect(filesIn(join(cacheDir, 'tmp')).length).toBeGreaterThan(0);
    expect(readdirSync(join(cacheDir, 'locks'))).toEqual([]);
    let resumed = 0;
    const { path } = await lab.client(proxy.port).fetchModel(uri, {
      cacheDir,
      totalTimeoutMs: 60_000,
      onProgress: ({ resumedBytes }) => {
        resumed = resumedBytes;
      },
    });
    expectFiles(path, files);
    expect(resumed).toBeGreaterThan(0);
    const ranges = proxy.passed.filter((one) => one.path.includes('w.bin'));
    expect(ranges.map(({ headers }) => headers.range)).toEqual([
      undefined,
      expect.stringMatching(/^bytes=[1-9]\d*-/),
    ]);
    expectTidy(cacheDir);
  });

  it.each<[string, RegExp]>([
    ['what the URI stands for', /model-versions\/get\?/],
    ['where its artifacts are', /get-download-uri/],
    ['the listing', /mlflow-artifacts\/artifacts\?/],
    ['the first byte of a file', /artifacts\/.*w\.bin/],
  ])('covers %s', async (_, awaited) => {
    const { name } = await lab.seed({ 'w.bin': 'w' });
    const proxy = await lab.proxy();
    let asked = 0;
    proxy.answering = (request) => {
      if (!awaited.test(request.url ?? '')) return false;
      asked += 1;
      return true;
    };
    const cacheDir = lab.folder();
    const clock = new ManualClock();
    const client = lab.client(proxy.port, { retry: { clock } });
    const how: FetchOptions = { cacheDir, totalTimeoutMs: 500 };
    const failing = failureOf(client.fetchModel(`models:/${name}/1`, how));
    await waitFor(() => asked === 1);
    await clock.advance(499);
    await clock.advance(1);
    expectLate(await failing, 500);
    expect(asked).toBe(1);
    expect(modelsIn(cacheDir)).toBe(0);
    proxy.answering = undefined;
    expectFiles((await client.fetchModel(`models:/${name}/1`, { cacheDir })).path, {
      'w.bin': 'w',
    });
    expectTidy(cacheDir);
  });

  it('covers the wait for whoever downloads the same, who goes on', async () => {
    const { name } = await lab.seed({ 'w.bin': 'w' });
    const proxy = await lab.proxy();
    let goOn = (): void => {};
    const held = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    proxy.answering = async (request) => {
      if (request.url?.includes('w.bin')) await held;
      return false;
    };
    const cacheDir = lab.folder();
    const client = lab.client(proxy.port);
    const uri = `models:/${name}/1`;
    const first = client.fetchModel(uri, { cacheDir });
    await waitFor(() => proxy.passed.some(({ path }) => path.includes('w.bin')));
    const clock = new ManualClock();
    const patient = lab.client(proxy.port, { retry: { clock } });
    const second = failureOf(patient.fetchModel(uri, { cacheDir, totalTimeoutMs: 300 }));
    // Beside the lock that is held stands the one that it would like to have.
    await waitFor(() => readdirSync(join(cacheDir, 'locks')).length === 2);
    await clock.advance(300);
    expectLate(await second, 300);
    goOn();
    expectFiles((await first).path, { 'w.bin': 'w' });
    expect(proxy.passed.filter(({ path }) => path.includes('w.bin'))).toHaveLength(1);
    expectTidy(cacheDir);
  });

  it('covers the wait for a server that is away, and lets the last model be handed out', async () => {
    const files = { MLmodel: 'm' };
    const { name } = await lab.seed(files, { aliases: ['champion'] });
    const proxy = await lab.proxy();
    const client = lab.client(proxy.port, { retry: { waitMs: 60_000 } });
    const cacheDir = lab.folder();
    const uri = `models:/${name}@champion`;
    const fresh = await client.fetchModel(uri, { cacheDir });
    await proxy.close();
    const how = { cacheDir, totalTimeoutMs: 300 };
    expectLate(await failureOf(client.fetchModel(uri, how)), 300);
    for (const verify of [false, true]) {
      const stale = await client.fetchModel(uri, { ...how, verify, staleIfError: true });
      expect(stale).toMatchObject({ ...fresh, stale: true });
      expectLate(stale.cause, 300);
    }
    expectTidy(cacheDir);
  });

  it('is the client’s where the fetch has none, or a longer one', async () => {
    const { name } = await lab.seed({ 'w.bin': 'w' });
    const proxy = await lab.proxy();
    proxy.answering = (request) => request.url?.includes('w.bin') === true;
    const client = lab.client(proxy.port, { retry: { totalTimeoutMs: 400 } });
    for (const totalTimeoutMs of [undefined, 60_000, Infinity]) {
      const how = { cacheDir: lab.folder(), ...(totalTimeoutMs && { totalTimeoutMs }) };
      expectLate(await failureOf(client.fetchModel(`models:/${name}/1`, how)), 400);
    }
  });

  it('is not slept away: what failed last surfaces as soon as the next delay would be too long', async () => {
    const { name } = await lab.seed({ 'w.bin': 'w' });
    const proxy = await lab.proxy();
    const client = lab.client(proxy.port, { retry: { baseDelayMs: 60_000, maxDelayMs: 60_000 } });
    for (const part of ['model-versions/get?', 'w.bin']) {
      proxy.answering = (request, response) => {
        if (!request.url?.includes(part)) return false;
        response.writeHead(429).end('slow down');
        return true;
      };
      const how = { cacheDir: lab.folder(), totalTimeoutMs: 20_000 };
      const error = await failureOf(client.fetchModel(`models:/${name}/1`, how));
      expect(error.status ?? error.response.status).toBe(429);
      expect(retryInfo(error)).toMatchObject({ attempts: 1, reason: 'deadline' });
    }
  });

  it.each([0, -1, Number.NaN, '1000'])('cannot be %s', async (totalTimeoutMs) => {
    const bad = { totalTimeoutMs } as FetchOptions;
    const error = await failureOf(lab.client(1).fetchModel('models:/churn/1', bad));
    expect(isOptionError(error) && error.option).toBe('totalTimeoutMs');
  });
});
