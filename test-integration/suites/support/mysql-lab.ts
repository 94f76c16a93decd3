import { setTimeout as sleep } from 'node:timers/promises';
import { createPool, type Pool, type RetryPoolOptions } from '@outlast/mysql-retry';
import mysql from 'mysql2/promise';
import { afterAll, afterEach, beforeEach } from 'vitest';
import { type FaultProxy, startProxy } from '../../faults/index.js';
import {
  isSkipped,
  type MysqlServer,
  type MysqlStatement,
  type Skipped,
  statementsIn,
  type TakeMysqlOptions,
  takeMysql,
  waitFor,
} from '../../servers/index.js';

const END_MS = 5000;

/**
 * A real server, a fault proxy for each test, and pools that are ended after it. After each test the
 * server must hold no session of ours any more: what leaks fails the test that leaked it.
 */
export class MysqlLab {
  /** Why there is nothing to test against; empty if there is. */
  readonly reason: string;
  /** In front of the server, new for each test. */
  proxy!: FaultProxy;
  readonly #taken: MysqlServer | Skipped;
  readonly #open: { end(): Promise<unknown> }[] = [];
  #names = 0;

  constructor(taken: MysqlServer | Skipped) {
    this.#taken = taken;
    this.reason = isSkipped(taken) ? taken.skipped : '';
  }

  get server(): MysqlServer {
    return this.#taken as MysqlServer;
  }

  /** Call it first in the `describe`. */
  use(): void {
    beforeEach(async () => {
      this.proxy = await startProxy({ targetPort: this.server.port });
    });
    afterEach(async () => {
      const ending = Promise.all(this.#open.splice(0).map((one) => one.end().catch(() => {})));
      const ended = await Promise.race([ending, sleep(END_MS, 'late', { ref: false })]);
      // A request to stop a statement may still be on its way.
      await this.proxy.heal();
      if (ended === 'late') this.proxy.cutAll();
      await waitFor(async () => (await this.server.sessions()).length === 0, {
        what: 'the server to be rid of all our sessions',
      });
      await this.proxy.close();
      if (ended === 'late') throw new Error(`A pool did not end within ${END_MS} ms.`);
    });
    afterAll(() => this.server.dispose());
  }

  /** Our pool, through the proxy. */
  pool(options: RetryPoolOptions = {}): Pool {
    const pool = createPool({ ...this.server.config({ port: this.proxy.port }), ...options });
    return this.closing(pool);
  }

  /** The driver's pool, through the proxy, to compare with. */
  plainPool(options: mysql.PoolOptions = {}): mysql.Pool {
    const pool = mysql.createPool({ ...this.server.config({ port: this.proxy.port }), ...options });
    return this.closing(pool);
  }

  /** A session past proxy and pool, ended after the test. */
  async session(): Promise<mysql.Connection> {
    const connection = await mysql.createConnection(this.server.config());
    connection.on('error', () => {});
    return this.closing(connection);
  }

  /** Ended after the test. */
  closing<T extends { end(): Promise<unknown> }>(one: T): T {
    this.#open.push(one);
    return one;
  }

  /** A name that no other test has. */
  name(prefix = 'thing'): string {
    this.#names += 1;
    return `${prefix}_${this.#names}`;
  }

  /** A table of its own. */
  async table(columns = 'id varchar(40) not null', engine = 'InnoDB'): Promise<string> {
    const name = this.name('tab');
    await this.server.admin(`create table ${name} (${columns}) engine = ${engine}`);
    return name;
  }

  async count(table: string, where = 'true'): Promise<number> {
    return this.value(`select count(*) from ${table} where ${where}`);
  }

  /** One value, as the server holds it. */
  // biome-ignore lint/suspicious/noExplicitAny: a column of any type
  async value(sql: string): Promise<any> {
    const [row] = await this.server.admin(sql);
    return row === undefined ? undefined : Object.values(row)[0];
  }

  /** What the server is asked from here on, by `log: true`. */
  async logMark(): Promise<() => Promise<MysqlStatement[]>> {
    const from = (await this.server.logText()).length;
    return async () => statementsIn(await this.server.logText(from));
  }
}

export async function openMysqlLab(options: TakeMysqlOptions = {}): Promise<MysqlLab> {
  const taken = await takeMysql({ own: true, ...options });
  if (isSkipped(taken)) console.warn(taken.skipped);
  return new MysqlLab(taken);
}
