import { ask, type RedisConnectionConfig, RedisServer, type RedisTarget } from './redis-server.js';

/** A server that runs already and that we may only talk to: REDIS_URL, with name and password where it wants them. */
export async function redisAt(address: string): Promise<RedisServer> {
  const url = new URL(address);
  const username = decodeURIComponent(url.username);
  const password = decodeURIComponent(url.password);
  const db = Number(url.pathname.slice(1) || 0);
  const config: RedisConnectionConfig = {
    host: url.hostname,
    port: Number(url.port || 6379),
    ...(username && { username }),
    ...(password && { password }),
    ...(db && { db }),
  };
  const info = String(await ask(config, ['INFO', 'server']));
  return new GivenRedis(config, Number(/^redis_version:(\d+)/m.exec(info)?.[1] ?? 0));
}

class GivenRedis extends RedisServer {
  override readonly controllable = false;
  readonly #config: RedisConnectionConfig;

  constructor(config: RedisConnectionConfig, major: number) {
    super({ host: config.host, port: config.port, major, source: 'url' });
    this.#config = config;
  }

  get pid(): undefined {
    return undefined;
  }

  override config(target: RedisTarget = {}): RedisConnectionConfig {
    return { ...this.#config, ...super.config(target) };
  }

  async logText(): Promise<string> {
    return this.#refuse('shows no log');
  }

  async stop(): Promise<void> {
    this.#refuse('cannot be stopped');
  }

  async start(): Promise<void> {
    this.#refuse('cannot be started');
  }

  async kill9(): Promise<void> {
    this.#refuse('cannot be killed');
  }

  async pause(): Promise<void> {
    this.#refuse('cannot be paused');
  }

  async resume(): Promise<void> {
    this.#refuse('cannot be resumed');
  }

  async dispose(): Promise<void> {}

  #refuse(what: string): never {
    throw new Error(
      `The server given by REDIS_URL ${what}: unset REDIS_URL to let the tests start one of their own.`,
    );
  }
}
