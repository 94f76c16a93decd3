import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { atExit } from './cleanup.js';
import { temporaryFolder } from './identity.js';
import { freePort } from './ports.js';
import { findRedis, type RedisInstallation } from './redis-binaries.js';
import { ask, RedisServer } from './redis-server.js';
import { configureRedis, defaultSettings, type RedisSettings } from './redis-settings.js';
import { ServerProcess } from './server-process.js';

/** What `startRedis` may be told. */
export interface RedisOptions {
  /** Default: the first that is found. */
  installation?: RedisInstallation;
  /** Added to redis.conf. */
  settings?: RedisSettings;
}

/** A Redis of our own on a free port, its data in a temporary folder. Some 50 ms. */
export async function startRedis(options: RedisOptions = {}): Promise<NativeRedis> {
  const installation = options.installation ?? findRedis()[0];
  if (!installation) throw new Error('No Redis is installed here.');
  for (let tries = 1; ; tries++) {
    const server = new NativeRedis(installation, await freePort(), options.settings);
    try {
      await server.start();
      return server;
    } catch (error) {
      const log = await server.logText();
      await server.dispose();
      // somebody was quicker
      if (tries === 3 || !log.includes('Address already in use')) throw error;
    }
  }
}

/** A Redis that is a child process of this one. */
export class NativeRedis extends RedisServer {
  /** The program it runs. */
  readonly installation: RedisInstallation;
  /** Holds its data, its configuration and its log; removed by `dispose`. */
  readonly folder: string;
  readonly #process: ServerProcess;

  constructor(installation: RedisInstallation, port: number, settings: RedisSettings = {}) {
    super({ host: '127.0.0.1', port, major: installation.major, source: 'system' }, settings);
    this.installation = installation;
    this.folder = temporaryFolder('redis', undefined);
    this.configure({ port, dir: this.folder, ...defaultSettings(this.major), ...settings });
    this.#process = new ServerProcess({
      name: `Redis on port ${port}`,
      program: installation.program,
      args: [join(this.folder, 'redis.conf')],
      folder: this.folder,
    });
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  logText(from?: number): Promise<string> {
    return this.#process.logText(from);
  }

  /** Settings that hold from the next start on. */
  configure(settings: RedisSettings): void {
    configureRedis(join(this.folder, 'redis.conf'), settings);
  }

  start(): Promise<void> {
    return this.#process.start(() => this.#answers());
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

  /** By the process id, so that a stranger who took the port is not mistaken for us. */
  async #answers(): Promise<boolean> {
    if ((await ask(this.administrator(), ['PING'], 2_000)) !== 'PONG') return false;
    const info = String(await ask(this.administrator(), ['INFO', 'server'], 2_000));
    return info.includes(`process_id:${this.pid}\r`);
  }
}
