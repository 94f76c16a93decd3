import type { StartedTestContainer } from 'testcontainers';
import { type Container, containerEngine } from './docker-engine.js';
import { freePort } from './ports.js';
import { createApp, PostgresServer, type StopMode } from './postgres-server.js';
import { waitFor } from './wait.js';

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
  const engine = await containerEngine();
  const port = await freePort();
  const flags = { max_connections: 40, jit: 'off', wal_level: 'replica', ...settings };
  const started = await new GenericContainer(IMAGES[major] ?? `postgres:${major}`)
    .withEnvironment({ POSTGRES_PASSWORD: 'postgres' })
    .withCommand([
      'postgres',
      ...Object.entries(flags).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ])
    .withExposedPorts({ container: 5432, host: port })
    .withWaitStrategy(Wait.forLogMessage(/ready to accept connections/, 2))
    .withStartupTimeout(120_000)
    .start();
  const server = new DockerPostgres(
    started,
    engine.container.getById(started.getId()),
    port,
    major,
  );
  await server.ready();
  await createApp(server.config({ user: 'postgres', database: 'postgres' }));
  return server;
}

class DockerPostgres extends PostgresServer {
  readonly #started: StartedTestContainer;
  readonly #container: Container;

  constructor(started: StartedTestContainer, container: Container, port: number, major: number) {
    super({ host: '127.0.0.1', port, major, source: 'docker' });
    this.#started = started;
    this.#container = container;
  }

  get dataDir(): string {
    throw new Error('The data folder of a server in Docker is out of reach.');
  }

  get pid(): undefined {
    return undefined;
  }

  async logText(from = 0): Promise<string> {
    const log = await this.#container.logs({ stdout: true, stderr: true, follow: false });
    return log.toString('utf8').slice(from);
  }

  async stop(mode: StopMode = 'fast'): Promise<void> {
    await this.#container.kill({ signal: SIGNALS[mode] });
    await this.#down();
  }

  async start(): Promise<void> {
    await this.#container.start();
    await this.ready();
  }

  async kill9(): Promise<void> {
    await this.#container.kill({ signal: 'SIGKILL' });
    await this.#down();
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

  async #down(): Promise<void> {
    await waitFor(async () => !(await this.#container.inspect()).State.Running, {
      timeoutMs: 15_000,
      everyMs: 50,
      what: 'the container to stop',
    });
  }
}
