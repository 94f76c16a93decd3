import { fetchModel } from './fetch-model.js';
import type { FetchLimits } from './fetch-model-limits.js';
import type { FetchedModel, FetchOptions } from './fetch-model-options.js';
import { LoggedModels } from './logged-models.js';
import { trackingServer } from './model-server.js';
import { type PruneOptions, type PruneResult, prune } from './prune.js';
import {
  type ModelListener,
  type ModelWatch,
  type WatchOptions,
  watchModel,
} from './watch-model.js';

/** A client of an MLflow tracking server that outlasts its outages. Methods are those of Python's `MlflowClient` in camelCase. */
export class MlflowClient extends LoggedModels {
  readonly #closing = new AbortController();

  /**
   * Fetches what a URI stands for, whole, or says why not: `models:/name/12`, `models:/name@alias`,
   * `models:/name/Production`, `models:/name/latest`, `models:/m-<id>`, `runs:/<id>/path`,
   * `mlflow-artifacts:/path`; each with a path below it, if that is all that is wanted. A registered version is
   * downloaded once and found in the cache from then on, which costs one request.
   *
   * @throws OptionError for a URI or an option that is wrong; MlflowError for an answer that refuses;
   *   EmptyModelError, NoSuchVersionError, ModelNotReadyError, UnsafeListingError, UnlistableStoreError,
   *   CorruptFileError; DiskFullError (code ENOSPC); what the network or a download failed with;
   *   DeadlineExceededError; the signal's reason
   */
  fetchModel(uri: string, options: FetchOptions = {}): Promise<FetchedModel> {
    const { clock, totalTimeoutMs } = this.policy.settings;
    const serverFor = (limits: FetchLimits) => trackingServer(this.transport, limits);
    return fetchModel(serverFor, uri, options, { clock, totalTimeoutMs });
  }

  /**
   * Fetches what a URI stands for now and, from then on, whatever it comes to stand for: an alias that is moved,
   * a stage, `latest`. `onChange` is called once for each, when it is complete on this disk. Ends with
   * `close()` of the watch or of the client, or with `signal`.
   *
   * @throws OptionError naming the option, the value and what is valid
   */
  watchModel(uri: string, onChange: ModelListener, options: WatchOptions = {}): ModelWatch {
    const { clock, random } = this.policy.settings;
    return watchModel((fetch) => this.fetchModel(uri, fetch), uri, onChange, {
      options,
      clock,
      random,
      closing: this.#closing.signal,
    });
  }

  /**
   * Removes the models of a cache that were handed out longest ago, until the rest has at most `maxBytes`.
   *
   * @throws OptionError naming the option, the value and what is valid
   */
  prune(options: PruneOptions): Promise<PruneResult> {
    return prune(options, this.policy.settings.clock);
  }

  /** Ends all watches, rejects what waits for the server, and what comes; closes all connections. */
  override close(): void {
    this.#closing.abort();
    super.close();
  }
}
