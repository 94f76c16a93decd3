import type callbacks from 'mysql2';
import type promises from 'mysql2/promise';
import { describe, expectTypeOf, it } from 'vitest';
import * as ourCallbacks from '../src/callback.js';
import drop, {
  createConnection,
  createPool,
  type Health,
  type Pool,
  type QueryExtras,
  type ResultSetHeader,
  type RetryPoolOptions,
  type RowDataPacket,
  type Transaction,
} from '../src/index.js';

interface Row extends RowDataPacket {
  id: number;
}

// Nothing here is called: `npm run typecheck` is what runs these tests.
declare const pool: Pool;
declare const signal: AbortSignal;

describe('the types of a pool', () => {
  it('are those of the driver’s, wherever one is asked for', () => {
    expectTypeOf<Pool>().toExtend<promises.Pool>();
    expectTypeOf<Pool['pool']>().toExtend<callbacks.Pool>();
    expectTypeOf<ourCallbacks.Pool>().toExtend<callbacks.Pool>();
    expectTypeOf<callbacks.PoolOptions>().toExtend<RetryPoolOptions>();
    expectTypeOf(drop).toEqualTypeOf<typeof promises>();
    expectTypeOf(ourCallbacks.default).toEqualTypeOf<typeof callbacks>();
    expectTypeOf<ReturnType<Pool['healthCheck']>>().toEqualTypeOf<Promise<Health>>();
    expectTypeOf(() => createPool('mysql://h')).returns.toEqualTypeOf<Pool>();
    expectTypeOf(() => createPool({ host: 'h', livenessMs: 1 })).returns.toEqualTypeOf<Pool>();
    expectTypeOf(() => createConnection({ retry: {} })).returns.toEqualTypeOf<
      Promise<promises.Connection>
    >();
    // @ts-expect-error it is a number of milliseconds
    expectTypeOf(() => createPool({ livenessMs: '1' })).toBeFunction();
  });

  it('have every overload of query and execute, with rows of the caller’s type', () => {
    const calls = () => [
      pool.query<Row[]>('select 1'),
      pool.query<Row[]>('select ?', [1]),
      pool.query<Row[]>({ sql: 'select ?', values: [1], timeout: 5 }),
      pool.query<Row[]>({ sql: 'select 1', idempotent: true, signal, totalTimeoutMs: 5 }),
      pool.execute<Row[]>('select ?', [1]),
      pool.execute<Row[]>({ sql: 'select ?', resolveWrites: false }, [1]),
    ];
    expectTypeOf(calls).returns.items.toEqualTypeOf<Promise<[Row[], promises.FieldPacket[]]>>();
    const callback = () => {
      pool.pool.query<Row[]>('select ?', [1], (error, rows) => {
        expectTypeOf(error).toEqualTypeOf<callbacks.QueryError | null>();
        expectTypeOf(rows).toEqualTypeOf<Row[]>();
      });
      pool.pool.query({ sql: 'select 1', idempotent: true }, () => {});
      pool.pool.query('select 1').stream();
    };
    expectTypeOf(callback).toBeFunction();
    expectTypeOf<QueryExtras>().toExtend<{ readonly idempotent?: boolean }>();
  });

  it('lead a transaction’s value through', () => {
    const run = () =>
      pool.transaction(
        async (tx, { attempt }) => {
          expectTypeOf(tx).toEqualTypeOf<Transaction>();
          expectTypeOf(attempt).toBeNumber();
          const [result] = await tx.query<ResultSetHeader>('delete from t');
          return result.affectedRows;
        },
        { isolation: 'serializable', commitMarker: { table: 'm' }, signal },
      );
    expectTypeOf(run).returns.toEqualTypeOf<Promise<number>>();
    // @ts-expect-error no such level
    expectTypeOf(() => pool.transaction(() => 1, { isolation: 'snapshot' })).toBeFunction();
  });
});
