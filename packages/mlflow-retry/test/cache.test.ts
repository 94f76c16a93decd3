import { spawnSync } from 'node:child_process';
import {
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  findModel,
  forgetReference,
  keyOf,
  publishModel,
  readReference,
  writeReference,
} from '../src/cache.js';
import {
  type CacheFolders,
  defaultCacheDir,
  ensureFolder,
  foldOf,
  openCache,
} from '../src/cache-folders.js';
import { ownerText } from '../src/cache-owner.js';
import { openStaging, sweep } from '../src/cache-staging.js';
import { digestOf, hashFile, type Manifest } from '../src/manifest.js';
import { prune } from '../src/prune.js';

const DAY_MS = 24 * 3_600_000;
const NOW = 1_700_000_000_000;
let root: string;
let cache: CacheFolders;
let tokens = 0;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'outlast-cache-'));
  cache = await openCache(join(root, 'cache'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function put(folder: string, files: Record<string, string>): Promise<Manifest> {
  const listed = [];
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
    listed.push({ path, size: text.length, sha256: await hashFile(join(folder, path)) });
  }
  return { name: 'm', version: '1', source: 's', subPath: '', fetchedAt: NOW, files: listed };
}

async function model(key: string, files: Record<string, string>): Promise<string> {
  tokens += 1;
  const staging = await openStaging(cache, key, `t${tokens}`);
  const { path } = await publishModel(cache, key, staging, await put(staging.files, files));
  return path;
}

/** A process id that was alive a moment ago. */
function deadPid(): number {
  return spawnSync(process.execPath, ['-e', '']).pid;
}

describe('a model in the cache', () => {
  const key = keyOf('m', '1');

  it('is there wholly or not at all', async () => {
    expect(await findModel(cache, key, false, NOW)).toBe(undefined);
    const staging = await openStaging(cache, key, 'a');
    const manifest = await put(staging.files, {
      MLmodel: 'x',
      'data/w': 'yy',
      'data/old.part': 'z',
    });
    const listed = { ...manifest, files: manifest.files.slice(0, 2) };
    expect(await findModel(cache, key, false, NOW)).toBe(undefined);
    const published = await publishModel(cache, key, staging, listed);
    expect(await readdir(published.path, { recursive: true })).toEqual([
      'MLmodel',
      'data',
      'data/w',
    ]);
    expect(await findModel(cache, key, true, NOW)).toEqual({
      ...published,
      manifest: { format: 1, ...listed },
    });
    expect(await readdir(cache.tmp)).toEqual([]);
  });

  it('gives for a sub-path its folder, for a single file the file', async () => {
    for (const subPath of ['data', 'data/w']) {
      const staging = await openStaging(cache, keyOf(subPath), 'a');
      const manifest = { ...(await put(staging.files, { 'data/w': 'yy' })), subPath };
      const { path } = await publishModel(cache, keyOf(subPath), staging, manifest);
      expect((await lstat(path)).isFile()).toBe(subPath === 'data/w');
      expect((await findModel(cache, keyOf(subPath), false, NOW))?.path).toBe(path);
    }
  });

  it('is the first of two that were published, if that is sound, else the second', async () => {
    const path = await model(key, { a: 'first' });
    expect(await model(key, { a: 'other' })).toBe(path);
    expect(await readFile(join(path, 'a'), 'utf8')).toBe('first');
    await writeFile(join(path, 'a'), 'cut');
    expect(await model(key, { a: 'other' })).toBe(path);
    expect(await readFile(join(path, 'a'), 'utf8')).toBe('other');
    expect(await readdir(cache.tmp)).toEqual([]);
  });

  it.each<[string, boolean, (path: string) => Promise<unknown>]>([
    ['is cut', false, (path) => writeFile(join(path, 'data/w'), 'y')],
    ['is gone', false, (path) => rm(join(path, 'data/w'))],
    [
      'is a link',
      false,
      async (path) => {
        await rm(join(path, 'a'));
        await symlink('data/w', join(path, 'a'));
      },
    ],
    [
      'is a folder',
      false,
      async (path) => {
        await rm(join(path, 'a'));
        await mkdir(join(path, 'a'));
      },
    ],
    ['has other bytes (with verify)', true, (path) => writeFile(join(path, 'data/w'), 'zz')],
    ['has no manifest', false, (path) => rm(join(path, '../manifest.json'))],
    [
      'has a manifest that leads out',
      false,
      async (path) => {
        const file = join(path, '../manifest.json');
        await writeFile(file, (await readFile(file, 'utf8')).replace('data/w', '../../w'));
      },
    ],
    [
      'has half a manifest',
      false,
      (path) => writeFile(join(path, '../manifest.json'), '{"format":1,'),
    ],
    [
      'is a link as a whole',
      false,
      async (path) => {
        await rm(dirname(path), { recursive: true });
        await symlink(root, dirname(path));
      },
    ],
  ])('that %s is removed', async (_, hashes, damage) => {
    const path = await model(key, { a: 'xx', 'data/w': 'yy' });
    expect(await findModel(cache, key, true, NOW)).not.toBe(undefined);
    await damage(path);
    expect(await findModel(cache, key, hashes, NOW)).toBe(undefined);
    expect(await readdir(cache.models)).toEqual([]);
    expect(await readdir(cache.tmp)).toEqual([]);
  });

  it('is not read again without verify', async () => {
    const path = await model(key, { 'data/w': 'yy' });
    await writeFile(join(path, 'data/w'), 'zz');
    expect(await findModel(cache, key, false, NOW)).not.toBe(undefined);
  });

  it('stays when reading it again is called off', async () => {
    await model(key, { 'data/w': 'yy' });
    const off = AbortSignal.abort('enough');
    await expect(findModel(cache, key, true, NOW, off)).rejects.toBe('enough');
    expect(await findModel(cache, key, true, NOW)).not.toBe(undefined);
  });
});

describe('staging', () => {
  const key = keyOf('s');

  it('that was given up is taken on by the next, with what is in it', async () => {
    const first = await openStaging(cache, key, 'a');
    await put(first.files, { 'data/w': 'y' });
    await first.keep();
    const second = await openStaging(cache, key, 'b');
    expect(await readFile(join(second.files, 'data/w'), 'utf8')).toBe('y');
    await second.drop();
    expect(await readdir(cache.tmp)).toEqual([]);
  });

  it('of a dead process is taken on, that of a live one or of another machine is not', async () => {
    const { machine } = JSON.parse(ownerText()) as { machine: string };
    const owners = [
      ownerText(),
      JSON.stringify({ pid: deadPid(), machine: 'elsewhere' }),
      '{',
      JSON.stringify({ pid: deadPid(), machine }),
    ];
    for (const [n, owner] of owners.entries()) {
      const folder = join(cache.tmp, `${key}.${n}`);
      await mkdir(join(folder, 'files'), { recursive: true });
      await writeFile(join(folder, 'owner.json'), owner);
      await writeFile(join(folder, 'files', 'w'), `${n}`);
    }
    const staging = await openStaging(cache, key, 'mine');
    expect(await readFile(join(staging.files, 'w'), 'utf8')).toBe('3');
    expect((await readdir(cache.tmp)).sort()).toEqual([
      `${key}.0`,
      `${key}.1`,
      `${key}.2`,
      `${key}.mine`,
    ]);
  });

  it('with a link in it is thrown away, and what the link leads to is untouched', async () => {
    const outside = join(root, 'outside');
    await mkdir(outside);
    await writeFile(join(outside, 'precious'), 'p');
    for (const link of ['files/data', 'files', 'files/w', 'manifest.json', 'owner.json']) {
      const first = await openStaging(cache, key, 'a');
      const at = join(first.files, '..', link);
      await rm(at, { recursive: true, force: true });
      await symlink(outside, at);
      await first.keep();
      const second = await openStaging(cache, key, 'b');
      expect(await readdir(second.files)).toEqual([]);
      expect((await lstat(second.files)).isDirectory()).toBe(true);
      await second.drop();
    }
    expect(await readdir(outside)).toEqual(['precious']);
    expect(await readFile(join(outside, 'precious'), 'utf8')).toBe('p');
  });

  it('is swept when its time has come', async () => {
    const now = Date.now();
    for (const name of [`${key}.kept.old`, `${key}.kept.new`, `${key}.lost`, 'gone.x']) {
      await mkdir(join(cache.tmp, name));
      const old = (now - 2 * DAY_MS) / 1_000;
      if (!name.endsWith('new')) await utimes(join(cache.tmp, name), old, old);
    }
    await mkdir(join(cache.locks, `${key}.waiter`));
    await writeFile(join(cache.locks, `${key}.waiter`, 'waiter'), '');
    await sweep(cache, now);
    expect((await readdir(cache.tmp)).sort()).toEqual([`${key}.kept.new`, `${key}.lost`]);
    expect(await readdir(cache.locks)).toHaveLength(1);
    await sweep(cache, now + 8 * DAY_MS);
    expect(await readdir(cache.tmp)).toEqual([]);
    expect(await readdir(cache.locks)).toEqual([]);
  });
});

describe('the folders', () => {
  it.each(['models', 'tmp', 'locks', 'refs'])(
    '%s must be none that leads elsewhere',
    async (name) => {
      await rm(join(cache.root, name), { recursive: true });
      await symlink(root, join(cache.root, name));
      await expect(openCache(cache.root)).rejects.toThrow('is a link or a file');
    },
  );

  it('may be reached by a link to all of them', async () => {
    await symlink(cache.root, join(root, 'link'));
    expect((await openCache(join(root, 'link'))).root).toBe(cache.root);
  });

  it('are made one by one, through no link', async () => {
    await symlink(root, join(cache.tmp, 'link'));
    await expect(ensureFolder(cache.tmp, 'link/x')).rejects.toThrow('is a link or a file');
    expect(await readdir(root)).toEqual(['cache']);
    expect(await ensureFolder(cache.tmp, 'a/b')).toBe(join(cache.tmp, 'a', 'b'));
  });

  it('stand where caches stand', () => {
    expect(defaultCacheDir({ XDG_CACHE_HOME: '/x', LOCALAPPDATA: '/x' })).toBe(
      join('/x', 'outlast', 'mlflow'),
    );
    expect(defaultCacheDir({ XDG_CACHE_HOME: '' })).toMatch(/\.cache.outlast.mlflow$/);
  });

  it('tell by trying whether this file system knows case', async () => {
    const fold = await foldOf(cache.tmp);
    await writeFile(join(cache.tmp, 'X'), '');
    const knows = (await lstat(join(cache.tmp, 'x')).catch(() => undefined)) === undefined;
    expect(fold('X') === fold('x')).toBe(!knows);
  });
});

describe('a reference', () => {
  it('is what was written last, or nothing', async () => {
    expect(await readReference(cache, 'u')).toBe(undefined);
    await writeReference(cache, 'u', { key: keyOf('a'), confirmedAt: 1 });
    await writeReference(cache, 'u', { key: keyOf('b'), confirmedAt: 2 });
    expect(await readReference(cache, 'u')).toEqual({ key: keyOf('b'), confirmedAt: 2 });
    await forgetReference(cache, 'u');
    expect(await readReference(cache, 'u')).toBe(undefined);
    await writeFile(join(cache.refs, 'u'), '{"key":"../../x","confirmedAt":1}');
    expect(await readReference(cache, 'u')).toBe(undefined);
    expect(await readdir(cache.tmp)).toEqual([]);
  });

  it('is not written through a link', async () => {
    await writeFile(join(root, 'precious'), 'p');
    await symlink(join(root, 'precious'), join(cache.refs, 'u'));
    await writeReference(cache, 'u', { key: keyOf('a'), confirmedAt: 1 });
    expect(await readFile(join(root, 'precious'), 'utf8')).toBe('p');
    expect(await readReference(cache, 'u')).toEqual({ key: keyOf('a'), confirmedAt: 1 });
  });
});

describe('prune', () => {
  it('removes what was used longest ago, until the rest fits', async () => {
    for (const [n, key] of ['a', 'b', 'c'].entries()) {
      await model(keyOf(key), { w: 'x'.repeat(10) });
      await findModel(cache, keyOf(key), false, NOW + n * 1_000);
    }
    await findModel(cache, keyOf('a'), false, NOW + 9_000);
    await mkdir(join(cache.models, 'no-model'));
    const { root: cacheDir } = cache;
    expect(await prune({ cacheDir, maxBytes: 20 })).toEqual({
      removed: 2,
      freedBytes: 10,
      keptBytes: 20,
    });
    expect((await readdir(cache.models)).sort()).toEqual([keyOf('a'), keyOf('c')].sort());
    expect(await prune({ cacheDir, maxBytes: 20 })).toEqual({
      removed: 0,
      freedBytes: 0,
      keptBytes: 20,
    });
    expect(await prune({ cacheDir, maxBytes: 0 })).toEqual({
      removed: 2,
      freedBytes: 20,
      keptBytes: 0,
    });
    expect(await readdir(cache.tmp)).toEqual([]);
  });

  it.each([
    [{}],
    [{ maxBytes: -1 }],
    [{ maxBytes: 1.5 }],
    [{ maxBytes: '1' }],
    [{ maxByte: 1 }],
    [{ maxBytes: 1, cacheDir: '' }],
    [undefined],
  ])('refuses %j', async (options) => {
    await expect(prune(options as never)).rejects.toThrow(/maxBytes|cacheDir|options/);
  });
});

describe('a digest', () => {
  it('differs when a path, a size or a hash does', () => {
    const file = { path: 'a', size: 1, sha256: '0'.repeat(64) };
    const all = [
      [file],
      [{ ...file, path: 'b' }],
      [{ ...file, size: 2 }],
      [{ ...file, sha256: '1'.repeat(64) }],
      [file, file],
      [],
    ];
    expect(new Set(all.map(digestOf)).size).toBe(all.length);
    expect(keyOf('a', 'b')).not.toBe(keyOf('ab', ''));
  });
});
