import { lstat, mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CacheFolders, discard, ensureFolder, namesIn } from './cache-folders.js';
import { isOwnerDead, ownerText } from './cache-owner.js';
import { type Manifest, manifestText, writeThrough } from './manifest.js';

const OWNER = 'owner.json';
export const MANIFEST = 'manifest.json';
export const FILES = 'files';
const PARTS = 'parts';

// What systems answer to the renaming of a folder onto a folder, a file or a link.
const TAKEN: readonly unknown[] = ['ENOTEMPTY', 'EEXIST', 'EPERM', 'ENOTDIR'];
// Abandoned ones are kept so long for a resume; others, of whose owners nothing is known, for longer.
const ABANDONED_MS = 24 * 3_600_000;
const UNKNOWN_MS = 7 * ABANDONED_MS;
const LOCK_LITTER_MS = 60_000;

/** Where one owner puts the files of one model together. Nobody else ever writes there. */
export interface Staging {
  /** Where the files go. */
  readonly files: string;
  /** Where files are that are not complete. */
  readonly parts: string;
  /** Leaves the files, if there are any, to whoever asks for this model next. Never rejects. */
  keep(): Promise<void>;
  /** Removes it. Never rejects. */
  drop(): Promise<void>;
  /**
   * Writes the manifest beside the files and renames both into place at once.
   *
   * @returns false if something is in that place
   */
  publish(manifest: Manifest, target: string): Promise<boolean>;
}

/**
 * A staging folder of our own: one that its owner gave up or died with, with what is in it; else a new one.
 *
 * @param key of the model @param token of the lock that we hold
 */
export async function openStaging(
  cache: CacheFolders,
  key: string,
  token: string,
): Promise<Staging> {
  const folder = join(cache.tmp, `${key}.${token}`);
  if (!(await adopt(cache, key, folder))) await mkdir(folder, { mode: 0o700 });
  await rm(join(folder, OWNER), { force: true });
  await writeFile(join(folder, OWNER), ownerText(), { flag: 'wx', mode: 0o600 });
  const files = await ensureFolder(folder, FILES);
  const parts = await ensureFolder(folder, PARTS);
  return {
    files,
    parts,
    keep: async () => {
      const worth = [...(await namesIn(files)), ...(await namesIn(parts))];
      if (worth.length === 0) await discard(cache, folder);
      else await rename(folder, join(cache.tmp, `${key}.kept.${token}`)).catch(() => {});
    },
    drop: () => discard(cache, folder),
    publish: async (manifest, target) => {
      await rm(join(folder, OWNER), { force: true });
      await rm(join(folder, MANIFEST), { force: true });
      await rm(parts, { recursive: true, force: true });
      await removeOthers(files, '', new Set(manifest.files.map(({ path }) => path)));
      await writeThrough(join(folder, MANIFEST), manifestText(manifest));
      return moved(folder, target);
    },
  };
}

async function adopt(cache: CacheFolders, key: string, folder: string): Promise<boolean> {
  let adopted = false;
  for (const name of await namesIn(cache.tmp)) {
    if (!name.startsWith(`${key}.`)) continue;
    const found = join(cache.tmp, name);
    if (!(await isAbandoned(found, name))) continue;
    if (adopted || !(await isPlain(found))) await discard(cache, found);
    else adopted = await moved(found, folder);
  }
  return adopted;
}

/** Whether its owner writes there no more: a late one would, after its lock was taken away. */
async function isAbandoned(folder: string, name: string): Promise<boolean> {
  return name.includes('.kept.') || isOwnerDead(join(folder, OWNER));
}

/** Whether it holds files and folders alone: nothing is ever written through a link. */
async function isPlain(folder: string): Promise<boolean> {
  try {
    if (!(await lstat(folder)).isDirectory()) return false;
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    return entries.every((entry) => entry.isFile() || entry.isDirectory());
  } catch {
    return false;
  }
}

async function moved(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (TAKEN.includes(code)) return false;
    throw error;
  }
}

/** Removes all files but those of the manifest, and the folders that are empty then. */
async function removeOthers(
  root: string,
  path: string,
  files: ReadonlySet<string>,
): Promise<boolean> {
  let empty = true;
  for (const entry of await readdir(join(root, path), { withFileTypes: true })) {
    const below = path === '' ? entry.name : `${path}/${entry.name}`;
    const stays = entry.isDirectory()
      ? !(await removeOthers(root, below, files))
      : files.has(below);
    if (stays) empty = false;
    else await rm(join(root, below), { recursive: true, force: true });
  }
  return empty;
}

/** Removes what processes left behind that were killed: staging folders, graves, prepared locks. Never rejects. */
export async function sweep(cache: CacheFolders, now: number): Promise<void> {
  for (const name of await namesIn(cache.tmp)) {
    const folder = join(cache.tmp, name);
    if (name.startsWith('gone.')) {
      await rm(folder, { recursive: true, force: true }).catch(() => {});
      continue;
    }
    const made = await stat(folder).catch(() => undefined);
    if (made === undefined) continue;
    const keepMs = (await isAbandoned(folder, name)) ? ABANDONED_MS : UNKNOWN_MS;
    if (now - made.mtimeMs > keepMs) await discard(cache, folder);
  }
  for (const name of await namesIn(cache.locks)) {
    const [key, token] = name.split('.');
    if (key === undefined || token === undefined) continue;
    const made = await stat(join(cache.locks, name, token)).catch(() => undefined);
    if (made === undefined || now - made.mtimeMs < LOCK_LITTER_MS) continue;
    await rm(join(cache.locks, name), { recursive: true, force: true }).catch(() => {});
  }
}
