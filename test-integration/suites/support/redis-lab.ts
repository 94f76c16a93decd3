import { setTimeout as sleep } from 'node:timers/promises';

import { Redis, type RedisRetryOptions } from '@outlast/redis-retry';
import { Redis as Plain, type RedisOptions } from 'ioredis';
import { afterAll, afterEach, beforeEach } from 'vitest';
import { type FaultProxy, startProxy } from '../../faults/index.js';
import {
  isSkipped,
  type RedisServer,
  type Skipped,
  type TakeRedisOptions,
  takeRedis,
  waitFor,
} from '../../servers/index.js';

// ioredis' own type says `| undefined`, which its constructor does not take with exactOptionalPropertyTypes.
type PlainOptions = RedisOptions & { replyMapping?: 'legacy' };
type Options = PlainOptions & { retry?: RedisRetryOptions };

/**
 * A real server, a fault proxy for each test, and clients that are closed after it. After each test the
 * server must hold no connection of ours any more: what leaks fails the test that leaked it.
 */
export class RedisLab {
  /** Why there is nothing to test against; empty if there is. */
  readonly reason: string;
  /** In front of the server, new for each test. */
  proxy!: FaultProxy;
  readonly #taken: RedisServer | Skipped;
  readonly #clients = new Set<{ disconnect(): void }>();
  #names = 0;

  constructor(taken: RedisServer | Skipped) {
    this.#taken = taken;
    this.reason = isSkipped(taken) ? taken.skipped : '';
  }

  get server(): RedisServer {
    return this.#taken as RedisServer;
  }

  /** Call it first in the `describe`. */
  use(): void {
    beforeEach(async () => {
      this.proxy = await startProxy({ targetPort: this.server.port });
    });
    afterEach(async () => {
      for (const client of this.#clients) client.disconnect();
      this.#clients.clear();
      await this.proxy.heal();
      await waitFor(
        async () => {
          const open = await this.server.connections();
          if (open.length === 0) return true;
          throw new Error(open.map(({ name, cmd }) => `${name} (${cmd})`).join(', '));
        },
        { what: 'the server to be rid of all our connections' },
      );
      await this.proxy.close();
    });
    afterAll(() => this.server.dispose());
  }

  /** Our client, through the proxy. */
  redis(options: Options = {}): Redis {
    return this.track(new Redis({ ...this.server.config({ port: this.proxy.port }), ...options }));
  }

  /** The driver's client, through the proxy, to compare with. */
  plain(options: PlainOptions = {}): Plain {
    const client = new Plain({ ...this.server.config({ port: this.proxy.port }), ...options });
    client.on('error', () => {});
    return this.track(client);
  }

  /** The driver's client past the proxy, closed after the test. */
  session(options: PlainOptions = {}): Plain {
    const client = new Plain({ ...this.server.config(), ...options });
    client.on('error', () => {});
    return this.track(client);
  }

  /** Closed after the test, whoever made it: a `duplicate()`, a library's own. */
  track<T extends { disconnect(): void }>(client: T): T {
    this.#clients.add(client);
    return client;
  }

  /** A key that no other test has. */
  key(prefix = 'key'): string {
    this.#names += 1;
    return `${prefix}:${process.pid}:${this.#names}`;
  }

  /** What the server answers to one command, asked past proxy and client. */
  // biome-ignore lint/suspicious/noExplicitAny: a reply of any type
  async ask(command: string, ...args: (string | number | Buffer)[]): Promise<any> {
    return this.server.admin(command, ...args);
  }

  /** The number that a key holds; 0 if there is none. */
  async count(key: string): Promise<number> {
    return Number((await this.ask('GET', key)) ?? 0);
  }

  /** How often the server executes a command from here on. */
  async executions(command: string): Promise<() => Promise<number>> {
    const before = await this.server.executed(command);
    return async () => (await this.server.executed(command)) - before;
  }

  /** Waits until the client is ready, and the proxy has forwarded its handshake. */
  async ready(client: { status: string }): Promise<void> {
    await waitFor(() => client.status === 'ready', { what: 'the client to be ready' });
    // the handshake's last replies may still be on their way through the proxy
    await sleep(0);
  }
}

/** `own`: the server must be one that can be stopped and killed. Default false. */
export async function openRedisLab(options: TakeRedisOptions = {}): Promise<RedisLab> {
  const taken = await takeRedis(options);
  if (isSkipped(taken)) console.warn(taken.skipped);
  return new RedisLab(taken);
}
