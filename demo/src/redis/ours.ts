import { Redis } from '@outlast/redis-retry';
import type { Client } from './client.js';
import { inMulti } from './in-multi.js';

export function outlastClient(url: string, sample: (error: unknown) => void): Client {
  const redis = new Redis(url);
  // for the search for the password: errors that were survived count too
  redis.policy.on('retry', ({ error }) => sample(error));
  return {
    get: (key) => redis.get(key),
    incr: (key) => redis.incr(key),
    rpush: (key, value) => redis.rpush(key, value),
    incrOnce: (id, key) => redis.exactlyOnce(id).incr(key),
    transaction: (counter, list, value) => inMulti(redis.multi(), counter, list, value),
    end: () => redis.disconnect(),
  };
}
