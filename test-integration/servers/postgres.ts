import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync, closeSync, openSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { atExit } from './cleanup.js';
import { serverIdentity, temporaryFolder, writeOwned } from './identity.js';
import { freePort } from './ports.js';
import { findPostgres, type PostgresInstallation } from './postgres-binaries.js';
import {
  configure,
  makeCluster,
  type PostgresSettings,
  serverEnvironment,
} from './postgres-cluster.js';
import { createApp, PostgresServer, query, type StopMode } from './postgres-server.js';
import { killTree, pauseTree, resumeTree } from './processes.js';
import { waitFor } from './wait.js';

/** What to start. */
export interface PostgresOptions {
  /** Default: the first installation found, which is the npm package's if it is there. */
  major?: number;
  /** One of `findPostgres()`; wins over `major`. */
  installation?: PostgresInstallation;
  /** Added to postgresql.conf; wins over the defaults. */
  settings?: PostgresSettings;
  /** `log_statement`: which statements the server's log shows. Default `none`. */
  log?: 'none' | 'ddl' | 'mod' | 'all';
}

const SIGNALS = { smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' } as const;
const START_MS = 30_000;
const STOP_MS = 15_000;

/** Starts a new, empty PostgreSQL on a free port of 127.0.0.1, in a temporary folder; about 1.5 s. */
export async function startPostgres(options: PostgresOptions = {}): Promise<NativePostgres> {
  const { major, settings = {}, log = 'none' } = options;
  const installation =
    options.installation ??
    findPostgres().find((one) => major === undefined || one.major === major);
  if (!installation) throw new Error(`No PostgreSQL${major ? ` ${major}` : ''} is installed here.`);
  const folder = temporaryFolder(`pg${installation.major}`);
  try {
    await makeCluster(installation, folder, serverIdentity(), { log_statement: log, ...settings });
    const server = await launch(installation, folder);
    await createApp(server.config({ user: 'postgres', database: 'postgres' }));
    return server;
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

/** Starts the server on the data in `folder`/data; on another port if somebody was quicker. */
export async function launch(
  installation: PostgresInstallation,
  folder: string,
): Promise<NativePostgres> {
  for (let tries = 1; ; tries++) {
    const server = new NativePostgres(installation, folder, await freePort());
    try {
      await server.start();
      return server;
    } catch (error) {
      await server.halt();
      if (tries === 3 || !(await server.logText()).includes('Address already in use')) throw error;
    }
  }
}

/** A PostgreSQL that is a child process of this one. */
export class NativePostgres extends PostgresServer {
  /** The program it runs. */
  readonly installation: PostgresInstallation;
  /** Holds its data folder, its log and its socket; removed by `dispose`. */
  readonly folder: string;
  #child: ChildProcess | undefined;

  constructor(installation: PostgresInstallation, folder: string, port: number) {
    super({ host: '127.0.0.1', port, major: installation.major, source: installation.source });
    this.installation = installation;
    this.folder = folder;
  }

  get dataDir(): string {
    return join(this.folder, 'data');
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  async logText(from = 0): Promise<string> {
    return (await readFile(join(this.folder, 'server.log'), 'utf8')).slice(from);
  }

  async start(): Promise<void> {
    if (this.#child) throw new Error(`PostgreSQL on port ${this.port} is running already.`);
    const child = this.#spawn();
    try {
      await waitFor(() => this.#child !== child || this.#answers(), {
        timeoutMs: START_MS,
        what: `PostgreSQL on port ${this.port} to start`,
      });
    } catch (error) {
      await this.halt();
      throw error;
    }
    if (this.#child === child) return;
    const tail = (await this.logText()).trimEnd().split('\n').slice(-12).join('\n');
    throw new Error(
      `PostgreSQL on port ${this.port} ended while starting. Its log ends with:\n${tail}`,
    );
  }

  async stop(mode: StopMode = 'fast'): Promise<void> {
    const child = this.#running();
    resumeTree(child.pid as number);
    child.kill(SIGNALS[mode]);
    await waitFor(() => this.#child !== child, {
      timeoutMs: STOP_MS,
      what: `PostgreSQL on port ${this.port} to stop (${mode})`,
    });
  }

  async kill9(): Promise<void> {
    const child = this.#running();
    await killTree(child.pid as number);
    await waitFor(() => this.#child !== child, { what: 'the exit of the killed postmaster' });
  }

  async pause(): Promise<void> {
    await pauseTree(this.#running().pid as number);
  }

  async resume(): Promise<void> {
    resumeTree(this.#running().pid as number);
  }

  /** Makes this server, which must be stopped, a standby of `primary` from its next start on. */
  async follow(primary: PostgresServer): Promise<void> {
    if (this.#child) throw new Error('A server has to be stopped before it can follow another.');
    await writeOwned(join(this.dataDir, 'standby.signal'), '');
    configure(this.dataDir, {
      hot_standby: true,
      primary_conninfo: `host=${primary.host} port=${primary.port} user=postgres application_name=standby${this.port}`,
    });
  }

  async dispose(): Promise<void> {
    await this.halt();
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
    atExit.removed(this.folder);
  }

  /** Ends the processes as quickly as is clean, keeps the folder. No error if it is down. */
  async halt(): Promise<void> {
    if (!this.#child) return;
    await this.stop('immediate').catch(() => this.kill9());
  }

  #spawn(): ChildProcess {
    const log = openSync(join(this.folder, 'server.log'), 'a');
    // a socket's path may have 100 characters at most, and nothing of ours needs one
    const sockets = this.folder.length < 80 ? this.folder : '';
    const child = spawn(
      this.installation.bin.postgres,
      ['-D', this.dataDir, '-p', `${this.port}`, '-k', sockets],
      {
        ...serverIdentity(),
        cwd: this.folder,
        env: serverEnvironment(),
        stdio: ['ignore', log, log],
      },
    );
    closeSync(log);
    this.#child = child;
    const pid = child.pid;
    if (pid) atExit.kill(pid);
    const ended = (): void => {
      if (pid) atExit.ended(pid);
      if (this.#child === child) this.#child = undefined;
    };
    child.once('exit', ended);
    child.once('error', (error) => {
      appendFileSync(join(this.folder, 'server.log'), `${error.message}\n`);
      ended();
    });
    child.unref();
    return child;
  }

  /** By the data folder, so that a stranger who took the port is not mistaken for us. */
  async #answers(): Promise<boolean> {
    const { rows } = await query(
      this.superuser(),
      `select current_setting('data_directory') as folder`,
      [],
      2_000,
    );
    return rows[0].folder === this.dataDir;
  }

  #running(): ChildProcess {
    if (!this.#child?.pid) throw new Error(`PostgreSQL on port ${this.port} is not running.`);
    return this.#child;
  }
}
