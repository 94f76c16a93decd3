import type { Pool } from '@outlast/pg-retry';
import knex, { type Knex } from 'knex';
import { describe, it } from 'vitest';
import { openLab } from '../../support/postgres-lab.js';
import { makeItems, oneBackend, op, outlast } from './workload.js';

const lab = await openLab({ own: true });

/** knex makes its own clients for its own pool; this one takes them from ours. */
function knexOn(pool: Pool): Knex {
  // the dialect's class, which the types do not show
  const base = knex({ client: 'pg' }).client.constructor as new (
    config: Knex.Config,
  ) => Knex.Client;
  class OutlastClient extends base {
    override acquireConnection = (): Promise<unknown> => pool.connect();
    override releaseConnection = async (client: { release(): void }): Promise<void> =>
      client.release();
    override destroy = (): Promise<void> => pool.end();
  }
  return knex({ client: OutlastClient as unknown as typeof knex.Client });
}

describe.skipIf(lab.reason)(`knex ${lab.reason}`, () => {
  lab.use();

  it('outlasts two restarts on clients of our pool: what fails was under way, and is marked', async () => {
    await makeItems(lab);
    const db = knexOn(lab.pool({ max: 5 }));
    const items = (tx: Knex = db) => tx('items');
    const row = (id: string) => ({ id, owner: 'me', n: 1 });
    const pid = async (tx: Knex): Promise<unknown> =>
      (await tx.raw('select pg_backend_pid() as pid')).rows[0].pid;
    const inTransaction = (id: string, config: Knex.TransactionConfig = {}) =>
      db.transaction(async (tx) => {
        const before = await pid(tx);
        await items(tx).insert(row(id));
        oneBackend([before, await pid(tx)]);
      }, config);
    await outlast(lab, 'knex', [
      op('other', 'select', () => items().select().limit(5)),
      op('other', 'select columns', () => items().select('id', 'n').limit(5)),
      op('other', 'where', () => items().where({ id: 'counter' })),
      op('other', 'where in', () => items().whereIn('id', ['counter', 'x'])),
      op('other', 'where like', () => items().whereLike('id', 'c%').limit(3)),
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
      op('other', 'raw', () => db.raw('select ?::int as n', [1])),
      op('insert', 'insert', (id) => items().insert(row(id))),
      op('insert', 'insert returning', (id) => items().insert(row(id)).returning('id')),
      op('insert', 'insert ignore', (id) => items().insert(row(id)).onConflict('id').ignore()),
      op('insert', 'upsert', (id) => items().insert(row(id)).onConflict('id').merge()),
      op('insert', 'batch insert', (id) => db.batchInsert('items', [row(id)])),
      op('bump', 'increment', () => items().where({ id: 'counter' }).increment('n', 1)),
      op('other', 'delete', () => items().where({ id: 'nobody' }).delete()),
      op('transaction', 'transaction', (id) => inTransaction(id)),
      op('transaction', 'isolation level', (id) =>
        inTransaction(id, { isolationLevel: 'repeatable read' }),
      ),
      op('transaction', 'transaction by hand', async (id) => {
        const tx = await db.transaction();
        try {
          const before = await pid(tx);
          await items(tx).insert(row(id));
          oneBackend([before, await pid(tx)]);
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
