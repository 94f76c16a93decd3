import { Cluster, Redis } from './typed.js';

export {
  isOptionError,
  isOutcomeUnknown,
  OptionError,
  OutlastError,
  retryInfo,
} from '@outlast/core-retry';
export * from 'ioredis';
export { RedisBreakerStore, type RedisBreakerStoreOptions } from './breaker-store.js';
export { bullmq } from './bullmq.js';
export { classifyRedis, isReply, RETRYABLE_ERROR_CODES, RETRYABLE_REPLIES } from './classify.js';
export type { ClusterHealth } from './cluster-health.js';
export { isQueueFullError, QueueFullError } from './errors.js';
export type { Gap } from './gaps.js';
export type { Health } from './health.js';
export type { CommandOptions } from './narrow.js';
export type { OnceOptions } from './once.js';
export {
  type RedisRetryOptions,
  type RetryClusterOptions,
  type RetryRedisOptions,
  redisRetry,
} from './options.js';
export type { RedisArguments, ScriptDefinition } from './redis.js';
export type { OnceCommands, ReplyMapping } from './typed.js';
export type { IdempotentCommand } from './verdict.js';
export { type Retrying, withRetry } from './with-retry.js';
export { Cluster, Redis };

// As in the driver, the default export is the class, with everything else hung on it.
for (const [name, value] of Object.entries({ Cluster, Redis, default: Redis })) {
  Object.defineProperty(Redis, name, { value, enumerable: true, configurable: true });
}
export default Redis;
