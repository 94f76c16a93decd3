import { MlflowClient, type MlflowClientOptions } from '@outlast/mlflow-retry';
import { afterAll, afterEach, beforeEach } from 'vitest';
import { type FaultProxy, startProxy } from '../../faults/index.js';
import {
  isSkipped,
  type MlflowServer,
  type Skipped,
  type TakeMlflowOptions,
  takeMlflow,
  waitFor,
} from '../../servers/index.js';

/**
 * A real server, a fault proxy for each test, and clients that are closed after it. After each test the server
 * must hold no connection of ours any more: what leaks fails the test that leaked it.
 */
export class MlflowLab {
  /** Why there is nothing to test against; empty if there is. */
  readonly reason: string;
  /** In front of the server, new for each test. */
  proxy!: FaultProxy;
  readonly #taken: MlflowServer | Skipped;
  readonly #clients = new Set<{ close(): void }>();
  #names = 0;

  constructor(taken: MlflowServer | Skipped) {
    this.#taken = taken;
    this.reason = isSkipped(taken) ? taken.skipped : '';
  }

  get server(): MlflowServer {
    return this.#taken as MlflowServer;
  }

  /** Call it first in the `describe`. */
  use(): void {
    beforeEach(async () => {
      this.proxy = await startProxy({ targetPort: this.server.port });
    });
    afterEach(async () => {
      for (const client of this.#clients) client.close();
      this.#clients.clear();
      await this.proxy.heal();
      await waitFor(async () => (await this.server.connections()) === 0, {
        what: 'the server to be rid of all our connections',
      });
      await this.proxy.close();
    });
    afterAll(() => this.server.dispose());
  }

  /** Our client, through the proxy; as the administrator where the server asks. */
  client(options: MlflowClientOptions = {}): MlflowClient {
    const trackingUri = this.server.url(this.proxy.port);
    const made = new MlflowClient({ trackingUri, ...this.server.admin, ...options });
    this.#clients.add(made);
    return made;
  }

  /** A name that no other test has. */
  name(prefix = 'thing'): string {
    this.#names += 1;
    return `${prefix} ${process.pid} ${this.#names}`;
  }

  /** The first value of the first row. */
  async value(sql: string, ...parameters: (string | number)[]): Promise<unknown> {
    return (await this.server.rows(sql, ...parameters))[0]?.[0];
  }
}

/** A server of its own for a suite; without one, `reason` says why and what would cure it. */
export async function openMlflowLab(options: TakeMlflowOptions = {}): Promise<MlflowLab> {
  const taken = await takeMlflow({ own: true, ...options });
  if (isSkipped(taken)) console.warn(taken.skipped);
  return new MlflowLab(taken);
}
