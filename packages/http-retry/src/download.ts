import { stat } from 'node:fs/promises';
import { type Attempt, OptionError } from '@outlast/core-retry';
import { type AxiosInstance, default as axios } from 'axios';
import { type ClientState, stateOf } from './client-state.js';
import { Origins } from './connect.js';
import {
  checkDownload,
  type Download,
  type DownloadOptions,
  type DownloadRequest,
  type DownloadSource,
} from './download-options.js';
import { absoluteUrl, Downloading, isDiskFull } from './downloading.js';
import { DiskFullError, HashMismatchError, WrongSizeError } from './errors.js';
import { clientSettings } from './options.js';
import { Partial } from './partial.js';
import { urlIdentity } from './range.js';
import { hideSecrets } from './secrets.js';
import { KeptSlot } from './slot.js';

// After a body that was cut on its way the rest is asked for soon: the server was there just now.
const SOON_MS = 100;

/**
 * Fetches a file, whole, or says why not. What has arrived stays beside the target (`<path>.part`) over
 * breaks, and for the next call or process; the target appears in one step, when it is complete.
 *
 * @param source the URL, or a function that is asked for one before each request
 * @throws the last error (of axios, for a status; of the system, for a connection), marked: see `retryInfo`;
 *   IncompleteBodyError, WrongSizeError, HashMismatchError, UnexpectedHtmlError, RedirectRefusedError,
 *   EncodedBodyError, DiskFullError; the signal's reason; OptionError
 */
export async function download(
  source: string | URL | DownloadSource,
  path: string,
  options: DownloadOptions = {},
): Promise<Download> {
  checkDownload(source, path, options);
  const state = stateOf(options.client) ?? plainState(options);
  const ask: DownloadSource =
    typeof source === 'function' ? source : () => ({ url: String(source) });
  try {
    await refuseFolder(path);
    // Without an identity the first URL is one; whoever names one is asked when it is known what is there.
    const first =
      options.identity === undefined ? await ask({ request: 1, bytes: 0, restarts: 0 }) : undefined;
    const partial = await openPartial(state, first, path, options);
    return await run(new Downloading(state, ask, first, path, options, partial), state, options);
  } catch (error) {
    hideSecrets(error);
    throw error;
  } finally {
    if (stateOf(options.client) === undefined) state.origins.close();
  }
}

/** One request after the other, each as often as the policy allows; what brings it further begins anew. */
async function run(
  it: Downloading,
  { policy }: ClientState,
  options: DownloadOptions,
): Promise<Download> {
  const { clock, random, baseDelayMs, totalTimeoutMs, delayMs } = policy.settings;
  const { waitMs: _waitMs, ...retry } = options.retry ?? {};
  const { bulkhead = policy.settings.bulkhead } = retry;
  const slot = bulkhead ? new KeptSlot(bulkhead) : undefined;
  const limit = Math.min(retry.totalTimeoutMs ?? Infinity, totalTimeoutMs);
  const deadline = clock.now() + limit;
  const soon = Math.min(retry.baseDelayMs ?? baseDelayMs, SOON_MS * (1 + random()));
  // Of a policy that was made for this download they are the options already.
  const narrowing = (stateOf(options.client) ?? options.policy) ? retry : {};
  // What an attempt does that was given up goes on until it notices.
  let underWay: Promise<unknown> = Promise.resolve();
  let ended: { readonly error: unknown } | undefined;
  try {
    do {
      let before = ended;
      ended = await policy.execute(
        (attempt: Attempt) => {
          if (before !== undefined && attempt.number === 1) throw before.error;
          const advance = it.advance(attempt);
          underWay = advance.catch(() => {});
          return advance;
        },
        {
          ...(narrowing as object),
          operation: options.operation ?? 'http.download',
          idempotent: true,
          ...(slot !== undefined && { bulkhead: slot }),
          // Those of a client are made for its answers.
          retryResult: () => false,
          fallback: rethrow,
          classify: (error, phase) => it.classify(error, phase),
          delayMs: (failure, attempt) => {
            if (before !== undefined && attempt.number === 1) {
              before = undefined;
              return soon;
            }
            return (retry.delayMs ?? delayMs)?.(failure, attempt);
          },
          attemptTimeoutMs: Infinity,
          ...(limit !== Infinity && { totalTimeoutMs: Math.max(1, deadline - clock.now()) }),
          ...(options.signal !== undefined && { signal: options.signal }),
        },
      );
    } while (ended !== undefined);
    const result = it.result();
    await it.partial.publish(options.fsync ?? true);
    return result;
  } catch (error) {
    await underWay;
    if (
      isDiskFull(error) ||
      error instanceof WrongSizeError ||
      error instanceof HashMismatchError
    ) {
      await it.partial.discard();
    } else await it.partial.keep();
    throw isDiskFull(error) && !(error instanceof DiskFullError)
      ? new DiskFullError(it.path, error)
      : error;
  } finally {
    slot?.giveBack();
  }
}

function rethrow(error: unknown): never {
  throw error;
}

/** The means of a download without a client of ours. */
function plainState(options: DownloadOptions): ClientState {
  const own = clientSettings(options.retry);
  const settings = options.policy === undefined ? own : { ...own, policy: options.policy };
  const base = options.client ?? axios.create();
  return { ...settings, base, origins: new Origins(settings.policy) };
}

async function openPartial(
  state: ClientState,
  first: DownloadRequest | undefined,
  path: string,
  options: DownloadOptions,
): Promise<Partial> {
  const { partialPath = `${path}.part`, exclusive = false, expectedSize } = options;
  const identity = options.identity ?? identityOf(state.base, first?.url ?? '');
  const hashed = options.sha256 !== undefined && options.sha256 !== false;
  try {
    return await Partial.open({ path, partialPath, identity, expectedSize, hashed, exclusive });
  } catch (error) {
    throw isDiskFull(error) ? new DiskFullError(path, error) : error;
  }
}

function identityOf(client: AxiosInstance, url: string | URL): string {
  try {
    return urlIdentity(absoluteUrl(client, url));
  } catch {
    throw new OptionError('url', `must be a URL, or a path with a client that has a baseURL.`);
  }
}

async function refuseFolder(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory()) throw new OptionError('path', `must be a file's; ${path} is a folder.`);
}
