import type { Readable } from 'node:stream';
import type { Attempt, Clock, Failure, Phase } from '@outlast/core-retry';
import { onAbort, type Patience } from '@outlast/core-retry/connector';
import type { AxiosInstance, AxiosResponse } from 'axios';
import { refusal } from './answer.js';
import { header } from './classify.js';
import type { ClientState } from './client-state.js';
import type { Target } from './connect.js';
import {
  checkResume,
  type Download,
  type DownloadOptions,
  type DownloadRequest,
  type DownloadSource,
  firstByteTimeout,
} from './download-options.js';
import {
  DiskFullError,
  EncodedBodyError,
  HashMismatchError,
  IncompleteBodyError,
  UnexpectedHtmlError,
  WrongSizeError,
} from './errors.js';
import { get } from './hop.js';
import type { Partial } from './partial.js';
import { Progress } from './progress.js';
import { judge, type Plan, plan, strongEtag, urlIdentity } from './range.js';
import { receive, silence } from './receive.js';
import { routeOf } from './route.js';
import { hideSecrets } from './secrets.js';

const NOTHING = Buffer.alloc(0);
// A page instead of the file may be a proxy's that restarts; two are an answer.
const MOST_PAGES = 2;

/** One file on its way: what one attempt does, and what is known between two. */
export class Downloading {
  readonly partial: Partial;
  requests = 0;
  restarts = 0;
  /** The farthest that it ever was. */
  private farthest: number;
  private unvalidated = false;
  private pages = 0;
  private rehashed = false;
  private lastError: unknown = undefined;
  private type: string | undefined;
  private lastModified: string | undefined;
  private next: DownloadRequest | undefined;
  private readonly progress: Progress;
  private readonly state: ClientState;
  private readonly patience: Patience;
  private readonly source: DownloadSource;
  private readonly options: DownloadOptions;
  readonly path: string;

  constructor(
    state: ClientState,
    source: DownloadSource,
    first: DownloadRequest | undefined,
    path: string,
    options: DownloadOptions,
    partial: Partial,
  ) {
    this.state = state;
    this.patience = { leftMs: options.retry?.waitMs ?? state.waitMs };
    this.source = source;
    this.next = first;
    this.path = path;
    this.options = options;
    this.partial = partial;
    this.farthest = partial.bytes;
    this.progress = new Progress(state.policy.settings.clock, options.onProgress);
  }

  /**
   * Fetches what is missing.
   *
   * @returns undefined once the file is whole, or why the request ended that brought it further than ever
   * @throws why a request ended that did not
   */
  async advance(attempt: Attempt): Promise<{ readonly error: unknown } | undefined> {
    try {
      await this.fetch(attempt);
      return undefined;
    } catch (thrown) {
      const error = isDiskFull(thrown) ? new DiskFullError(this.path, thrown) : thrown;
      // Not only what surfaces: events carry it too, and the source is shown it.
      hideSecrets(error);
      this.lastError = error;
      if (error instanceof UnexpectedHtmlError) this.pages += 1;
      if (this.partial.bytes <= this.farthest) throw error;
      this.farthest = this.partial.bytes;
      return { error };
    }
  }

  /** What an error of a download means: nothing of it is ever applied, for it only reads. */
  classify(error: unknown, phase: Phase): Failure {
    const told =
      this.options.classify?.(error, phase) ??
      this.ownFailure(error) ??
      (this.options.retry?.classify ?? this.state.policy.settings.classify)(error, phase);
    return { ...told, outcome: 'not-applied' };
  }

  result(): Download {
    const { partial, requests, restarts, unvalidated, type, lastModified } = this;
    const { bytes, foundBytes, etag } = partial;
    const sha256 = partial.sha256();
    this.progress.tell(bytes, bytes, foundBytes, true);
    return {
      path: this.path,
      bytes,
      resumedBytes: foundBytes,
      receivedBytes: this.progress.receivedBytes,
      requests,
      restarts,
      unvalidated,
      ...(sha256 !== undefined && { sha256 }),
      ...(etag !== undefined && { etag }),
      ...(type !== undefined && { contentType: type }),
      ...(lastModified !== undefined && { lastModified }),
    };
  }

  private async fetch(attempt: Attempt): Promise<void> {
    const { partial, options } = this;
    for (;;) {
      const request = this.next ?? (await this.source(this.context()));
      this.next = undefined;
      const resume = request.resume ?? options.resume ?? 'validator';
      checkResume('resume', request.resume, options.expectedSize);
      const url = absoluteUrl(this.state.base, request.url);
      const key = urlIdentity(url);
      const asked = plan(partial, resume, key, options.expectedSize);
      const overlap = asked.overlap > 0 ? await partial.tail(asked.overlap) : NOTHING;
      const response = await this.send(attempt, request, url, asked);
      const whole = await this.take(attempt, response, asked, overlap, url, key);
      if (whole && this.isRight()) return;
      this.restarts += 1;
      await partial.restart({});
    }
  }

  private context(): Parameters<DownloadSource>[0] {
    const { bytes, etag } = this.partial;
    const { requests, restarts, lastError } = this;
    return {
      request: requests + 1,
      bytes,
      restarts,
      ...(etag !== undefined && { etag }),
      ...(lastError !== undefined && { lastError }),
    };
  }

  /** Asks, waiting out an outage; the headers must come in time. */
  private send(
    attempt: Attempt,
    request: DownloadRequest,
    url: URL,
    asked: Plan,
  ): Promise<AxiosResponse<Readable>> {
    const { state, options } = this;
    const { base, origins, policy } = state;
    const target = (): Target | undefined => routeOf(base.defaults, url);
    const limitMs = Math.min(firstByteTimeout(options), this.attemptTimeoutMs());
    return origins.send(target, attempt, this.patience, true, () => {
      this.requests += 1;
      return withinTime(policy.settings.clock, limitMs, attempt.signal, (signal) =>
        get({
          client: base,
          url: String(request.url),
          absolute: url,
          headers: { ...options.headers, ...request.headers },
          own: ownHeaders(asked),
          maxRedirects: options.maxRedirects ?? 5,
          signal,
          attempt,
        }),
      );
    });
  }

  /** Takes the answer's body, if it is one that goes on. @returns false if what is there is worth nothing */
  private async take(
    attempt: Attempt,
    response: AxiosResponse<Readable>,
    asked: Plan,
    overlap: Buffer,
    url: URL,
    key: string,
  ): Promise<boolean> {
    const { partial, options, progress, state } = this;
    const { expectedSize } = options;
    const { status, headers, data: body } = response;
    const ranged = asked.from > 0 || asked.overlap > 0;
    try {
      if (status !== 200 && status !== 206 && !(status === 416 && ranged)) {
        throw await refusal(response);
      }
      const type = header(headers, 'content-type');
      if (status !== 416) this.refuseStrangers(headers, type, url);
      const told = {
        contentRange: header(headers, 'content-range'),
        etag: header(headers, 'etag'),
        length: lengthOf(header(headers, 'content-length')),
      };
      const answer = judge(asked, partial, status, told, expectedSize);
      if (answer.kind === 'complete') return true;
      if (answer.kind === 'restart') {
        if (ranged) return false;
        throw new IncompleteBodyError(
          0,
          undefined,
          'the answer was a part, and the whole was asked',
        );
      }
      const total = answer.total ?? expectedSize;
      if (expectedSize !== undefined && total !== expectedSize) {
        throw new WrongSizeError(total as number, expectedSize);
      }
      if (answer.kind === 'whole') {
        if (partial.bytes > 0) this.restarts += 1;
        this.unvalidated = false;
        await partial.restart({ etag: strongEtag(told.etag), etagOf: key, total });
      } else if (asked.ifRange === undefined) {
        this.unvalidated = true;
        await partial.unvouched();
      }
      this.type = type;
      this.lastModified = header(headers, 'last-modified');
      return await receive(body, {
        partial,
        overlap: answer.kind === 'whole' ? NOTHING : overlap,
        total,
        idleTimeoutMs: options.idleTimeoutMs ?? 60_000,
        firstByteMs: firstByteTimeout(options),
        clock: state.policy.settings.clock,
        signal: attempt.signal,
        onBytes: (received) => {
          progress.receivedBytes += received;
          progress.tell(partial.bytes, total, partial.foundBytes);
        },
      });
    } finally {
      body.destroy();
    }
  }

  private refuseStrangers(headers: unknown, type: string | undefined, url: URL): void {
    const encoding = header(headers, 'content-encoding');
    if (encoding !== undefined && encoding !== 'identity') throw new EncodedBodyError(encoding);
    const { html = /\.x?html?$/i.test(this.path) || /\.x?html?$/i.test(url.pathname) } =
      this.options;
    if (!html && /^\s*(text\/html|application\/xhtml\+xml)\b/i.test(type ?? '')) {
      throw new UnexpectedHtmlError(url.host);
    }
  }

  /** Whether the bytes are the right ones; once, if several requests brought them, they are fetched anew. */
  private isRight(): boolean {
    const { sha256: expected } = this.options;
    if (typeof expected !== 'string') return true;
    const sha256 = this.partial.sha256() as string;
    if (sha256 === expected.toLowerCase()) return true;
    const pieced = this.requests > 1 || this.partial.foundBytes > 0;
    if (!pieced || this.rehashed) throw new HashMismatchError(sha256, expected);
    this.rehashed = true;
    return false;
  }

  private attemptTimeoutMs(): number {
    return this.options.retry?.attemptTimeoutMs ?? this.state.policy.settings.attemptTimeoutMs;
  }

  private ownFailure(error: unknown): Failure | undefined {
    if (error instanceof IncompleteBodyError) {
      const { code } = error;
      return { category: 'network', transient: true, outcome: 'not-applied', code };
    }
    const again = error instanceof UnexpectedHtmlError && this.pages < MOST_PAGES;
    return again || isFinal(error)
      ? { category: 'invalid', transient: again, outcome: 'not-applied', code: error.code }
      : undefined;
  }
}

type Final = WrongSizeError | HashMismatchError | EncodedBodyError | UnexpectedHtmlError;

function isFinal(error: unknown): error is Final {
  return (
    error instanceof WrongSizeError ||
    error instanceof HashMismatchError ||
    error instanceof EncodedBodyError ||
    error instanceof UnexpectedHtmlError
  );
}

/** Calls with a signal of its own, for `AbortSignal.any` and `.timeout` were seen not to fire on Node 20. */
async function withinTime<T>(
  clock: Clock,
  limitMs: number,
  signal: AbortSignal,
  call: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (signal.aborted) throw signal.reason;
  const controller = new AbortController();
  const timer = clock.setTimeout(() => controller.abort(silence(limitMs)), limitMs);
  const unwatch = onAbort(signal, (reason) => controller.abort(reason));
  try {
    return await call(controller.signal);
  } catch (error) {
    // axios says that it was cancelled, not why.
    throw controller.signal.aborted ? controller.signal.reason : error;
  } finally {
    timer.cancel();
    unwatch();
  }
}

function ownHeaders(asked: Plan): Record<string, string> {
  return {
    'Accept-Encoding': 'identity',
    ...((asked.from > 0 || asked.overlap > 0) && { Range: `bytes=${asked.from}-` }),
    ...(asked.ifRange !== undefined && { 'If-Range': asked.ifRange }),
  };
}

function lengthOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** @throws TypeError as `new URL` does, for what is none */
export function absoluteUrl(client: AxiosInstance, url: string | URL): URL {
  return new URL(client.getUri({ url: String(url) }));
}

/** Whether there is no room on the disk. */
export function isDiskFull(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return code === 'ENOSPC' || code === 'EDQUOT';
}
