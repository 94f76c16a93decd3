import { DataTypes } from 'sequelize';
import { describe, it } from 'vitest';
import { openMysqlLab } from '../../support/mysql-lab.js';
import { sequelizeOperations } from '../../support/sequelize-operations.js';
import { makeItems } from './items.js';
import { outlast } from './outlast.js';
import { sequelizeOn } from './sequelize-on.js';

const lab = await openMysqlLab();

describe.skipIf(lab.reason)(`sequelize ${lab.reason}`, () => {
  lab.use();

  it('outlasts two restarts with our module as its driver: what fails was under way, and is marked (sequelize#2113, #10013)', async () => {
    await makeItems(lab);
    const db = sequelizeOn(lab);
    await outlast(
      lab,
      'sequelize',
      sequelizeOperations(db, {
        id: DataTypes.STRING(80),
        session: 'select connection_id() as session',
        bound: 'select $1 as n',
        isolationLevel: 'READ COMMITTED',
      }),
    );
    await db.close();
  });
});
