import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, systemClock } from '@outlast/core-retry';
import { checkOptions, invalidOption, nonEmptyText } from '@outlast/core-retry/connector';
import { defaultCacheDir, discard, namesIn, openCache } from './cache-folders.js';
import { MANIFEST, sweep } from './cache-staging.js';
import { readManifest } from './manifest.js';

/** Options of `prune()`. */
export interface PruneOptions {
  /** How many bytes of complete models may stay. 0 removes all. */
  readonly maxBytes: number;
  /** Default: the cache of {@link defaultCacheDir}. */
  readonly cacheDir?: string;
}

/** What `prune()` has removed. */
export interface PruneResult {
  /** Models that were removed. */
  readonly removed: number;
  readonly freedBytes: number;
  readonly keptBytes: number;
}

const bytes = (value: unknown): string | undefined =>
  Number.isSafeInteger(value) && (value as number) >= 0
    ? undefined
    : 'a whole number of bytes, 0 or more';

/**
 * Removes the models that were handed out longest ago, until the rest has at most `maxBytes`, and sweeps
 * what processes left behind that were killed. Do not prune what is being read: a path that was handed out
 * is gone then.
 *
 * @throws OptionError naming the option, the value and what is valid
 */
export async function prune(
  options: PruneOptions,
  clock: Clock = systemClock,
): Promise<PruneResult> {
  checkOptions('', options, { maxBytes: bytes, cacheDir: nonEmptyText });
  if (options.maxBytes === undefined)
    throw invalidOption('maxBytes', undefined, 'a whole number of bytes, 0 or more');
  const cache = await openCache(options.cacheDir ?? defaultCacheDir());
  await sweep(cache, clock.wallNow());
  const models: { readonly folder: string; readonly size: number; readonly usedAt: number }[] = [];
  for (const key of await namesIn(cache.models)) {
    const folder = join(cache.models, key);
    const manifest = await readManifest(join(folder, MANIFEST));
    const used = await stat(join(folder, MANIFEST)).catch(() => undefined);
    const size = manifest?.files.reduce((sum, file) => sum + file.size, 0) ?? 0;
    models.push({ folder, size, usedAt: manifest === undefined ? 0 : (used?.mtimeMs ?? 0) });
  }
  models.sort((a, b) => a.usedAt - b.usedAt);
  let keptBytes = models.reduce((sum, { size }) => sum + size, 0);
  let removed = 0;
  let freedBytes = 0;
  for (const { folder, size, usedAt } of models) {
    if (keptBytes <= options.maxBytes && usedAt > 0) break;
    await discard(cache, folder);
    removed += 1;
    freedBytes += size;
    keptBytes -= size;
  }
  return { removed, freedBytes, keptBytes };
}
