import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { HttpProxy } from '../../faults/index.js';
import {
  expectFiles,
  expectTidy,
  filesIn,
  modelsIn,
  openFetchLab,
  randomFile,
} from './fetch-lab.js';

const lab = await openFetchLab();
const CANARY = 'canary-0123456789abcdef';

/** A listing in the real one's stead; '' is the root of the model. */
function listing(proxy: HttpProxy, folders: Record<string, readonly object[]>, root: string): void {
  proxy.answering = (request, response) => {
    const url = new URL(request.url ?? '', 'http://host');
    if (!url.pathname.endsWith('/mlflow-artifacts/artifacts')) return false;
    const folder = (url.searchParams.get('path') ?? '').slice(root.length).replace(/^\//, '');
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ files: folders[folder] ?? [] }));
    return true;
  };
}

/** How often a file was asked for. */
function filesAsked(proxy: HttpProxy): number {
  return proxy.passed.filter(({ path }) => /mlflow-artifacts\/artifacts\/|get-artifact/.test(path))
    .length;
}

/** Another origin, and what it is told of who asks. */
async function stranger(answer: Buffer): Promise<{ url: string; heard: IncomingHttpHeaders[] }> {
  const heard: IncomingHttpHeaders[] = [];
  const server: Server = createServer((request, response) => {
    heard.push(request.headers);
    const listed = request.url?.includes('artifacts?path=');
    response.setHeader('content-type', listed ? 'application/json' : 'application/octet-stream');
    response.end(
      listed ? JSON.stringify({ files: [{ path: 'w.bin', file_size: answer.length }] }) : answer,
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  lab.later(() => server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, heard };
}

describe.skipIf(lab.reason !== '')('what a server can do to fetchModel', () => {
  lab.use();

  it.each<[string, Record<string, readonly object[]>]>([
    ['a name that leads out', { '': [{ path: '..' }] }],
    ['a path that leads out', { '': [{ path: '../../etc/passwd', file_size: 3 }] }],
    ['an absolute path', { '': [{ path: '/etc/passwd', file_size: 3 }] }],
    ['an empty name', { '': [{ path: '' }] }],
    ['a name with a slash', { '': [{ path: 'a/b' }] }],
    ['a name with a backslash', { '': [{ path: '..\\a' }] }],
    ['a drive', { '': [{ path: 'C:\\x' }] }],
    ['a NUL', { '': [{ path: 'a\0b' }] }],
    ['no name', { '': [{ file_size: 3 }] }],
    ['a folder that leads out', { '': [{ path: '..', is_dir: true }] }],
    ['a name twice', { '': [{ path: 'a' }, { path: 'a' }] }],
    [
      'a file that is a folder too',
      { '': [{ path: 'a' }, { path: 'a', is_dir: true }], a: [{ path: 'b' }] },
    ],
    [
      'a bad name deep inside',
      {
        '': [
          { path: 'MLmodel', file_size: 1 },
          { path: 'd', is_dir: true },
        ],
        d: [{ path: '.' }],
      },
    ],
    ['a negative size', { '': [{ path: 'a', file_size: -1 }] }],
  ])('%s: nothing is asked for', async (_, folders) => {
    const { name, source } = await lab.seed({ MLmodel: 'x' });
    const proxy = await lab.proxy();
    listing(proxy, folders, source.replace('mlflow-artifacts:/', ''));
    const cacheDir = lab.folder();
    const fetched = lab
      .client(proxy.port)
      .fetchModel(`models:/${name}/1`, { cacheDir, staleIfError: true });
    await expect(fetched).rejects.toMatchObject({ code: 'OUTLAST_UNSAFE_LISTING' });
    expect(filesAsked(proxy)).toBe(0);
    expect(modelsIn(cacheDir)).toBe(0);
    expectTidy(cacheDir);
  });

  it('a loop of links on the server ends, and so does a link out of its store', async () => {
    const { name, folder } = await lab.seed({ MLmodel: 'x' });
    symlinkSync('.', join(folder, 'self'));
    const client = lab.client(lab.server.port);
    const cacheDir = lab.folder();
    await expect(client.fetchModel(`models:/${name}/1`, { cacheDir })).rejects.toThrow(
      'more than 20 folders deep',
    );
    const other = await lab.seed({ MLmodel: 'x' });
    symlinkSync('/etc/passwd', join(other.folder, 'passwd'));
    await expect(client.fetchModel(`models:/${other.name}/1`, { cacheDir })).rejects.toMatchObject({
      response: { status: 400 },
    });
    expect(modelsIn(cacheDir)).toBe(0);
  });

  it('a file that is longer or shorter than listed is refused, and is no model', async () => {
    const { name, source } = await lab.seed({ 'w.bin': randomFile(100_000) });
    const cacheDir = lab.folder();
    for (const file_size of [99_999, 100_001, 1]) {
      const proxy = await lab.proxy();
      listing(
        proxy,
        { '': [{ path: 'w.bin', file_size }] },
        source.replace('mlflow-artifacts:/', ''),
      );
      const fetched = lab.client(proxy.port).fetchModel(`models:/${name}/1`, { cacheDir });
      await expect(fetched).rejects.toMatchObject({ code: 'OUTLAST_WRONG_SIZE' });
      expect(modelsIn(cacheDir)).toBe(0);
    }
  });

  it('a login page is no file and no answer, and is asked for once more at most', async () => {
    const { name } = await lab.seed({ 'w.bin': 'w'.repeat(23), 'page.html': '<html>login</html>' });
    const proxy = await lab.proxy();
    const client = lab.client(proxy.port);
    const cacheDir = lab.folder();
    let pattern = /w\.bin/;
    proxy.answering = (request, response) => {
      if (!pattern.test(request.url ?? '')) return false;
      response.setHeader('content-type', 'text/html; charset=utf-8');
      response.end('<html>please log in</html>'.slice(0, 23));
      return true;
    };
    const uri = `models:/${name}/1`;
    await expect(client.fetchModel(uri, { cacheDir })).rejects.toMatchObject({
      code: 'OUTLAST_UNEXPECTED_HTML',
    });
    expect(proxy.passed.filter(({ path }) => path.includes('w.bin')).length).toBeLessThanOrEqual(2);
    pattern = /model-versions\/get/;
    const before = proxy.passed.length;
    await expect(client.fetchModel(uri, { cacheDir, staleIfError: true })).rejects.toMatchObject({
      html: true,
    });
    expect(proxy.passed.length - before).toBeLessThanOrEqual(2);
    expect(modelsIn(cacheDir)).toBe(0);
    proxy.answering = undefined;
    expectFiles((await client.fetchModel(uri, { cacheDir })).path, {
      'w.bin': 'w'.repeat(23),
      'page.html': '<html>login</html>',
    });
  });

  it('a redirect to another origin takes no credentials along; a loop of them ends', async () => {
    const content = randomFile(50_000);
    const { name } = await lab.seed({ 'w.bin': content });
    const { url, heard } = await stranger(content);
    const proxy = await lab.proxy();
    let to = `${url}/w.bin?signature=${CANARY}`;
    proxy.answering = (request, response) => {
      if (!request.url?.includes('w.bin')) return false;
      response.writeHead(302, { location: to }).end();
      return true;
    };
    const headers = { 'x-api-key': CANARY, cookie: CANARY };
    const client = lab.client(proxy.port, { token: CANARY, headers });
    expectFiles((await client.fetchModel(`models:/${name}/1`, { cacheDir: lab.folder() })).path, {
      'w.bin': content,
    });
    expect(heard).toHaveLength(1);
    expect(JSON.stringify(heard)).not.toContain(CANARY);
    const own = proxy.passed.find(({ path }) => path.includes('w.bin'));
    expect(own?.headers).toMatchObject({ authorization: `Bearer ${CANARY}`, 'x-api-key': CANARY });
    to = '/api/2.0/mlflow-artifacts/artifacts/w.bin';
    const before = proxy.passed.length;
    const error = await client
      .fetchModel(`models:/${name}/1`, { cacheDir: lab.folder() })
      .catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'OUTLAST_REDIRECT_REFUSED' });
    expect(
      proxy.passed.slice(before).filter(({ path }) => path.includes('w.bin')).length,
    ).toBeLessThanOrEqual(6);
  });

  it('a source on another host is fetched without any credentials', async () => {
    const content = randomFile(50_000);
    const { url, heard } = await stranger(content);
    const { name } = await lab.seed({ 'w.bin': 'x' });
    const proxy = await lab.proxy();
    proxy.answering = (request, response) => {
      if (!request.url?.includes('get-download-uri')) return false;
      response.setHeader('content-type', 'application/json');
      response.end(
        JSON.stringify({ artifact_uri: url.replace('http:', 'mlflow-artifacts:').concat('/1/m') }),
      );
      return true;
    };
    const client = lab.client(proxy.port, { token: CANARY, headers: { 'x-api-key': CANARY } });
    const { path } = await client.fetchModel(`models:/${name}/1`, { cacheDir: lab.folder() });
    expectFiles(path, { 'w.bin': content });
    expect(heard.length).toBeGreaterThanOrEqual(2);
    expect(JSON.stringify(heard)).not.toContain(CANARY);
  });

  it('no error holds a secret, whatever the server answers', async () => {
    const { name } = await lab.seed({ 'w.bin': randomFile(200_000) });
    const proxy = await lab.proxy();
    const client = lab.client(proxy.port, {
      username: 'me',
      password: CANARY,
      headers: { 'x-api-key': CANARY },
      retry: { maxAttempts: 2, waitMs: 0 },
    });
    const seen: unknown[] = [];
    for (const type of ['retry', 'exhausted', 'down'] as const)
      client.policy.on(type, (event) => seen.push(event));
    const basic = Buffer.from(`me:${CANARY}`).toString('base64');
    for (const part of ['model-versions/get?', 'w.bin']) {
      for (const status of [401, 403, 404, 500, 503, 302]) {
        proxy.answering = (request, response) => {
          if (!request.url?.includes(part)) return false;
          const echoed = `${request.headers.authorization} ?token=${CANARY}`;
          response.writeHead(status, {
            location: `https://user:${CANARY}@host/?sig=${CANARY}`,
            'x-echo': echoed,
          });
          response.end(
            JSON.stringify({
              error_code: 'X',
              message: `no Authorization: ${request.headers.authorization}`,
            }),
          );
          return true;
        };
        seen.push(
          await client
            .fetchModel(`models:/${name}/1`, { cacheDir: lab.folder() })
            .catch((thrown) => thrown),
        );
      }
    }
    await proxy.close();
    seen.push(
      await client
        .fetchModel(`models:/${name}/1`, { cacheDir: lab.folder() })
        .catch((thrown) => thrown),
    );
    for (const one of seen) {
      const text = inspect(one, { depth: 12, showHidden: true });
      expect(text).not.toContain(CANARY);
      expect(text).not.toContain(basic);
    }
  });

  it('a cache whose folders lead elsewhere is not written through', async () => {
    const { name } = await lab.seed({ 'w.bin': 'w' });
    const outside = lab.folder('outside');
    const cacheDir = lab.folder();
    symlinkSync(outside, join(cacheDir, 'tmp'));
    const client = lab.client(lab.server.port);
    await expect(client.fetchModel(`models:/${name}/1`, { cacheDir })).rejects.toThrow(
      'is a link or a file',
    );
    const other = lab.folder();
    const { path } = await client.fetchModel(`models:/${name}/1`, { cacheDir: other });
    const key = path.split('/').at(-2) as string;
    await client.prune({ cacheDir: other, maxBytes: 0 });
    symlinkSync(outside, join(other, 'models', key));
    expectFiles((await client.fetchModel(`models:/${name}/1`, { cacheDir: other })).path, {
      'w.bin': 'w',
    });
    mkdirSync(join(other, 'models', 'x'));
    writeFileSync(join(outside, 'precious'), 'p');
    await client.prune({ cacheDir: other, maxBytes: 0 });
    expect(filesIn(outside)).toEqual(['precious']);
    expect(readdirSync(join(other, 'models'))).toEqual([]);
  });
});
