import { DataTypes } from 'sequelize';
import { describe, it } from 'vitest';
import { outlast } from '../../support/library-workload.js';
import { openLab } from '../../support/postgres-lab.js';
import { sequelizeOperations } from '../../support/sequelize-operations.js';
import { makeItems } from './items.js';
import { sequelizeOn } from './sequelize-on.js';

const lab = await openLab({ own: true });

describe.skipIf(lab.reason)(`sequelize ${lab.reason}`, () => {
  lab.use();

  it('outlasts two restarts on clients of our pool: what fails was under way, and is marked', async () => {
    await makeItems(lab);
    const db = sequelizeOn(lab.pool({ max: 5 }));
    await outlast(
      lab,
      'sequelize',
      sequelizeOperations(db, {
        id: DataTypes.TEXT,
        session: 'select pg_backend_pid() as session',
        bound: 'select $1::int as n',
        isolationLevel: 'REPEATABLE READ',
      }),
    );
    await db.close();
  });
});
