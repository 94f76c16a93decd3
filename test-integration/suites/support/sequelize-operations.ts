import { DataTypes, Op, QueryTypes, type Sequelize, type Transaction } from 'sequelize';
import { type Operations, oneBackend, op } from './library-workload.js';

/** What differs from one database to the next. */
export interface SequelizeDialect {
  readonly id: typeof DataTypes.TEXT | ReturnType<typeof DataTypes.STRING>;
  /** Asks which session it is: one row with a number `session`. */
  readonly session: string;
  /** Asks for its one parameter, as `n`. */
  readonly bound: string;
  readonly isolationLevel: `${Transaction.ISOLATION_LEVELS}`;
}

/** What an application does through Sequelize, on the table `items`. */
export function sequelizeOperations(db: Sequelize, dialect: SequelizeDialect): Operations {
  const items = db.define(
    'items',
    {
      id: { type: dialect.id, primaryKey: true },
      owner: DataTypes.STRING(20),
      n: { type: DataTypes.INTEGER, defaultValue: 0 },
      note: DataTypes.TEXT,
    },
    { tableName: 'items', timestamps: false },
  );
  const row = (id: string) => ({ id, owner: 'me', n: 1 });
  const select = { type: QueryTypes.SELECT } as const;
  const session = async (transaction: Transaction): Promise<unknown> => {
    const [one] = await db.query<{ session: number }>(dialect.session, { ...select, transaction });
    return one?.session;
  };
  const inside = async (transaction: Transaction, id: string): Promise<void> => {
    const before = await session(transaction);
    await items.create(row(id), { transaction });
    oneBackend([before, await session(transaction)]);
  };
  const isolationLevel = dialect.isolationLevel as Transaction.ISOLATION_LEVELS;
  return [
    op('other', 'findAll', () => items.findAll({ limit: 5 })),
    op('other', 'findAll raw', () => items.findAll({ limit: 5, raw: true })),
    op('other', 'attributes', () => items.findAll({ attributes: ['id', 'n'], limit: 5 })),
    op('other', 'where', () => items.findAll({ where: { id: 'counter' } })),
    op('other', 'where in', () => items.findAll({ where: { id: ['counter', 'x'] } })),
    op('other', 'where like', () =>
      items.findAll({ where: { id: { [Op.like]: 'c%' } }, limit: 3 }),
    ),
    op('other', 'where null', () => items.findAll({ where: { note: null }, limit: 3 })),
    op('other', 'where or', () =>
      items.findAll({ where: { [Op.or]: [{ id: 'a' }, { id: 'b' }] } }),
    ),
    op('other', 'where between', () =>
      items.findAll({ where: { n: { [Op.between]: [0, 3] } }, limit: 3 }),
    ),
    op('other', 'order', () => items.findAll({ order: [['n', 'DESC'], 'id'], limit: 3 })),
    op('other', 'offset', () => items.findAll({ order: ['id'], limit: 2, offset: 1 })),
    op('other', 'group', () => items.findAll({ attributes: ['owner'], group: 'owner', raw: true })),
    op('other', 'findByPk', () => items.findByPk('counter')),
    op('other', 'findOne', () => items.findOne({ where: { id: 'counter' } })),
    op('other', 'findAndCountAll', () => items.findAndCountAll({ limit: 3 })),
    op('other', 'count', () => items.count()),
    op('other', 'count where', () => items.count({ where: { owner: 'me' } })),
    op('other', 'sum', () => items.sum('n')),
    op('other', 'min', () => items.min('n')),
    op('other', 'max', () => items.max('n')),
    op('other', 'aggregate', () => items.aggregate('n', 'avg', { dataType: 'float' })),
    op('other', 'reload', async () => (await items.findByPk('counter'))?.reload()),
    op('other', 'query', () => db.query('select 1 as n', select)),
    op('other', 'query replacements', () =>
      db.query('select :n as n', { ...select, replacements: { n: 1 } }),
    ),
    op('other', 'query bind', () => db.query(dialect.bound, { ...select, bind: [1] })),
    op('other', 'describe', () => items.describe()),
    op('insert', 'create', (id) => items.create(row(id))),
    op('insert', 'build and save', (id) => items.build(row(id)).save()),
    op('insert', 'bulkCreate', (id) => items.bulkCreate([row(id)])),
    op('insert', 'upsert', (id) => items.upsert(row(id))),
    op('insert', 'query insert', (id) =>
      db.query('insert into items (id) values ($1)', { bind: [id] }),
    ),
    op('bump', 'increment', () => items.increment('n', { where: { id: 'counter' } })),
    op('other', 'update', () => items.update({ note: 'x' }, { where: { id: 'nobody' } })),
    op('other', 'destroy', () => items.destroy({ where: { id: 'nobody' } })),
    op('transaction', 'findOrCreate', (id) =>
      items.findOrCreate({ where: { id }, defaults: row(id) }),
    ),
    op('transaction', 'transaction', (id) => db.transaction((tx) => inside(tx, id))),
    op('transaction', 'isolation level', (id) =>
      db.transaction({ isolationLevel }, (tx) => inside(tx, id)),
    ),
    op('transaction', 'transaction by hand', async (id) => {
      const tx = await db.transaction();
      try {
        await inside(tx, id);
        await tx.commit();
      } catch (error) {
        await tx.rollback().catch(() => {});
        throw error;
      }
    }),
  ];
}
