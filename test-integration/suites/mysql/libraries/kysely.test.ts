import { Kysely, MysqlDialect, sql, type Transaction } from 'kysely';
import { describe, expect, it } from 'vitest';
import { openMysqlLab } from '../../support/mysql-lab.js';
import { makeItems, oneBackend, op, outlast } from './frame.js';

const lab = await openMysqlLab();

interface Database {
  items: { id: string; owner: string | null; n: number; note: string | null };
}

describe.skipIf(lab.reason)(`kysely ${lab.reason}`, () => {
  lab.use();

  it('outlasts two restarts: what fails was under way, and is marked', async () => {
    await makeItems(lab);
    const { pool } = lab.pool({ connectionLimit: 5 });
    const db = new Kysely<Database>({ dialect: new MysqlDialect({ pool }) });
    const all = () => db.selectFrom('items').selectAll();
    const row = (id: string) => ({ id, owner: 'me', n: 1, note: null });
    const session = async (tx: Kysely<Database>): Promise<unknown> =>
      (await sql<{ id: number }>`select connection_id() as id`.execute(tx)).rows[0]?.id;
    const inside = async (tx: Transaction<Database>, id: string): Promise<void> => {
      const before = await session(tx);
      await tx.insertInto('items').values(row(id)).execute();
      oneBackend([before, await session(tx)]);
    };
    const count = db.fn.countAll();
    await outlast(lab, 'kysely', [
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
      op('other', 'raw', () => sql`select 1 as n`.execute(db)),
      op('other', 'stream', async () => {
        for await (const one of all().limit(20).stream(5)) expect(one.id).toBeTypeOf('string');
      }),
      op('insert', 'insert', (id) => db.insertInto('items').values(row(id)).execute()),
      op('insert', 'insert ignore', (id) =>
        db.insertInto('items').ignore().values(row(id)).execute(),
      ),
      op('insert', 'upsert', (id) =>
        db.insertInto('items').values(row(id)).onDuplicateKeyUpdate({ n: 2 }).execute(),
      ),
      op('insert', 'replace', (id) => db.replaceInto('items').values(row(id)).execute()),
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
          .execute(async (one) => oneBackend(await Promise.all([session(one), session(one)]))),
      ),
      op('transaction', 'transaction', (id) => db.transaction().execute((tx) => inside(tx, id))),
      op('transaction', 'isolation level', (id) =>
        db
          .transaction()
          .setIsolationLevel('read committed')
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
    ]);
    await db.destroy();
  });
});
