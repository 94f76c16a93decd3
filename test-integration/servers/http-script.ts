import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer, type ServerOptions } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';

/** A request as it arrived, its body read. */
export interface Arrived {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  /** 1 for the first request that the script saw. */
  readonly number: number;
}

/** How a server of https shows itself, and whom it lets in. */
export interface HttpScriptOptions extends ServerOptions {
  readonly key: string;
  readonly cert: string;
}

type Handler = (request: Arrived, response: ServerResponse, socket: Socket) => unknown;

/** An HTTP server in this process that answers as a test says, and remembers what it was asked. */
export class HttpScript implements AsyncDisposable {
  readonly requests: Arrived[] = [];
  /** Connections that were accepted. */
  connections = 0;
  handler: Handler = (_request, response) => response.end('ok');
  readonly #server: Server;
  readonly #scheme: 'http' | 'https';

  /** @param tls for a server of https */
  static async start(tls?: HttpScriptOptions): Promise<HttpScript> {
    const script = new HttpScript(tls);
    await new Promise<void>((resolve) => script.#server.listen(0, '127.0.0.1', () => resolve()));
    return script;
  }

  private constructor(tls: HttpScriptOptions | undefined) {
    this.#scheme = tls === undefined ? 'http' : 'https';
    const listener = (request: IncomingMessage, response: ServerResponse): void => {
      void this.#answer(request, response);
    };
    this.#server = tls === undefined ? createServer(listener) : createSecureServer(tls, listener);
    this.#server.on('connection', () => {
      this.connections += 1;
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `${this.#scheme}://127.0.0.1:${this.port}`;
  }

  /** Answers the requests to come one by one; the last answer is for all that follow. */
  answers(...handlers: Handler[]): void {
    let next = 0;
    this.handler = (request, response, socket) => {
      const handler = handlers[Math.min(next, handlers.length - 1)];
      next += 1;
      return handler?.(request, response, socket);
    };
  }

  /** Forgets what it was asked. */
  reset(): void {
    this.requests.length = 0;
    this.connections = 0;
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = '';
    request.setEncoding('utf8');
    // Remembered when it arrives whole: what was cut on its way did not.
    try {
      for await (const piece of request) body += piece;
    } catch {
      return;
    }
    const { method = '', url = '', headers } = request;
    const arrived = { method, url, headers, body, number: this.requests.length + 1 };
    this.requests.push(arrived);
    await this.handler(arrived, response, request.socket);
  }
}
