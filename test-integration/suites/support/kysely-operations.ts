import { type IsolationLevel, type Kysely, type RawBuilder, sql, type Transaction } from 'kysely';
import { expect } from 'vitest';
import { type Operations, oneBackend, op } from './library-workload.js';

export interface KyselyDatabase {
  items: { id: string; owner: string | null; n: number; note: string | null };
}

/** A whole row. */
export const itemRow = (id: string) => ({ id, owner: 'me', n: 1, note: null });

/** What an application does through kysely on any database. @param session asks which session it is */
export function kyselyOperations(
  db: Kysely<KyselyDatabase>,
  session: RawBuilder<{ session: number }>,
  isolation: IsolationLevel,
): Operations {
  const all = () => db.selectFrom('items').selectAll();
  const sessionOf = async (tx: Kysely<KyselyDatabase>): Promise<unknown> =>
    (await session.execute(tx)).rows[0]?.session;
  const inside = async (tx: Transaction<KyselyDatabase>, id: string): Promise<void> => {
    const before = await sessionOf(tx);
    await tx.insertInto('items').values(itemRow(id)).execute();
    oneBackend([before, await sessionOf(tx)]);
  };
  const count = db.fn.countAll();
  return [
    op('other', 'selectAll', () => all().limit(5).execute()),
    op('other', 'select columns', () =>
      db.selectFrom('items').select(['id', 'n']).limit(5).execute(),
    ),
    op('other', 'where', () => all().where('id', '=', 'counter').execute()),
    op('other', 'where in', () => all().where('id', 'in', ['counter', 'x']).execute()),
    op('other', 'where like', () => all().where('id', 'like', 'c%').limit(3).execute()),
    op('other', 'where null', () => all().where('note', 'is', null).limit(3).execute()),
    op('other', 'where or', () =>
      all()
        .where((eb) => eb.or([eb('id', '=', 'a'), eb('id', '=', 'b')]))
        .execute(),
    ),
    op('other', 'order by', () => all().orderBy('n', 'desc').orderBy('id').limit(3).execute()),
    op('other', 'offset', () => all().orderBy('id').limit(2).offset(1).execute()),
    op('other', 'first', () => all().where('id', '=', 'counter').executeTakeFirst()),
    op('other', 'first or throw', () =>
      all().where('id', '=', 'counter').executeTakeFirstOrThrow(),
    ),
    op('other', 'count', () => db.selectFrom('items').select(count.as('n')).execute()),
    op('other', 'sum', () => db.selectFrom('items').select(db.fn.sum('n').as('s')).execute()),
    op('other', 'max', () => db.selectFrom('items').select(db.fn.max('n').as('m')).execute()),
    op('other', 'group by', () =>
      db
        .selectFrom('items')
        .select(['owner', count.as('n')])
        .groupBy('owner')
        .execute(),
    ),
    op('other', 'having', () =>
      db.selectFrom('items').select('owner').groupBy('owner').having(count, '>', 1).execute(),
    ),
    op('other', 'distinct', () => db.selectFrom('items').select('owner').distinct().execute()),
    op('other', 'with', () =>
      db
        .with('some', () => all().limit(3))
        .selectFrom('some')
        .selectAll()
        .execute(),
    ),
    op('other', 'join', () =>
      db
        .selectFrom('items as a')
        .innerJoin('items as b', 'a.id', 'b.id')
        .select('a.id')
        .limit(3)
        .execute(),
    ),
    op('other', 'union', () =>
      all()
        .where('id', '=', 'nobody')
        .union(all().where('id', '=', 'counter'))
        .execute(),
    ),
    op('other', 'subquery', () =>
      all()
        .where('n', '>=', (eb) => eb.selectFrom('items').select((one) => one.fn.min('n').as('m')))
        .limit(3)
        .execute(),
    ),
    op('other', 'raw', () => sql`select 1 as n`.execute(db)),
    op('other', 'stream', async () => {
      for await (const one of all().limit(20).stream(5)) expect(one.id).toBeTypeOf('string');
    }),
    op('insert', 'insert', (id) => db.insertInto('items').values(itemRow(id)).execute()),
    op('insert', 'raw insert', (id) =>
      sql`insert into ${sql.table('items')} (id) values (${id})`.execute(db),
    ),
    op('bump', 'update', () =>
      db
        .updateTable('items')
        .set((eb) => ({ n: eb('n', '+', 1) }))
        .where('id', '=', 'counter')
        .execute(),
    ),
    op('other', 'delete', () => db.deleteFrom('items').where('id', '=', 'nobody').execute()),
    op('other', 'one connection', () =>
      db
        .connection()
        .execute(async (one) => oneBackend(await Promise.all([sessionOf(one), sessionOf(one)]))),
    ),
    op('transaction', 'transaction', (id) => db.transaction().execute((tx) => inside(tx, id))),
    op('transaction', 'isolation level', (id) =>
      db
        .transaction()
        .setIsolationLevel(isolation)
        .execute((tx) => inside(tx, id)),
    ),
    op('transaction', 'controlled transaction', async (id) => {
      const tx = await db.startTransaction().execute();
      try {
        await inside(tx, id);
        await tx.commit().execute();
      } catch (error) {
        await tx
          .rollback()
          .execute()
          .catch(() => {});
        throw error;
      }
    }),
  ];
}
