import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  request as send,
} from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request as it passed. */
export interface Passed {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  /** Bytes of the answer's body that were let through. */
  bytes: number;
  /** Whether the body was cut. */
  cut: boolean;
}

/**
 * `reset`: the wire breaks. `end`: the body ends early and in good order, without a length that would tell, as
 * proxies between end it.
 */
export type BodyCut = 'reset' | 'end';

export interface CutBodies {
  readonly how: BodyCut;
  /** After how many bytes of its body; drawn for each answer. */
  readonly after: () => number;
  /** Which requests. Default: whatever has a body of that length. */
  readonly match?: (path: string) => boolean;
}

/** Answers in the server's stead; true if it did. */
export type Answering = (
  request: IncomingMessage,
  response: ServerResponse,
) => boolean | Promise<boolean>;

// So that what was let through has reached the client before the wire breaks.
const SETTLE_MS = 100;

/** A proxy that knows HTTP: it cuts bodies at a byte, answers in the server's stead, and notes what passed. */
export class HttpProxy implements AsyncDisposable {
  readonly port: number;
  readonly passed: Passed[] = [];
  /** Bodies are cut so, until it is undefined. */
  cutting: CutBodies | undefined;
  answering: Answering | undefined;
  readonly #server: Server;

  constructor(server: Server, target: { readonly host: string; readonly port: number }) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on('request', (request, response) => {
      this.#pass(request, response, target).catch(() => response.destroy());
    });
  }

  /** Body bytes of all answers so far. */
  get bytes(): number {
    return this.passed.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** How many bodies were cut so far. */
  get cuts(): number {
    return this.passed.filter(({ cut }) => cut).length;
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #pass(
    request: IncomingMessage,
    response: ServerResponse,
    target: { readonly host: string; readonly port: number },
  ): Promise<void> {
    const { method = 'GET', url: path = '/', headers } = request;
    const passed: Passed = { method, path, headers, bytes: 0, cut: false };
    this.passed.push(passed);
    if (await this.answering?.(request, response)) return;
    const upstream = send({ ...target, method, path, headers });
    request.pipe(upstream);
    upstream.on('error', () => response.socket?.resetAndDestroy());
    response.on('close', () => upstream.destroy());
    upstream.on('response', (answer) => this.#forward(answer, response, passed));
  }

  #forward(answer: IncomingMessage, response: ServerResponse, passed: Passed): void {
    const { cutting } = this;
    const cut = cutting && (cutting.match?.(passed.path) ?? true) ? cutting : undefined;
    const after = Math.floor(cut?.after() ?? Infinity);
    const headers = { ...answer.headers };
    if (cut?.how === 'end') {
      delete headers['content-length'];
      delete headers['transfer-encoding'];
    }
    response.writeHead(answer.statusCode ?? 502, headers);
    answer.on('error', () => response.socket?.resetAndDestroy());
    answer.on('data', (chunk: Buffer) => {
      if (passed.cut) return;
      const rest = chunk.subarray(0, Math.max(0, after - passed.bytes));
      passed.bytes += rest.length;
      const flows = response.write(rest);
      if (passed.bytes >= after) {
        passed.cut = true;
        answer.destroy();
        if (cut?.how === 'end') response.end();
        else
          response.write('', () => setTimeout(() => response.socket?.resetAndDestroy(), SETTLE_MS));
      } else if (!flows) {
        answer.pause();
        response.once('drain', () => answer.resume());
      }
    });
    answer.on('end', () => response.end());
  }
}

/** Opens one on a free port of 127.0.0.1 in front of a server. Until told otherwise it only forwards. */
export async function startHttpProxy(options: {
  readonly targetPort: number;
  readonly targetHost?: string;
}): Promise<HttpProxy> {
  const server = createServer({ keepAliveTimeout: 4_000 });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return new HttpProxy(server, {
    host: options.targetHost ?? '127.0.0.1',
    port: options.targetPort,
  });
}
