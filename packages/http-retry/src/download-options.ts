import { OptionError, type PartialClassify, type RetryPolicy } from '@outlast/core-retry';
import {
  abortSignal,
  type Check,
  callable,
  checkOptions,
  duration,
  flag,
  invalidOption,
  type Known,
  nonEmptyText,
  wholeNumber,
} from '@outlast/core-retry/connector';
import type { AxiosInstance } from 'axios';
import { stateOf } from './client-state.js';
import type { HttpRetryOptions } from './options.js';
import type { Resume } from './range.js';
import { checkWait } from './request-options.js';

/** One request of a download. */
export interface DownloadRequest {
  /** Absolute, or relative to the client's `baseURL`. */
  readonly url: string | URL;
  /** Beside the client's own. None of either goes to another origin. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Instead of {@link DownloadOptions.resume}, for this request. */
  readonly resume?: Resume;
}

/** How far a download is, before a request of it. */
export interface SourceContext {
  /** 1 for the first request. */
  readonly request: number;
  /** Bytes that are there. */
  readonly bytes: number;
  /** The strong ETag under which they came, if any. */
  readonly etag?: string;
  /** Why the request before ended. */
  readonly lastError?: unknown;
  /** How often bytes had to be thrown away. */
  readonly restarts: number;
}

/** Asked before every request: the route may change, a signed URL may be signed anew. */
export type DownloadSource = (
  context: SourceContext,
) => DownloadRequest | PromiseLike<DownloadRequest>;

/** How far a download is. */
export interface DownloadProgress {
  /** Bytes that are there. */
  readonly bytes: number;
  /** How many there will be, if anybody has said so. */
  readonly total?: number;
  /** Of those that are there: found at the start. */
  readonly resumedBytes: number;
  /** Bytes that came over the wire, in all requests. */
  readonly receivedBytes: number;
}

/** A file that has arrived. */
export interface Download {
  readonly path: string;
  readonly bytes: number;
  /** Of these: left by an earlier process, or an earlier call. */
  readonly resumedBytes: number;
  /** Bytes that came over the wire, in all requests. */
  readonly receivedBytes: number;
  readonly requests: number;
  /** How often bytes had to be thrown away. */
  readonly restarts: number;
  /** Part of it was kept by its size alone: nothing the server said vouches that it is one file. */
  readonly unvalidated: boolean;
  /** In hex, if it was asked for. */
  readonly sha256?: string;
  readonly etag?: string;
  readonly contentType?: string;
  readonly lastModified?: string;
}

/** What a policy is asked of a download: it has no answer that could be judged, or replaced. */
export type DownloadRetryOptions = Omit<HttpRetryOptions, 'retryResult' | 'fallback'>;

/** Durations in milliseconds. */
export interface DownloadOptions {
  /** Makes the requests: an instance of axios, or a client of `withRetry`. Default: a plain one. */
  readonly client?: AxiosInstance;
  /** Attempts, delays, patience, `totalTimeoutMs`. `attemptTimeoutMs` bounds the wait for the headers only. */
  readonly retry?: DownloadRetryOptions;
  /**
   * With an instance of plain axios: whose attempts, budget, breaker and events these are, narrowed by `retry`.
   * Default: one of its own. A client of `withRetry` has one already.
   */
  readonly policy?: RetryPolicy;
  readonly headers?: Readonly<Record<string, string>>;
  /** The file's size in bytes, if known: what arrives is checked against it. */
  readonly expectedSize?: number;
  /** True hashes while it arrives; a hash in hex is compared as well. */
  readonly sha256?: boolean | string;
  /**
   * How bytes that are there already are kept. `'validator'` (default): with a strong ETag, by `If-Range`.
   * `'size'`: if the server's total is `expectedSize` and the last 64 KB are the same. `'auto'`: by
   * validator if there is one, else by size. `false`: never.
   */
  readonly resume?: Resume;
  /** The longest silence inside a body. Default 60 000. */
  readonly idleTimeoutMs?: number;
  /** How long the first byte may take. Default 30 000, and 1000 for each 5 MB of `expectedSize`. */
  readonly firstByteTimeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Called at most ten times a second, and at the end. What it throws is ignored. */
  readonly onProgress?: (progress: DownloadProgress) => void;
  /** Default 5. */
  readonly maxRedirects?: number;
  /** Whether `text/html` is a file like any other. Default: if the path or the URL says so. */
  readonly html?: boolean;
  /** Where the bytes are until they are all. Default `<path>.part`; on the same volume as the path. */
  readonly partialPath?: string;
  /** What the bytes are, for who resumes later. Default: the URL without signatures. */
  readonly identity?: string;
  /** The caller sees to it that nobody else downloads to this path. Default false. */
  readonly exclusive?: boolean;
  /** Whether the bytes are on the disk, not in its cache, before the file gets its name. Default true. */
  readonly fsync?: boolean;
  /** Asked before the classifier of this package. */
  readonly classify?: PartialClassify;
  /** How events name it. Default `http.download`. */
  readonly operation?: string;
}

const RESUMES: readonly unknown[] = ['validator', 'size', 'auto', false];

const isResume: Check = (value) =>
  RESUMES.includes(value) ? undefined : "'validator', 'size', 'auto' or false";

const isHash: Check = (value) =>
  typeof value === 'boolean' || (typeof value === 'string' && /^[0-9a-f]{64}$/i.test(value))
    ? undefined
    : 'true, false or a SHA-256 in 64 hex digits';

const isObject: Check = (value) =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? undefined : 'an object';

const isClient: Check = (value) =>
  typeof (value as { request?: unknown } | null)?.request === 'function'
    ? undefined
    : 'an instance of axios';

const KNOWN: Known<DownloadOptions> = {
  client: isClient,
  retry: undefined,
  policy: undefined,
  headers: isObject,
  expectedSize: wholeNumber(0),
  sha256: isHash,
  resume: isResume,
  idleTimeoutMs: duration({ min: 1 }),
  firstByteTimeoutMs: duration({ min: 1 }),
  signal: abortSignal,
  onProgress: callable,
  maxRedirects: wholeNumber(0),
  html: flag,
  partialPath: nonEmptyText,
  identity: nonEmptyText,
  exclusive: flag,
  fsync: flag,
  classify: callable,
  operation: nonEmptyText,
};

/** @throws OptionError naming the option, the value and what is valid */
export function checkDownload(source: unknown, path: unknown, options: DownloadOptions): void {
  if (
    typeof source !== 'function' &&
    !(source instanceof URL) &&
    nonEmptyText(source) !== undefined
  ) {
    throw new OptionError('url', 'must be a URL, or a function that returns { url }.');
  }
  if (nonEmptyText(path) !== undefined)
    throw new OptionError('path', 'must be the path of a file.');
  checkOptions('', options, KNOWN);
  checkRetry(options);
  checkResume('resume', options.resume, options.expectedSize);
}

function checkRetry({ retry, policy, client }: DownloadOptions): void {
  if (policy !== undefined && stateOf(client) !== undefined) {
    throw new OptionError('policy', 'is for an instance of plain axios: this client has its own.');
  }
  if (retry === undefined) return;
  const valid = isObject(retry);
  if (valid !== undefined) throw invalidOption('retry', retry, valid);
  checkWait(retry.waitMs);
  for (const name of ['retryResult', 'fallback']) {
    if (Object.hasOwn(retry, name)) {
      throw new OptionError(`retry.${name}`, 'is for answers of requests: a download has none.');
    }
  }
}

/** @throws OptionError if bytes shall be kept by a size that nobody has given */
export function checkResume(
  name: string,
  resume: Resume | undefined,
  expectedSize: number | undefined,
): void {
  if (resume === undefined) return;
  const valid = isResume(resume);
  if (valid !== undefined) throw new OptionError(name, `must be ${valid}.`);
  if ((resume === 'size' || resume === 'auto') && expectedSize === undefined) {
    throw new OptionError(name, `'${resume}' needs expectedSize, the file's size in bytes.`);
  }
}

const FIRST_BYTE_MS = 30_000;
const BYTES_A_SECOND = 5_000_000;

/** A store that fetches the file before it answers takes its time by the file's size. */
export function firstByteTimeout(options: DownloadOptions): number {
  const { firstByteTimeoutMs, expectedSize = 0 } = options;
  return firstByteTimeoutMs ?? FIRST_BYTE_MS + Math.ceil((expectedSize / BYTES_A_SECOND) * 1000);
}
