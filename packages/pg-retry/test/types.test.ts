import type pg from 'pg';
import { describe, expectTypeOf, it } from 'vitest';
import drop, {
  type Health,
  Pool,
  pgRetry,
  type QueryExtras,
  type RetryPoolConfig,
  type Transaction,
} from '../src/index.js';

interface Row {
  id: number;
}

// Nothing here is called: `npm run typecheck` is what runs these tests.
declare const pool: Pool;
declare const signal: AbortSignal;

describe('the types of a pool', () => {
  it('are those of pg.Pool, wherever one is asked for', () => {
    expectTypeOf<Pool>().toExtend<pg.Pool>();
    expectTypeOf<RetryPoolConfig>().toExtend<pg.PoolConfig>();
    expectTypeOf<pg.PoolConfig>().toExtend<RetryPoolConfig>();
    expectTypeOf(drop).toEqualTypeOf<typeof pg>();
    expectTypeOf<ConstructorParameters<typeof Pool>[0]>().toEqualTypeOf<
      RetryPoolConfig | undefined
    >();
    expectTypeOf<Pool['waitingCount']>().toBeNumber();
    expectTypeOf<ReturnType<Pool['healthCheck']>>().toEqualTypeOf<Promise<Health>>();
  });

  it('have every overload of query, with rows of the caller’s type', () => {
    const calls = () => [
      pool.query<Row>('select 1'),
      pool.query<Row>('select $1', [1]),
      pool.query<Row>({ text: 'select 1' }),
      pool.query<Row>({ text: 'select $1' }, [1]),
      pool.query<Row>({ name: 'n', text: 'select $1', values: [1], types: drop.types }),
    ];
    expectTypeOf(calls).returns.items.toEqualTypeOf<Promise<pg.QueryResult<Row>>>();
    const arrays = () => pool.query<[number]>({ text: 'select 1', rowMode: 'array' });
    expectTypeOf(arrays).returns.toEqualTypeOf<Promise<pg.QueryArrayResult<[number]>>>();
    const callbacks = () => {
      void pool.query<Row>('select 1', (error, result) => {
        expectTypeOf(error).toEqualTypeOf<Error>();
        expectTypeOf(result.rows).toEqualTypeOf<Row[]>();
      });
      void pool.query<Row>('select $1', [1], (_, result) => result.rows[0]?.id);
      void pool.query<Row>({ text: 'select 1' }, (_, result) => result.rows[0]?.id);
      void pool.query<[number]>(
        { text: 'select 1', rowMode: 'array' },
        (_, result) => result.rows[0]?.[0],
      );
    };
    expectTypeOf(callbacks).toBeFunction();
    // @ts-expect-error a text is not a number
    expectTypeOf(() => pool.query(7)).toBeFunction();
  });

  it('let our extras ride in the query object, and nothing of the wrong type', () => {
    const calls = () => [
      pool.query<Row>({ text: 'select 1', idempotent: true }),
      pool.query<Row>({ text: 'select 1', signal }),
      pool.query<Row>({ text: 'select 1', totalTimeoutMs: 5 }, [1]),
      pool.query<Row>({ text: 'select 1', resolveWrites: true, values: [1] }),
    ];
    expectTypeOf(calls).returns.items.toEqualTypeOf<Promise<pg.QueryResult<Row>>>();
    const array = () => pool.query<[number]>({ text: 'x', rowMode: 'array', idempotent: true });
    expectTypeOf(array).returns.toEqualTypeOf<Promise<pg.QueryArrayResult<[number]>>>();
    expectTypeOf<keyof QueryExtras>().toEqualTypeOf<
      'idempotent' | 'signal' | 'totalTimeoutMs' | 'resolveWrites'
    >();
    // @ts-expect-error a flag
    expectTypeOf(() => pool.query({ text: 'select 1', idempotent: 'yes' })).toBeFunction();
    // @ts-expect-error milliseconds
    expectTypeOf(() => pool.query({ text: 'select 1', totalTimeoutMs: '5' })).toBeFunction();
    // @ts-expect-error a typing error
    expectTypeOf(() => pool.query({ text: 'select 1', indempotent: true })).toBeFunction();
  });

  it('have connect by promise and by callback', () => {
    expectTypeOf(() => pool.connect()).returns.toEqualTypeOf<Promise<pg.PoolClient>>();
    const callback = () =>
      pool.connect((error, client, done) => {
        expectTypeOf(error).toEqualTypeOf<Error | undefined>();
        expectTypeOf(client).toEqualTypeOf<pg.PoolClient | undefined>();
        done();
      });
    expectTypeOf(callback).returns.toBeVoid();
    expectTypeOf(() => pool.end()).returns.toEqualTypeOf<Promise<void>>();
  });

  it('give the value of a transaction', () => {
    const value = () => pool.transaction(async (tx) => (await tx.query<Row>('select 1')).rows);
    expectTypeOf(value).returns.toEqualTypeOf<Promise<Row[]>>();
    const nested = (tx: Transaction) => tx.transaction((inner) => inner.query<Row>('select 1'));
    expectTypeOf(nested).returns.toEqualTypeOf<Promise<pg.QueryResult<Row>>>();
    expectTypeOf<Transaction['query']>().toEqualTypeOf<pg.PoolClient['query']>();
    // @ts-expect-error no such level
    expectTypeOf(() => pool.transaction(() => 1, { isolation: 'snapshot' })).toBeFunction();
  });

  it('take retry options, and only those', () => {
    expectTypeOf(pgRetry).parameter(0).toExtend<object | undefined>();
    const good = () =>
      new Pool({ max: 3, retry: { maxAttempts: 2, waitMs: 5 }, resolveWrites: true });
    expectTypeOf(good).returns.toEqualTypeOf<Pool>();
    // @ts-expect-error a number
    expectTypeOf(() => new Pool({ retry: { maxAttempts: '2' } })).toBeFunction();
    // @ts-expect-error a typing error
    expectTypeOf(() => new Pool({ retry: { maxAttempt: 2 } })).toBeFunction();
  });
});
