import { type Clock, type Failure, isOutlastError } from '@outlast/core-retry';
import { checkOptions } from '@outlast/core-retry/connector';
import { DiskFullError, isDiskFullError } from '@outlast/http-retry';
import {
  type CachedModel,
  findModel,
  forgetReference,
  keyOf,
  publishModel,
  readReference,
  writeReference,
} from './cache.js';
import { type CacheFolders, defaultCacheDir, foldOf, openCache } from './cache-folders.js';
import { takeLock } from './cache-lock.js';
import { openStaging, type Staging, sweep } from './cache-staging.js';
import { isMlflowError } from './errors.js';
import { EmptyModelError } from './fetch-model-errors.js';
import { fetchFiles } from './fetch-model-files.js';
import { FetchLimits } from './fetch-model-limits.js';
import { FETCH_OPTIONS, type FetchedModel, type FetchOptions } from './fetch-model-options.js';
import { Progress } from './fetch-model-progress.js';
import { listFiles } from './listing.js';
import { digestOf, type Manifest } from './manifest.js';
import { placeOf } from './model-place.js';
import type { ModelServer } from './model-server.js';
import { type ModelSource, resolveModel } from './model-source.js';
import { parseModelUri } from './model-uri.js';

/**
 * Fetches what a model URI stands for, whole, into the cache, unless it is there already.
 *
 * @param serverFor the tracking server, for a fetch that these limits end
 * @param client its clock, and the time that any operation of it may take
 * @throws OptionError for a URI or option that is wrong; DeadlineExceededError; else what the server answered, or
 *   the download failed with
 */
export async function fetchModel(
  serverFor: (limits: FetchLimits) => ModelServer,
  uri: string,
  options: FetchOptions,
  client: { readonly clock: Clock; readonly totalTimeoutMs: number },
): Promise<FetchedModel> {
  const reference = parseModelUri(uri);
  checkOptions('', options, FETCH_OPTIONS);
  const { signal, totalTimeoutMs = Infinity, cacheDir = defaultCacheDir(), maxAgeMs = 0 } = options;
  signal?.throwIfAborted();
  const { clock } = client;
  const limits = new FetchLimits(clock, Math.min(totalTimeoutMs, client.totalTimeoutMs), signal);
  try {
    const cache = await openCache(cacheDir);
    const server = serverFor(limits);
    const fetch = new Fetch(server, uri, options, { clock, cache, limits });
    const young = await fetch.remembered(maxAgeMs, limits);
    if (young !== undefined) return { ...young, stale: false };
    try {
      const source = await resolveModel(uri, reference, (path, query) => server.ask(path, query));
      return await fetch.confirmed(source);
    } catch (error) {
      return await fetch.staleOr(limits.named(error));
    }
  } catch (error) {
    throw limits.named(error);
  } finally {
    limits.end();
  }
}

type Remembered = Omit<FetchedModel, 'stale' | 'cause'>;

class Fetch {
  readonly #server: ModelServer;
  readonly #uri: string;
  readonly #options: FetchOptions;
  readonly #clock: Clock;
  readonly #cache: CacheFolders;
  readonly #limits: FetchLimits;
  readonly #uriKey: string;

  constructor(
    server: ModelServer,
    uri: string,
    options: FetchOptions,
    means: { readonly clock: Clock; readonly cache: CacheFolders; readonly limits: FetchLimits },
  ) {
    this.#server = server;
    this.#uri = uri;
    this.#options = options;
    this.#clock = means.clock;
    this.#cache = means.cache;
    this.#limits = means.limits;
    this.#uriKey = keyOf(server.address, uri);
  }

  /** What the URI stood for, if the server said so not longer ago. */
  async remembered(
    maxAgeMs: number,
    limits: Pick<FetchLimits, 'signal'>,
  ): Promise<Remembered | undefined> {
    if (maxAgeMs <= 0) return undefined;
    const last = await readReference(this.#cache, this.#uriKey);
    if (last === undefined) return undefined;
    // A clock that was set back makes nothing younger than now.
    const ageMs = Math.max(0, this.#clock.wallNow() - last.confirmedAt);
    if (ageMs > maxAgeMs) return undefined;
    const found = await this.#find(last.key, limits);
    return found && { ...shown(found), ageMs };
  }

  /** The model of a source that the server has just confirmed: from the cache, or downloaded. */
  async confirmed(source: ModelSource): Promise<FetchedModel> {
    const confirmedAt = this.#clock.wallNow();
    const model = await this.#get(source);
    await writeReference(this.#cache, this.#uriKey, { key: model.key, confirmedAt });
    return { ...shown(model), stale: false };
  }

  /** The last model, where that is allowed and the failure says nothing against it. */
  async staleOr(error: unknown): Promise<FetchedModel> {
    const named = isFull(error) && !isDiskFullError(error);
    const cause = named ? new DiskFullError(this.#cache.root, error) : error;
    const { staleIfError = false, signal } = this.#options;
    if (signal?.aborted) throw cause;
    const failure = this.#server.verdict(cause);
    if (failure.category === 'not-found') await forgetReference(this.#cache, this.#uriKey);
    if (!staleIfError || !isExcuse(cause, failure)) throw cause;
    // Its time may be over, but what is here can still be handed out.
    const last = await this.remembered(Infinity, { signal });
    if (last === undefined) throw cause;
    return { ...last, stale: true, cause };
  }

  async #find(
    key: string | undefined,
    { signal }: Pick<FetchLimits, 'signal'>,
  ): Promise<CachedModel | undefined> {
    if (key === undefined) return undefined;
    const { verify = false } = this.#options;
    return findModel(this.#cache, key, verify, this.#clock.wallNow(), signal);
  }

  async #get(source: ModelSource): Promise<CachedModel> {
    const { identity, subPath } = source;
    // Where bytes may change there is no key before they are here, and everybody gets his own.
    const key = identity && keyOf(...identity, subPath);
    const staged = key ?? keyOf('place', this.#server.address, source.source, subPath);
    const find = (): Promise<CachedModel | undefined> => this.#find(key, this.#limits);
    const cached = await find();
    if (cached !== undefined) return cached;
    const { signal } = this.#limits;
    const taken = await takeLock(this.#cache.locks, staged, {
      clock: this.#clock,
      signal,
      found: find,
    });
    if (taken.lock === undefined) return taken.found;
    const { lock } = taken;
    try {
      // Its last owner may have published it between our looks.
      return (await find()) ?? (await this.#download(source, staged, key, lock.token));
    } finally {
      await lock.release();
    }
  }

  async #download(
    source: ModelSource,
    staged: string,
    key: string | undefined,
    token: string,
  ): Promise<CachedModel> {
    let staging: Staging | undefined;
    try {
      await sweep(this.#cache, this.#clock.wallNow());
      staging = await openStaging(this.#cache, staged, token);
      const manifest = await this.#fill(source, key, staging);
      const final = key ?? keyOf('bytes', source.source, source.subPath, manifest.version);
      return await publishModel(this.#cache, final, staging, manifest);
    } catch (error) {
      await (isFull(error) ? staging?.drop() : staging?.keep());
      throw error;
    }
  }

  async #fill(source: ModelSource, key: string | undefined, staging: Staging): Promise<Manifest> {
    const { onProgress } = this.#options;
    const fold = await foldOf(staging.parts);
    const place = await placeOf(this.#uri, source, this.#server);
    const list = () => listFiles(place, source.subPath, fold);
    const listing = await list();
    if (listing.length === 0) throw new EmptyModelError(this.#uri, source.source);
    const progress = new Progress(listing, this.#clock, onProgress);
    const files = await fetchFiles(listing, {
      place,
      staging,
      identity: key,
      progress,
      limits: this.#limits,
      list,
    });
    const { name, version, subPath } = source;
    return {
      name,
      version: version || digestOf(files).slice(0, 12),
      source: source.source,
      subPath,
      fetchedAt: this.#clock.wallNow(),
      files,
    };
  }
}

// Of our own errors, those that say nothing about whether the model is still the right one.
const EXCUSES: ReadonlySet<string> = new Set([
  'ENOSPC',
  'ECONNRESET',
  'ETIMEDOUT',
  'OUTLAST_ATTEMPT_TIMEOUT',
  'OUTLAST_BULKHEAD_FULL',
  'OUTLAST_CIRCUIT_OPEN',
  'OUTLAST_DEADLINE_EXCEEDED',
  'OUTLAST_INCOMPLETE_BODY',
]);

/** Whether a failure passes, rather than speaks against the model or against who asks. */
function isExcuse(error: unknown, { transient, category }: Failure): boolean {
  if (isOutlastError(error) && !isMlflowError(error)) return EXCUSES.has(error.code);
  return transient && category !== 'auth';
}

function isFull(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  return code === 'ENOSPC' || code === 'EDQUOT';
}

function shown({ path, manifest }: CachedModel): Remembered {
  const { name, version, source } = manifest;
  return { path, name, version, source };
}
