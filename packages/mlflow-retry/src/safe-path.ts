import { UnsafeListingError } from './fetch-model-errors.js';

/** The deepest a file may lie: a loop of links on the server is listed as folders without end. */
export const MAX_DEPTH = 20;

/** A file of a model, by its path below the model's root, names joined by '/'. */
export interface ListedFile {
  readonly path: string;
  /** As listed; undefined where the server says none, which it does of empty files. */
  readonly size: number | undefined;
}

/**
 * A listed name as one that stands for something inside its folder.
 *
 * @param folder the path of the folder, '' for the root, for the message
 * @throws UnsafeListingError
 */
export function safeName(folder: string, name: unknown): string {
  if (typeof name !== 'string') throw new UnsafeListingError(folder, String(name), 'is no text');
  const why = flaw(name);
  if (why !== undefined) throw new UnsafeListingError(folder, name, why);
  return name;
}

function flaw(name: string): string | undefined {
  if (name === '') return 'is empty';
  if (name === '.' || name === '..') return 'leads out of its folder';
  if (name.startsWith('/')) return 'is an absolute path';
  if (name.includes('/')) return "holds a '/'";
  if (name.includes('\\')) return "holds a '\\'";
  if (name.includes('\0')) return 'holds a NUL';
  if (/^[a-z]:/i.test(name)) return 'begins like a drive';
  return undefined;
}

/**
 * The name below `folder` of what was listed under its path from the root, as runs and logged models do.
 *
 * @throws UnsafeListingError if it lies elsewhere, or is unsafe
 */
export function safeChild(folder: string, listed: unknown): string {
  if (typeof listed !== 'string' || folder === '') return safeName(folder, listed);
  if (!listed.startsWith(`${folder}/`)) {
    throw new UnsafeListingError(folder, listed, 'lies outside of the folder that was asked for');
  }
  return safeName(folder, listed.slice(folder.length + 1));
}

/** Joins names that are safe already. */
export function join(folder: string, name: string): string {
  return folder === '' ? name : `${folder}/${name}`;
}

/** Whether a path, be it from a manifest on the disk, consists of safe names. */
export function isSafePath(path: string): boolean {
  return path.split('/').every((name) => flaw(name) === undefined);
}

/**
 * Refuses a listing in which one path stands for two things.
 *
 * @param fold what the file system takes names for: itself, or what it cannot tell them apart by
 * @throws UnsafeListingError
 */
export function checkDistinct(
  files: readonly string[],
  folders: readonly string[],
  fold: (path: string) => string,
): void {
  const seen = new Map<string, string>();
  for (const path of [...files, ...folders]) {
    const folded = fold(path);
    const other = seen.get(folded);
    if (other === undefined) {
      seen.set(folded, path);
      continue;
    }
    const why =
      other === path
        ? 'appears twice'
        : `cannot be told from ${JSON.stringify(other)} by this file system`;
    throw new UnsafeListingError(path.slice(0, Math.max(0, path.lastIndexOf('/'))), path, why);
  }
}
