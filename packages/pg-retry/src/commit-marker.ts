import { randomUUID } from 'node:crypto';
import { OptionError } from '@outlast/core-retry';
import { invalidOption, redact } from '@outlast/core-retry/connector';
import type driver from 'pg';
import { internals } from './driver.js';
import type { PoolCore } from './pool-core.js';
import type { Verdict } from './resolve.js';

/** `true`, or where the markers are kept. */
export type CommitMarkerOption = boolean | { readonly table: string };

const DEFAULT_TABLE = 'outlast_commit_markers';
/** How long markers are kept: longer than any COMMIT may be on its way, in days. */
const KEPT_DAYS = 1;
const SWEEP_EVERY_MS = 3_600_000;

const TABLE_NAME = /^[a-z_][\w$]{0,62}(?:\.[a-z_][\w$]{0,62})?$/i;

/** A marker that was sent with a COMMIT, and the server that took it. */
export interface SentMarker {
  readonly id: string;
  readonly table: string;
  readonly server: ServerIdentity;
}

interface ServerIdentity {
  readonly address: string;
  /** null where the server or the role does not allow to ask. */
  readonly system: string | null;
}

/** @throws OptionError for what is neither a flag nor the name of a table; undefined: no marker is wanted */
export function markerTable(option: CommitMarkerOption | undefined): string | undefined {
  if (option === undefined || option === false) return undefined;
  if (option === true) return DEFAULT_TABLE;
  const table = (option as { table?: unknown } | null)?.table;
  const known = typeof option === 'object' && option !== null && Object.keys(option).length === 1;
  if (!known || typeof table !== 'string' || !TABLE_NAME.test(table)) {
    throw invalidOption('commitMarker', option, `true, false or { table: 'schema.name' }`);
  }
  return table;
}

function quoted(table: string): string {
  return table
    .split('.')
    .map((part) => `"${part}"`)
    .join('.');
}

function creation(table: string): string {
  return `CREATE TABLE IF NOT EXISTS ${quoted(table)} (id uuid PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())`;
}

/**
 * Rows with which transactions can be recognised on any server: written in the transaction itself, and
 * looked for, after a lost COMMIT, by inserting the same row again. If it is there already, the
 * transaction was committed. If not, it is there now, and a COMMIT that is still on its way must fail.
 */
export class CommitMarkers {
  readonly #core: PoolCore;
  readonly #ready = new Map<string, Promise<void>>();
  readonly #systems = new WeakMap<driver.ClientBase, Promise<string | null>>();
  readonly #sweptAt = new Map<string, number>();

  constructor(core: PoolCore) {
    this.#core = core;
  }

  /**
   * Makes the table where it is not there yet; asked once. On a client of its own, for a transaction
   * must not wait for one that it holds itself.
   *
   * @throws OptionError with the statement, if this role may not create it
   */
  ensure(table: string, acquire: () => Promise<driver.PoolClient>): Promise<void> {
    let ready = this.#ready.get(table);
    if (ready === undefined) {
      ready = makeTable(table, acquire).catch((error: unknown) => {
        this.#ready.delete(table);
        throw error;
      });
      this.#ready.set(table, ready);
    }
    return ready;
  }

  /** Notes the server, once a connection, before the transaction is opened on it. */
  async prepare(table: string, client: driver.ClientBase): Promise<SentMarker> {
    return { id: randomUUID(), table, server: await this.#identity(client) };
  }

  /** One message, so that the marker costs no round trip; what fails in it, fails before COMMIT. */
  commitText({ id, table }: SentMarker): string {
    return `INSERT INTO ${quoted(table)} (id) VALUES ('${id}'); COMMIT`;
  }

  /** Inserts the marker again; it waits for a COMMIT that is being carried out. */
  async resolve({ id, table, server }: SentMarker, client: driver.ClientBase): Promise<Verdict> {
    const now = await this.#identity(client);
    const same =
      server.system !== null && now.system !== null
        ? server.system === now.system
        : server.address === now.address;
    if (!same) return { unknown: 'the server that answers is another one' };
    try {
      await client.query(`INSERT INTO ${quoted(table)} (id) VALUES ('${id}')`);
      return 'aborted';
    } catch (error) {
      if ((error as { code?: unknown }).code === '23505') return 'committed';
      throw error;
    }
  }

  /** Removes markers that are a day old, once an hour, on a client that is free; a failure is no matter. */
  sweep(table: string): void {
    const now = this.#core.policy.settings.clock.now();
    if (now - (this.#sweptAt.get(table) ?? -Infinity) < SWEEP_EVERY_MS) return;
    this.#sweptAt.set(table, now);
    this.#core.checkOut((_, client) => {
      client
        ?.query(`DELETE FROM ${quoted(table)} WHERE at < now() - interval '${KEPT_DAYS} day'`)
        .then(
          () => client.release(),
          (error: Error) => client.release(error),
        );
    });
  }

  async #identity(client: driver.ClientBase): Promise<ServerIdentity> {
    const { host, port } = internals(client);
    let system = this.#systems.get(client);
    if (system === undefined) {
      system = askSystem(client);
      this.#systems.set(client, system);
    }
    return { address: `${host}:${port}`, system: await system };
  }
}

async function askSystem(client: driver.ClientBase): Promise<string | null> {
  try {
    const { rows } = await client.query(
      'select system_identifier::text as system from pg_control_system()',
    );
    return (rows[0] as { system: string }).system;
  } catch (error) {
    // No such function (CockroachDB and others), or no right to it; a broken connection is no answer.
    if (typeof (error as { severity?: unknown }).severity === 'string') return null;
    throw error;
  }
}

async function makeTable(table: string, acquire: () => Promise<driver.PoolClient>): Promise<void> {
  const client = await acquire();
  let broken: Error | undefined;
  try {
    const found = await client.query('select to_regclass($1) is not null as there', [
      quoted(table),
    ]);
    if ((found.rows[0] as { there: boolean }).there) return;
    await client.query(creation(table));
  } catch (error) {
    const { code, severity } = error as { code?: string; severity?: string };
    if (severity === undefined) broken = error as Error;
    // Two that make it at the same moment: one of them is told that its name is taken.
    if (code === '23505' || code === '42P07') return;
    if (code !== '42501' && code !== '3F000') throw error;
    throw new OptionError(
      'commitMarker',
      `needs a table that this role cannot create (${redact((error as Error).message)}). Have it made: ${creation(table)}`,
    );
  } finally {
    client.release(broken);
  }
}
