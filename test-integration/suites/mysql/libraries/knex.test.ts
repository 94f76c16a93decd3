import knex, { type Knex } from 'knex';
import { describe, it } from 'vitest';
import { openMysqlLab } from '../../support/mysql-lab.js';
import { makeItems, oneBackend, op, outlast } from './frame.js';

const lab = await openMysqlLab();

describe.skipIf(lab.reason)(`knex ${lab.reason}`, () => {
  lab.use();

  it('outlasts two restarts on our pool: what fails was under way, and is marked (knex#1833)', async () => {
    await makeItems(lab);
    // It takes a pool that is there already; its types do not show it.
    const { pool: connectionPool } = lab.pool({ connectionLimit: 5 });
    const db = knex({ client: 'mysql2', connectionPool } as object);
    const items = (tx: Knex = db) => tx('items');
    const row = (id: string) => ({ id, owner: 'me', n: 1 });
    const session = async (tx: Knex): Promise<unknown> =>
      (await tx.raw('select connection_id() as id'))[0][0].id;
    const inside = async (tx: Knex, id: string): Promise<void> => {
      const before = await session(tx);
      await items(tx).insert(row(id));
      oneBackend([before, await session(tx)]);
    };
    await outlast(lab, 'knex', [
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
      op('other', 'having', () =>
        items().select('owner').groupBy('owner').havingRaw('count(*) > 1'),
      ),
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
      op('other', 'raw', () => db.raw('select ? as n', [1])),
      op('insert', 'insert', (id) => items().insert(row(id))),
      op('insert', 'insert ignore', (id) => items().insert(row(id)).onConflict('id').ignore()),
      op('insert', 'upsert', (id) => items().insert(row(id)).onConflict('id').merge()),
      op('insert', 'batch insert', (id) => db.batchInsert('items', [row(id)])),
      op('bump', 'increment', () => items().where({ id: 'counter' }).increment('n', 1)),
      op('other', 'delete', () => items().where({ id: 'nobody' }).delete()),
      op('transaction', 'transaction', (id) => db.transaction((tx) => inside(tx, id))),
      op('transaction', 'isolation level', (id) =>
        db.transaction((tx) => inside(tx, id), { isolationLevel: 'read committed' }),
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
    ]);
    await db.destroy();
  });
});
