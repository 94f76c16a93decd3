import { given } from './given.js';
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

class GivenMysql extends given(MysqlServer, 'MYSQL_URL') {
  override readonly controllable = false;
  readonly #administrator: MysqlAdministrator & { host: string; port: number };

  constructor(administrator: MysqlAdministrator & { host: string; port: number }, version: string) {
    super({ host: administrator.host, port: administrator.port, version, source: 'url' });
    this.#administrator = administrator;
  }

  protected administrator(database?: string): MysqlAdministrator {
    return database === undefined ? this.#administrator : { ...this.#administrator, database };
  }
}
