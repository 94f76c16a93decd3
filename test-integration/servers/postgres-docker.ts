import { DockerContainer } from './docker-container.js';
import { freePort } from './ports.js';
import { createApp, PostgresServer, type StopMode } from './postgres-server.js';

const SIGNALS = { smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' } as const;
const IMAGES: Record<number, string> = {
  18: 'postgres:18.4',
  17: 'postgres:17.10',
  15: 'postgres:15.18',
};

/**
 * PostgreSQL in a container, by testcontainers 11, on a fixed free port of this machine, so that it survives
 * restarts. Rejects where no engine answers within 10 s. Written and type-checked, but untested where no engine is.
 */
export async function dockerPostgres(
  major = 18,
  settings: Record<string, unknown> = {},
): Promise<PostgresServer> {
  const { GenericContainer, Wait } = await import('testcontainers');
  const port = await freePort();
  const flags = { max_connections: 40, jit: 'off', wal_level: 'replica', ...settings };
  const container = await DockerContainer.start(() =>
    new GenericContainer(IMAGES[major] ?? `postgres:${major}`)
      .withEnvironment({ POSTGRES_PASSWORD: 'postgres' })
      .withCommand([
        'postgres',
        ...Object.entries(flags).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
      ])
      .withExposedPorts({ container: 5432, host: port })
      .withWaitStrategy(Wait.forLogMessage(/ready to accept connections/, 2))
      .withStartupTimeout(120_000)
      .start(),
  );
  const server = new DockerPostgres(container, port, major);
  await server.ready();
  await createApp(server.config({ user: 'postgres', database: 'postgres' }));
  return server;
}

class DockerPostgres extends PostgresServer {
  readonly #container: DockerContainer;

  constructor(container: DockerContainer, port: number, major: number) {
    super({ host: '127.0.0.1', port, major, source: 'docker' });
    this.#container = container;
  }

  get dataDir(): string {
    throw new Error('The data folder of a server in Docker is out of reach.');
  }

  get pid(): undefined {
    return undefined;
  }

  logText(from = 0): Promise<string> {
    return this.#container.logText(from);
  }

  stop(mode: StopMode = 'fast'): Promise<void> {
    return this.#container.stop(SIGNALS[mode]);
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
}
