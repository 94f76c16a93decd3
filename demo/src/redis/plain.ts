import { Redis } from 'ioredis';
import { Redis as Redis5 } from 'ioredis5';
import type { Client } from './client.js';
import { inMulti } from './in-multi.js';

/** The driver as its documentation has it. */
export function plainClient(url: string): Client {
  return clientOf(new Redis(url));
}

/** The same, one major back. */
export function olderClient(url: string): Client {
  return clientOf(new Redis5(url) as unknown as Redis);
}

function clientOf(redis: Redis): Client {
  redis.on('error', () => {});
  return {
    get: (key) => redis.get(key),
    incr: (key) => redis.incr(key),
    rpush: (key, value) => redis.rpush(key, value),
    transaction: (counter, list, value) => inMulti(redis.multi(), counter, list, value),
    end: () => redis.disconnect(),
  };
}
