import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, open, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import {
  type DownloadOptions,
  download,
  isOutcomeUnknown,
  retryInfo,
  withRetry,
} from '@outlast/http-retry';
import axios from 'axios';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startProxy } from '../../faults/index.js';
import { HttpScript, isSkipped, type Nginx, takeNginx, waitFor } from '../../servers/index.js';
import { startChild } from '../support/child.js';
import { failureOf } from '../support/errors.js';
import { ServedFile } from '../support/files-server.js';

const MB = 1_000_000;
const retry = { baseDelayMs: 10, maxAttempts: 4, jitter: false, waitMs: 30_000 } as const;

let server: HttpScript;
let folder: string;
let file: ServedFile;

beforeAll(async () => {
  server = await HttpScript.start();
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'outlast-download-'));
  server.reset();
});
afterEach(() => rm(folder, { recursive: true, force: true }));
afterAll(() => server.close());

function serve(size: number, serving: ConstructorParameters<typeof ServedFile>[1]): ServedFile {
  file = new ServedFile(size, serving);
  server.handler = (request, response) => file.answer(request, response);
  return file;
}

const target = (name = 'f.bin'): string => join(folder, name);
const fetchFile = (options: DownloadOptions = {}) =>
  download(`${server.url}/f.bin`, target(), { retry, sha256: true, ...options });
const ranges = () => server.requests.map(({ headers }) => [headers.range, headers['if-range']]);

async function expectWhole(): Promise<void> {
  const sha256 = createHash('sha256')
    .update(await readFile(target()))
    .digest('hex');
  expect(sha256).toBe(file.sha256);
  expect(await readdir(folder)).toEqual(['f.bin']);
}

describe('a body that is cut', () => {
  it('goes on with Range and If-Range where there is a strong ETag, and the counter of attempts with it', async () => {
    const cuts = Array.from({ length: 8 }, () => 2 * MB);
    serve(20 * MB, { etag: '"v1"', cuts });
    const done = await fetchFile({ fsync: false });
    expect(done).toMatchObject({
      bytes: 20 * MB,
      sha256: file.sha256,
      requests: 9,
      restarts: 0,
      etag: '"v1"',
    });
    expect(done.receivedBytes).toBe(20 * MB);
    expect(ranges().slice(0, 2)).toEqual([
      [undefined, undefined],
      ['bytes=2000000-', '"v1"'],
    ]);
    expect(
      server.requests.every(({ method, headers }) => method === 'GET' && !headers['if-match']),
    ).toBe(true);
    await expectWhole();
  });

  it('begins anew without a validator, unless the caller allows to go by the size', async () => {
    serve(4 * MB, { cuts: [MB] });
    expect(await fetchFile()).toMatchObject({ requests: 2, restarts: 1, unvalidated: false });
    expect(ranges()).toEqual([
      [undefined, undefined],
      [undefined, undefined],
    ]);
    server.reset();
    serve(4 * MB, { cuts: [MB, 2 * MB] });
    const done = await fetchFile({ expectedSize: 4 * MB, resume: 'auto' });
    expect(done).toMatchObject({
      requests: 3,
      restarts: 0,
      unvalidated: true,
      receivedBytes: 4 * MB + 2 * 65_536,
    });
    expect(ranges()[1]).toEqual([`bytes=${MB - 65_536}-`, undefined]);
    await expectWhole();
  });

  it('begins anew when the overlap is not the same', async () => {
    const first = serve(4 * MB, { cuts: [MB] });
    server.answers(
      (request, response) => first.answer(request, response),
      (request, response) => {
        file = file === first ? new ServedFile(4 * MB) : file;
        file.answer(request, response);
      },
    );
    expect(await fetchFile({ expectedSize: 4 * MB, resume: 'auto' })).toMatchObject({
      requests: 3,
      restarts: 1,
      unvalidated: false,
    });
    await expectWhole();
  });

  it('begins anew when the server has another version, and never mixes two', async () => {
    const first = serve(4 * MB, { etag: '"v1"', cuts: [MB] });
    server.answers(
      (request, response) => first.answer(request, response),
      (request, response) => {
        file = file === first ? new ServedFile(5 * MB, { etag: '"v2"' }) : file;
        file.answer(request, response);
      },
    );
    expect(await fetchFile()).toMatchObject({
      bytes: 5 * MB,
      requests: 2,
      restarts: 1,
      etag: '"v2"',
    });
    await expectWhole();
  });

  it('is found by its expected size where it ends cleanly, and mended', async () => {
    serve(4 * MB, { length: false, ranges: false, cleanCuts: true, cuts: [MB, 3 * MB] });
    expect(await fetchFile({ expectedSize: 4 * MB })).toMatchObject({
      bytes: 4 * MB,
      requests: 3,
      restarts: 2,
    });
    await expectWhole();
  });

  it('gives up where nothing brings it further, and keeps what is there', async () => {
    serve(4 * MB, { ranges: false, cuts: Array.from({ length: 20 }, () => MB) });
    const error = await failureOf(fetchFile());
    expect(error.code).toBe('ECONNRESET');
    expect(retryInfo(error)).toMatchObject({ reason: 'exhausted' });
    expect(isOutcomeUnknown(error)).toBe(false);
    // One that brought it to 1 MB, and three that did not bring it further.
    expect(server.requests.length).toBe(4);
    expect((await readdir(folder)).sort()).toEqual(['f.bin.part', 'f.bin.part.json']);
  });
});

describe('later calls and processes', () => {
  it('resume what was left, compare its end, and hash all of it', async () => {
    serve(4 * MB, { etag: '"v1"', cuts: [3 * MB] });
    await failureOf(fetchFile({ retry: { ...retry, maxAttempts: 1 } }));
    server.reset();
    const done = await fetchFile({ sha256: file.sha256 });
    expect(done).toMatchObject({ resumedBytes: 3 * MB, requests: 1, sha256: file.sha256 });
    expect(ranges()).toEqual([[`bytes=${3 * MB - 65_536}-`, '"v1"']]);
    await expectWhole();
  });

  it('throw away what was left of another URL, and what is not what it was', async () => {
    serve(4 * MB, { etag: '"v1"', cuts: [3 * MB] });
    await failureOf(fetchFile({ retry: { ...retry, maxAttempts: 1 } }));
    await download(`${server.url}/other.bin`, target(), { retry });
    await expectWhole();
    file.serve({ cuts: [3 * MB] });
    await failureOf(fetchFile({ retry: { ...retry, maxAttempts: 1 } }));
    await writeFile(`${target()}.part`, Buffer.alloc(3 * MB));
    expect(await fetchFile()).toMatchObject({ resumedBytes: 0, restarts: 1, sha256: file.sha256 });
    await expectWhole();
  });

  it('resume after kill -9 of the process, and show no half file before', async () => {
    serve(30 * MB, { etag: '"v1"' });
    const plain = server.handler;
    server.handler = (request, response, socket) => {
      const end = response.end.bind(response);
      // The first megabytes come, the rest does not.
      response.end = ((body?: Buffer) => {
        if (Buffer.isBuffer(body) && server.requests.length === 1) {
          response.write(body.subarray(0, 10 * MB));
          return response;
        }
        return end(body);
      }) as typeof response.end;
      return plain(request, response, socket);
    };
    const child = await startChild(
      `import { download } from '@outlast/http-retry';
       await download(process.env.URL, process.env.FILE, {
         onProgress: ({ bytes }) => { if (bytes >= 10_000_000) console.log('enough'); else console.log(bytes); },
       });`,
      { URL: `${server.url}/f.bin`, FILE: target() },
    );
    await waitFor(
      async () =>
        existsSync(`${target()}.part`) && (await readFile(`${target()}.part`)).length >= 9 * MB,
      {
        what: 'the first megabytes',
      },
    );
    process.kill(child.pid, 'SIGKILL');
    await child.end;
    expect(existsSync(target())).toBe(false);
    const done = await fetchFile();
    expect(done.resumedBytes).toBeGreaterThanOrEqual(9 * MB);
    expect(done.receivedBytes).toBeLessThan(22 * MB);
    await expectWhole();
  });

  it('two at once on one target: both end, and the file is one of them', async () => {
    serve(4 * MB, { etag: '"v1"' });
    const [one, two] = await Promise.all([fetchFile(), fetchFile()]);
    expect([one.sha256, two.sha256]).toEqual([file.sha256, file.sha256]);
    await expectWhole();
  });

  it('are not spoilt by another machine’s process that was silent, and writes on', async () => {
    serve(4 * MB, { etag: '"v1"', cuts: [3 * MB] });
    await failureOf(fetchFile({ retry: { ...retry, maxAttempts: 1 } }));
    await writeFile(`${target()}.part.lock`, '1 another-machine 7');
    const longAgo = new Date(Date.now() - 60_000);
    await utimes(`${target()}.part.lock`, longAgo, longAgo);
    await using theirs = await open(`${target()}.part`, 'r+');
    const plain = server.handler;
    server.handler = async (...asked) => {
      await theirs.write(Buffer.alloc(2 * MB), 0, 2 * MB, 0);
      await plain(...asked);
    };
    await fetchFile();
    await expectWhole();
  });

  it('do not write through a link that lies in the way', async () => {
    serve(1000, { etag: '"v1"' });
    await writeFile(target('victim'), 'mine');
    await symlink(target('victim'), `${target()}.part`);
    await fetchFile();
    expect(await readFile(target('victim'), 'utf8')).toBe('mine');
  });
});

describe('what is refused', () => {
  it('a size, a hash, a packing and a page that are not the file’s', async () => {
    serve(1000, {});
    expect((await failureOf(fetchFile({ expectedSize: 999 }))).code).toBe('OUTLAST_WRONG_SIZE');
    expect((await failureOf(fetchFile({ sha256: '0'.repeat(64) }))).code).toBe(
      'OUTLAST_HASH_MISMATCH',
    );
    expect(await readdir(folder)).toEqual([]);
    server.answers((_r, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end('x'),
    );
    expect((await failureOf(fetchFile())).code).toBe('OUTLAST_ENCODED_BODY');
    server.reset();
    server.answers((_r, response) =>
      response.writeHead(200, { 'content-type': 'text/html' }).end('<login>'),
    );
    expect((await failureOf(fetchFile())).code).toBe('OUTLAST_UNEXPECTED_HTML');
    expect(server.requests.length).toBe(2);
    expect((await fetchFile({ html: true })).bytes).toBe(7);
  });

  it('an answer that is none: with a bounded text, after the retries that its status allows', async () => {
    server.answers((_r, response) => response.writeHead(404).end('x'.repeat(100_000)));
    const error = await failureOf(fetchFile());
    expect([axios.isAxiosError(error), error.response.status, error.response.data.length]).toEqual([
      true,
      404,
      8192,
    ]);
    server.reset();
    server.answers(
      (_r, response) => response.writeHead(503).end('busy'),
      (_r, response) => response.end('file'),
    );
    expect(await fetchFile()).toMatchObject({ bytes: 4, requests: 2 });
  });

  it('a silent body and a late first byte', async () => {
    server.answers((_r, response) => {
      response.writeHead(200, { 'content-length': 10 });
      response.write('12345');
    });
    const silent = await failureOf(fetchFile({ idleTimeoutMs: 150, retry: { maxAttempts: 1 } }));
    expect(silent.code).toBe('ETIMEDOUT');
    server.answers(
      () => {},
      (_r, response) => response.end('file'),
    );
    expect(await fetchFile({ firstByteTimeoutMs: 150 })).toMatchObject({ requests: 2 });
    server.answers(() => {});
    const late = await failureOf(fetchFile({ retry: { totalTimeoutMs: 200 } }));
    expect(late.code).toBe('OUTLAST_DEADLINE_EXCEEDED');
  });

  it('a moving body is not cut by attemptTimeoutMs', async () => {
    server.answers(async (_r, response) => {
      response.writeHead(200, { 'content-length': 4 });
      for (const piece of '1234') {
        response.write(piece);
        await new Promise((resolve) => setTimeout(resolve, 80));
      }
      response.end();
    });
    expect(await fetchFile({ retry: { attemptTimeoutMs: 150 } })).toMatchObject({
      bytes: 4,
      requests: 1,
    });
  });

  it('ends by its signal, and keeps what is there', async () => {
    serve(4 * MB, { etag: '"v1"' });
    const controller = new AbortController();
    const reason = new Error('enough');
    const failing = failureOf(
      fetchFile({ signal: controller.signal, onProgress: () => controller.abort(reason) }),
    );
    expect(await failing).toBe(reason);
    expect(existsSync(target())).toBe(false);
  });
});

describe('redirects', () => {
  it('are followed, and no header of the caller’s leaves its origin', async () => {
    await using other = await HttpScript.start();
    other.answers((_r, response) => response.end('file'));
    server.answers(
      (_r, response) => response.writeHead(302, { location: '/next' }).end(),
      (_r, response) =>
        response.writeHead(307, { location: `${other.url}/file?X-Amz-Signature=abc` }).end(),
    );
    const client = withRetry(
      axios.create({
        headers: { Authorization: 'Bearer s3cret', 'x-api-key': 's3cret' },
        auth: { username: 'u', password: 'p' },
      }),
      retry,
    );
    client.interceptors.request.use((config) => {
      config.headers.set('x-intercepted', 'yes');
      return config;
    });
    const done = await client.download(`${server.url}/f.bin`, target(), {
      headers: { cookie: 's3cret' },
    });
    expect(done.bytes).toBe(4);
    expect(server.requests[1]?.headers).toMatchObject({
      'x-api-key': 's3cret',
      cookie: 's3cret',
      'x-intercepted': 'yes',
    });
    const { headers } = other.requests[0] ?? {};
    expect(JSON.stringify(headers)).not.toContain('s3cret');
    expect(headers).not.toHaveProperty('authorization');
    expect(headers).not.toHaveProperty('x-intercepted');
  });

  it('are refused beyond five, and to what is no web server', async () => {
    server.answers((_r, response) => response.writeHead(302, { location: '/again' }).end());
    expect((await failureOf(fetchFile())).code).toBe('OUTLAST_REDIRECT_REFUSED');
    expect(server.requests.length).toBe(6);
    server.answers((_r, response) =>
      response.writeHead(302, { location: 'file:///etc/passwd' }).end(),
    );
    expect((await failureOf(fetchFile())).code).toBe('OUTLAST_REDIRECT_REFUSED');
  });
});

it('waits for a server that is away, asks its source before each request, and tells how far it is', async () => {
  serve(2 * MB, { etag: '"v1"', cuts: [MB] });
  const proxy = await startProxy({ targetPort: server.port });
  proxy.refuse();
  setTimeout(() => void proxy.accept(), 300);
  const asked: unknown[] = [];
  const told: number[] = [];
  const done = await download(
    ({ request, bytes }) => {
      asked.push([request, bytes]);
      return { url: `http://127.0.0.1:${proxy.port}/f.bin` };
    },
    target(),
    { retry, sha256: true, onProgress: ({ bytes }) => told.push(bytes) },
  );
  expect(done.sha256).toBe(file.sha256);
  expect(asked).toEqual(
    [
      [1, 0],
      [3, MB],
    ].map(([n, bytes]) => [n === 3 ? expect.any(Number) : n, bytes]),
  );
  expect(told.at(-1)).toBe(2 * MB);
  await proxy.close();
});

describe('a full disk', () => {
  // Root has a small disk of its own. For others writes to /dev/full fail alike, and it cannot be removed.
  const isRoot = process.getuid?.() === 0;
  let disk = '';
  let mounted = false;

  beforeAll(async () => {
    disk = await mkdtemp(join(tmpdir(), 'outlast-small-disk-'));
    const args = ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', disk];
    mounted = isRoot && spawnSync('mount', args).status === 0;
  });
  beforeEach(({ skip }) => skip(isRoot && !mounted, 'root may not mount a tmpfs here'));

  // The second has arrived, all of it, before its last write fails.
  it.each([3, 1.1])('is told of, and nothing is left behind on it: %f MB', async (megabytes) => {
    serve(megabytes * MB, { etag: '"v1"' });
    const path = isRoot ? join(disk, 'f.bin') : target();
    if (isRoot) await writeFile(path, 'old version');
    const partial = isRoot ? {} : { partialPath: '/dev/full', exclusive: true };
    const error = await failureOf(download(`${server.url}/f.bin`, path, { retry, ...partial }));
    expect([error.code, error.name]).toEqual(['ENOSPC', 'DiskFullError']);
    expect(server.requests.length).toBe(1);
    if (!isRoot) return;
    expect(await readdir(disk)).toEqual(['f.bin']);
    expect(await readFile(path, 'utf8')).toBe('old version');
  });

  afterAll(() => {
    if (mounted) spawnSync('umount', [disk]);
    return rm(disk, { recursive: true, force: true });
  });
});

it('shows no secret in what surfaces', async () => {
  server.answers((_r, response) => response.writeHead(403).end('no'));
  const client = withRetry(
    axios.create({
      headers: { Authorization: 'Bearer s3cret-canary' },
      auth: { username: 'u', password: 's3cret-canary' },
    }),
  );
  const url = `${server.url.replace('//', '//u:s3cret-canary@')}/f?X-Amz-Signature=s3cret-canary&token=s3cret-canary`;
  const error = await failureOf(client.download(url, target()));
  const shown = inspect(error, { depth: 12, showHidden: true });
  expect(shown).not.toContain('s3cret-canary');
  expect(JSON.stringify(error)).not.toContain('s3cret-canary');
});

const taken = await takeNginx();
describe.skipIf(isSkipped(taken))('nginx', () => {
  const nginx = taken as Nginx;
  afterAll(() => nginx.dispose());

  it('is asked for the rest by its own ETag, over resets and a kill -9 in the middle', async () => {
    file = new ServedFile(50 * MB);
    await writeFile(join(nginx.root, 'f.bin'), file.bytes);
    const proxy = await startProxy({ targetPort: nginx.port });
    let cuts = 0;
    let killed: Promise<void> | undefined;
    const done = await download(`http://127.0.0.1:${proxy.port}/f.bin`, target(), {
      retry,
      sha256: file.sha256,
      onProgress: ({ bytes }) => {
        if (bytes > (cuts + 1) * 8 * MB && cuts < 4) {
          cuts += 1;
          if (cuts === 2) killed = nginx.kill9().then(() => nginx.start());
          else proxy.cutAll();
        }
      },
    });
    await killed;
    expect(cuts).toBeGreaterThanOrEqual(2);
    expect(done).toMatchObject({ bytes: 50 * MB, restarts: 0, unvalidated: false });
    expect(done.receivedBytes).toBeLessThanOrEqual(50 * MB * 1.06);
    await expectWhole();
    await proxy.close();
  });
});
