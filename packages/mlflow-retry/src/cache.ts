import { createHash, randomUUID } from 'node:crypto';
import { lstat, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CacheFolders, discard } from './cache-folders.js';
import { FILES, MANIFEST, type Staging } from './cache-staging.js';
import { CorruptFileError } from './fetch-model-errors.js';
import { checkFiles, type Manifest, readManifest, writeThrough } from './manifest.js';

/** A model that is complete in the cache. */
export interface CachedModel {
  /** The folder of its files; for a single file that file, for a part of a model that folder. */
  readonly path: string;
  readonly key: string;
  readonly manifest: Manifest;
}

/** What a URI last stood for, and when the server last said so (milliseconds since 1970). */
export interface Reference {
  readonly key: string;
  readonly confirmedAt: number;
}

/** A name for a folder, from what identifies its content. */
export function keyOf(...identity: readonly (string | number)[]): string {
  return createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 40);
}

/**
 * The model under a key, if all its files are there with their sizes. One that is damaged is removed.
 *
 * @param hashes whether to hash every file too
 * @throws the signal's reason; what keeps files from being opened at all
 */
export async function findModel(
  cache: CacheFolders,
  key: string,
  hashes: boolean,
  now: number,
  signal?: AbortSignal,
): Promise<CachedModel | undefined> {
  const folder = join(cache.models, key);
  const file = join(folder, MANIFEST);
  if ((await lstat(folder).catch(() => undefined)) === undefined) return undefined;
  const manifest = await readManifest(file);
  try {
    if (manifest === undefined) throw new CorruptFileError(MANIFEST, 'is gone, or none of ours');
    await checkFiles(join(folder, FILES), manifest.files, hashes, signal);
  } catch (error) {
    signal?.throwIfAborted();
    // A process that may open no more files knows nothing against this one.
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EMFILE' || code === 'ENFILE') throw error;
    await discard(cache, folder);
    return undefined;
  }
  // The time of its last use, for prune; a cache that may only be read serves all the same.
  await utimes(file, now / 1_000, now / 1_000).catch(() => {});
  return { path: join(folder, FILES, manifest.subPath), key, manifest };
}

/** Puts a complete model in its place, unless the same one is there already. */
export async function publishModel(
  cache: CacheFolders,
  key: string,
  staging: Staging,
  manifest: Manifest,
): Promise<CachedModel> {
  const target = join(cache.models, key);
  while (!(await staging.publish(manifest, target))) {
    // Whoever was first: both have the same content, and that one may be in use.
    const found = await findModel(cache, key, false, manifest.fetchedAt);
    if (found !== undefined) {
      await staging.drop();
      return found;
    }
    await discard(cache, target);
  }
  return { path: join(target, FILES, manifest.subPath), key, manifest };
}

export async function readReference(
  cache: CacheFolders,
  uriKey: string,
): Promise<Reference | undefined> {
  try {
    const { key, confirmedAt } = JSON.parse(
      await readFile(join(cache.refs, uriKey), 'utf8'),
    ) as Partial<Reference>;
    return typeof key === 'string' && /^[0-9a-f]{40}$/.test(key) && typeof confirmedAt === 'number'
      ? { key, confirmedAt }
      : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Notes what a URI stands for now. Never rejects: without the note a fetch costs a request. Waits for the disk
 * only where it stands for something else: a time that is lost in a crash makes a model older, not another.
 */
export async function writeReference(
  cache: CacheFolders,
  uriKey: string,
  reference: Reference,
): Promise<void> {
  const temporary = join(cache.tmp, `ref.${randomUUID()}`);
  const text = JSON.stringify(reference);
  try {
    const before = await readReference(cache, uriKey);
    if (before?.key === reference.key)
      await writeFile(temporary, text, { flag: 'wx', mode: 0o600 });
    else await writeThrough(temporary, text);
    await rename(temporary, join(cache.refs, uriKey));
  } catch {
    await rm(temporary, { force: true }).catch(() => {});
  }
}

/** Forgets what a URI stood for: the server says that it is gone. */
export async function forgetReference(cache: CacheFolders, uriKey: string): Promise<void> {
  await rm(join(cache.refs, uriKey), { force: true }).catch(() => {});
}
