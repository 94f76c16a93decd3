import knex from 'knex';
import { describe, it } from 'vitest';
import { KNEX, knexOperations } from '../../support/knex-operations.js';
import { openMysqlLab } from '../../support/mysql-lab.js';
import { makeItems } from './items.js';
import { outlast } from './outlast.js';

const lab = await openMysqlLab();

describe.skipIf(lab.reason)(`knex ${lab.reason}`, () => {
  lab.use();

  it('outlasts two restarts on our pool: what fails was under way, and is marked (knex#1833)', async () => {
    await makeItems(lab);
    // It takes a pool that is there already; its types do not show it.
    const { pool: connectionPool } = lab.pool({ connectionLimit: 5 });
    const db = knex({ client: 'mysql2', connectionPool } as object);
    await outlast(
      lab,
      'knex',
      knexOperations(db, {
        session: async (tx) => (await tx.raw('select connection_id() as id'))[0][0].id,
        bound: 'select ? as n',
        isolationLevel: 'read committed',
      }),
      KNEX,
    );
    await db.destroy();
  });
});
