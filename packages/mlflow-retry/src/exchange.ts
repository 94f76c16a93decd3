import http, { type ClientRequest, type IncomingHttpHeaders } from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import type { Clock } from '@outlast/core-retry';
import { onAbort } from '@outlast/core-retry/connector';
import axios, { type AxiosInstance } from 'axios';
import { distrust } from './certificate-error.js';
import { SilenceError } from './errors.js';

/** One request of HTTP. */
export interface Request {
  readonly operation: string;
  readonly method: string;
  /** Absolute. */
  readonly url: string;
  /** Beside those of the client. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: { readonly data: Readable | Buffer; readonly length?: number } | undefined;
  /** The longest silence, in milliseconds. */
  readonly silenceMs: number;
  /** The longest silence before the first byte of an answer. Default: `silenceMs`. */
  readonly firstByteMs?: number | undefined;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
  /** Called when there is a connection, and the request goes out on it. */
  readonly onSent?: () => void;
}

/** Its answer, the body still to come. */
export interface Exchanged {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Readable;
}

const fresh = new WeakSet<object>();

/** Whether the connection of this failure was a new one, on which nothing ever came back. */
export function wasFresh(error: unknown): boolean {
  return typeof error === 'object' && error !== null && fresh.has(error);
}

/**
 * One request, one answer, whatever its status; no redirects. Silence ends it, before the answer and in its
 * body, unless it is the reader who lets it wait.
 *
 * @throws the error of the network, without the request and its secrets; SilenceError; the signal's reason
 */
export async function exchange(client: AxiosInstance, request: Request): Promise<Exchanged> {
  const { method, url, headers, body, signal, onSent } = request;
  if (signal?.aborted) throw signal.reason;
  const controller = new AbortController();
  let abort = (reason: unknown): void => controller.abort(reason);
  const off = signal && onAbort(signal, (reason) => abort(reason));
  let sent: ClientRequest | undefined;
  const watch = new Watch(
    request,
    () => sent?.socket ?? undefined,
    (reason) => abort(reason),
  );
  try {
    const response = await client.request<Readable>({
      method,
      url,
      headers: {
        ...headers,
        ...(body?.length !== undefined && { 'content-length': String(body.length) }),
      },
      ...(body && { data: body.data }),
      signal: controller.signal,
      responseType: 'stream',
      maxRedirects: 0,
      maxBodyLength: Infinity,
      validateStatus: null,
      transport: {
        request(options: http.RequestOptions, onResponse: (answer: http.IncomingMessage) => void) {
          sent = (options.protocol === 'https:' ? https : http).request(options, onResponse);
          if (onSent !== undefined) tellWhenSent(sent, options.protocol === 'https:', onSent);
          return sent;
        },
      },
    });
    const { data } = response;
    watch.body(data);
    // Whoever reads it is told; where nobody does, a wire that is cut must not end the process.
    data.on('error', () => {});
    data.once('close', () => {
      watch.stop();
      off?.();
    });
    // axios would end the body with an error of its own.
    abort = (reason) => data.destroy(asError(reason));
    return {
      status: response.status,
      headers: response.headers as IncomingHttpHeaders,
      body: data,
    };
  } catch (error) {
    watch.stop();
    off?.();
    sent?.destroy();
    // A file that was being sent is closed.
    if (body !== undefined && !Buffer.isBuffer(body.data)) body.data.destroy();
    if (controller.signal.aborted) throw controller.signal.reason;
    const stranger = stripped(error);
    const clean = distrust(stranger, new URL(url).origin) ?? stranger;
    if (sent !== undefined && !sent.reusedSocket && !sent.socket?.bytesRead) fresh.add(clean);
    throw clean;
  }
}

/** Looks from time to time whether anything has moved; silence is found a quarter of its length late at most. */
class Watch {
  private readonly request: Request;
  private readonly socket: () => Socket | undefined;
  private readonly abort: (reason: unknown) => void;
  private timer: ReturnType<Clock['setTimeout']> | undefined;
  private bytes = 0;
  private movedAt: number;
  private stream: Readable | undefined;

  constructor(
    request: Request,
    socket: () => Socket | undefined,
    abort: (reason: unknown) => void,
  ) {
    this.request = request;
    this.socket = socket;
    this.abort = abort;
    this.movedAt = request.clock.now();
    this.arm();
  }

  /** The answer has begun. */
  body(stream: Readable): void {
    this.stream = stream;
    this.movedAt = this.request.clock.now();
    this.stop();
    this.arm();
  }

  stop(): void {
    this.timer?.cancel();
  }

  private get limitMs(): number {
    const { silenceMs, firstByteMs = silenceMs } = this.request;
    return this.stream === undefined ? firstByteMs : silenceMs;
  }

  private arm(): void {
    const { limitMs } = this;
    if (limitMs === Infinity) return;
    const { clock } = this.request;
    this.timer = clock.setTimeout(() => this.look(), limitMs / 4, { unref: true });
  }

  private look(): void {
    const socket = this.socket();
    const bytes = (socket?.bytesRead ?? 0) + (socket?.bytesWritten ?? 0);
    const now = this.request.clock.now();
    // Whoever does not read what is there has no right to complain of silence.
    const unread = (this.stream?.readableLength ?? 0) > 0;
    if (bytes !== this.bytes || unread) this.movedAt = now;
    this.bytes = bytes;
    if (now - this.movedAt >= this.limitMs) {
      this.abort(new SilenceError(this.request.operation, this.limitMs));
    } else this.arm();
  }
}

function tellWhenSent(request: ClientRequest, secure: boolean, onSent: () => void): void {
  request.once('socket', (socket) => {
    if (request.reusedSocket || !socket.connecting) onSent();
    else socket.once(secure ? 'secureConnect' : 'connect', onSent);
  });
}

/** What axios wraps; its own errors carry the whole request, password and all. */
function stripped(error: unknown): object {
  if (!axios.isAxiosError(error)) return error as object;
  const { cause, code, message } = error;
  if (cause instanceof Error) return cause;
  return Object.assign(new Error(message), { code });
}

function asError(reason: unknown): Error {
  return reason instanceof Error
    ? reason
    : new Error('The request was aborted.', { cause: reason });
}
