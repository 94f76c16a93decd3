import { UnsafeListingError } from './fetch-model-errors.js';
import { checkDistinct, join, type ListedFile, MAX_DEPTH } from './safe-path.js';

/** An entry as the server lists it; int64 may be a number or a text. */
export interface ListedEntry {
  readonly path?: unknown;
  readonly is_dir?: unknown;
  readonly file_size?: unknown;
}

/** A place whose folders can be listed, one level at a time. */
export interface Listable {
  /** The entries of a folder below the root; none if it is no folder, or not there. */
  list(folder: string): Promise<readonly ListedEntry[]>;
  /** The name of an entry inside its folder. @throws UnsafeListingError */
  nameOf(folder: string, listed: unknown): string;
}

const MAX_ENTRIES = 100_000;
const LISTINGS_AT_ONCE = 4;

/**
 * All files at a path: the files below it if it is a folder, itself if it is a file (which the server
 * lists as nothing, so that its folder is asked for it); none if it is not there.
 *
 * @param fold see {@link checkDistinct}
 * @throws UnsafeListingError before any file is asked for
 */
export async function listFiles(
  place: Listable,
  path: string,
  fold: (path: string) => string,
): Promise<readonly ListedFile[]> {
  const files = await new Walk(place, path).run(fold);
  if (files.length > 0 || path === '') return files;
  const slash = path.lastIndexOf('/');
  const folder = path.slice(0, Math.max(0, slash));
  const name = path.slice(slash + 1);
  const found = (await place.list(folder)).filter(
    (entry) => entry.is_dir !== true && place.nameOf(folder, entry.path) === name,
  );
  checkDistinct(
    found.map(() => path),
    [],
    fold,
  );
  return found.map((entry) => ({ path, size: sizeOf(folder, name, entry.file_size) }));
}

class Walk {
  readonly #place: Listable;
  readonly #files: ListedFile[] = [];
  readonly #folders: string[] = [];
  // Last in, first out: a loop of links is found at its depth, not after all its breadth.
  readonly #stack: { readonly path: string; readonly depth: number }[];
  #entries = 0;

  constructor(place: Listable, root: string) {
    this.#place = place;
    this.#stack = [{ path: root, depth: 0 }];
  }

  async run(fold: (path: string) => string): Promise<readonly ListedFile[]> {
    while (this.#stack.length > 0) {
      const next = this.#stack.splice(-LISTINGS_AT_ONCE);
      await Promise.all(next.map(({ path, depth }) => this.#visit(path, depth)));
    }
    const paths = this.#files.map(({ path }) => path);
    checkDistinct(paths, this.#folders, fold);
    return this.#files.sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  async #visit(folder: string, depth: number): Promise<void> {
    const entries = await this.#place.list(folder);
    this.#entries += entries.length;
    if (this.#entries > MAX_ENTRIES) {
      throw new UnsafeListingError(folder, '…', `is one of more than ${MAX_ENTRIES} entries`);
    }
    for (const { path, is_dir, file_size } of entries) {
      const name = this.#place.nameOf(folder, path);
      const below = join(folder, name);
      if (is_dir !== true) {
        this.#files.push({ path: below, size: sizeOf(folder, name, file_size) });
        continue;
      }
      if (depth >= MAX_DEPTH) {
        throw new UnsafeListingError(
          folder,
          name,
          `lies more than ${MAX_DEPTH} folders deep, as in a loop of links`,
        );
      }
      this.#folders.push(below);
      this.#stack.push({ path: below, depth: depth + 1 });
    }
  }
}

function sizeOf(folder: string, name: string, listed: unknown): number | undefined {
  if (listed === undefined || listed === null) return undefined;
  const size = typeof listed === 'string' && /^\d+$/.test(listed) ? Number(listed) : listed;
  if (Number.isSafeInteger(size) && (size as number) >= 0) return size as number;
  throw new UnsafeListingError(folder, name, 'has a size that is no whole number of bytes');
}
