import {
  abortSignal,
  callable,
  duration,
  flag,
  type Known,
  nonEmptyText,
} from '@outlast/core-retry/connector';
import type { FetchProgress } from './fetch-model-progress.js';

/** Options of `fetchModel()`. */
export interface FetchOptions {
  /** Called as bytes arrive, about ten times a second for each file under way. */
  readonly onProgress?: (progress: FetchProgress) => void;
  /** Calls it off. What has arrived stays for the next fetch. */
  readonly signal?: AbortSignal;
  /**
   * Bound on the whole, in milliseconds: asking, waiting for another process, listing, downloading. What has
   * arrived by then stays for the next fetch. Default: the client's `retry.totalTimeoutMs`, which counts too if
   * it is shorter; without either there is no bound.
   */
  readonly totalTimeoutMs?: number;
  /** Where models are kept. Default `$XDG_CACHE_HOME/outlast/mlflow`, mostly `~/.cache/outlast/mlflow`. */
  readonly cacheDir?: string;
  /** Whether a model from the cache is read and hashed again before it is handed out. Default false: its sizes are looked at. */
  readonly verify?: boolean;
  /**
   * Whether the last model that this URI stood for is handed out, with `stale: true`, while the server cannot
   * be asked or the new one not be fetched. Never when the server says that it is gone, or refuses us.
   * Default false.
   */
  readonly staleIfError?: boolean;
  /** How long what the URI stands for is taken for granted without asking the server, in milliseconds. Default 0. */
  readonly maxAgeMs?: number;
}

/** A model that is whole on this disk. */
export interface FetchedModel {
  /** The folder of its files; of a single file that file, of a sub-path that folder. Do not write there. */
  readonly path: string;
  /** Of the registered model; for a logged model its name, for `runs:/` the run's id, else ''. */
  readonly name: string;
  /** Of the registered model; for a logged model its id, for what has no version a digest of its bytes. */
  readonly version: string;
  /** Where its artifacts lie, as the server says. */
  readonly source: string;
  /** Whether the server did not confirm that the URI stands for it now, and `cause` says why. */
  readonly stale: boolean;
  /** How long ago the server last confirmed it, if it did not just now, in milliseconds. */
  readonly ageMs?: number;
  /** For a stale model: what the server, or the fetch of the newer one, failed with. */
  readonly cause?: unknown;
}

export const FETCH_OPTIONS: Known<FetchOptions> = {
  onProgress: callable,
  signal: abortSignal,
  totalTimeoutMs: duration({ min: 1, infinite: true }),
  cacheDir: nonEmptyText,
  verify: flag,
  staleIfError: flag,
  maxAgeMs: duration({ infinite: true }),
};
