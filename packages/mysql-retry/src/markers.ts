import { randomBytes } from 'node:crypto';
import { type Attempt, OptionError } from '@outlast/core-retry';
import { classifyMysql, errnoOf, isServerError } from './classify.js';
import type { Acquiring } from './connect.js';
import { stateOf } from './connection-state.js';
import { dropSocket, type PoolConnection } from './driver.js';
import { ask, type Identity, sameLife, sameServer } from './identity.js';
import type { PoolCore } from './pool-core.js';

/** The table that markers are kept in, if no other is named. */
export const MARKER_TABLE = 'outlast_commit_markers';

/** How long markers are kept, in seconds: far longer than anybody looks for one. */
const KEPT_S = 3600;
const SWEEP_EVERY_MS = 600_000;
const SWEEP_ROWS = 1000;
const SWEEP_ROUNDS = 20;
/** Bounds of a resolution, in milliseconds: however short the pool's patience, and however long. */
const SHORTEST_SEARCH_MS = 5000;
const LONGEST_SEARCH_MS = 600_000;
const PAUSE_MS = 50;

const NO_SUCH_TABLE = 1146;
const DUPLICATE = 1062;
const DENIED: ReadonlySet<number> = new Set([1044, 1142, 1227, 1290, 1792, 1836]);

/** What is known of a transaction whose COMMIT got no answer. */
export interface LostCommit {
  readonly table: string;
  /** Of its marker, in hexadecimal digits. */
  readonly id: string;
  /** The session that took the COMMIT; null if it did not say who it is. */
  readonly session: Identity | null;
}

/** What became of it, or why that cannot be said. */
export type Verdict = 'applied' | 'not-applied' | { readonly unknown: string };

/**
 * Commit markers: rows with a unique id, written in the transactions that they stand for. After a lost
 * COMMIT the same id is inserted again, as a fence: a duplicate means that the transaction was applied, and
 * an insert that it was not, and that a COMMIT which comes late cannot be applied any more.
 */
export class Markers {
  private readonly core: PoolCore;
  private readonly present = new Set<string>();
  private sweepAt = 0;

  constructor(core: PoolCore) {
    this.core = core;
  }

  /** A new id, in hexadecimal digits; later ones sort behind earlier ones. */
  newId(): string {
    const bytes = randomBytes(16);
    bytes.writeUIntBE(this.core.policy.settings.clock.wallNow(), 0, 6);
    return bytes.toString('hex');
  }

  insertion(table: string, id: string, fence: 0 | 1): string {
    return `INSERT INTO ${this.named(table)} (id, fence) VALUES (X'${id}', ${fence})`;
  }

  /**
   * Makes the table where it is missing; to be called outside of a transaction, for that ends one.
   *
   * @throws OptionError with the statement, if this user may not make it
   */
  async ensure(connection: PoolConnection, table: string): Promise<void> {
    if (this.present.has(table)) return;
    try {
      await ask(connection, `SELECT id, fence, at FROM ${this.named(table)} LIMIT 0`);
    } catch (error) {
      if (errnoOf(error) !== NO_SUCH_TABLE) throw error;
      await this.make(connection, table);
    }
    this.present.add(table);
  }

  /** Finds out what became of a transaction, on other connections, until that is known or time is up. */
  async resolve(lost: LostCommit, attempt: Attempt, bounded: boolean): Promise<Verdict> {
    const { policy, connector, waitMs } = this.core;
    const { clock } = policy.settings;
    const searchMs = Math.min(Math.max(waitMs, SHORTEST_SEARCH_MS), LONGEST_SEARCH_MS);
    const until = clock.now() + searchMs;
    const left = (): number => Math.min(until - clock.now(), attempt.remainingMs);
    // The attempt's own phase stays what it was when the answer was lost.
    const step: Acquiring = { phase: 'acquire', signal: bounded ? attempt.signal : undefined };
    let why = 'time ran out';
    while (left() > 0 && step.signal?.aborted !== true) {
      let connection: PoolConnection;
      try {
        connection = await connector.acquire(step, { leftMs: left() }, bounded);
      } catch (error) {
        return { unknown: `no connection could be made (${messageOf(error)})` };
      }
      try {
        const verdict = await this.askInTime(connection, lost, left());
        connection.release();
        return verdict;
      } catch (error) {
        why = messageOf(error);
        if (!isServerError(error)) {
          dropSocket(connection);
          continue;
        }
        connection.release();
        if (!classifyMysql(error, 'acquire').transient) {
          return { unknown: `the server refuses to say (${why})` };
        }
        await new Promise<void>((resolve) => clock.setTimeout(resolve, PAUSE_MS));
      }
    }
    return { unknown: why };
  }

  /** Removes old markers now and then, behind everybody's back. */
  sweep(table: string): void {
    const { policy, connector } = this.core;
    const now = policy.settings.clock.now();
    if (now < this.sweepAt) return;
    this.sweepAt = now + SWEEP_EVERY_MS;
    connector.checkOut((_, connection) => {
      if (connection === undefined) return;
      sweepOld(connection, this.named(table)).then(
        () => connection.release(),
        (error: unknown) => {
          if (isServerError(error)) connection.release();
          else dropSocket(connection);
        },
      );
    });
  }

  /**
   * `table` or `schema.table`, in back ticks; with the pool's database before it, for a callback may have
   * gone to another, and the marker would then be looked for where it is not.
   */
  private named(table: string): string {
    const { database } = this.core.config;
    const parts = table.split('.');
    const full = parts.length > 1 || !database ? parts : [database, table];
    return full.map(quoted).join('.');
  }

  private async make(connection: PoolConnection, table: string): Promise<void> {
    const statement = `CREATE TABLE IF NOT EXISTS ${this.named(table)} (id BINARY(16) NOT NULL PRIMARY KEY, fence BOOLEAN NOT NULL, at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, KEY (at)) ENGINE=InnoDB`;
    try {
      await ask(connection, statement);
    } catch (error) {
      if (!DENIED.has(errnoOf(error) ?? 0)) throw error;
      throw new OptionError(
        'commitMarker',
        `needs a table that this user may not make (${messageOf(error)}). Let somebody who may run: ${statement}`,
      );
    }
  }

  private async askInTime(
    connection: PoolConnection,
    lost: LostCommit,
    leftMs: number,
  ): Promise<Verdict> {
    const { clock } = this.core.policy.settings;
    let late = (): void => {};
    const expired = new Promise<never>((_, reject) => {
      late = () => reject(new Error('time ran out'));
    });
    const timer = clock.setTimeout(() => late(), leftMs);
    try {
      return await Promise.race([expired, this.askOn(connection, lost)]);
    } finally {
      timer.cancel();
    }
  }

  private async askOn(connection: PoolConnection, lost: LostCommit): Promise<Verdict> {
    await this.core.identify(connection);
    const { identity } = stateOf(connection);
    if (!identity || lost.session === null) {
      return { unknown: 'the server does not say who it is' };
    }
    if (!sameServer(lost.session, identity)) {
      return {
        unknown: 'the server that answers is another one than the one that took the COMMIT',
      };
    }
    if (sameLife(lost.session, identity)) {
      // It shortens the wait for the lock on the marker, no more: the insert below decides.
      await ask(connection, `KILL ${lost.session.id}`).catch(ignoreRefusal);
    }
    try {
      await ask(connection, this.insertion(lost.table, lost.id, 1));
      return 'not-applied';
    } catch (error) {
      if (errnoOf(error) !== DUPLICATE) throw error;
    }
    // Its own, or a fence of ours whose answer was lost too.
    const sql = `SELECT fence FROM ${this.named(lost.table)} WHERE id = X'${lost.id}'`;
    const [row] = await ask<{ fence: number }>(connection, sql);
    if (row === undefined) return { unknown: 'somebody removes markers' };
    return Number(row.fence) === 0 ? 'applied' : 'not-applied';
  }
}

async function sweepOld(connection: PoolConnection, table: string): Promise<void> {
  const sql = `DELETE FROM ${table} WHERE at < NOW() - INTERVAL ${KEPT_S} SECOND LIMIT ${SWEEP_ROWS}`;
  for (let round = 0; round < SWEEP_ROUNDS; round++) {
    const result = (await ask(connection, sql)) as unknown as { affectedRows: number };
    if (result.affectedRows < SWEEP_ROWS) return;
  }
}

function quoted(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``;
}

function ignoreRefusal(error: unknown): void {
  if (!isServerError(error)) throw error;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
