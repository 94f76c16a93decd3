import callbacks from '@outlast/mysql-retry/callback';
import { Sequelize } from 'sequelize';
import {
  type Operations,
  outlast as outlastWith,
  type Report,
  type WorkloadOptions,
} from '../../postgres/libraries/workload.js';
import type { MysqlLab } from '../../support/mysql-lab.js';
import type { PostgresLab } from '../../support/postgres-lab.js';

export { oneBackend, op } from '../../postgres/libraries/workload.js';

/** The table that all libraries work on. */
export async function makeItems(lab: MysqlLab): Promise<void> {
  await lab.server.admin(
    'create table items (id varchar(80) primary key, owner varchar(20), n int not null default 0, note text) engine = InnoDB',
  );
  await lab.server.admin(`insert into items (id, owner) values ('counter', 'nobody')`);
}

/** The workload of the Postgres suites, on MySQL: the server is stopped in good order, and killed. */
export function outlast(
  lab: MysqlLab,
  library: string,
  operations: Operations,
  options?: WorkloadOptions,
): Promise<Report> {
  const { server } = lab;
  // All that it asks of a lab.
  const spoken = {
    server: {
      admin: async (sql: string) => ({ rows: await server.admin(sql) }),
      stop: (mode: 'fast' | 'immediate') => (mode === 'fast' ? server.stop() : server.kill9()),
      start: () => server.start(),
    },
    value: (sql: string) => lab.value(sql),
  };
  return outlastWith(spoken as unknown as PostgresLab, library, operations, options);
}

/** It has a pool of its own, of single connections: each waits out an outage while it connects. */
export function sequelizeOn(lab: MysqlLab): Sequelize {
  const { user, password, database, host, port } = lab.server.config({ port: lab.proxy.port });
  return new Sequelize(database, user, password, {
    host,
    port,
    dialect: 'mysql',
    dialectModule: callbacks as unknown as object,
    logging: false,
    pool: { max: 5 },
  });
}
