import callbacks from '@outlast/mysql-retry/callback';
import { Sequelize } from 'sequelize';
import {
  type LibraryLab,
  type Operations,
  outlast as outlastWith,
  type Report,
  type WorkloadOptions,
} from '../../support/library-workload.js';
import type { MysqlLab } from '../../support/mysql-lab.js';

/** The table that all libraries work on. */
export async function makeItems(lab: MysqlLab): Promise<void> {
  await lab.server.admin(
    'create table items (id varchar(80) primary key, owner varchar(20), n int not null default 0, note text) engine = InnoDB',
  );
  await lab.server.admin(`insert into items (id, owner) values ('counter', 'nobody')`);
}

/** The workload on MySQL: the server is stopped in good order, and killed. */
export function outlast(
  lab: MysqlLab,
  library: string,
  operations: Operations,
  options?: WorkloadOptions,
): Promise<Report> {
  const { server } = lab;
  const spoken: LibraryLab = {
    server: {
      admin: async (sql) => ({ rows: await server.admin(sql) }),
      stop: (mode) => (mode === 'fast' ? server.stop() : server.kill9()),
      start: () => server.start(),
    },
    value: (sql) => lab.value(sql),
  };
  return outlastWith(spoken, library, operations, options);
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
