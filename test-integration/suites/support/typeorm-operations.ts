import {
  type DataSource,
  type EntityManager,
  EntitySchema,
  type EntitySchemaColumnOptions,
  In,
  IsNull,
  Like,
  MoreThan,
  Not,
} from 'typeorm';
import { type Operations, oneBackend, op } from './library-workload.js';

interface Item {
  id: string;
  owner: string | null;
  n: number;
  note: string | null;
}

/** What differs from one database to the next. */
export interface TypeormDialect {
  /** Asks which session it is: one row with a number `session`. */
  readonly session: string;
  /** Asks for its one parameter, as `n`. */
  readonly bound: string;
  /** Puts in a row whose id is its one parameter. */
  readonly insertion: string;
  readonly isolation: 'READ COMMITTED' | 'REPEATABLE READ';
}

/** The table `items`, with an id of the given type. */
export function itemsEntity(id: EntitySchemaColumnOptions): EntitySchema<Item> {
  return new EntitySchema<Item>({
    name: 'items',
    columns: {
      id: { ...id, primary: true },
      owner: { type: 'varchar', length: 20, nullable: true },
      n: { type: 'int', default: 0 },
      note: { type: 'text', nullable: true },
    },
  });
}

/** Its runner gives a connection back that broke between two statements, and then says so. */
export const TYPEORM = {
  neverSent: ({ name }: Error): boolean => name === 'QueryRunnerAlreadyReleasedError',
} as const;

/** What an application does through TypeORM. */
export function typeormOperations(
  source: DataSource,
  Items: EntitySchema<Item>,
  dialect: TypeormDialect,
): Operations {
  const items = source.getRepository(Items);
  const build = () => items.createQueryBuilder('i');
  const row = (id: string) => ({ id, owner: 'me', n: 1, note: null });
  const session = async (manager: EntityManager): Promise<unknown> =>
    Number((await manager.query(dialect.session))[0].session);
  const inside = async (manager: EntityManager, id: string): Promise<void> => {
    const before = await session(manager);
    await manager.insert(Items, row(id));
    oneBackend([before, await session(manager)]);
  };
  return [
    op('other', 'find', () => items.find({ take: 5 })),
    op('other', 'find columns', () => items.find({ select: { id: true, n: true }, take: 5 })),
    op('other', 'find where', () => items.find({ where: { id: 'counter' } })),
    op('other', 'find in', () => items.find({ where: { id: In(['counter', 'x']) } })),
    op('other', 'find like', () => items.find({ where: { id: Like('c%') }, take: 3 })),
    op('other', 'find null', () => items.find({ where: { note: IsNull() }, take: 3 })),
    op('other', 'find not', () => items.find({ where: { id: Not('a') }, take: 3 })),
    op('other', 'find more than', () => items.find({ where: { n: MoreThan(0) }, take: 3 })),
    op('other', 'find or', () => items.find({ where: [{ id: 'a' }, { id: 'b' }] })),
    op('other', 'find ordered', () => items.find({ order: { n: 'DESC', id: 'ASC' }, take: 3 })),
    op('other', 'find skip', () => items.find({ order: { id: 'ASC' }, skip: 1, take: 2 })),
    op('other', 'findOne', () => items.findOne({ where: { id: 'counter' } })),
    op('other', 'findOneBy', () => items.findOneBy({ id: 'counter' })),
    op('other', 'findOneByOrFail', () => items.findOneByOrFail({ id: 'counter' })),
    op('other', 'findAndCount', () => items.findAndCount({ take: 3 })),
    op('other', 'count', () => items.count()),
    op('other', 'countBy', () => items.countBy({ owner: 'me' })),
    op('other', 'existsBy', () => items.existsBy({ id: 'counter' })),
    op('other', 'sum', () => items.sum('n')),
    op('other', 'average', () => items.average('n')),
    op('other', 'minimum', () => items.minimum('n')),
    op('other', 'maximum', () => items.maximum('n')),
    op('other', 'builder getMany', () => build().limit(3).getMany()),
    op('other', 'builder getRawOne', () => build().select('count(*)', 'n').getRawOne()),
    op('other', 'builder group by', () =>
      build().select('i.owner').groupBy('i.owner').getRawMany(),
    ),
    op('other', 'query', () => source.query(dialect.bound, [1])),
    op('insert', 'insert', (id) => items.insert(row(id))),
    op('insert', 'builder insert', (id) =>
      items.createQueryBuilder().insert().values(row(id)).execute(),
    ),
    op('insert', 'upsert', (id) => items.upsert(row(id), ['id'])),
    op('insert', 'query insert', (id) => source.query(dialect.insertion, [id])),
    op('bump', 'increment', () => items.increment({ id: 'counter' }, 'n', 1)),
    op('other', 'update', () => items.update({ id: 'nobody' }, { note: 'x' })),
    op('other', 'delete', () => items.delete({ id: 'nobody' })),
    op('transaction', 'save', (id) => items.save(row(id))),
    op('transaction', 'transaction', (id) => source.transaction((manager) => inside(manager, id))),
    op('transaction', 'isolation level', (id) =>
      source.transaction(dialect.isolation, (manager) => inside(manager, id)),
    ),
    op('transaction', 'query runner', async (id) => {
      const runner = source.createQueryRunner();
      try {
        await runner.startTransaction();
        await inside(runner.manager, id);
        await runner.commitTransaction();
      } catch (error) {
        if (runner.isTransactionActive) await runner.rollbackTransaction().catch(() => {});
        throw error;
      } finally {
        await runner.release();
      }
    }),
  ];
}
