import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { waitFor } from './wait.js';

/** How `stop` asks: `smart` waits for clients, `fast` ends their sessions, `immediate` is a crash on request. */
export type StopMode = 'smart' | 'fast' | 'immediate';

/** Whom and where to connect as; what is left out is the role `app`, its database `app`, the server's own port. */
export interface Target {
  user?: string;
  password?: string;
  database?: string;
  /** Another port on 127.0.0.1, such as a fault proxy's. */
  port?: number;
}

/** What `pg.Client` and `pg.Pool` take. */
export interface ConnectionConfig {
  host: string;
  port: number;
  user: string;
  password: string;
  database: string;
}

/**
 * One PostgreSQL server under test: a superuser (`postgres` where we made the server) and a plain role `app`
 * (password `app`, no superuser) that owns the database `app`. Every wait in it is bounded.
 */
export abstract class PostgresServer implements AsyncDisposable {
  /** Always an address of this machine, unless PG_URL names another. */
  readonly host: string;
  /** The same for the server's whole life, restarts included. */
  readonly port: number;
  /** 18 for 18.4. */
  readonly major: number;
  /** Where it came from. */
  readonly source: 'npm' | 'system' | 'docker' | 'url';
  /** Whether it can be stopped, killed and paused; false only for a server given by PG_URL. */
  readonly controllable: boolean = true;

  constructor(of: Pick<PostgresServer, 'host' | 'port' | 'major' | 'source'>) {
    this.host = of.host;
    this.port = of.port;
    this.major = of.major;
    this.source = of.source;
  }

  /** The data folder on this machine; throws where there is none (Docker, PG_URL). */
  abstract get dataDir(): string;
  /** The postmaster's process id, `undefined` while it is down or out of reach. */
  abstract get pid(): number | undefined;
  /** The server's log since it was made, from character `from` (default 0) on. */
  abstract logText(from?: number): Promise<string>;
  /** Stops the server, mode `fast` if not told otherwise; rejects after 15 s if it is still up. */
  abstract stop(mode?: StopMode): Promise<void>;
  /** Starts it again: same port, same data. Resolves when it answers queries. */
  abstract start(): Promise<void>;
  /** kill -9 of the postmaster and every backend at once. */
  abstract kill9(): Promise<void>;
  /** Freezes every process of the server: connections stay, nothing answers, new ones hang. */
  abstract pause(): Promise<void>;
  /** Ends a pause; everything that was queued is executed now. */
  abstract resume(): Promise<void>;
  /** Stops it for good and removes what it left. May be called twice. */
  abstract dispose(): Promise<void>;

  /** `stop(mode)`, then `start()`. */
  async restart(mode?: StopMode): Promise<void> {
    await this.stop(mode);
    await this.start();
  }

  /** Makes a standby the primary, on a timeline of its own. Rejects if it is none, or after 15 s. */
  async promote(): Promise<void> {
    const { rows } = await this.admin('select pg_promote(true, 15) as promoted');
    if (rows[0].promoted !== true)
      throw new Error(`The standby on port ${this.port} was not promoted within 15 s.`);
  }

  /** `postgres://app:app@127.0.0.1:<port>/app`, with what `target` changes. */
  url(target: Target = {}): string {
    const { host, port, user, password, database } = this.config(target);
    const url = new URL(`postgres://${host}:${port}/${database}`);
    url.username = user;
    url.password = password;
    return url.href;
  }

  /** The same as `url`, as an object. A user given without a password has his own name as password. */
  config(target: Target = {}): ConnectionConfig {
    const { user = 'app', password = user, database = 'app', port } = target;
    return {
      host: port === undefined ? this.host : '127.0.0.1',
      port: port ?? this.port,
      user,
      password,
      database,
    };
  }

  /** One statement as superuser in the database `app`, over a connection of its own; never replayed. At most 30 s. */
  admin(sql: string, params?: unknown[]): Promise<pg.QueryResult> {
    return query(this.superuser('app'), sql, params);
  }

  /** Waits until a superuser's `select 1` is answered. Default at most 30 000 ms. */
  async ready(timeoutMs = 30_000): Promise<void> {
    await waitFor(() => query(this.superuser(), 'select 1', [], Math.min(timeoutMs, 2_000)), {
      timeoutMs,
      what: `PostgreSQL on port ${this.port} to answer`,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  /** How the superuser connects, to his own database if none is named. */
  protected superuser(database = 'postgres'): ConnectionConfig {
    return this.config({ user: 'postgres', database });
  }
}

/** One statement over a connection of its own, bounded by `timeoutMs` (default 30 000). */
export async function query(
  config: ConnectionConfig,
  sql: string,
  params: unknown[] = [],
  timeoutMs = 30_000,
): Promise<pg.QueryResult> {
  const socket = new Socket();
  const client = new pg.Client({
    ...config,
    connectionTimeoutMillis: timeoutMs,
    query_timeout: timeoutMs,
    stream: () => socket,
  });
  // a server that dies while we are idle must not crash the test run; the query itself rejects
  client.on('error', () => {});
  try {
    await client.connect();
    return params.length > 0 ? await client.query(sql, params) : await client.query(sql);
  } finally {
    // a paused server never answers the goodbye
    await Promise.race([client.end().catch(() => {}), sleep(200, undefined, { ref: false })]);
    socket.destroy();
  }
}

/** Makes the role and the database `app` where they are missing. */
export async function createApp(superuser: ConnectionConfig): Promise<void> {
  const { rows } = await query(
    superuser,
    `select exists (select from pg_roles where rolname = 'app') as role,
            exists (select from pg_database where datname = 'app') as database`,
  );
  if (!rows[0].role) await query(superuser, `create role app login password 'app'`);
  if (!rows[0].database) await query(superuser, 'create database app owner app');
}
