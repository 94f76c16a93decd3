import { randomBytes } from 'node:crypto';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { atExit } from './cleanup.js';
import { temporaryFolder } from './identity.js';
import { KafkaBroker } from './kafka-broker.js';
import { KafkaCluster } from './kafka-cluster.js';
import { findKafka, type KafkaInstallation } from './kafka-jars.js';
import {
  defaultKafkaSettings,
  type KafkaPorts,
  type KafkaSettings,
  propertiesText,
} from './kafka-settings.js';
import { freePort } from './ports.js';
import { ServerProcess } from './server-process.js';

/** What `startKafka` may be told. */
export interface KafkaOptions {
  /** Default: the first that is found. */
  installation?: KafkaInstallation;
  /** 1 (default) or 3; with 3, topics have three replicas, of which two must be in step. */
  brokers?: number;
  /** Listeners for so many proxies before each broker. Default 1. */
  proxies?: number;
  /** Added to server.properties, the last word counts. */
  settings?: KafkaSettings;
}

/** Kafka of our own on free ports, its data in a temporary folder. One broker 2 s, three 6 s. */
export async function startKafka(options: KafkaOptions = {}): Promise<KafkaCluster> {
  const { brokers = 1, proxies = 1, settings = {} } = options;
  const installation = options.installation ?? findKafka()[0];
  if (!installation) throw new Error('No Kafka is ready here: `node scripts/bootstrap.js kafka`.');
  const ports = await Promise.all(Array.from({ length: brokers }, () => portsOf(proxies)));
  const controllers = ports.map(({ controller }) => controller);
  const nodes = ports.map(
    (of, n) => new NativeKafka({ id: n + 1, installation, ports: of, controllers, settings }),
  );
  const { version, major } = installation;
  const cluster = new KafkaCluster({ brokers: nodes, version, major, source: 'jars' });
  try {
    await cluster.start();
    return cluster;
  } catch (error) {
    await cluster.dispose();
    throw error;
  }
}

async function portsOf(proxies: number): Promise<KafkaPorts> {
  const proxied = [];
  for (let n = 0; n < proxies; n++) {
    proxied.push({ target: await freePort(), advertised: await freePort() });
  }
  return { direct: await freePort(), controller: await freePort(), proxied };
}

interface NativeOptions {
  id: number;
  installation: KafkaInstallation;
  ports: KafkaPorts;
  controllers: readonly number[];
  settings: KafkaSettings;
}

/** A broker that is a child process of this one. */
export class NativeKafka extends KafkaBroker {
  /** Holds its data, its configuration and its log; removed by `dispose`. */
  readonly folder: string;
  readonly #process: ServerProcess;

  constructor({ id, installation, ports, controllers, settings }: NativeOptions) {
    super({ id, host: '127.0.0.1', port: ports.direct, proxied: ports.proxied });
    this.folder = temporaryFolder('kafka', undefined);
    const { folder } = this;
    const file = join(folder, 'server.properties');
    const defaults = defaultKafkaSettings({ id, ports, controllers, folder });
    writeFileSync(file, propertiesText({ ...defaults, ...settings }));
    format(installation.formatted, join(folder, 'data'), id);
    const heap = controllers.length === 1 ? ['-Xms128m', '-Xmx384m'] : ['-Xms96m', '-Xmx256m'];
    this.#process = new ServerProcess({
      name: `Kafka broker ${id} on port ${ports.direct}`,
      program: installation.java,
      args: [...heap, ...installation.args, 'kafka.Kafka', file],
      folder,
      watched: true,
    });
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  logText(from?: number): Promise<string> {
    return this.#process.logText(from);
  }

  start(): Promise<void> {
    return this.#process.start(() => this.answers());
  }

  stop(): Promise<void> {
    return this.#process.stop();
  }

  kill9(): Promise<void> {
    return this.#process.kill9();
  }

  pause(): Promise<void> {
    return this.#process.pause();
  }

  resume(): Promise<void> {
    return this.#process.resume();
  }

  async dispose(): Promise<void> {
    if (this.pid) await this.kill9();
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
    atExit.removed(this.folder);
  }
}

/** What `kafka-storage format` would do, without its second of Java: the copy of a folder, made another node's. */
function format(formatted: string, data: string, id: number): void {
  cpSync(formatted, data, { recursive: true });
  const file = join(data, 'meta.properties');
  const text = readFileSync(file, 'utf8')
    .replace(/^node\.id=.*$/m, `node.id=${id}`)
    .replace(/^directory\.id=.*$/m, `directory.id=${uuid()}`);
  writeFileSync(file, text);
}

/** As Kafka writes them: 16 bytes in base64url, no dash in front. */
function uuid(): string {
  return `A${randomBytes(16).toString('base64url').slice(1, 22)}`;
}
