import {
  createMysqlApp,
  type MysqlAdministrator,
  MysqlServer,
  mysqlQuery,
} from './mysql-server.js';

/** A server that runs already and that we may only talk to: MYSQL_URL, with an administrator's name and password. */
export async function mysqlAt(address: string): Promise<MysqlServer> {
  const url = new URL(address);
  const administrator = {
    host: url.hostname,
    port: Number(url.port || 3306),
    user: decodeURIComponent(url.username) || 'root',
    password: decodeURIComponent(url.password),
  };
  const [row] = await mysqlQuery(administrator, 'select version() as version');
  await createMysqlApp(administrator);
  return new GivenMysql(administrator, row.version);
}

class GivenMysql extends MysqlServer {
  override readonly controllable = false;
  readonly #administrator: MysqlAdministrator & { host: string; port: number };

  constructor(administrator: MysqlAdministrator & { host: string; port: number }, version: string) {
    super({ host: administrator.host, port: administrator.port, version, source: 'url' });
    this.#administrator = administrator;
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

  protected administrator(database?: string): MysqlAdministrator {
    return database === undefined ? this.#administrator : { ...this.#administrator, database };
  }

  #refuse(what: string): never {
    throw new Error(
      `The server given by MYSQL_URL ${what}: unset MYSQL_URL to let the tests start one of their own.`,
    );
  }
}
