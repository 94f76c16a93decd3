import { isOutcomeUnknown, type Pool, retryInfo } from '@outlast/mysql-retry';
import * as callbacks from '@outlast/mysql-retry/callback';
import { sql as drizzleSql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/mysql2';
import knexModule from 'knex';
import { Kysely, MysqlDialect, sql } from 'kysely';
import { Sequelize } from 'sequelize';
import { DataSource } from 'typeorm';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { openMysqlLab } from '../support/mysql-lab.js';

const lab = await openMysqlLab();

/** What an application does through its ORM. */
interface Script {
  readonly read: () => Promise<unknown>;
  readonly write: (id: string) => Promise<unknown>;
  readonly transaction: (id: string) => Promise<unknown>;
  readonly close: () => Promise<unknown>;
}

const scripts: Readonly<Record<string, (table: string) => Script | Promise<Script>>> = {
  kysely(table) {
    const { pool } = lab.pool();
    const db = new Kysely<Record<string, { id: string }>>({ dialect: new MysqlDialect({ pool }) });
    return {
      read: () => sql`select 1 as one`.execute(db),
      write: (id) => db.insertInto(table).values({ id }).execute(),
      transaction: (id) =>
        db.transaction().execute((trx) => trx.insertInto(table).values({ id }).execute()),
      close: () => db.destroy(),
    };
  },
  drizzle(table) {
    const pool: Pool = lab.pool();
    const db = drizzle({ client: pool as never });
    const insert = (id: string) =>
      drizzleSql`insert into ${drizzleSql.identifier(table)} values (${id})`;
    return {
      read: () => db.execute(drizzleSql`select 1 as one`),
      write: (id) => db.execute(insert(id)),
      transaction: (id) => db.transaction((tx) => tx.execute(insert(id))),
      close: async () => {},
    };
  },
  knex(table) {
    // knex takes a pool that is there already, by `connectionPool`.
    const db = knexModule({ client: 'mysql2', connectionPool: lab.pool().pool } as object);
    return {
      read: () => db.raw('select 1 as one'),
      write: (id) => db(table).insert({ id }),
      transaction: (id) => db.transaction((trx) => trx(table).insert({ id })),
      close: () => db.destroy(),
    };
  },
  sequelize(table) {
    const { user, password, database, host, port } = lab.server.config({ port: lab.proxy.port });
    const db = new Sequelize(database, user, password, {
      host,
      port,
      dialect: 'mysql',
      dialectModule: callbacks.default as unknown as object,
      logging: false,
    });
    const insert = `insert into ${table} values (?)`;
    return {
      read: () => db.query('select 1 as one'),
      write: (id) => db.query(insert, { replacements: [id] }),
      transaction: (id) =>
        db.transaction((transaction) => db.query(insert, { replacements: [id], transaction })),
      close: () => db.close(),
    };
  },
  async typeorm(table) {
    const { user: username, ...where } = lab.server.config({ port: lab.proxy.port });
    const db = new DataSource({ type: 'mysql', driver: callbacks, ...where, username });
    await db.initialize();
    const insert = `insert into ${table} values (?)`;
    return {
      read: () => db.query('select 1 as one'),
      write: (id) => db.query(insert, [id]),
      transaction: (id) => db.transaction((manager) => manager.query(insert, [id])),
      close: () => db.destroy(),
    };
  },
};

/** The driver's own error, under whatever an ORM has put around it. */
function driverError(error: unknown): unknown {
  const { original, driverError: under, cause } = error as Record<string, unknown>;
  const inner = original ?? under ?? (retryInfo(error) === undefined ? cause : undefined);
  return inner === undefined ? error : driverError(inner);
}

// kysely, knex, sequelize and typeorm run everything on connections that they check out, where nothing is replayed;
// drizzle runs what is in no transaction on the pool.
describe.skipIf(lab.reason)(`an ORM across a restart ${lab.reason}`, () => {
  lab.use();

  it.each(Object.keys(scripts))(
    '%s loses and doubles nothing, and has every error marked',
    async (name) => {
      const table = await lab.table();
      const script = await (scripts[name] as (table: string) => Script | Promise<Script>)(table);
      const acknowledged = new Set<string>();
      const notApplied = new Set<string>();
      const errors = { read: [] as unknown[], write: [] as unknown[] };
      const unmarked: unknown[] = [];
      let running = true;
      let done = 0;
      let ids = 0;
      const failed = (kind: 'read' | 'write', thrown: unknown): unknown => {
        const error = driverError(thrown);
        errors[kind].push(error);
        if (retryInfo(error) === undefined) unmarked.push(error);
        return error;
      };
      const worker = async (): Promise<void> => {
        while (running) {
          await script.read().catch((error: unknown) => failed('read', error));
          for (const write of [script.write, script.transaction]) {
            ids += 1;
            const id = `${name}-${ids}`;
            await write(id).then(
              () => acknowledged.add(id),
              (error: unknown) => {
                if (!isOutcomeUnknown(failed('write', error))) notApplied.add(id);
              },
            );
          }
          done += 1;
        }
      };
      const workers = Promise.all(Array.from({ length: 8 }, worker));
      await waitFor(() => done > 50, { what: 'the work to begin' });
      await lab.server.restart();
      lab.proxy.cutAll();
      const before = done;
      await waitFor(() => done > before + 50, { what: 'the work to go on' });
      running = false;
      await workers;
      await script.close();

      expect(unmarked).toEqual([]);
      if (name === 'drizzle') expect(errors.read).toEqual([]);
      const rows: { id: string; n: number }[] = await lab.server.admin(
        `select id, count(*) as n from ${table} group by id`,
      );
      const present = new Map(rows.map(({ id, n }) => [id, n]));
      expect([...present.values()].filter((n) => n > 1)).toEqual([]);
      expect([...acknowledged].filter((id) => !present.has(id))).toEqual([]);
      expect([...notApplied].filter((id) => present.has(id))).toEqual([]);
    },
  );
});
