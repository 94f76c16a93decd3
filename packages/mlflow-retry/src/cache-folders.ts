import { randomUUID } from 'node:crypto';
import { lstat, mkdir, readdir, realpath, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve, sep } from 'node:path';
import { OptionError } from '@outlast/core-retry';

/**
 * The folders of a cache: `models` holds what is complete, `tmp` what is not (on the same volume, so that
 * a rename publishes it), `locks` who is at it, `refs` what a URI last stood for.
 */
export interface CacheFolders {
  readonly root: string;
  readonly models: string;
  readonly tmp: string;
  readonly locks: string;
  readonly refs: string;
}

/** `$XDG_CACHE_HOME/outlast/mlflow`, or as the system has it. */
export function defaultCacheDir(
  env: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const local = process.platform === 'win32' ? env['LOCALAPPDATA'] : env['XDG_CACHE_HOME'];
  return join(local || join(homedir(), '.cache'), 'outlast', 'mlflow');
}

/**
 * Makes what is missing of a cache. The cache's own folder may be a link; nothing below it may.
 *
 * @throws OptionError if something else is in the way
 */
export async function openCache(cacheDir: string): Promise<CacheFolders> {
  await mkdir(cacheDir, { recursive: true, mode: 0o700 });
  const root = await realpath(resolve(cacheDir));
  const folder = (name: string): Promise<string> => ensureFolder(root, name);
  const [models, tmp, locks, refs] = await Promise.all(
    ['models', 'tmp', 'locks', 'refs'].map(folder),
  );
  return { root, models, tmp, locks, refs } as CacheFolders;
}

/**
 * Makes the folders of a relative path, one by one, and looks that each is a folder and no link.
 *
 * @returns the path of the last
 */
export async function ensureFolder(root: string, path: string): Promise<string> {
  let folder = root;
  for (const name of path.split(/[/\\]/)) {
    folder = folder + sep + name;
    await mkdir(folder, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
    if (!(await lstat(folder)).isDirectory()) {
      throw new OptionError(
        'cacheDir',
        `must hold folders of its own, and ${folder} is a link or a file. Remove it, or name another cacheDir.`,
      );
    }
  }
  return folder;
}

/** Takes a folder out of sight in one step, then removes it. Never rejects: what stays is swept later. */
export async function discard(cache: CacheFolders, folder: string): Promise<void> {
  const grave = join(cache.tmp, `gone.${randomUUID()}`);
  await rename(folder, grave).catch(() => {});
  await rm(grave, { recursive: true, force: true }).catch(() => {});
}

/** The names in a folder; none if it is not there. */
export async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}

/** Whether a file system takes two names for one, by what it does to a folder of ours. */
export async function foldOf(folder: string): Promise<(path: string) => string> {
  const probe = join(folder, 'Case');
  await mkdir(probe, { recursive: true });
  try {
    await stat(join(folder, 'cASE'));
    return (path) => path.normalize('NFC').toLowerCase();
  } catch {
    return (path) => path;
  } finally {
    await rm(probe, { recursive: true, force: true });
  }
}
