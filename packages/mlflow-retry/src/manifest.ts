import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CorruptFileError } from './fetch-model-errors.js';
import { isSafePath } from './safe-path.js';

/** A file as it was downloaded. */
export interface ManifestFile {
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
}

/** What was downloaded, kept beside it. The server has no checksums: these are of the bytes that arrived. */
export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly source: string;
  /** '', or the part of the model that this is. */
  readonly subPath: string;
  /** Milliseconds since 1970. */
  readonly fetchedAt: number;
  /** Sorted by path. */
  readonly files: readonly ManifestFile[];
}

const FORMAT = 1;
const HASHES_AT_ONCE = 4;

export function manifestText(manifest: Manifest): string {
  return `${JSON.stringify({ format: FORMAT, ...manifest }, undefined, 1)}\n`;
}

/** What stands for all bytes of a model: equal if and only if paths and contents are. */
export function digestOf(files: readonly ManifestFile[]): string {
  const hash = createHash('sha256');
  for (const { path, size, sha256 } of files)
    hash.update(`${JSON.stringify(path)} ${size} ${sha256}\n`);
  return hash.digest('hex');
}

/** @returns undefined if there is none, or what is there is none of ours */
export async function readManifest(file: string): Promise<Manifest | undefined> {
  try {
    // The cache's folder may be written to by others; nothing is believed before it is looked at.
    if (!(await lstat(file)).isFile()) return undefined;
    const found: unknown = JSON.parse(await readFile(file, 'utf8'));
    return isManifest(found) ? found : undefined;
  } catch {
    return undefined;
  }
}

function isManifest(value: unknown): value is Manifest {
  const { format, name, version, source, subPath, fetchedAt, files } = (value ?? {}) as Record<
    string,
    unknown
  >;
  return (
    format === FORMAT &&
    [name, version, source, subPath].every((text) => typeof text === 'string') &&
    (subPath === '' || isSafePath(subPath as string)) &&
    typeof fetchedAt === 'number' &&
    Array.isArray(files) &&
    files.length > 0 &&
    files.every(isManifestFile)
  );
}

function isManifestFile(value: unknown): boolean {
  const { path, size, sha256 } = (value ?? {}) as Record<string, unknown>;
  return (
    typeof path === 'string' &&
    isSafePath(path) &&
    Number.isSafeInteger(size) &&
    typeof sha256 === 'string' &&
    /^[0-9a-f]{64}$/.test(sha256)
  );
}

/**
 * Whether every file of the manifest lies in `folder`, a file and no link, with its size.
 *
 * @param hashes whether to read and hash them all too
 * @throws CorruptFileError for the first that does not; the signal's reason
 */
export async function checkFiles(
  folder: string,
  files: readonly ManifestFile[],
  hashes: boolean,
  signal?: AbortSignal,
): Promise<void> {
  if (!(await lstat(folder)).isDirectory()) throw new CorruptFileError('', 'is no folder any more');
  await Promise.all(
    files.map(async ({ path, size }) => {
      const found = await lstat(join(folder, path)).catch(() => undefined);
      if (found === undefined) throw new CorruptFileError(path, 'is gone from the cache');
      if (!found.isFile()) throw new CorruptFileError(path, 'is no file any more');
      if (found.size !== size) {
        throw new CorruptFileError(
          path,
          `has ${found.size} bytes in the cache, ${size} were downloaded`,
        );
      }
    }),
  );
  if (!hashes) return;
  const queue = [...files];
  const work = async (): Promise<void> => {
    for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
      if ((await hashFile(join(folder, file.path), signal)) !== file.sha256) {
        throw new CorruptFileError(file.path, 'has other bytes in the cache than were downloaded');
      }
    }
  };
  await Promise.all(Array.from({ length: HASHES_AT_ONCE }, work));
}

/** SHA-256 of a file, in hex. @throws the signal's reason */
export async function hashFile(file: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: 1_048_576 })) {
    signal?.throwIfAborted();
    hash.update(chunk as Buffer);
  }
  return hash.digest('hex');
}

/** Writes a new file through to the disk. */
export async function writeThrough(file: string, text: string): Promise<void> {
  const handle = await open(file, 'wx', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
