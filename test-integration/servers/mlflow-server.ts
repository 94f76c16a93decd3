import { connectionsTo } from './connections.js';

/** What `MlflowServer.ask` may be told. */
export interface MlflowQuestion {
  /** Default GET. */
  method?: string;
  query?: Record<string, string | number>;
  /** Sent as JSON, unless it is bytes. */
  body?: object | Buffer;
}

/** The administrator of a server that asks who you are. */
export interface MlflowAdmin {
  readonly username: string;
  readonly password: string;
}

/** One MLflow tracking server under test. Every wait in it is bounded. */
export abstract class MlflowServer implements AsyncDisposable {
  /** Always an address of this machine, unless MLFLOW_URL names another. */
  readonly host: string;
  /** The same for its whole life, restarts included. */
  readonly port: number;
  /** `''`, or a path before everything, such as `/mlf`. */
  readonly prefix: string;
  /** Such as `3.17.2`. */
  readonly version: string;
  readonly source: 'venv' | 'url';
  /** Only of a server that asks for credentials. */
  readonly admin: MlflowAdmin | undefined;

  constructor(of: Pick<MlflowServer, 'host' | 'port' | 'prefix' | 'version' | 'source' | 'admin'>) {
    this.host = of.host;
    this.port = of.port;
    this.prefix = of.prefix;
    this.version = of.version;
    this.source = of.source;
    this.admin = of.admin;
  }

  /** The process id, `undefined` while it is down or out of reach. */
  abstract get pid(): number | undefined;
  /** Its log since it was made, from character `from` (default 0) on. */
  abstract logText(from?: number): Promise<string>;
  /** SIGTERM: what is being downloaded is still delivered. */
  abstract stop(): Promise<void>;
  /** Starts it again: same port, same data. Resolves when it answers from its database; some 6 s. */
  abstract start(): Promise<void>;
  abstract kill9(): Promise<void>;
  /** Freezes it: connections are taken, nothing answers. */
  abstract pause(): Promise<void>;
  /** Ends a pause; everything that was sent meanwhile is executed now, whoever has given it up. */
  abstract resume(): Promise<void>;
  /** The folder behind `mlflow-artifacts:/`; what is put there is served at once. */
  abstract get artifacts(): string;
  /** Rows of its database, asked past the server. Parameters stand as `?`. */
  abstract rows(sql: string, ...parameters: (string | number)[]): Promise<unknown[][]>;
  /** Ends it for good and removes what it left. May be called twice. */
  abstract dispose(): Promise<void>;

  /** Whether it can be stopped, killed and paused; false only for one given by MLFLOW_URL. */
  get controllable(): boolean {
    return this.source !== 'url';
  }

  /** The tracking URI, past every proxy; behind one with its `port`. */
  url(port: number = this.port): string {
    return `http://${this.host}:${port}${this.prefix}`;
  }

  /** How many connections it holds. */
  async connections(): Promise<number> {
    return connectionsTo([this.port]);
  }

  /** `stop()`, then `start()`. */
  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** One request as the administrator; `path` is what follows `/api/2.0/mlflow/`, or begins with a slash. */
  async ask(path: string, question: MlflowQuestion = {}): Promise<Response> {
    const { method = 'GET', query = {}, body } = question;
    const place = path.startsWith('/') ? path : `/api/2.0/mlflow/${path}`;
    const url = new URL(`${this.url()}${place}`);
    for (const [key, value] of Object.entries(query)) url.searchParams.append(key, String(value));
    const bytes = body instanceof Buffer;
    return fetch(url, {
      method,
      signal: AbortSignal.timeout(60_000),
      headers: {
        connection: 'close',
        ...(this.admin && { authorization: basic(this.admin) }),
        ...(body && !bytes && { 'content-type': 'application/json' }),
      },
      ...(body && { body: bytes ? new Uint8Array(body) : JSON.stringify(body) }),
    });
  }

  /** The same, parsed; rejects unless it is answered with 2xx. */
  // biome-ignore lint/suspicious/noExplicitAny: an answer of any shape
  async json(path: string, question?: MlflowQuestion): Promise<any> {
    const response = await this.ask(path, question);
    const text = await response.text();
    if (!response.ok) throw new Error(`${path} was answered with ${response.status}: ${text}`);
    return text === '' ? {} : JSON.parse(text);
  }

  /** Whether it answers, and from its database: /health alone does not ask it. */
  async answers(): Promise<boolean> {
    const search = 'registered-models/search';
    return (await this.ask(search, { query: { max_results: 1 } })).ok;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }
}

function basic({ username, password }: MlflowAdmin): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}
