import { given } from './given.js';
import { type ConnectionConfig, createApp, PostgresServer, query } from './postgres-server.js';

/** A server that runs already and that we may only talk to: PG_URL, with a superuser's name and password. */
export async function postgresAt(address: string): Promise<PostgresServer> {
  const url = new URL(address);
  const superuser: ConnectionConfig = {
    host: url.hostname,
    port: Number(url.port || 5432),
    user: decodeURIComponent(url.username) || 'postgres',
    password: decodeURIComponent(url.password),
    database: decodeURIComponent(url.pathname.slice(1)) || 'postgres',
  };
  const { rows } = await query(
    superuser,
    `select current_setting('server_version_num')::int / 10000 as major`,
  );
  await createApp(superuser);
  return new GivenPostgres(superuser, rows[0].major);
}

class GivenPostgres extends given(PostgresServer, 'PG_URL') {
  override readonly controllable = false;
  readonly #superuser: ConnectionConfig;

  constructor(superuser: ConnectionConfig, major: number) {
    super({ host: superuser.host, port: superuser.port, major, source: 'url' });
    this.#superuser = superuser;
  }

  get dataDir(): string {
    return this.refuse('has no data folder within reach');
  }

  protected override superuser(database: string = this.#superuser.database): ConnectionConfig {
    return { ...this.#superuser, database };
  }
}
