import {
  asc,
  avg,
  count,
  desc,
  eq,
  gt,
  ilike,
  inArray,
  isNull,
  like,
  max,
  min,
  or,
  sql,
  sum,
} from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { integer, pgTable, text } from 'drizzle-orm/pg-core';
import { describe, expect, it } from 'vitest';
import { oneBackend, op, outlast } from '../../support/library-workload.js';
import { openLab } from '../../support/postgres-lab.js';
import { makeItems } from './items.js';

const lab = await openLab({ own: true });

describe.skipIf(lab.reason)(`drizzle ${lab.reason}`, () => {
  lab.use();

  it('outlasts two restarts: its reads run by pool.query and have no error', async () => {
    await makeItems(lab);
    const items = pgTable('items', {
      id: text('id').primaryKey(),
      owner: text('owner'),
      n: integer('n').notNull().default(0),
      note: text('note'),
    });
    const db = drizzle(lab.pool({ max: 5 }), { schema: { items } });
    type Tx = Parameters<Parameters<typeof db.transaction>[0]>[0];
    const pid = async (tx: Tx): Promise<unknown> =>
      (await tx.execute<{ pid: number }>(sql`select pg_backend_pid() as pid`)).rows[0]?.pid;
    const insert = (id: string) => ({ id, owner: 'me', n: 1 });
    const prepared = db
      .select()
      .from(items)
      .where(eq(items.id, sql.placeholder('id')))
      .prepare('by_id');
    const inTransaction = (id: string, config: Parameters<typeof db.transaction>[1] = {}) =>
      db.transaction(async (tx) => {
        const before = await pid(tx);
        await tx.insert(items).values(insert(id));
        oneBackend([before, await pid(tx)]);
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
      op('read', 'where ilike', () =>
        db.select().from(items).where(ilike(items.id, 'C%')).limit(3),
      ),
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
      op('read', 'relational findMany', () => db.query.items.findMany({ limit: 3 })),
      op('read', 'relational findFirst', () =>
        db.query.items.findFirst({ where: eq(items.id, 'counter') }),
      ),
      op('read', 'prepared', () => prepared.execute({ id: 'counter' })),
      op('read', 'execute select', async () => {
        expect((await db.execute(sql`select 7 as n`)).rows).toEqual([{ n: 7 }]);
      }),
      op('insert', 'insert', (id) => db.insert(items).values(insert(id))),
      op('insert', 'insert returning', (id) => db.insert(items).values(insert(id)).returning()),
      op('insert', 'insert on conflict do nothing', (id) =>
        db.insert(items).values(insert(id)).onConflictDoNothing(),
      ),
      op('insert', 'upsert', (id) =>
        db
          .insert(items)
          .values(insert(id))
          .onConflictDoUpdate({ target: items.id, set: { n: 2 } }),
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
      op('transaction', 'serializable transaction', (id) =>
        inTransaction(id, { isolationLevel: 'repeatable read' }),
      ),
      op('transaction', 'savepoint', (id) =>
        db.transaction(async (tx) => {
          const before = await pid(tx);
          await tx.transaction((inner) => inner.insert(items).values(insert(id)));
          await tx
            .transaction(() => Promise.reject(new Error('inner')))
            .catch((error) => {
              if (error.message !== 'inner') throw error;
            });
          oneBackend([before, await pid(tx)]);
        }),
      ),
    ]);
  });
});
