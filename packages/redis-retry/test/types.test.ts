import type { BreakerStore } from '@outlast/core-retry';
import type { Cluster as DriverCluster, Redis as DriverRedis } from 'ioredis';
import { describe, expectTypeOf, it } from 'vitest';
import drop, {
  Cluster,
  type Gap,
  type Health,
  Redis,
  type RedisBreakerStore,
  type RetryRedisOptions,
  withRetry,
} from '../src/index.js';

// Nothing here is called: `npm run typecheck` is what runs these tests.
declare const redis: Redis;
declare const cluster: Cluster;
declare const plain: DriverRedis;

describe('the types', () => {
  it('are those of ioredis, wherever one is asked for', () => {
    expectTypeOf<Redis>().toExtend<DriverRedis>();
    expectTypeOf<Cluster>().toExtend<DriverCluster>();
    expectTypeOf(drop).toEqualTypeOf<typeof Redis>();
    expectTypeOf(() => redis.get('k')).returns.toEqualTypeOf<Promise<string | null>>();
    expectTypeOf(() => redis.incr('k')).returns.toEqualTypeOf<Promise<number>>();
  });

  it('know what is ours', () => {
    const use = () => [
      new Redis(6379, 'host', { retry: { waitMs: 5 } }),
      new Redis('redis://host', { retry: { blocking: 'resend' } }),
      new Redis({
        retry: { idempotentCommands: ['bump', (name, args) => name === String(args[0])] },
      }),
      new Cluster([{ host: 'host' }], { retry: { countReplies: 'unknown' } }),
      redis.defineCommand('bump', { lua: '', numberOfKeys: 1, idempotent: true }),
      // @ts-expect-error no such option
      new Redis({ retry: { maxAttempt: 1 } }),
      // @ts-expect-error it has no pipeline
      redis.exactlyOnce('id').pipeline(),
      redis.on('gap', (gap: Gap) => gap.downMs),
    ];
    expectTypeOf(use).toBeFunction();
    expectTypeOf(() => redis.duplicate({ retry: {} })).returns.toEqualTypeOf<Redis>();
    expectTypeOf(() => redis.with({ totalTimeoutMs: 5 })).returns.toEqualTypeOf<Redis>();
    expectTypeOf(() => redis.exactlyOnce('id').incr('k')).returns.toEqualTypeOf<Promise<number>>();
    expectTypeOf(() => cluster.exactlyOnce('id').get('k')).returns.toEqualTypeOf<
      Promise<string | null>
    >();
    expectTypeOf(() => redis.healthCheck()).returns.toEqualTypeOf<Promise<Health>>();
    expectTypeOf(() => withRetry(plain).exactlyOnce('id').incr('k')).returns.toEqualTypeOf<
      Promise<number>
    >();
    expectTypeOf<RedisBreakerStore>().toExtend<BreakerStore>();
    expectTypeOf<RetryRedisOptions['keyPrefix']>().toEqualTypeOf<string | undefined>();
  });
});
