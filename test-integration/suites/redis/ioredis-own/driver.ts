import { Redis } from '@outlast/redis-retry';
import { Redis as Plain, type RedisOptions } from 'ioredis';
import { waitFor } from '../../../servers/index.js';
import type { RedisLab } from '../../support/redis-lab.js';

export type Options = RedisOptions & { replyMapping?: 'legacy' };

/** One of the two classes that every case runs on, past any proxy. */
export class Driver {
  readonly lab: RedisLab;
  readonly #class: typeof Plain;

  constructor(lab: RedisLab, name: DriverName) {
    this.lab = lab;
    this.#class = name === 'ioredis' ? Plain : (Redis as unknown as typeof Plain);
  }

  /** A client that is closed after the test. */
  make(options: Options = {}): Plain {
    const client = this.lab.track(new this.#class({ ...this.lab.server.config(), ...options }));
    client.on('error', () => {});
    return client;
  }

  /** The same, made from any arguments that the constructor takes. */
  build(...args: unknown[]): Plain {
    return this.lab.track(
      new (this.#class as unknown as new (...all: unknown[]) => Plain)(...args),
    );
  }

  /** What the server is sent by a client while `act` runs, as MONITOR tells it: names of commands. */
  async monitored(client: Plain, act: () => Promise<unknown>): Promise<string[]> {
    const monitor = this.lab.track(await this.lab.session().monitor());
    const seen: string[] = [];
    let last = false;
    const end = this.lab.key('end of monitoring');
    monitor.on('monitor', (_time: string, args: string[]) => {
      if (args[1] === end) last = true;
      else if (!last) seen.push(args[0] ?? '');
    });
    await act();
    await client.exists(end);
    await waitFor(() => last, { what: 'the monitor to have seen everything' });
    return seen;
  }
}

export type DriverName = 'ioredis' | '@outlast/redis-retry';
