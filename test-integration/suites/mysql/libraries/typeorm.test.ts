import * as driver from '@outlast/mysql-retry/callback';
import { DataSource } from 'typeorm';
import { describe, it } from 'vitest';
import { openMysqlLab } from '../../support/mysql-lab.js';
import { itemsEntity, TYPEORM, typeormOperations } from '../../support/typeorm-operations.js';
import { makeItems } from './items.js';
import { outlast } from './outlast.js';

const lab = await openMysqlLab();

const Items = itemsEntity({ type: 'varchar', length: 80 });

describe.skipIf(lab.reason)(`typeorm ${lab.reason}`, () => {
  lab.use();

  it('outlasts two restarts with our module as its driver: what fails was under way, and is marked', async () => {
    await makeItems(lab);
    const { user: username, ...where } = lab.server.config({ port: lab.proxy.port });
    const source = new DataSource({
      type: 'mysql',
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
          session: 'select connection_id() as session',
          bound: 'select ? as n',
          insertion: 'insert into items (id) values (?)',
          isolation: 'READ COMMITTED',
        }),
        TYPEORM,
      );
    } finally {
      await source.destroy();
    }
  });
});
