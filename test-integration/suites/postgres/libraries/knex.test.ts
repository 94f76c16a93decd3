import type { Pool } from '@outlast/pg-retry';
import knex, { type Knex } from 'knex';
import { describe, it } from 'vitest';
import { KNEX, knexOperations, knexRow } from '../../support/knex-operations.js';
import { op, outlast } from '../../support/library-workload.js';
import { openLab } from '../../support/postgres-lab.js';
import { makeItems } from './items.js';

const lab = await openLab({ own: true });

/** knex makes its own clients for its own pool; this one takes them from ours. */
function knexOn(pool: Pool): Knex {
  // the dialect's class, which the types do not show
  const base = knex({ client: 'pg' }).client.constructor as new (
    config: Knex.Config,
  ) => Knex.Client;
  class OutlastClient extends base {
    override acquireConnection = (): Promise<unknown> => pool.connect();
    override releaseConnection = async (client: { release(): void }): Promise<void> =>
      client.release();
    override destroy = (): Promise<void> => pool.end();
  }
  return knex({ client: OutlastClient as unknown as typeof knex.Client });
}

describe.skipIf(lab.reason)(`knex ${lab.reason}`, () => {
  lab.use();

  it('outlasts two restarts on clients of our pool: what fails was under way, and is marked', async () => {
    await makeItems(lab);
    const db = knexOn(lab.pool({ max: 5 }));
    await outlast(
      lab,
      'knex',
      [
        ...knexOperations(db, {
          session: async (tx) => (await tx.raw('select pg_backend_pid() as pid')).rows[0].pid,
          bound: 'select ?::int as n',
          isolationLevel: 'repeatable read',
        }),
        op('insert', 'insert returning', (id) => db('items').insert(knexRow(id)).returning('id')),
      ],
      KNEX,
    );
    await db.destroy();
  });
});
