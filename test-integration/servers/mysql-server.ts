import { setTimeout as sleep } from 'node:timers/promises';
import mysql from 'mysql2/promise';
import { waitFor } from './wait.js';

/** Whom and where to connect as; what is left out is the user `app`, the database `app`, the server's own port. */
export interface MysqlTarget {
  user?: string;
  password?: string;
  database?: string;
  /** Another port on 127.0.0.1, such as a fault proxy's. */
  port?: number;
}

/** What `createConnection` and `createPool` take. */
export interface MysqlConnectionConfig {
  host: string;
  port: number;
  user: string;
  password: string;
  database: string;
}

/** How the administrator connects. */
export type MysqlAdministrator = Pick<mysql.ConnectionOptions, 'socketPath'> & {
  host?: string;
  port?: number;
  user: string;
  password: string;
  database?: string;
};

/** One statement that the server received. */
export interface MysqlStatement {
  readonly session: number;
  readonly text: string;
}

/**
 * One MySQL or MariaDB server under test: an administrator and a plain user `app` (password `app`) that owns
 * the database `app`. Every wait in it is bounded.
 */
export abstract class MysqlServer implements AsyncDisposable {
  /** Always an address of this machine, unless MYSQL_URL names another. */
  readonly host: string;
  /** The same for the server's whole life, restarts included. */
  readonly port: number;
  /** As the server says it, such as `10.11.19-MariaDB`. */
  readonly version: string;
  /** Where it came from. */
  readonly source: 'system' | 'docker' | 'url';
  /** Whether it can be stopped, killed and paused; false only for a server given by MYSQL_URL. */
  readonly controllable: boolean = true;

  constructor(of: Pick<MysqlServer, 'host' | 'port' | 'version' | 'source'>) {
    this.host = of.host;
    this.port = of.port;
    this.version = of.version;
    this.source = of.source;
  }

  /** The server's process id, `undefined` while it is down or out of reach. */
  abstract get pid(): number | undefined;
  /** What the server was asked since it was made, from character `from` (default 0) on: its general log. */
  abstract logText(from?: number): Promise<string>;
  /** Stops the server in good order; rejects after 15 s if it is still up. */
  abstract stop(): Promise<void>;
  /** Starts it again: same port, same data. Resolves when it answers queries. */
  abstract start(): Promise<void>;
  /** kill -9. */
  abstract kill9(): Promise<void>;
  /** Freezes the server: connections stay, nothing answers, new ones hang. */
  abstract pause(): Promise<void>;
  /** Ends a pause; everything that was queued is executed now. */
  abstract resume(): Promise<void>;
  /** Stops it for good and removes what it left. May be called twice. */
  abstract dispose(): Promise<void>;
  /** How its administrator connects, to no database if none is named. */
  protected abstract administrator(database?: string): MysqlAdministrator;

  /** `stop()`, then `start()`. */
  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** `mysql://app:app@127.0.0.1:<port>/app`, with what `target` changes. */
  url(target: MysqlTarget = {}): string {
    const { host, port, user, password, database } = this.config(target);
    const url = new URL(`mysql://${host}:${port}/${database}`);
    url.username = user;
    url.password = password;
    return url.href;
  }

  /** The same as `url`, as an object. A user given without a password has his own name as password. */
  config(target: MysqlTarget = {}): MysqlConnectionConfig {
    const { user = 'app', password = user, database = 'app', port } = target;
    return {
      host: port === undefined ? this.host : '127.0.0.1',
      port: port ?? this.port,
      user,
      password,
      database,
    };
  }

  /** The rows of one statement as administrator in the database `app`, over a connection of its own. At most 30 s. */
  // biome-ignore lint/suspicious/noExplicitAny: rows of any shape
  admin(sql: string, values: unknown[] = []): Promise<any> {
    return mysqlQuery(this.administrator('app'), sql, values);
  }

  /** The sessions of the user `app`. */
  async sessions(): Promise<{ readonly id: number; readonly info: string | null }[]> {
    const rows = await this.admin(
      `select ID as id, INFO as info from information_schema.PROCESSLIST where USER = 'app' order by ID`,
    );
    return rows;
  }

  /** Ends the sessions of the user `app`; returns how many. */
  async killSessions(): Promise<number> {
    let killed = 0;
    for (const { id } of await this.sessions()) {
      // one that has just ended by itself is no error
      killed += await this.admin(`kill ${id}`).then(
        () => 1,
        () => 0,
      );
    }
    return killed;
  }

  /** Waits until the administrator's `select 1` is answered. Default at most 30 000 ms. */
  async ready(timeoutMs = 30_000): Promise<void> {
    await waitFor(() => mysqlQuery(this.administrator(), 'select 1', [], 2_000), {
      timeoutMs,
      what: `MySQL on port ${this.port} to answer`,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }
}

/** The rows of one statement over a connection of its own, bounded by `timeoutMs` (default 30 000). */
export async function mysqlQuery(
  config: MysqlAdministrator,
  sql: string,
  values: unknown[] = [],
  timeoutMs = 30_000,
  // biome-ignore lint/suspicious/noExplicitAny: rows of any shape
): Promise<any> {
  const connection = await mysql.createConnection({ ...config, connectTimeout: timeoutMs });
  // a server that dies while we are idle must not crash the test run; the query itself rejects
  connection.on('error', () => {});
  try {
    const [rows] = await connection.query({ sql, values, timeout: timeoutMs });
    return rows;
  } finally {
    // a paused server never answers the goodbye
    const ended = connection.end().catch(() => {});
    await Promise.race([ended, sleep(200, undefined, { ref: false })]);
    connection.destroy();
  }
}

/** Makes the user and the database `app` where they are missing. */
export async function createMysqlApp(administrator: MysqlAdministrator): Promise<void> {
  for (const sql of [
    'create database if not exists app',
    `create user if not exists 'app'@'%' identified by 'app'`,
    `grant all privileges on app.* to 'app'@'%'`,
  ]) {
    await mysqlQuery(administrator, sql);
  }
}

/** The statements in a general log, in the order in which they came. */
export function statementsIn(log: string): MysqlStatement[] {
  const line =
    /^(?:\d{6} +\d+:\d\d:\d\d|\d{4}-\d\d-\d\dT\S+)?\s+(\d+) (Query|Execute|Prepare|Connect|Quit|Ping|Init DB|Close stmt|Reset stmt|Field List|Statistics|Reset connection)[ \t]*/gm;
  const starts = [...log.matchAll(line)];
  return starts.flatMap((start, n) => {
    if (start[2] !== 'Query' && start[2] !== 'Execute') return [];
    const text = log.slice(start.index + start[0].length, starts[n + 1]?.index);
    return [{ session: Number(start[1]), text: text.trim() }];
  });
}
