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

class GivenPostgres extends PostgresServer {
  override readonly controllable = false;
  readonly #superuser: ConnectionConfig;

  constructor(superuser: ConnectionConfig, major: number) {
    super({ host: superuser.host, port: superuser.port, major, source: 'url' });
    this.#superuser = superuser;
  }

  get dataDir(): string {
    return this.#refuse('has no data folder within reach');
  }

  get pid(): undefined {
    return undefined;
  }

  async logText(): Promise<string> {
    return this.#refuse('shows no log');
  }

  async stop(): Promise<void> {
    this.#refuse('cannot be stopped');
  }

  async start(): Promise<void> {
    this.#refuse('cannot be started');
  }

  async kill9(): Promise<void> {
    this.#refuse('cannot be killed');
  }

  async pause(): Promise<void> {
    this.#refuse('cannot be paused');
  }

  async resume(): Promise<void> {
    this.#refuse('cannot be resumed');
  }

  async dispose(): Promise<void> {}

  protected override superuser(database: string = this.#superuser.database): ConnectionConfig {
    return { ...this.#superuser, database };
  }

  #refuse(what: string): never {
    throw new Error(
      `The server given by PG_URL ${what}: unset PG_URL to let the tests start one of their own.`,
    );
  }
}
