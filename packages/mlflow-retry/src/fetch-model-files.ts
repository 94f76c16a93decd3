import { createHash } from 'node:crypto';
import { lstat, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Failure, Phase } from '@outlast/core-retry';
import { onAbort } from '@outlast/core-retry/connector';
import {
  type DownloadOptions,
  type DownloadRequest,
  download,
  type SourceContext,
} from '@outlast/http-retry';
import { ensureFolder } from './cache-folders.js';
import type { Staging } from './cache-staging.js';
import { CorruptFileError } from './fetch-model-errors.js';
import type { FetchLimits } from './fetch-model-limits.js';
import type { Progress } from './fetch-model-progress.js';
import { hashFile, type ManifestFile } from './manifest.js';
import type { ModelPlace } from './model-place.js';
import type { ListedFile } from './safe-path.js';

const FILES_AT_ONCE = 4;
const ROUNDS = 3;
// As much is fetched again and compared where a file is resumed by its size; less is not worth a resume.
const OVERLAP_BYTES = 65_536;

const NETWORK: ReadonlySet<unknown> = new Set(['network', 'timeout']);
// Of a gateway whose server cannot be reached.
const GATEWAY: ReadonlySet<unknown> = new Set([502, 503, 504]);

export interface FilesOptions {
  readonly place: ModelPlace;
  readonly staging: Staging;
  /** What the bytes are, for resuming those of another process; undefined if they may have changed since. */
  readonly identity: string | undefined;
  readonly progress: Progress;
  readonly limits: FetchLimits;
  /** Asks for the listing again. */
  readonly list: () => Promise<readonly ListedFile[]>;
}

/**
 * Downloads all files of a listing, some at once, and hashes them. Where nothing but its size vouches for a
 * file, the listing is asked for again, and what has changed is downloaded from its start.
 *
 * @returns sorted by path
 * @throws what the first file failed with that could not be had; the others are called off
 */
export async function fetchFiles(
  listing: readonly ListedFile[],
  options: FilesOptions,
): Promise<readonly ManifestFile[]> {
  const done = new Map<string, ManifestFile>();
  let wanted = listing;
  for (let round = 1; ; round++) {
    let doubtful = options.identity === undefined;
    await allAtOnce(wanted, options.limits.signal, async (file, signal) => {
      const { unvalidated, ...fetched } = await fetchFile(file, options, round > 1, signal);
      done.set(file.path, fetched);
      doubtful ||= unvalidated;
    });
    if (!doubtful) break;
    const again = await options.list();
    wanted = again.filter(({ path, size }) => {
      const had = done.get(path);
      return had === undefined || (size !== undefined && size !== had.size);
    });
    const paths = new Set(again.map(({ path }) => path));
    for (const path of done.keys()) if (!paths.has(path)) done.delete(path);
    const [first] = wanted;
    if (first === undefined) break;
    if (round === ROUNDS) {
      throw new CorruptFileError(first.path, 'changes on the server while it is downloaded');
    }
  }
  return [...done.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

async function fetchFile(
  file: ListedFile,
  options: FilesOptions,
  changed: boolean,
  signal: AbortSignal,
): Promise<ManifestFile & { readonly unvalidated: boolean }> {
  const { place, staging, identity, progress, limits } = options;
  const { path, size } = file;
  const target = join(staging.files, path);
  if (path.includes('/')) await ensureFolder(staging.files, dirname(path));
  if (!changed && identity !== undefined) {
    const kept = await completed(target, file, signal);
    if (kept !== undefined) {
      const { size: bytes } = kept;
      progress.note(path, { bytes, resumedBytes: bytes, receivedBytes: 0 }, true);
      return { ...kept, unvalidated: false };
    }
  }
  await rm(target, { force: true });
  const { server } = place;
  const routes = new Routes(file, place, identity !== undefined && !changed);
  const patience = { leftMs: server.waitMs };
  const how: DownloadOptions = {
    client: server.client,
    policy: server.policy,
    ...(size !== undefined && { expectedSize: size }),
    sha256: true,
    signal,
    // Never beside the file: the model may hold a file of that name.
    partialPath: join(staging.parts, createHash('sha256').update(path).digest('hex')),
    ...(identity !== undefined && { identity: `${identity} ${path}` }),
    exclusive: true,
    html: /\.x?html?$/i.test(path),
    operation: 'mlflow.download',
    classify: (error, phase) => routes.classify(error, phase),
    onProgress: (now) => progress.note(path, now),
  };
  for (;;) {
    try {
      const got = await server.inPlace(() => {
        const retry = { waitMs: server.waitMs, totalTimeoutMs: limits.leftMs };
        return download((sofar) => routes.next(sofar), target, { ...how, retry });
      }, signal);
      progress.note(path, got, true);
      return { path, size: got.bytes, sha256: got.sha256 as string, unvalidated: got.unvalidated };
    } catch (error) {
      // What has come is still there. The wait is the whole client's, and ends with its patience.
      if (routes.lost === undefined) throw error;
      const wasDown = await server.reached(error, patience, signal);
      // Whoever took the request, and is there all the time, has had as many attempts as there are.
      if (routes.lost === 'sent' && !wasDown) throw error;
    }
  }
}

/** A file that another process, or a fetch that failed, had already: of a size that is listed. */
async function completed(
  target: string,
  { path, size }: ListedFile,
  signal: AbortSignal,
): Promise<ManifestFile | undefined> {
  const found = await lstat(target).catch(() => undefined);
  if (!found?.isFile() || size === undefined || found.size !== size) return undefined;
  return { path, size, sha256: await hashFile(target, signal) };
}

/** Which route a file is asked for by: the first, unless it broke there and cannot be resumed. */
class Routes {
  readonly #file: ListedFile;
  readonly #place: ModelPlace;
  readonly #trusted: boolean;
  #again = false;
  #refused = false;
  /** Whether the last request ended because nobody was there, or perhaps so: something between took it. */
  lost: 'unsent' | 'sent' | undefined;

  /** @param trusted whether bytes of an earlier process may be resumed by size */
  constructor(file: ListedFile, place: ModelPlace, trusted: boolean) {
    this.#file = file;
    this.#place = place;
    this.#trusted = trusted;
  }

  next({ request, bytes, etag }: SourceContext): DownloadRequest {
    this.lost = undefined;
    const { path, size } = this.#file;
    const { server } = this.#place;
    const first = this.#place.file(path);
    const bySize = size !== undefined && bytes > OVERLAP_BYTES && (this.#trusted || request > 1);
    this.#again = bySize && etag === undefined && first.resume !== 'size' && !this.#refused;
    const second = this.#again ? this.#place.again?.(path) : undefined;
    this.#again = second !== undefined;
    const { path: route, resume } = second ?? first;
    return { url: server.url(route), resume: resume === 'size' && !bySize ? false : resume };
  }

  /** What a failure means here, beside what the server says. */
  classify(error: unknown, phase: Phase): Failure | undefined {
    const { server } = this.#place;
    const status = (error as { response?: { status?: unknown } } | null)?.response?.status;
    if (this.#again && typeof status === 'number' && status !== 429) {
      // The second route may be switched off, or not reach the store: then the first has to do, from its start.
      this.#refused = true;
      return {
        category: 'unavailable',
        transient: true,
        outcome: 'not-applied',
        code: `${status}`,
      };
    }
    const failure = server.verdict(error, phase);
    const { transient, category } = failure;
    if (!transient || !(status === undefined ? NETWORK.has(category) : GATEWAY.has(status))) {
      return undefined;
    }
    this.lost = phase === 'sent' ? 'sent' : 'unsent';
    // To find nobody is no attempt: it surfaces at once, and is waited out by the client's own loop.
    return phase === 'sent' ? undefined : { ...failure, transient: false };
  }
}

/** Runs a few at once; the first failure calls off the others, and surfaces when they have ended. */
async function allAtOnce<T>(
  all: readonly T[],
  outer: AbortSignal | undefined,
  work: (one: T, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  outer?.throwIfAborted();
  const controller = new AbortController();
  const off = outer && onAbort(outer, (reason) => controller.abort(reason));
  const queue = [...all].reverse();
  const failed: unknown[] = [];
  const worker = async (): Promise<void> => {
    for (let one = queue.pop(); one !== undefined && failed.length === 0; one = queue.pop()) {
      try {
        await work(one, controller.signal);
      } catch (error) {
        failed.push(error);
        controller.abort(error);
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(FILES_AT_ONCE, all.length) }, worker));
  } finally {
    off?.();
  }
  if (failed.length > 0) throw failed[0];
}
