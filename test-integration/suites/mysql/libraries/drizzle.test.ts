import {
  asc,
  avg,
  count,
  desc,
  eq,
  gt,
  inArray,
  isNull,
  like,
  max,
  min,
  or,
  sql,
  sum,
} from 'drizzle-orm';
import { int, mysqlTable, text, varchar } from 'drizzle-orm/mysql-core';
import { drizzle } from 'drizzle-orm/mysql2';
import { describe, expect, it } from 'vitest';
import { oneBackend, op } from '../../support/library-workload.js';
import { openMysqlLab } from '../../support/mysql-lab.js';
import { makeItems } from './items.js';
import { outlast } from './outlast.js';

const lab = await openMysqlLab();

describe.skipIf(lab.reason)(`drizzle ${lab.reason}`, () => {
  lab.use();

  it('outlasts two restarts: its reads run by pool.query and have no error', async () => {
    await makeItems(lab);
    const items = mysqlTable('items', {
      id: varchar('id', { length: 80 }).primaryKey(),
      owner: varchar('owner', { length: 20 }),
      n: int('n').notNull().default(0),
      note: text('note'),
    });
    const pool = lab.pool({ connectionLimit: 5 });
    const db = drizzle({ client: pool as never, schema: { items }, mode: 'default' });
    type Tx = Parameters<Parameters<typeof db.transaction>[0]>[0];
    const session = async (tx: Tx): Promise<unknown> => {
      const [rows] = (await tx.execute(sql`select connection_id() as id`)) as unknown as [
        { id: number }[],
      ];
      return rows[0]?.id;
    };
    const insert = (id: string) => ({ id, owner: 'me', n: 1 });
    const prepared = db
      .select()
      .from(items)
      .where(eq(items.id, sql.placeholder('id')))
      .prepare();
    const inTransaction = (id: string, config?: Parameters<typeof db.transaction>[1]) =>
      db.transaction(async (tx) => {
        const before = await session(tx);
        await tx.insert(items).values(insert(id));
        oneBackend([before, await session(tx)]);
      }, config);
    await outlast(lab, 'drizzle', [
      op('read', 'select', () => db.select().from(items).limit(5)),
      op('read', 'select columns', () => db.select({ id: items.id }).from(items).limit(5)),
      op('read', 'where equal', () => db.select().from(items).where(eq(items.id, 'counter'))),
      op('read', 'where greater', () => db.select().from(items).where(gt(items.n, 1)).limit(3)),
      op('read', 'where in', () =>
        db
          .select()
          .from(items)
          .where(inArray(items.id, ['counter', 'x'])),
      ),
      op('read', 'where like', () => db.select().from(items).where(like(items.id, 'c%')).limit(3)),
      op('read', 'where null', () => db.select().from(items).where(isNull(items.note)).limit(3)),
      op('read', 'where or', () =>
        db
          .select()
          .from(items)
          .where(or(eq(items.id, 'a'), eq(items.id, 'b'))),
      ),
      op('read', 'order by', () =>
        db.select().from(items).orderBy(desc(items.n), asc(items.id)).limit(3),
      ),
      op('read', 'offset', () => db.select().from(items).orderBy(items.id).limit(2).offset(1)),
      op('read', 'count', () => db.select({ n: count() }).from(items)),
      op('read', '$count', () => db.$count(items)),
      op('read', 'sum and avg', () => db.select({ s: sum(items.n), a: avg(items.n) }).from(items)),
      op('read', 'min and max', () => db.select({ a: min(items.n), b: max(items.n) }).from(items)),
      op('read', 'group by', () =>
        db.select({ o: items.owner, n: count() }).from(items).groupBy(items.owner),
      ),
      op('read', 'distinct', () => db.selectDistinct({ o: items.owner }).from(items)),
      op('read', 'with', () => {
        const some = db.$with('some').as(db.select().from(items).limit(3));
        return db.with(some).select().from(some);
      }),
      op('read', 'prepared', () => prepared.execute({ id: 'counter' })),
      op('read', 'execute select', async () => {
        expect((await db.execute(sql`select 7 as n`))[0]).toEqual([{ n: 7 }]);
      }),
      op('read', 'union', () =>
        db
          .select({ id: items.id })
          .from(items)
          .where(eq(items.id, 'a'))
          .union(db.select({ id: items.id }).from(items).where(eq(items.id, 'counter'))),
      ),
      op('insert', 'insert', (id) => db.insert(items).values(insert(id))),
      op('insert', 'insert ignore', (id) => db.insert(items).ignore().values(insert(id))),
      op('insert', 'insert and its id', (id) => db.insert(items).values(insert(id)).$returningId()),
      op('insert', 'upsert', (id) =>
        db
          .insert(items)
          .values(insert(id))
          .onDuplicateKeyUpdate({ set: { n: 2 } }),
      ),
      op('insert', 'execute insert', (id) =>
        db.execute(sql`insert into ${items} (id) values (${id})`),
      ),
      op('bump', 'update', () =>
        db
          .update(items)
          .set({ n: sql`${items.n} + 1` })
          .where(eq(items.id, 'counter')),
      ),
      op('other', 'delete', () => db.delete(items).where(eq(items.id, 'nobody'))),
      op('transaction', 'transaction', (id) => inTransaction(id)),
      op('transaction', 'isolation level', (id) =>
        inTransaction(id, { isolationLevel: 'read committed' }),
      ),
      op('transaction', 'savepoint', (id) =>
        db.transaction(async (tx) => {
          const before = await session(tx);
          await tx.transaction((inner) => inner.insert(items).values(insert(id)));
          await tx
            .transaction(() => Promise.reject(new Error('inner')))
            .catch((error) => {
              if (error.message !== 'inner') throw error;
            });
          oneBackend([before, await session(tx)]);
        }),
      ),
    ]);
  });
});
