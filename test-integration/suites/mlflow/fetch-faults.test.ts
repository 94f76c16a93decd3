import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { FetchProgress } from '@outlast/mlflow-retry';
import { describe, expect, it } from 'vitest';
import type { HttpProxy, Passed } from '../../faults/index.js';
import { waitFor } from '../../servers/index.js';
import { runChild } from '../support/child.js';
import {
  expectFiles,
  expectTidy,
  filesIn,
  modelsIn,
  openFetchLab,
  randomFile,
} from './fetch-lab.js';

const lab = await openFetchLab();

// By hand OUTLAST_FETCH_SERIES=8 runs what the documents say: 50 MB, a reset every 5 to 15 MB, 8 tries.
const SERIES = Number(process.env['OUTLAST_FETCH_SERIES'] ?? 0);
const TRIES = SERIES || 2;
const MB = 1_048_576;
const SIZE = SERIES ? 50 * MB : 8 * MB;
const CUT_MB: readonly [number, number] = SERIES ? [5, 15] : [1, 3];
const MOST_BYTES = 1.06;

/** The same lengths in every run. */
function lengths(seed: number): () => number {
  let state = seed * 7_919 + 1;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    const [from, to] = CUT_MB;
    return Math.round((from + (state / 2_147_483_647) * (to - from)) * MB);
  };
}

const isWeights = (path: string): boolean => path.includes('w.bin');

function asked(proxy: HttpProxy): Passed[] {
  return proxy.passed.filter(({ path }) => isWeights(path));
}

/** A child that fetches; what it prints is JSON. */
function child(
  uri: string,
  cacheDir: string,
  port: number,
  onProgress = '',
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return runChild(
    `import { MlflowClient } from '@outlast/mlflow-retry';
     const client = new MlflowClient({ trackingUri: 'http://127.0.0.1:${port}' });
     const model = await client.fetchModel(${JSON.stringify(uri)}, {
       cacheDir: ${JSON.stringify(cacheDir)},
       onProgress: (progress) => { ${onProgress} },
     });
     console.log(JSON.stringify(model));
     client.close();`,
    {},
    60_000,
  );
}

describe.skipIf(lab.reason !== '')('fetchModel under faults', () => {
  lab.use({ remote: true });

  describe.each([
    ['a local store', () => lab.server],
    ['a remote store', () => lab.remote],
  ])('on %s', (_, server) => {
    it.each(Array.from({ length: TRIES }, (_, n) => n + 1))(
      'gets over resets, try %i',
      async (n) => {
        const files = { MLmodel: 'm', 'w.bin': randomFile(SIZE) };
        const { name } = await lab.seed(files, { server: server() });
        const proxy = await lab.proxy(server());
        proxy.cutting = { how: 'reset', after: lengths(n), match: isWeights };
        const cacheDir = lab.folder();
        const start = performance.now();
        const { path } = await lab.client(proxy.port).fetchModel(`models:/${name}/1`, { cacheDir });
        const ms = performance.now() - start;
        expectFiles(path, files);
        const bytes = asked(proxy).reduce((sum, one) => sum + one.bytes, 0);
        const requests = asked(proxy).map((one) => `${one.headers.range ?? 'all'} → ${one.bytes}`);
        if (SERIES) {
          console.log(
            `${requests.length} requests, ${proxy.cuts} cuts, ${(bytes / SIZE).toFixed(4)}×, ${ms.toFixed(0)} ms`,
          );
        }
        expect(proxy.cuts).toBeGreaterThanOrEqual(3);
        expect(bytes / SIZE, requests.join(', ')).toBeLessThanOrEqual(MOST_BYTES);
        expectTidy(cacheDir);
      },
    );

    it.each(Array.from({ length: TRIES }, (_, n) => n + 1))(
      'finds and mends a body that was cut in good order, try %i',
      async (n) => {
        const files = { MLmodel: 'm', 'w.bin': randomFile(SIZE) };
        const { name } = await lab.seed(files, { server: server() });
        const proxy = await lab.proxy(server());
        proxy.cutting = { how: 'end', after: lengths(n), match: isWeights };
        const cacheDir = lab.folder();
        const { path } = await lab.client(proxy.port).fetchModel(`models:/${name}/1`, { cacheDir });
        expectFiles(path, files);
        expect(proxy.cuts).toBeGreaterThanOrEqual(3);
        expectTidy(cacheDir);
      },
    );

    it('goes on after a kill -9 of the process, and shows no half model', async () => {
      const files = { 'a.bin': randomFile(1 * MB), 'w.bin': randomFile(SIZE) };
      const { name } = await lab.seed(files, { server: server() });
      const proxy = await lab.proxy(server());
      const cacheDir = lab.folder();
      const uri = `models:/${name}/1`;
      const killed = await child(
        uri,
        cacheDir,
        proxy.port,
        `if (progress.filesDone === 1 && progress.bytes > ${SIZE / 2}) process.kill(process.pid, 'SIGKILL');`,
      );
      expect(killed.stdout).toBe('');
      expect(modelsIn(cacheDir)).toBe(0);
      const before = asked(proxy).length;
      let resumed = 0;
      const { path } = await lab.client(proxy.port).fetchModel(uri, {
        cacheDir,
        onProgress: ({ resumedBytes }) => {
          resumed = resumedBytes;
        },
      });
      expectFiles(path, files);
      expect(resumed).toBeGreaterThan(SIZE / 4);
      const again = asked(proxy).slice(before);
      expect(again.map(({ headers }) => headers.range)).toEqual([
        expect.stringMatching(/^bytes=\d{5,}-/),
      ]);
      expect(again[0]?.bytes).toBeLessThan(0.8 * SIZE);
      expect(proxy.passed.filter((one) => one.path.includes('a.bin'))).toHaveLength(1);
      expectTidy(cacheDir);
    });
  });

  it.each([
    ['directly', async () => lab.server.port],
    ['behind a proxy that resets meanwhile', async () => (await lab.proxy()).port],
  ])(
    'goes on after a kill -9 of the server and its restart, %s',
    async (_, port) => {
      const files = { MLmodel: 'm', 'w.bin': randomFile(40 * MB) };
      const { name } = await lab.seed(files);
      const cacheDir = lab.folder();
      let down: Promise<unknown> | undefined;
      const client = lab.client(await port(), { retry: { waitMs: 100_000 } });
      const { path } = await client.fetchModel(`models:/${name}/1`, {
        cacheDir,
        onProgress: ({ bytes }) => {
          if (bytes < 4 * MB || down !== undefined) return;
          process.kill(lab.server.pid as number, 'SIGKILL');
          down = lab.server.kill9().then(() => lab.server.start());
        },
      });
      expect(down).not.toBe(undefined);
      await down;
      expectFiles(path, files);
      expectTidy(cacheDir);
    },
    120_000,
  );

  it('downloads once for two processes, which get the same', async () => {
    const files = { MLmodel: 'm', 'w.bin': randomFile(SIZE) };
    const { name } = await lab.seed(files, { aliases: ['champion'] });
    const proxy = await lab.proxy();
    const cacheDir = lab.folder();
    const both = await Promise.all(
      [1, 2].map(() => child(`models:/${name}@champion`, cacheDir, proxy.port)),
    );
    expect(both.map(({ code, stderr }) => [code, stderr])).toEqual([
      [0, ''],
      [0, ''],
    ]);
    const [one, two] = both.map(({ stdout }) => JSON.parse(stdout));
    expect(two).toEqual(one);
    expectFiles(one.path, files);
    expect(asked(proxy)).toHaveLength(1);
    expectTidy(cacheDir);
  });

  it('downloads once for many fetches of one process', async () => {
    const files = { MLmodel: 'm', 'w.bin': randomFile(MB) };
    const { name } = await lab.seed(files);
    const proxy = await lab.proxy();
    const cacheDir = lab.folder();
    const client = lab.client(proxy.port);
    const all = await Promise.all(
      Array.from({ length: 5 }, () => client.fetchModel(`models:/${name}/1`, { cacheDir })),
    );
    expect(new Set(all.map(({ path }) => path)).size).toBe(1);
    expect(asked(proxy)).toHaveLength(1);
    expectTidy(cacheDir);
  });

  it('keeps what has come when one file fails, and says which', async () => {
    const files = { 'a.bin': randomFile(MB), 'w.bin': randomFile(MB) };
    const { name } = await lab.seed(files);
    const proxy = await lab.proxy();
    const cacheDir = lab.folder();
    const client = lab.client(proxy.port);
    let done = 0;
    const onProgress = ({ filesDone }: FetchProgress): void => {
      done = filesDone;
    };
    proxy.answering = async (request, response) => {
      if (!isWeights(request.url ?? '')) return false;
      await waitFor(() => done === 1, { what: 'the other file to be complete' });
      response.writeHead(403).end('Permission denied');
      return true;
    };
    await expect(
      client.fetchModel(`models:/${name}/1`, { cacheDir, onProgress }),
    ).rejects.toMatchObject({
      response: { status: 403 },
    });
    expect(modelsIn(cacheDir)).toBe(0);
    proxy.answering = undefined;
    expectFiles((await client.fetchModel(`models:/${name}/1`, { cacheDir })).path, files);
    expect(proxy.passed.filter(({ path }) => path.includes('a.bin'))).toHaveLength(1);
    expectTidy(cacheDir);
  });

  it('names a full disk, removes its partial files and leaves the other models alone', async ({
    skip,
  }) => {
    const cacheDir = lab.folder('full');
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', cacheDir], { stdio: 'pipe' });
    } catch {
      skip('This user may not mount a tmpfs: run the test as root to see a disk that is full.');
    }
    lab.later(() => execFileSync('umount', [cacheDir]));
    const name = lab.name();
    const small = { MLmodel: 'small', 'w.bin': randomFile(MB) };
    await lab.seed(small, { name });
    await lab.seed({ MLmodel: 'big', 'w.bin': randomFile(6 * MB) }, { name });
    const client = lab.client(lab.server.port);
    const one = await client.fetchModel(`models:/${name}/1`, { cacheDir });
    const error = await client
      .fetchModel(`models:/${name}/2`, { cacheDir })
      .catch((thrown) => thrown);
    expect([error.name, error.code]).toEqual(['DiskFullError', 'ENOSPC']);
    expectFiles(one.path, small);
    expect(modelsIn(cacheDir)).toBe(1);
    expect(filesIn(join(cacheDir, 'tmp'))).toEqual([]);
    expect(readdirSync(join(cacheDir, 'locks'))).toEqual([]);
    const old = await client.fetchModel(`models:/${name}/1`, { cacheDir, verify: true });
    expect(old.path).toBe(one.path);
  });
});
