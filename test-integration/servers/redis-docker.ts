import { DockerContainer } from './docker-container.js';
import { freePort } from './ports.js';
import { RedisServer } from './redis-server.js';
import { defaultSettings, type RedisSettings } from './redis-settings.js';

const MAJOR = 7;
const IMAGE = 'redis:7.4.6';

/**
 * Redis in a container, by testcontainers 11, on a fixed free port of this machine, so that it survives
 * restarts. Rejects where no engine answers within 10 s. Written and type-checked, but untested where no engine is.
 */
export async function dockerRedis(settings: RedisSettings = {}): Promise<RedisServer> {
  const { GenericContainer, Wait } = await import('testcontainers');
  const port = await freePort();
  const flags = {
    ...defaultSettings(MAJOR),
    bind: '0.0.0.0',
    'protected-mode': 'no',
    'enable-debug-command': 'yes',
    ...settings,
  };
  const container = await DockerContainer.start(() =>
    new GenericContainer(IMAGE)
      .withCommand([
        'redis-server',
        ...Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)]),
      ])
      .withExposedPorts({ container: 6379, host: port })
      .withWaitStrategy(Wait.forLogMessage(/Ready to accept connections/))
      .withStartupTimeout(120_000)
      .start(),
  );
  const server = new DockerRedis(container, port, settings);
  await server.ready();
  return server;
}

class DockerRedis extends RedisServer {
  readonly #container: DockerContainer;

  constructor(container: DockerContainer, port: number, settings: RedisSettings) {
    super({ host: '127.0.0.1', port, major: MAJOR, source: 'docker' }, settings);
    this.#container = container;
  }

  get pid(): undefined {
    return undefined;
  }

  logText(from = 0): Promise<string> {
    return this.#container.logText(from);
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
}
