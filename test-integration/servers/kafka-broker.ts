import { connect } from 'node:net';
import { connectionsTo } from './connections.js';
import type { ProxiedPort } from './kafka-settings.js';

/** ApiVersions v0 with correlation id 1 and no client id: what every client asks first. */
const API_VERSIONS = Buffer.from('0000000a0012000000000001ffff', 'hex');

/** One Kafka broker under test; it is its own controller. Every wait in it is bounded. */
export abstract class KafkaBroker implements AsyncDisposable {
  /** Its node id, from 1. */
  readonly id: number;
  /** Always an address of this machine, unless KAFKA_URL names another. */
  readonly host: string;
  /** Past every proxy; the same for its whole life, restarts included. */
  readonly port: number;
  /** One for each proxy that may stand before it; none at a broker given by KAFKA_URL. */
  readonly proxied: readonly ProxiedPort[];

  constructor(of: Pick<KafkaBroker, 'id' | 'host' | 'port' | 'proxied'>) {
    this.id = of.id;
    this.host = of.host;
    this.port = of.port;
    this.proxied = of.proxied;
  }

  /** The process id, `undefined` while it is down or out of reach. */
  abstract get pid(): number | undefined;
  /** Its log since it was made, from character `from` (default 0) on. */
  abstract logText(from?: number): Promise<string>;
  /** Asks it to end (SIGTERM), leaderships handed over where there is somebody to take them. */
  abstract stop(): Promise<void>;
  /** Starts it again: same ports, same data. Resolves when it answers ApiVersions. */
  abstract start(): Promise<void>;
  abstract kill9(): Promise<void>;
  /** Freezes it: connections stay and are taken, nothing answers. */
  abstract pause(): Promise<void>;
  /** Ends a pause; everything that was sent meanwhile is executed now, whoever has given it up. */
  abstract resume(): Promise<void>;
  /** Ends it for good and removes what it left. May be called twice. */
  abstract dispose(): Promise<void>;

  /** `host:port`, past every proxy. */
  get address(): string {
    return `${this.host}:${this.port}`;
  }

  /** Where clients find it behind its n-th proxy. */
  proxiedAddress(n = 0): string {
    return `127.0.0.1:${this.#proxied(n).advertised}`;
  }

  /** What `startProxy` takes for its n-th proxy. */
  proxyOptions(n = 0): { port: number; targetPort: number; targetHost: string } {
    const { target, advertised } = this.#proxied(n);
    return { port: advertised, targetPort: target, targetHost: this.host };
  }

  /** How many connections its proxies hold to it now. */
  async connections(): Promise<number> {
    return connectionsTo(this.proxied.map(({ target }) => target));
  }

  /** `stop()`, then `start()`. */
  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** Whether it answers ApiVersions within 2 s; an open port says nothing yet. */
  answers(): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: this.host, port: this.port }, () =>
        socket.write(API_VERSIONS),
      );
      socket.setTimeout(2_000, () => socket.destroy(new Error('It does not answer.')));
      socket.once('data', () => {
        resolve(true);
        socket.destroy();
      });
      socket.once('error', reject);
      socket.once('close', () => resolve(false));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  #proxied(n: number): ProxiedPort {
    const found = this.proxied[n];
    if (!found) throw new Error(`Broker ${this.id} has no listener for a proxy number ${n}.`);
    return found;
  }
}
