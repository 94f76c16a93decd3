import { DockerContainer } from './docker-container.js';
import { KafkaBroker } from './kafka-broker.js';
import { KafkaCluster } from './kafka-cluster.js';
import { defaultKafkaSettings, type KafkaPorts, type KafkaSettings } from './kafka-settings.js';
import { freePort } from './ports.js';
import { waitFor } from './wait.js';

const VERSION = '4.1.1';
const IMAGE = `apache/kafka:${VERSION}`;

/** What a broker in a container may be told. */
export interface DockerKafkaOptions {
  proxies?: number;
  settings?: KafkaSettings;
}

/**
 * One broker in a container, by testcontainers 11, on fixed free ports of this machine. Rejects where no
 * engine answers within 10 s. Written and type-checked, but untested where no engine is.
 */
export async function dockerKafka(options: DockerKafkaOptions = {}): Promise<KafkaCluster> {
  const { proxies = 1, settings = {} } = options;
  const { GenericContainer, Wait } = await import('testcontainers');
  const proxied: { target: number; advertised: number }[] = [];
  for (let n = 0; n < proxies; n++) {
    proxied.push({ target: await freePort(), advertised: await freePort() });
  }
  const ports = { direct: await freePort(), controller: await freePort(), proxied };
  const container = await DockerContainer.start(() =>
    new GenericContainer(IMAGE)
      .withEnvironment(environment(ports, settings))
      .withExposedPorts(
        ...[ports.direct, ...proxied.map(({ target }) => target)].map((port) => ({
          container: port,
          host: port,
        })),
      )
      .withWaitStrategy(Wait.forLogMessage(/Kafka Server started/))
      .withStartupTimeout(180_000)
      .start(),
  );
  const broker = new DockerKafka(container, ports);
  await broker.ready();
  return new KafkaCluster({ brokers: [broker], version: VERSION, major: 4, source: 'docker' });
}

/** The image takes every setting by an environment variable of its name. */
function environment(ports: KafkaPorts, settings: KafkaSettings): Record<string, string> {
  const folder = '/tmp/outlast';
  const controllers = [ports.controller];
  const all: KafkaSettings = {
    ...defaultKafkaSettings({ id: 1, ports, controllers, folder }),
    ...settings,
  };
  // inside the container it must listen where the engine's forwarding arrives
  all['listeners'] = String(all['listeners']).replaceAll('127.0.0.1', '0.0.0.0');
  return Object.fromEntries([
    ...Object.entries(all).map(([name, value]) => [
      `KAFKA_${name.toUpperCase().replaceAll('.', '_')}`,
      String(value),
    ]),
    ['KAFKA_HEAP_OPTS', '-Xms128m -Xmx384m'],
  ]);
}

class DockerKafka extends KafkaBroker {
  readonly #container: DockerContainer;

  constructor(container: DockerContainer, ports: KafkaPorts) {
    super({ id: 1, host: '127.0.0.1', port: ports.direct, proxied: ports.proxied });
    this.#container = container;
  }

  get pid(): undefined {
    return undefined;
  }

  async ready(): Promise<void> {
    await waitFor(() => this.answers(), {
      timeoutMs: 60_000,
      what: `Kafka on port ${this.port} to answer`,
    });
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
