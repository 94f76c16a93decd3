import { startRedis } from './redis.js';
import { findRedis } from './redis-binaries.js';
import { dockerRedis } from './redis-docker.js';
import type { RedisServer } from './redis-server.js';
import type { RedisSettings } from './redis-settings.js';
import { redisAt } from './redis-url.js';
import { type Skipped, skip } from './skipped.js';

/** Which server is wanted. */
export interface TakeRedisOptions {
  /** Added to redis.conf; without effect on a server given by URL. */
  settings?: RedisSettings;
  /** Whether it must be one that can be stopped, so that REDIS_URL is no answer. Default false. */
  own?: boolean;
}

/**
 * A Redis to test against: the one that REDIS_URL names → the system's → Docker's by testcontainers (untested
 * where no engine is; first with OUTLAST_SERVERS=docker). With nothing to be had, the reason is returned; with
 * CI=true it is thrown.
 */
export async function takeRedis(options: TakeRedisOptions = {}): Promise<RedisServer | Skipped> {
  const { settings, own = false } = options;
  let refused = '';
  if (process.env['OUTLAST_SERVERS'] === 'docker') {
    try {
      return await dockerRedis(settings);
    } catch (error) {
      refused = `Docker, asked for by OUTLAST_SERVERS, gave none (${(error as Error).message}). `;
      console.warn(refused);
    }
  }
  const given = process.env['REDIS_URL'];
  if (given && !own) return redisAt(given);
  if (findRedis().length > 0) return startRedis(settings ? { settings } : {});
  if (!refused) {
    try {
      return await dockerRedis(settings);
    } catch (error) {
      refused = `Docker gave none (${(error as Error).message}). `;
    }
  }
  return skip(missingRedis(refused));
}

/** Why there is no Redis, and the command that would bring one. */
export function missingRedis(refused = ''): string {
  const cure =
    process.platform === 'darwin'
      ? '`brew install redis`'
      : '`apt-get install -y --no-install-recommends redis-server` as root';
  return `No Redis on this machine. ${refused}To have one, run ${cure}, or set REDIS_URL.`;
}
