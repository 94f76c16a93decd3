import type { Pool } from '@outlast/pg-retry';
import pg from 'pg';
import { Sequelize } from 'sequelize';

/** Sequelize makes its own clients for its own pool; this takes them from ours. */
export function sequelizeOn(pool: Pool): Sequelize {
  const sequelize = new Sequelize({
    dialect: 'postgres',
    dialectModule: pg,
    logging: false,
    // else it would ask once, with a client of its own
    databaseVersion: '15.0.0',
  } as never);
  const manager = (sequelize as unknown as { connectionManager: Record<string, unknown> })
    .connectionManager;
  manager['getConnection'] = () => pool.connect();
  manager['releaseConnection'] = (client: { release(): void }) => client.release();
  manager['destroyConnection'] = (client: { release(drop: boolean): void }) => client.release(true);
  manager['close'] = () => pool.end();
  return sequelize;
}
