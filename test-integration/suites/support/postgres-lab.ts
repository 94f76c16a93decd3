import { setTimeout as sleep } from 'node:timers/promises';
import { Pool, type RetryPoolConfig } from '@outlast/pg-retry';
import pg from 'pg';
import { afterAll, afterEach, beforeEach } from 'vitest';
import { type FaultProxy, startProxy } from '../../faults/index.js';
import {
  isSkipped,
  type PostgresServer,
  type TakeOptions,
  takePostgres,
  waitFor,
} from '../../servers/index.js';

const END_MS = 5000;

export interface LabOptions extends Pick<TakeOptions, 'log' | 'settings'> {
  /** Whether the server must be one that can be stopped and shows its log. Default false. */
  readonly own?: boolean;
}

/**
 * A real server, a fault proxy for each test, and pools that are ended after it. After each test the
 * server must hold no session of ours any more: what leaks fails the test that leaked it.
 */
export class PostgresLab {
  /** Why there is nothing to test against; empty if there is. */
  readonly reason: string;
  /** In front of the server, new for each test. */
  proxy!: FaultProxy;
  readonly server: PostgresServer;
  readonly #pools: { readonly ended: boolean; end(): Promise<void> }[] = [];
  #names = 0;

  constructor({ server, reason }: TakenServer) {
    this.server = server;
    this.reason = reason;
  }

  /** Call it first in the `describe`. */
  use(): void {
    beforeEach(async () => {
      this.proxy = await startProxy({ targetPort: this.server.port });
    });
    afterEach(async () => {
      const open = this.#pools.splice(0).filter((pool) => !pool.ended);
      const ending = Promise.all(open.map((pool) => pool.end()));
      // A test that failed may still hold a client, for which a pool waits.
      const late = sleep(END_MS, 'late', { ref: false });
      const ended = await Promise.race([ending, late]);
      // A request to stop a statement may still be on its way.
      await this.proxy.heal();
      if (ended === 'late') this.proxy.cutAll();
      await waitFor(async () => (await this.sessions()).length === 0, {
        what: 'the server to be rid of all our sessions',
      });
      await this.proxy.close();
      if (ended === 'late') throw new Error(`A pool did not end within ${END_MS} ms.`);
    });
    afterAll(() => this.server.dispose());
  }

  /** Our pool, through the proxy. */
  pool(config: RetryPoolConfig = {}): Pool {
    const pool = new Pool({ ...this.server.config({ port: this.proxy.port }), ...config });
    this.#pools.push(pool);
    return pool;
  }

  /** The driver's pool, through the proxy, to compare with. */
  plainPool(config: pg.PoolConfig = {}): pg.Pool {
    const pool = new pg.Pool({ ...this.server.config({ port: this.proxy.port }), ...config });
    pool.on('error', () => {});
    this.#pools.push(pool);
    return pool;
  }

  /** A session past proxy and pool, ended after the test. */
  async session(): Promise<pg.Client> {
    const client = new pg.Client(this.server.config());
    client.on('error', () => {});
    await client.connect();
    this.#pools.push({ ended: false, end: () => client.end() });
    return client;
  }

  /** A name that no other test has. */
  name(prefix = 'thing'): string {
    this.#names += 1;
    return `${prefix}_${this.#names}`;
  }

  /** A table of its own, owned by the role of the pools. */
  async table(columns = 'id text not null'): Promise<string> {
    const name = this.name('tab');
    await this.server.admin(`create table ${name} (${columns})`);
    await this.server.admin(`alter table ${name} owner to app`);
    return name;
  }

  async count(table: string, where = 'true'): Promise<number> {
    return this.value(`select count(*)::int from ${table} where ${where}`);
  }

  /** One value, as the server holds it. */
  // biome-ignore lint/suspicious/noExplicitAny: a column of any type
  async value(sql: string, params: unknown[] = []): Promise<any> {
    const { rows } = await this.server.admin(sql, params);
    return rows[0] === undefined ? undefined : Object.values(rows[0])[0];
  }

  /** The backends that serve us now. */
  async sessions(): Promise<
    { readonly pid: number; readonly state: string; readonly query: string }[]
  > {
    const { rows } = await this.server.admin(
      `select pid, state, query from pg_stat_activity where usename = 'app' order by pid`,
    );
    return rows;
  }

  /** What the server's log says from here on. */
  async logMark(): Promise<() => Promise<string>> {
    const from = (await this.server.logText()).length;
    return () => this.server.logText(from);
  }
}

interface TakenServer {
  /** Not to be touched if there is a reason not to. */
  readonly server: PostgresServer;
  /** Why there is nothing to test against; empty if there is. */
  readonly reason: string;
}

/** A server of the major that this project runs on, for suites that break more than a lab has. */
export async function takeServer(options: LabOptions = {}): Promise<TakenServer> {
  const { own = false, ...take } = options;
  const second = process.env['OUTLAST_PG_MAJOR'] === 'second';
  const taken = await takePostgres(second ? { ...take, major: 'second' } : take);
  if (isSkipped(taken)) {
    console.warn(taken.skipped);
    return { server: undefined as never, reason: taken.skipped };
  }
  const missing = own && !taken.controllable ? 'needs a server that it may stop and kill' : '';
  return { server: taken, reason: missing };
}

export async function openLab(options: LabOptions = {}): Promise<PostgresLab> {
  return new PostgresLab(await takeServer(options));
}
