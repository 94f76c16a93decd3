import callbacks from '@outlast/mysql-retry/callback';
import { Sequelize } from 'sequelize';
import type { MysqlLab } from '../../support/mysql-lab.js';

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
