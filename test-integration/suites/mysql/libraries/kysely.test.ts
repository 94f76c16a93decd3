import { Kysely, MysqlDialect, sql } from 'kysely';
import { describe, it } from 'vitest';
import { itemRow, type KyselyDatabase, kyselyOperations } from '../../support/kysely-operations.js';
import { op } from '../../support/library-workload.js';
import { openMysqlLab } from '../../support/mysql-lab.js';
import { makeItems } from './items.js';
import { outlast } from './outlast.js';

const lab = await openMysqlLab();

describe.skipIf(lab.reason)(`kysely ${lab.reason}`, () => {
  lab.use();

  it('outlasts two restarts: what fails was under way, and is marked', async () => {
    await makeItems(lab);
    const { pool } = lab.pool({ connectionLimit: 5 });
    const db = new Kysely<KyselyDatabase>({ dialect: new MysqlDialect({ pool }) });
    await outlast(lab, 'kysely', [
      ...kyselyOperations(db, sql`select connection_id() as session`, 'read committed'),
      op('insert', 'insert ignore', (id) =>
        db.insertInto('items').ignore().values(itemRow(id)).execute(),
      ),
      op('insert', 'upsert', (id) =>
        db.insertInto('items').values(itemRow(id)).onDuplicateKeyUpdate({ n: 2 }).execute(),
      ),
      op('insert', 'replace', (id) => db.replaceInto('items').values(itemRow(id)).execute()),
    ]);
    await db.destroy();
  });
});
