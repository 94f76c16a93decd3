import type { StartedTestContainer } from 'testcontainers';
import { type Container, containerEngine } from './docker-engine.js';
import type { MariadbSettings } from './mariadb.js';
import { createMysqlApp, type MysqlAdministrator, MysqlServer } from './mysql-server.js';
import { freePort } from './ports.js';
import { waitFor } from './wait.js';

const VERSION = '8.4.7';
const GENERAL_LOG = '/var/lib/mysql/general.log';

/**
 * MySQL 8 in a container, by testcontainers 11, on a fixed free port of this machine, so that it survives
 * restarts. Rejects where no engine answers within 10 s. Written and type-checked, but untested where no engine is.
 */
export async function dockerMysql(settings: MariadbSettings = {}): Promise<MysqlServer> {
  const { GenericContainer, Wait } = await import('testcontainers');
  const engine = await containerEngine();
  const port = await freePort();
  const flags = {
    'innodb-lock-wait-timeout': 2,
    'general-log': 1,
    'general-log-file': GENERAL_LOG,
    ...settings,
  };
  const started = await new GenericContainer(`mysql:${VERSION}`)
    .withEnvironment({ MYSQL_ROOT_PASSWORD: 'root', MYSQL_ROOT_HOST: '%' })
    .withCommand(['mysqld', ...Object.entries(flags).map(([name, value]) => `--${name}=${value}`)])
    .withExposedPorts({ container: 3306, host: port })
    .withWaitStrategy(Wait.forLogMessage(/ready for connections.*port: 3306/))
    .withStartupTimeout(180_000)
    .start();
  const server = new DockerMysql(started, engine.container.getById(started.getId()), port);
  await server.ready();
  await server.createApp();
  return server;
}

class DockerMysql extends MysqlServer {
  readonly #started: StartedTestContainer;
  readonly #container: Container;

  constructor(started: StartedTestContainer, container: Container, port: number) {
    super({ host: '127.0.0.1', port, version: VERSION, source: 'docker' });
    this.#started = started;
    this.#container = container;
  }

  get pid(): undefined {
    return undefined;
  }

  createApp(): Promise<void> {
    return createMysqlApp(this.administrator());
  }

  async logText(from = 0): Promise<string> {
    const { output } = await this.#started.exec(['cat', GENERAL_LOG]);
    return output.slice(from);
  }

  async stop(): Promise<void> {
    await this.#signal('SIGTERM');
  }

  async start(): Promise<void> {
    await this.#container.start();
    await this.ready();
  }

  async kill9(): Promise<void> {
    await this.#signal('SIGKILL');
  }

  async pause(): Promise<void> {
    await this.#container.pause();
  }

  async resume(): Promise<void> {
    await this.#container.unpause();
  }

  async dispose(): Promise<void> {
    await this.#started.stop({ timeout: 10_000 });
  }

  protected administrator(database?: string): MysqlAdministrator {
    const root = { host: this.host, port: this.port, user: 'root', password: 'root' };
    return database === undefined ? root : { ...root, database };
  }

  async #signal(signal: NodeJS.Signals): Promise<void> {
    await this.#container.kill({ signal });
    await waitFor(async () => !(await this.#container.inspect()).State.Running, {
      timeoutMs: 15_000,
      everyMs: 50,
      what: 'the container to stop',
    });
  }
}
