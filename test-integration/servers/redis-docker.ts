import type { StartedTestContainer } from 'testcontainers';
import { type Container, containerEngine } from './docker-engine.js';
import { freePort } from './ports.js';
import { RedisServer } from './redis-server.js';
import { defaultSettings, type RedisSettings } from './redis-settings.js';
import { waitFor } from './wait.js';

const MAJOR = 7;
const IMAGE = 'redis:7.4.6';

/**
 * Redis in a container, by testcontainers 11, on a fixed free port of this machine, so that it survives
 * restarts. Rejects where no engine answers within 10 s. Written and type-checked, but untested where no engine is.
 */
export async function dockerRedis(settings: RedisSettings = {}): Promise<RedisServer> {
  const { GenericContainer, Wait } = await import('testcontainers');
  const engine = await containerEngine();
  const port = await freePort();
  const flags = {
    ...defaultSettings(MAJOR),
    bind: '0.0.0.0',
    'protected-mode': 'no',
    'enable-debug-command': 'yes',
    ...settings,
  };
  const started = await new GenericContainer(IMAGE)
    .withCommand([
      'redis-server',
      ...Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)]),
    ])
    .withExposedPorts({ container: 6379, host: port })
    .withWaitStrategy(Wait.forLogMessage(/Ready to accept connections/))
    .withStartupTimeout(120_000)
    .start();
  const container = engine.container.getById(started.getId());
  const server = new DockerRedis(started, container, port, settings);
  await server.ready();
  return server;
}

class DockerRedis extends RedisServer {
  readonly #started: StartedTestContainer;
  readonly #container: Container;

  constructor(
    started: StartedTestContainer,
    container: Container,
    port: number,
    settings: RedisSettings,
  ) {
    super({ host: '127.0.0.1', port, major: MAJOR, source: 'docker' }, settings);
    this.#started = started;
    this.#container = container;
  }

  get pid(): undefined {
    return undefined;
  }

  async logText(from = 0): Promise<string> {
    const log = await this.#container.logs({ stdout: true, stderr: true, follow: false });
    return log.toString('utf8').slice(from);
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

  async #signal(signal: NodeJS.Signals): Promise<void> {
    await this.#container.kill({ signal });
    await waitFor(async () => !(await this.#container.inspect()).State.Running, {
      timeoutMs: 15_000,
      everyMs: 50,
      what: 'the container to stop',
    });
  }
}
