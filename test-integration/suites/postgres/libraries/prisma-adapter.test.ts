import { PrismaPg } from '@prisma/adapter-pg';
import { describe, it } from 'vitest';
import { oneBackend, op, outlast } from '../../support/library-workload.js';
import { openLab } from '../../support/postgres-lab.js';
import { makeItems } from './items.js';

const lab = await openLab({ own: true });

type Adapter = Awaited<ReturnType<PrismaPg['connect']>>;
type Transaction = Awaited<ReturnType<Adapter['startTransaction']>>;
type Query = Parameters<Adapter['queryRaw']>[0];

const scalar = (scalarType: string) => ({ scalarType, arity: 'scalar' });

/** As Prisma's query compiler hands it over. */
function query(sql: string, ...args: unknown[]): Query {
  const argTypes = args.map((value) => scalar(typeof value === 'number' ? 'int' : 'string'));
  return { sql, args, argTypes } as Query;
}

describe.skipIf(lab.reason)(`Prisma’s adapter for pg ${lab.reason}`, () => {
  lab.use();

  it('outlasts two restarts on our pool: its reads run by pool.query and have no error', async () => {
    await makeItems(lab);
    const adapter = await new PrismaPg(lab.pool({ max: 5 })).connect();
    const read = (name: string, sql: string, ...args: unknown[]) =>
      op('read', name, () => adapter.queryRaw(query(sql, ...args)));
    const write = (name: string, sql: string) =>
      op('insert', name, (id) => adapter.executeRaw(query(sql, id)));
    const pid = async (tx: Transaction): Promise<unknown> =>
      (await tx.queryRaw(query('select pg_backend_pid() as pid'))).rows[0]?.[0];
    // the query engine says COMMIT and ROLLBACK itself
    const inTransaction = async (
      id: string,
      isolation?: 'REPEATABLE READ' | 'SERIALIZABLE',
      savepoint = false,
    ) => {
      const tx = await adapter.startTransaction(isolation);
      try {
        const before = await pid(tx);
        if (savepoint) await tx.executeRaw(query('savepoint one'));
        await tx.executeRaw(query('insert into items (id) values ($1)', id));
        oneBackend([before, await pid(tx)]);
        await tx.executeRaw(query('commit'));
        await tx.commit();
      } catch (error) {
        await tx.executeRaw(query('rollback')).catch(() => {});
        await tx.rollback();
        throw error;
      }
    };
    await outlast(
      lab,
      'prisma-adapter',
      [
        read('findMany', 'select id, owner, n, note from items limit $1 offset $2', 5, 0),
        read('findUnique', 'select id, n from items where id = $1 limit $2', 'counter', 1),
        read('findFirst', 'select id, n from items where owner = $1 limit $2', 'nobody', 1),
        read('in', 'select id from items where id in ($1, $2)', 'counter', 'x'),
        read('like', 'select id from items where id::text like $1 limit $2', 'c%', 3),
        read('null', 'select id from items where note is null limit $1', 3),
        read('or', 'select id from items where id = $1 or id = $2', 'a', 'b'),
        read('not', 'select id from items where id <> $1 limit $2', 'a', 3),
        read('between', 'select id from items where n >= $1 and n <= $2 limit $3', 0, 3, 3),
        read('order by', 'select id from items order by n desc, id asc limit $1', 3),
        read('cursor', 'select id from items where id >= $1 order by id limit $2', 'c', 3),
        read('distinct', 'select distinct owner from items'),
        read('count', 'select count(*) from (select id from items offset $1) as sub', 0),
        read('sum', 'select sum(n) from items'),
        read('avg', 'select avg(n) from items'),
        read('min and max', 'select min(n), max(n) from items'),
        read('group by', 'select owner, count(*) from items group by owner'),
        read('having', 'select owner from items group by owner having count(*) > $1', 1),
        read('join', 'select a.id from items a left join items b on a.id = b.id limit $1', 3),
        read(
          'lateral',
          'select a.id, b.n from items a left join lateral (select n from items where id = a.id) b on true limit $1',
          3,
        ),
        read(
          'exists',
          'select id from items a where exists (select 1 from items b where b.id = a.id) limit $1',
          3,
        ),
        read('queryRaw', 'select $1::int as n', 1),
        op('read', 'executeScript', () => adapter.executeScript('select 1; select 2')),
        write('create', `insert into items (id, owner) values ($1, 'me')`),
        write('create returning', `insert into items (id, n) values ($1, 1) returning id, n`),
        write('createMany', `insert into items (id) values ($1) on conflict do nothing`),
        write('upsert', `insert into items (id) values ($1) on conflict (id) do update set n = 1`),
        op('bump', 'update', () =>
          adapter.executeRaw(query('update items set n = n + 1 where id = $1', 'counter')),
        ),
        op('other', 'updateMany', () =>
          adapter.executeRaw(query('update items set note = $1 where id = $2', 'x', 'nobody')),
        ),
        op('other', 'delete', () =>
          adapter.executeRaw(query('delete from items where id = $1', 'nobody')),
        ),
        op('transaction', 'transaction', (id) => inTransaction(id)),
        op('transaction', 'repeatable read', (id) => inTransaction(id, 'REPEATABLE READ')),
        op('transaction', 'savepoint', (id) => inTransaction(id, undefined, true)),
      ],
      { hidesErrors: true },
    );
    await adapter.dispose();
  });
});
