import { spawnSync } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { atExit } from './cleanup.js';
import { serverIdentity, temporaryFolder } from './identity.js';
import { findMariadb, type MariadbInstallation } from './mariadb-binaries.js';
import {
  createMysqlApp,
  type MysqlAdministrator,
  MysqlServer,
  mysqlQuery,
} from './mysql-server.js';
import { freePort } from './ports.js';
import { ServerProcess } from './server-process.js';

/** Options of the server: `{ 'max-connections': 20 }` is `--max-connections=20`. */
export type MariadbSettings = Record<string, string | number>;

/** What `startMariadb` may be told. */
export interface MariadbOptions {
  /** Default: the first that is found. */
  installation?: MariadbInstallation;
  settings?: MariadbSettings;
  /** Whether the server logs what it is asked. Default false. */
  log?: boolean;
}

// MariaDB refuses to run as root unless it is told whom to become; so does its set-up.
const USERS = ['mysql', 'nobody'];
const DEFAULTS: MariadbSettings = {
  'bind-address': '127.0.0.1',
  'innodb-buffer-pool-size': '32M',
  'innodb-log-file-size': '16M',
  // an acknowledged write is on the disk
  'innodb-flush-log-at-trx-commit': 1,
  'innodb-lock-wait-timeout': 2,
  'max-connections': 60,
  'performance-schema': 'off',
};

/** Starts a new, empty MariaDB on a free port of 127.0.0.1, in a temporary folder; about 1.5 s. */
export async function startMariadb(options: MariadbOptions = {}): Promise<NativeMariadb> {
  const installation = options.installation ?? findMariadb()[0];
  if (!installation) throw new Error('No MariaDB is installed here.');
  for (let tries = 1; ; tries++) {
    const server = new NativeMariadb(installation, await freePort(), options);
    try {
      server.install();
      await server.start();
      await server.createApp();
      return server;
    } catch (error) {
      const log = await server.errorLog().catch(() => '');
      await server.dispose();
      // somebody was quicker
      if (tries === 3 || !log.includes('Address already in use')) throw error;
    }
  }
}

/** A MariaDB that is a child process of this one. */
export class NativeMariadb extends MysqlServer {
  /** The program it runs. */
  readonly installation: MariadbInstallation;
  /** Holds its data, its socket and its logs; removed by `dispose`. */
  readonly folder: string;
  readonly #process: ServerProcess;

  constructor(
    installation: MariadbInstallation,
    port: number,
    { settings = {}, log = false }: MariadbOptions = {},
  ) {
    super({
      host: '127.0.0.1',
      port,
      version: `${installation.version}-MariaDB`,
      source: 'system',
    });
    this.installation = installation;
    this.folder = temporaryFolder('mariadb', serverIdentity(USERS));
    const given = {
      datadir: join(this.folder, 'data'),
      port,
      socket: this.#socket,
      'pid-file': join(this.folder, 'pid'),
      // whoever starts removes the temporary tables that it finds, its neighbours' included
      tmpdir: this.folder,
      'general-log': log ? 1 : 0,
      'general-log-file': this.#generalLog,
      ...DEFAULTS,
      ...settings,
    };
    this.#process = new ServerProcess({
      name: `MariaDB on port ${port}`,
      program: installation.program,
      args: [
        '--no-defaults',
        ...asUser(),
        '--skip-name-resolve',
        ...Object.entries(given).map(([name, value]) => `--${name}=${value}`),
      ],
      folder: this.folder,
    });
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  async logText(from = 0): Promise<string> {
    return (await readFile(this.#generalLog, 'utf8')).slice(from);
  }

  /** What the server itself had to say. */
  errorLog(): Promise<string> {
    return this.#process.logText();
  }

  /** Makes its data folder. */
  install(): void {
    const run = spawnSync(
      this.installation.install,
      [
        '--no-defaults',
        ...asUser(),
        `--datadir=${join(this.folder, 'data')}`,
        '--auth-root-authentication-method=normal',
        '--skip-test-db',
        '--innodb-log-file-size=16M',
      ],
      {
        cwd: '/',
        encoding: 'utf8',
        timeout: 60_000,
        env: { ...process.env, TMPDIR: this.folder },
      },
    );
    if (run.status !== 0) throw new Error(`mariadb-install-db failed:\n${run.stdout}${run.stderr}`);
  }

  start(): Promise<void> {
    return this.#process.start(() => this.#answers());
  }

  createApp(): Promise<void> {
    return createMysqlApp(this.administrator());
  }

  stop(): Promise<void> {
    return this.#process.stop();
  }

  kill9(): Promise<void> {
    return this.#process.kill9();
  }

  pause(): Promise<void> {
    return this.#process.pause();
  }

  resume(): Promise<void> {
    return this.#process.resume();
  }

  async dispose(): Promise<void> {
    if (this.pid) await this.kill9();
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
    atExit.removed(this.folder);
  }

  /** Makes this server a replica of `primary`, which takes no writes of `app`. Both need a `server-id` of their own. */
  async follow(primary: MysqlServer): Promise<void> {
    await primary.admin(`create user if not exists 'repl'@'%' identified by 'repl'`);
    await primary.admin(`grant replication slave on *.* to 'repl'@'%'`);
    await this.admin(
      `change master to master_host = '127.0.0.1', master_port = ${primary.port}, master_user = 'repl',
       master_password = 'repl', master_connect_retry = 1, master_use_gtid = slave_pos`,
    );
    await this.admin('start slave');
    await this.admin('set global read_only = 1');
  }

  protected administrator(database?: string): MysqlAdministrator {
    const root = { socketPath: this.#socket, user: 'root', password: '' };
    return database === undefined ? root : { ...root, database };
  }

  get #socket(): string {
    return join(this.folder, 's.sock');
  }

  get #generalLog(): string {
    return join(this.folder, 'general.log');
  }

  async #answers(): Promise<boolean> {
    await mysqlQuery(this.administrator(), 'select 1', [], 2_000);
    return true;
  }
}

function asUser(): string[] {
  if (process.getuid?.() !== 0) return [];
  const identity = serverIdentity(USERS);
  return [`--user=${identity === undefined ? 'mysql' : nameOf(identity.uid)}`];
}

function nameOf(uid: number): string {
  const run = spawnSync('id', ['-nu', `${uid}`], { encoding: 'utf8', timeout: 10_000 });
  return run.stdout.trim();
}
