import * as driver from '@outlast/pg-retry';
import { DataSource } from 'typeorm';
import { describe, it } from 'vitest';
import { outlast } from '../../support/library-workload.js';
import { openLab } from '../../support/postgres-lab.js';
import { itemsEntity, TYPEORM, typeormOperations } from '../../support/typeorm-operations.js';
import { makeItems } from './items.js';

const lab = await openLab({ own: true });

const Items = itemsEntity({ type: 'text' });

describe.skipIf(lab.reason)(`typeorm ${lab.reason}`, () => {
  lab.use();

  it('outlasts two restarts with our module as its driver: what fails was under way, and is marked', async () => {
    await makeItems(lab);
    const { user: username, ...where } = lab.server.config({ port: lab.proxy.port });
    const source = new DataSource({
      type: 'postgres',
      driver,
      ...where,
      username,
      entities: [Items],
      poolSize: 5,
    });
    await source.initialize();
    try {
      await outlast(
        lab,
        'typeorm',
        typeormOperations(source, Items, {
          session: 'select pg_backend_pid() as session',
          bound: 'select $1::int as n',
          insertion: 'insert into items (id) values ($1)',
          isolation: 'REPEATABLE READ',
        }),
        TYPEORM,
      );
    } finally {
      await source.destroy();
    }
  });
});
