import type { BreakerStore } from '@outlast/core-retry';
import { type Cluster as DriverCluster, Redis as DriverRedis } from 'ioredis';
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

  it('follow the reply mapping, as the driver’s do', () => {
    const mapped = () => new Redis({ protocol: 3, replyMapping: 'resp3' });
    const own = () => new DriverRedis({ protocol: 3, replyMapping: 'resp3' });
    expectTypeOf(mapped).returns.toEqualTypeOf<Redis<'resp3'>>();
    expectTypeOf<Redis<'resp3'>>().toExtend<DriverRedis<'resp3'>>();
    const hgetall = () => mapped().hgetall('k');
    expectTypeOf(hgetall).returns.toEqualTypeOf<ReturnType<ReturnType<typeof own>['hgetall']>>();
    expectTypeOf(() => mapped().zscore('k', 'm')).returns.toEqualTypeOf<Promise<number | null>>();
    expectTypeOf(() => redis.zscore('k', 'm')).returns.toEqualTypeOf<Promise<string | null>>();
    expectTypeOf(() => mapped().exactlyOnce('id').zscore('k', 'm')).returns.toEqualTypeOf<
      Promise<number | null>
    >();
    expectTypeOf(() => mapped().duplicate()).returns.toEqualTypeOf<Redis<'resp3'>>();
    expectTypeOf(() => mapped().duplicate({ replyMapping: 'legacy' })).returns.toEqualTypeOf<
      Redis<'legacy'>
    >();
    expectTypeOf(() => mapped().with({ waitMs: 1 })).returns.toEqualTypeOf<Redis<'resp3'>>();
    expectTypeOf(() => new Redis('redis://host', { retry: {} })).returns.toEqualTypeOf<Redis>();
    const nodes = [{ host: 'host' }];
    const options = { redisOptions: { protocol: 3, replyMapping: 'resp3' } } as const;
    expectTypeOf(() => new Cluster(nodes, options)).returns.toEqualTypeOf<Cluster<'resp3'>>();
    expectTypeOf(() => new Cluster(nodes, options).zscore('k', 'm')).returns.toEqualTypeOf<
      Promise<number | null>
    >();
    expectTypeOf(() => cluster.duplicate([], options)).returns.toEqualTypeOf<Cluster<'resp3'>>();
    expectTypeOf(() => cluster.duplicate()).returns.toEqualTypeOf<Cluster>();
    expectTypeOf(() => withRetry(own()).zscore('k', 'm')).returns.toEqualTypeOf<
      Promise<number | null>
    >();
  });

  it('can be extended, and asked for', () => {
    class Mine extends Redis {
      own = (): Promise<string | null> => this.get('k');
    }
    const one: unknown = undefined;
    if (one instanceof Redis) expectTypeOf(one).toEqualTypeOf<Redis>();
    expectTypeOf<Mine>().toExtend<Redis>();
    expectTypeOf(() => Redis.createClient(6379)).returns.toEqualTypeOf<Redis>();
    expectTypeOf<typeof Redis.Cluster>().toEqualTypeOf<typeof Cluster>();
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
