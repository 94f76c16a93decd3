import { Kysely, PostgresDialect, sql } from 'kysely';
import Cursor from 'pg-cursor';
import { describe, it } from 'vitest';
import { itemRow, type KyselyDatabase, kyselyOperations } from '../../support/kysely-operations.js';
import { op, outlast } from '../../support/library-workload.js';
import { openLab } from '../../support/postgres-lab.js';
import { makeItems } from './items.js';

const lab = await openLab({ own: true });

describe.skipIf(lab.reason)(`kysely ${lab.reason}`, () => {
  lab.use();

  it('outlasts two restarts: what fails was under way, and is marked', async () => {
    await makeItems(lab);
    const db = new Kysely<KyselyDatabase>({
      dialect: new PostgresDialect({ pool: lab.pool({ max: 5 }), cursor: Cursor }),
    });
    await outlast(lab, 'kysely', [
      ...kyselyOperations(db, sql`select pg_backend_pid() as session`, 'repeatable read'),
      op('insert', 'insert returning', (id) =>
        db.insertInto('items').values(itemRow(id)).returning('id').executeTakeFirstOrThrow(),
      ),
    ]);
  });
});
