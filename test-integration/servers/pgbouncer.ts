import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { atExit } from './cleanup.js';
import { serverIdentity, temporaryFolder, writeOwned } from './identity.js';
import { freePort } from './ports.js';
import { query } from './postgres-server.js';
import { ServerProcess } from './server-process.js';
import { type Skipped, skip } from './skipped.js';

/** Where its server is. */
export interface Upstream {
  readonly host: string;
  readonly port: number;
}

/** Lines for pgbouncer.ini, section `[pgbouncer]`. */
export type PgBouncerSettings = Record<string, string | number>;

let program: string | undefined;

/** Where the program is, undefined if there is none. Looked up once a process. */
function findPgBouncer(): string | undefined {
  const path = (process.env['PATH'] ?? '').split(delimiter).filter((one) => one.startsWith('/'));
  const folders = [...path, '/usr/bin', '/usr/sbin', '/opt/homebrew/bin', '/usr/local/bin'];
  program ??= folders
    .map((folder) => join(folder, 'pgbouncer'))
    .find(
      (file) =>
        existsSync(file) && spawnSync(file, ['--version'], { timeout: 10_000 }).status === 0,
    );
  return program;
}

/** A PgBouncer in front of `server`, in transaction mode; with CI=true its absence is a failure. */
export async function takePgBouncer(
  server: Upstream,
  settings: PgBouncerSettings = {},
): Promise<PgBouncer | Skipped> {
  const file = findPgBouncer();
  if (file === undefined) {
    const install =
      process.platform === 'darwin'
        ? 'run `brew install pgbouncer`'
        : 'run `apt-get install -y --no-install-recommends pgbouncer` as root';
    return skip(`No PgBouncer on this machine. To have one, ${install}.`);
  }
  const bouncer = new PgBouncer(file, await freePort());
  await bouncer.start(server, settings);
  return bouncer;
}

/** A PgBouncer that is a child of ours. It hands a server's session to one client for one transaction. */
export class PgBouncer implements AsyncDisposable {
  readonly port: number;
  readonly #folder: string;
  readonly #process: ServerProcess;
  readonly #identity = serverIdentity();

  constructor(program: string, port: number) {
    this.port = port;
    this.#folder = temporaryFolder('pgbouncer', this.#identity);
    this.#process = new ServerProcess({
      name: `PgBouncer on port ${port}`,
      program,
      args: [this.#file],
      folder: this.#folder,
      // it refuses to run as root
      identity: this.#identity,
    });
  }

  /** Writes its settings and starts it; resolves when it answers. */
  async start(server: Upstream, settings: PgBouncerSettings = {}): Promise<void> {
    const all: PgBouncerSettings = {
      listen_addr: '127.0.0.1',
      listen_port: this.port,
      unix_socket_dir: '',
      // our servers trust the role, and so does it
      auth_type: 'any',
      admin_users: 'app',
      pool_mode: 'transaction',
      default_pool_size: 4,
      server_login_retry: 0.1,
      ...settings,
    };
    const { host, port } = server;
    const lines = [
      '[databases]',
      `app = host=${host} port=${port} dbname=app user=app`,
      '[pgbouncer]',
      ...Object.entries(all).map(([name, value]) => `${name} = ${value}`),
    ];
    await writeOwned(this.#file, `${lines.join('\n')}\n`, this.#identity);
    await this.startAgain();
  }

  async startAgain(): Promise<void> {
    await this.#process.start(async () => (await this.ask('SHOW POOLS')).length >= 0);
  }

  /** kill -9. */
  async kill(): Promise<void> {
    await this.#process.kill9();
  }

  /** Stops it for good and removes what it left. */
  async dispose(): Promise<void> {
    await this.#process.stop('SIGTERM');
    await rm(this.#folder, { recursive: true, force: true });
    atExit.removed(this.#folder);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  /** Rows of its console, such as those of `SHOW SERVERS`. */
  async ask(text: string): Promise<Record<string, unknown>[]> {
    const target = { host: '127.0.0.1', port: this.port, user: 'app', database: 'pgbouncer' };
    return (await query({ ...target, password: '' }, text, [], 5000)).rows;
  }

  get #file(): string {
    return join(this.#folder, 'pgbouncer.ini');
  }
}
