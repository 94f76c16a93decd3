import type { Knex } from 'knex';
import { type Operations, oneBackend, op } from './library-workload.js';

/** What differs from one database to the next. */
export interface KnexDialect {
  /** The number of its session. */
  readonly session: (tx: Knex) => Promise<unknown>;
  /** Asks for its one parameter, as `n`. */
  readonly bound: string;
  readonly isolationLevel: Exclude<Knex.IsolationLevels, 'snapshot'>;
}

/** When BEGIN fails it hands the transaction out all the same, and then refuses to send anything on it. */
export const KNEX = {
  neverSent: ({ message }: Error): boolean =>
    message.startsWith('Transaction query already complete'),
} as const;

/** A row without its note. */
export const knexRow = (id: string) => ({ id, owner: 'me', n: 1 });

/** What an application does through knex on any database, on the table `items`. */
export function knexOperations(db: Knex, dialect: KnexDialect): Operations {
  const items = (tx: Knex = db) => tx('items');
  const inside = async (tx: Knex, id: string): Promise<void> => {
    const before = await dialect.session(tx);
    await items(tx).insert(knexRow(id));
    oneBackend([before, await dialect.session(tx)]);
  };
  return [
    op('other', 'select', () => items().select().limit(5)),
    op('other', 'select columns', () => items().select('id', 'n').limit(5)),
    op('other', 'where', () => items().where({ id: 'counter' })),
    op('other', 'where in', () => items().whereIn('id', ['counter', 'x'])),
    op('other', 'where like', () => items().where('id', 'like', 'c%').limit(3)),
    op('other', 'where null', () => items().whereNull('note').limit(3)),
    op('other', 'where between', () => items().whereBetween('n', [0, 3]).limit(3)),
    op('other', 'where or', () => items().where('id', 'a').orWhere('id', 'b')),
    op('other', 'where not', () => items().whereNot('id', 'a').limit(3)),
    op('other', 'where raw', () => items().whereRaw('n > ?', [0]).limit(3)),
    op('other', 'order by', () =>
      items()
        .orderBy([{ column: 'n', order: 'desc' }, 'id'])
        .limit(3),
    ),
    op('other', 'offset', () => items().orderBy('id').limit(2).offset(1)),
    op('other', 'first', () => items().first()),
    op('other', 'pluck', () => items().limit(3).pluck('id')),
    op('other', 'count', () => items().count()),
    op('other', 'sum', () => items().sum('n')),
    op('other', 'avg', () => items().avg('n')),
    op('other', 'max', () => items().max('n')),
    op('other', 'group by', () => items().select('owner').count().groupBy('owner')),
    op('other', 'having', () => items().select('owner').groupBy('owner').havingRaw('count(*) > 1')),
    op('other', 'distinct', () => items().distinct('owner')),
    op('other', 'with', () => db.with('some', items().limit(3)).from('some')),
    op('other', 'union', () => items().where('id', 'a').union(items().where('id', 'b'))),
    op('other', 'exists', () =>
      items()
        .whereExists(items().select(db.raw('1')))
        .limit(1),
    ),
    op('other', 'columnInfo', () => items().columnInfo()),
    op('other', 'hasTable', () => db.schema.hasTable('items')),
    op('other', 'raw', () => db.raw(dialect.bound, [1])),
    op('insert', 'insert', (id) => items().insert(knexRow(id))),
    op('insert', 'insert ignore', (id) => items().insert(knexRow(id)).onConflict('id').ignore()),
    op('insert', 'upsert', (id) => items().insert(knexRow(id)).onConflict('id').merge()),
    op('insert', 'batch insert', (id) => db.batchInsert('items', [knexRow(id)])),
    op('bump', 'increment', () => items().where({ id: 'counter' }).increment('n', 1)),
    op('other', 'delete', () => items().where({ id: 'nobody' }).delete()),
    op('transaction', 'transaction', (id) => db.transaction((tx) => inside(tx, id))),
    op('transaction', 'isolation level', (id) =>
      db.transaction((tx) => inside(tx, id), { isolationLevel: dialect.isolationLevel }),
    ),
    op('transaction', 'transaction by hand', async (id) => {
      const tx = await db.transaction();
      try {
        await inside(tx, id);
        await tx.commit();
        // knex's commit() resolves though COMMIT failed; this is where it says so
        await tx.executionPromise;
      } catch (error) {
        await tx.rollback().catch(() => {});
        throw error;
      }
    }),
  ];
}
