import { Redis } from 'ioredis';
import type { RedisSettings } from './redis-settings.js';
import { waitFor } from './wait.js';

/** What our own connections for administration are called, so that they are not counted. */
const ADMIN = 'outlast-admin';

/** Where and as whom to connect; what is left out is the server's own. */
export interface RedisTarget {
  /** Another port on 127.0.0.1, such as a fault proxy's. */
  port?: number;
  username?: string;
  password?: string;
  db?: number;
}

/** What `new Redis(…)` takes. */
export interface RedisConnectionConfig {
  host: string;
  port: number;
  username?: string;
  password?: string;
  db?: number;
}

/** One line of CLIENT LIST, such as `{ id: '7', name: '', cmd: 'get', sub: '0', … }`. */
export type RedisConnection = Readonly<Record<string, string>>;

/**
 * One Redis server under test. An acknowledged write survives `kill9` (`appendfsync always`).
 * Every wait in it is bounded.
 */
export abstract class RedisServer implements AsyncDisposable {
  /** Always an address of this machine, unless REDIS_URL names another. */
  readonly host: string;
  /** The same for the server's whole life, restarts included. */
  readonly port: number;
  /** 7 for 7.0.15. */
  readonly major: number;
  /** Where it came from. */
  readonly source: 'system' | 'docker' | 'url';
  /** Whether it can be stopped, killed and paused; false only for a server given by REDIS_URL. */
  readonly controllable: boolean = true;

  readonly #password: string | undefined;

  /** `settings`: where `requirepass` is found, if it is set. */
  constructor(
    of: Pick<RedisServer, 'host' | 'port' | 'major' | 'source'>,
    settings: RedisSettings = {},
  ) {
    const { requirepass } = settings;
    this.#password = requirepass === undefined ? undefined : `${requirepass}`;
    this.host = of.host;
    this.port = of.port;
    this.major = of.major;
    this.source = of.source;
  }

  /** The process id, `undefined` while it is down or out of reach. */
  abstract get pid(): number | undefined;
  /** The server's log since it was made, from character `from` (default 0) on. */
  abstract logText(from?: number): Promise<string>;
  /** Asks it to end (SIGTERM); rejects after 15 s if it is still up. */
  abstract stop(): Promise<void>;
  /** Starts it again: same port, same data. Resolves when it answers PING. */
  abstract start(): Promise<void>;
  /** kill -9. */
  abstract kill9(): Promise<void>;
  /** Freezes the server: connections stay, nothing answers, new ones hang. */
  abstract pause(): Promise<void>;
  /** Ends a pause; everything that was queued is executed now. */
  abstract resume(): Promise<void>;
  /** Stops it for good and removes what it left. May be called twice. */
  abstract dispose(): Promise<void>;

  /** `stop()`, then `start()`. */
  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** `redis://127.0.0.1:<port>`, with what `target` changes. */
  url(target: RedisTarget = {}): string {
    const { host, port, username, password, db } = this.config(target);
    const url = new URL(`redis://${host}:${port}`);
    if (username) url.username = username;
    if (password) url.password = password;
    return db ? `${url.href.replace(/\/$/, '')}/${db}` : url.href;
  }

  /** The same as `url`, as an object. */
  config(target: RedisTarget = {}): RedisConnectionConfig {
    const { port, ...who } = target;
    return {
      host: port === undefined ? this.host : '127.0.0.1',
      port: port ?? this.port,
      ...who,
    };
  }

  /** One command over a connection of its own, never replayed. At most 30 s. */
  admin(command: string, ...args: (string | number | Buffer)[]): Promise<unknown> {
    return ask(this.administrator(), [command, ...args]);
  }

  /** How often the server has executed a command since it was started, or since CONFIG RESETSTAT. */
  async executed(command: string): Promise<number> {
    const stats = String(await this.admin('INFO', 'commandstats'));
    const name = command.toLowerCase().replace('|', '\\|');
    return Number(new RegExp(`^cmdstat_${name}:calls=(\\d+)`, 'm').exec(stats)?.[1] ?? 0);
  }

  /** The clients that it serves now, without our own administration, replicas and sentinels. */
  async connections(): Promise<RedisConnection[]> {
    const text = String(await this.admin('CLIENT', 'LIST'));
    return text
      .trim()
      .split('\n')
      .map((line) =>
        Object.fromEntries(
          line.split(' ').map((pair) => {
            const at = pair.indexOf('=');
            return [pair.slice(0, at), pair.slice(at + 1)];
          }),
        ),
      )
      .filter(
        ({ name = '', flags = '', cmd }) =>
          name !== ADMIN && !name.startsWith('sentinel-') && !/[SM]/.test(flags) && cmd !== 'sync',
      );
  }

  /** CLIENT KILL of all that `connections` lists; returns how many there were. */
  async killConnections(): Promise<number> {
    const open = await this.connections();
    for (const { id = '' } of open) await this.admin('CLIENT', 'KILL', 'ID', id);
    return open.length;
  }

  /** Waits until PING is answered with PONG: a server that loads its data is not ready. */
  async ready(timeoutMs = 30_000): Promise<void> {
    await waitFor(async () => (await ask(this.administrator(), ['PING'], 2_000)) === 'PONG', {
      timeoutMs,
      what: `Redis on port ${this.port} to answer`,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  /** How whoever may do everything connects. */
  protected administrator(): RedisConnectionConfig {
    return this.config(this.#password === undefined ? {} : { password: this.#password });
  }
}

/** One command over a connection of its own, bounded by `timeoutMs` (default 30 000). */
export async function ask(
  config: RedisConnectionConfig,
  command: (string | number | Buffer)[],
  timeoutMs = 30_000,
): Promise<unknown> {
  const client = new Redis({
    ...config,
    lazyConnect: true,
    connectionName: ADMIN,
    disableClientInfo: true,
    enableReadyCheck: false,
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    // spoken by every server, and maps and doubles come back as lists and texts
    protocol: 2,
  });
  let failure: unknown;
  client.on('error', (error) => {
    failure ??= error;
  });
  try {
    await client.connect();
    return await client.call(...(command as [string, ...(string | number | Buffer)[]]));
  } catch (error) {
    // a lost connection says more in its event than in the promise
    throw (error as Error).message.startsWith('Connection is closed') && failure ? failure : error;
  } finally {
    client.disconnect();
  }
}
