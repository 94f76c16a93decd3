import { given } from './given.js';
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

class GivenRedis extends given(RedisServer, 'REDIS_URL') {
  override readonly controllable = false;
  readonly #config: RedisConnectionConfig;

  constructor(config: RedisConnectionConfig, major: number) {
    super({ host: config.host, port: config.port, major, source: 'url' });
    this.#config = config;
  }

  override config(target: RedisTarget = {}): RedisConnectionConfig {
    return { ...this.#config, ...super.config(target) };
  }
}
