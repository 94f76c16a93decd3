import { PrismaPg } from '@prisma/adapter-pg';
import { describe, expect, it } from 'vitest';
import { oneBackend, op, outlast } from '../../support/library-workload.js';
import { openLab } from '../../support/postgres-lab.js';
import { makeItems } from './items.js';
import { type PrismaClient, prismaClient } from './prisma-client.js';

const lab = await openLab({ own: true });

describe.skipIf(lab.reason)(`Prisma’s client ${lab.reason}`, () => {
  lab.use();

  it('outlasts two restarts on our pool: its reads run by pool.query and have no error', async () => {
    await makeItems(lab);
    const db = prismaClient(new PrismaPg(lab.pool({ max: 5 })));
    const { item: items } = db;
    const row = (id: string) => ({ id, owner: 'me', n: 1 });
    const pid = async (tx: PrismaClient): Promise<unknown> =>
      (await tx.$queryRaw`select pg_backend_pid() as pid`)[0].pid;
    const inside = async (tx: PrismaClient, id: string): Promise<void> => {
      const before = await pid(tx);
      await tx.item.create({ data: row(id) });
      oneBackend([before, await pid(tx)]);
    };
    const isolationLevel = 'RepeatableRead';
    await outlast(
      lab,
      'prisma-client',
      [
        op('read', 'findMany', () => items.findMany({ take: 5 })),
        op('read', 'findMany select', () => items.findMany({ select: { id: true }, take: 5 })),
        op('read', 'findUnique', async () => {
          expect((await items.findUnique({ where: { id: 'counter' } })).id).toBe('counter');
        }),
        op('read', 'findUniqueOrThrow', () =>
          items.findUniqueOrThrow({ where: { id: 'counter' } }),
        ),
        op('read', 'findFirst', () => items.findFirst({ where: { owner: 'nobody' } })),
        op('read', 'findFirstOrThrow', () =>
          items.findFirstOrThrow({ where: { owner: 'nobody' } }),
        ),
        op('read', 'in', () => items.findMany({ where: { id: { in: ['counter', 'x'] } } })),
        op('read', 'startsWith', () =>
          items.findMany({ where: { id: { startsWith: 'c' } }, take: 3 }),
        ),
        op('read', 'contains', () =>
          items.findMany({ where: { id: { contains: 'oun', mode: 'insensitive' } }, take: 3 }),
        ),
        op('read', 'null', () => items.findMany({ where: { note: null }, take: 3 })),
        op('read', 'or', () => items.findMany({ where: { OR: [{ id: 'a' }, { id: 'b' }] } })),
        op('read', 'not', () => items.findMany({ where: { NOT: { id: 'a' } }, take: 3 })),
        op('read', 'greater', () => items.findMany({ where: { n: { gt: 0 } }, take: 3 })),
        op('read', 'between', () => items.findMany({ where: { n: { gte: 0, lte: 3 } }, take: 3 })),
        op('read', 'order by', () =>
          items.findMany({ orderBy: [{ n: 'desc' }, { id: 'asc' }], take: 3 }),
        ),
        op('read', 'skip', () => items.findMany({ orderBy: { id: 'asc' }, skip: 1, take: 2 })),
        op('read', 'cursor', () => items.findMany({ cursor: { id: 'counter' }, take: 2 })),
        op('read', 'distinct', () => items.findMany({ distinct: ['owner'] })),
        op('read', 'count', () => items.count()),
        op('read', 'count where', () => items.count({ where: { owner: 'me' } })),
        op('read', 'aggregate', () =>
          items.aggregate({ _sum: { n: true }, _avg: { n: true }, _max: { n: true } }),
        ),
        op('read', 'groupBy', () => items.groupBy({ by: ['owner'], _count: true })),
        op('read', 'having', () =>
          items.groupBy({ by: ['owner'], _sum: { n: true }, having: { n: { _sum: { gt: 0 } } } }),
        ),
        op('read', '$queryRaw', async () => {
          expect(await db.$queryRaw`select ${7}::int as n`).toEqual([{ n: 7 }]);
        }),
        op('read', '$queryRawUnsafe', () => db.$queryRawUnsafe('select $1::int as n', 7)),
        op('insert', 'create', (id) => items.create({ data: row(id) })),
        op('insert', 'create select', (id) =>
          items.create({ data: row(id), select: { id: true } }),
        ),
        op('insert', 'createMany', (id) => items.createMany({ data: [row(id)] })),
        op('insert', 'createMany, no duplicates', (id) =>
          items.createMany({ data: [row(id)], skipDuplicates: true }),
        ),
        op('insert', 'createManyAndReturn', (id) => items.createManyAndReturn({ data: [row(id)] })),
        op('insert', 'upsert', (id) =>
          items.upsert({ where: { id }, create: row(id), update: { n: 2 } }),
        ),
        op('insert', '$executeRaw', (id) => db.$executeRaw`insert into items (id) values (${id})`),
        op('bump', 'increment', () =>
          items.updateMany({ where: { id: 'counter' }, data: { n: { increment: 1 } } }),
        ),
        op('bump', 'update', () =>
          items.update({ where: { id: 'counter' }, data: { n: { increment: 1 } } }),
        ),
        op('other', 'updateManyAndReturn', () =>
          items.updateManyAndReturn({ where: { id: 'nobody' }, data: { note: 'x' } }),
        ),
        op('other', 'deleteMany', () => items.deleteMany({ where: { id: 'nobody' } })),
        op('transaction', '$transaction of a list', async (id) => {
          const [before, , after] = await db.$transaction([
            db.$queryRaw`select pg_backend_pid() as pid`,
            items.create({ data: row(id) }),
            db.$queryRaw`select pg_backend_pid() as pid`,
          ]);
          oneBackend([before[0].pid, after[0].pid]);
        }),
        op('transaction', '$transaction', (id) =>
          db.$transaction((tx: PrismaClient) => inside(tx, id)),
        ),
        op('transaction', '$transaction with a level', (id) =>
          db.$transaction((tx: PrismaClient) => inside(tx, id), { isolationLevel }),
        ),
      ],
      { hidesErrors: true },
    );
    await db.$disconnect();
  });
});
