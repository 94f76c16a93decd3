import { Redis } from 'ioredis';
import pRetry from 'p-retry';
import type { Client } from './client.js';
import { inMulti } from './in-multi.js';

const FIVE_TRIES = { retries: 4, minTimeout: 100, factor: 2 };

export function handWrittenRetry(url: string): Client {
  // fail at once and leave the repeating to the loop
  const redis = new Redis(url, { maxRetriesPerRequest: 0 });
  redis.on('error', () => {});
  return {
    get: (key) => pRetry(() => redis.get(key), FIVE_TRIES),
    incr: (key) => pRetry(() => redis.incr(key), FIVE_TRIES),
    rpush: (key, value) => pRetry(() => redis.rpush(key, value), FIVE_TRIES),
    transaction: (counter, list, value) =>
      pRetry(() => inMulti(redis.multi(), counter, list, value), FIVE_TRIES),
    end: () => redis.disconnect(),
  };
}
