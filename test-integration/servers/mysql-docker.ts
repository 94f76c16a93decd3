import { DockerContainer } from './docker-container.js';
import type { MariadbSettings } from './mariadb.js';
import { createMysqlApp, type MysqlAdministrator, MysqlServer } from './mysql-server.js';
import { freePort } from './ports.js';

const VERSION = '8.4.7';
const GENERAL_LOG = '/var/lib/mysql/general.log';

/**
 * MySQL 8 in a container, by testcontainers 11, on a fixed free port of this machine, so that it survives
 * restarts. Rejects where no engine answers within 10 s. Written and type-checked, but untested where no engine is.
 */
export async function dockerMysql(settings: MariadbSettings = {}): Promise<MysqlServer> {
  const { GenericContainer, Wait } = await import('testcontainers');
  const port = await freePort();
  const flags = {
    'innodb-lock-wait-timeout': 2,
    'general-log': 1,
    'general-log-file': GENERAL_LOG,
    ...settings,
  };
  const container = await DockerContainer.start(() =>
    new GenericContainer(`mysql:${VERSION}`)
      .withEnvironment({ MYSQL_ROOT_PASSWORD: 'root', MYSQL_ROOT_HOST: '%' })
      .withCommand([
        'mysqld',
        ...Object.entries(flags).map(([name, value]) => `--${name}=${value}`),
      ])
      .withExposedPorts({ container: 3306, host: port })
      .withWaitStrategy(Wait.forLogMessage(/ready for connections.*port: 3306/))
      .withStartupTimeout(180_000)
      .start(),
  );
  const server = new DockerMysql(container, port);
  await server.ready();
  await server.createApp();
  return server;
}

class DockerMysql extends MysqlServer {
  readonly #container: DockerContainer;

  constructor(container: DockerContainer, port: number) {
    super({ host: '127.0.0.1', port, version: VERSION, source: 'docker' });
    this.#container = container;
  }

  get pid(): undefined {
    return undefined;
  }

  createApp(): Promise<void> {
    return createMysqlApp(this.administrator());
  }

  logText(from = 0): Promise<string> {
    return this.#container.fileText(GENERAL_LOG, from);
  }

  stop(): Promise<void> {
    return this.#container.stop('SIGTERM');
  }

  async start(): Promise<void> {
    await this.#container.start();
    await this.ready();
  }

  kill9(): Promise<void> {
    return this.#container.stop('SIGKILL');
  }

  pause(): Promise<void> {
    return this.#container.pause();
  }

  resume(): Promise<void> {
    return this.#container.resume();
  }

  dispose(): Promise<void> {
    return this.#container.dispose();
  }

  protected administrator(database?: string): MysqlAdministrator {
    const root = { host: this.host, port: this.port, user: 'root', password: 'root' };
    return database === undefined ? root : { ...root, database };
  }
}
