import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { atExit } from './cleanup.js';
import { temporaryFolder } from './identity.js';
import { MlflowServer } from './mlflow-server.js';
import {
  ADMIN,
  authConfig,
  commandLine,
  environment,
  type MlflowMode,
  runsFolder,
} from './mlflow-settings.js';
import { findMlflow, type MlflowInstallation } from './mlflow-venv.js';
import { freePort } from './ports.js';
import { ServerProcess } from './server-process.js';

// Importing MLflow is 5 s of computing, of a machine that may have other things to do.
const START_MS = 90_000;

/** What `startMlflow` may be told. */
export interface MlflowOptions extends MlflowMode {
  /** Default: the one that scripts/mlflow.js has made ready. */
  installation?: MlflowInstallation;
}

/** An MLflow server of our own on a free port, its data in a temporary folder. Some 6 s. */
export async function startMlflow(options: MlflowOptions = {}): Promise<NativeMlflow> {
  const { installation = findMlflow(), ...mode } = options;
  if (!installation)
    throw new Error('No MLflow is ready here: `node scripts/bootstrap.js mlflow`.');
  const server = new NativeMlflow(installation, mode, await freePort());
  try {
    await server.start();
    return server;
  } catch (error) {
    await server.dispose();
    throw error;
  }
}

/** A tracking server that is a child process of this one. */
export class NativeMlflow extends MlflowServer {
  /** Holds its data and its log; removed by `dispose`. */
  readonly folder: string;
  readonly #installation: MlflowInstallation;
  readonly #process: ServerProcess;

  constructor(installation: MlflowInstallation, mode: MlflowMode, port: number) {
    super({
      host: '127.0.0.1',
      port,
      prefix: mode.prefix ?? '',
      version: installation.version,
      source: 'venv',
      admin: mode.auth ? ADMIN : undefined,
    });
    this.folder = temporaryFolder('mlflow', undefined);
    this.#installation = installation;
    const { folder } = this;
    mkdirSync(this.artifacts);
    copyFileSync(installation.emptyDatabase, this.#database);
    if (mode.auth) writeFileSync(join(folder, 'auth.ini'), authConfig(folder));
    this.#process = new ServerProcess({
      name: `MLflow on port ${port}`,
      program: installation.python,
      args: commandLine(port, mode),
      folder,
      env: environment(folder, mode),
      watched: true,
      startMs: START_MS,
    });
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  get artifacts(): string {
    return join(this.folder, 'artifacts');
  }

  /** Where a server with `fileStore` keeps its runs: `<experiment>/<run>/{metrics,params,tags}/<key>`. */
  get runs(): string {
    return runsFolder(this.folder);
  }

  /** What another server takes as `artifactsAt`, to keep its artifacts in this one. */
  get artifactsUrl(): string {
    return `${this.url()}/api/2.0/mlflow-artifacts/artifacts`;
  }

  async rows(sql: string, ...parameters: (string | number)[]): Promise<unknown[][]> {
    const script = `import json, sqlite3, sys
rows = sqlite3.connect('file:' + sys.argv[1] + '?mode=ro', uri=True).execute(sys.argv[2], json.loads(sys.argv[3]))
print(json.dumps([list(row) for row in rows]))`;
    const args = ['-I', '-S', '-c', script, this.#database, sql, JSON.stringify(parameters)];
    const { python } = this.#installation;
    const { stdout } = await promisify(execFile)(python, args, { maxBuffer: 2 ** 26 });
    return JSON.parse(stdout);
  }

  logText(from?: number): Promise<string> {
    return this.#process.logText(from);
  }

  start(): Promise<void> {
    return this.#process.start(() => this.answers());
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

  get #database(): string {
    return join(this.folder, 'mlflow.db');
  }
}
