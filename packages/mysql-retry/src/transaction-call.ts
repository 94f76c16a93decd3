import type { Attempt, Failure, Phase, Resolution } from '@outlast/core-retry';
import {
  type Check,
  checkOptions,
  type FramedBody,
  type Known,
  nonEmptyText,
  TRANSACTION_BOUNDS,
  type TransactionBounds,
  TransactionFrame,
} from '@outlast/core-retry/connector';
import { classifyMysql, discards, isStatementTimeout } from './classify.js';
import { isUsable, stateOf } from './connection-state.js';
import { dropSocket, type PoolConnection } from './driver.js';
import { type LostCommit, MARKER_TABLE } from './markers.js';
import type { PoolCore } from './pool-core.js';
import { Transaction } from './transaction.js';

/** InnoDB's isolation levels, as `SET TRANSACTION` has them. */
export type IsolationLevel =
  | 'read uncommitted'
  | 'read committed'
  | 'repeatable read'
  | 'serializable';

/** Options of `pool.transaction()`. */
export interface TransactionOptions extends TransactionBounds {
  /** Default: the session's. */
  readonly isolation?: IsolationLevel;
  /**
   * Writes a row of its own in the same transaction, so that a lost COMMIT can be resolved: true for the
   * table `outlast_commit_markers` of the connection's database, or the name of another. Default false.
   */
  readonly commitMarker?: boolean | { readonly table: string };
}

/** What runs in a transaction; may run more than once. */
export type TransactionBody<T> = FramedBody<T, Transaction>;

const ROLLBACK_TIMEOUT_MS = 5000;
const LEVELS: readonly unknown[] = [
  'read uncommitted',
  'read committed',
  'repeatable read',
  'serializable',
];
const isLevel: Check = (value) =>
  LEVELS.includes(value)
    ? undefined
    : "'read uncommitted', 'read committed', 'repeatable read' or 'serializable'";
const isMarker: Check = (value) => {
  if (typeof value === 'boolean') return undefined;
  const table = (value as { table?: unknown } | null)?.table;
  return nonEmptyText(table) === undefined ? undefined : 'true, false or { table: <name> }';
};

const KNOWN: Known<TransactionOptions> = {
  ...TRANSACTION_BOUNDS,
  isolation: isLevel,
  commitMarker: isMarker,
};

/** One `pool.transaction()` on MySQL or MariaDB. */
export class TransactionCall<T> extends TransactionFrame<T, PoolConnection, Transaction> {
  readonly #core: PoolCore;
  readonly #options: TransactionOptions;
  /** The table of its marker, if it has one. */
  readonly #table: string | undefined;
  #lost: LostCommit | undefined;
  #why = 'it had no commit marker';

  constructor(
    core: PoolCore,
    body: TransactionBody<T>,
    options: TransactionOptions,
    operation = 'mysql.transaction',
  ) {
    checkOptions('transaction', options, KNOWN);
    super(core, body, options, operation);
    this.#core = core;
    this.#options = options;
    this.#table = markerTable(options);
  }

  /** Until COMMIT is sent nothing can have been applied; what the callback throws is its own affair. */
  classify(error: unknown, phase: Phase): Failure {
    if (phase !== 'sent') return classifyMysql(error, phase);
    const verdict = this.transaction?.verdict(error);
    return verdict === undefined
      ? { ...classifyMysql(error, phase), transient: false, outcome: 'not-applied' }
      : { ...this.#core.connector.asWanted(error, verdict), outcome: 'not-applied' };
  }

  async resolve(_failure: Failure, attempt: Attempt): Promise<Resolution<T>> {
    if (this.#lost === undefined) return { outcome: 'unknown' };
    const verdict = await this.#core.markers.resolve(this.#lost, attempt, this.bounded);
    if (verdict === 'applied') return this.applied();
    if (verdict === 'not-applied') return { outcome: 'not-applied' };
    this.#why = verdict.unknown;
    return { outcome: 'unknown' };
  }

  protected async acquire(attempt: Attempt): Promise<PoolConnection> {
    this.#lost = undefined;
    const connection = await this.#core.connector.acquire(attempt, this, this.bounded);
    if (this.#table !== undefined || this.bounded) await this.#prepare(connection);
    return connection;
  }

  /** What has to be known, and to be there, before the transaction begins. */
  async #prepare(connection: PoolConnection): Promise<void> {
    try {
      await this.#core.identify(connection);
      if (this.#table !== undefined) await this.#core.markers.ensure(connection, this.#table);
    } catch (error) {
      if (isUsable(connection) && !discards(error)) connection.release();
      else dropSocket(connection);
      throw error;
    }
  }

  protected wrap(connection: PoolConnection): Transaction {
    return new Transaction(connection);
  }

  protected async open(connection: PoolConnection, transaction: Transaction): Promise<void> {
    const { isolation, readOnly } = this.#options;
    // Holds for the next transaction, whosever that is: if it does not begin, the connection must go.
    if (isolation !== undefined) {
      stateOf(connection).poisoned = true;
      await transaction.own(`SET TRANSACTION ISOLATION LEVEL ${isolation.toUpperCase()}`);
    }
    await transaction.own(readOnly === true ? 'START TRANSACTION READ ONLY' : 'START TRANSACTION');
    stateOf(connection).poisoned = false;
  }

  protected async commit(
    connection: PoolConnection,
    transaction: Transaction,
    attempt: Attempt,
  ): Promise<void> {
    const { markers } = this.#core;
    let lost: LostCommit | undefined;
    if (this.#table !== undefined) {
      const id = markers.newId();
      await transaction.own(markers.insertion(this.#table, id, 0));
      lost = { table: this.#table, id, session: stateOf(connection).identity ?? null };
    }
    if (transaction.poison !== undefined) throw transaction.poison.error;
    this.#lost = lost;
    attempt.phase = 'commit';
    await transaction.own('COMMIT');
  }

  protected abandon(connection: PoolConnection): void {
    void this.#core.stop(connection);
  }

  protected release(connection: PoolConnection): void {
    connection.release();
    if (this.#table !== undefined) this.#core.markers.sweep(this.#table);
  }

  protected get why(): string {
    return this.#why;
  }

  /** Rolls back where there is something to roll back with; what cannot be cleaned is dropped. */
  protected async close(
    connection: PoolConnection,
    transaction: Transaction,
    error: unknown,
  ): Promise<void> {
    transaction.end(error);
    if (isStatementTimeout(error)) return this.#core.stop(connection);
    const { connector } = this.#core;
    if (connector.isDemotion(error)) return connector.demoted(connection, error);
    if (!isUsable(connection) || discards(error)) return dropSocket(connection);
    const { clock } = this.#core.policy.settings;
    await new Promise<void>((resolve) => {
      let done = false;
      const finish = (clean: boolean): void => {
        if (done) return;
        done = true;
        timer.cancel();
        if (clean) {
          stateOf(connection).cleaned();
          connection.release();
        } else dropSocket(connection);
        resolve();
      };
      const timer = clock.setTimeout(() => finish(false), ROLLBACK_TIMEOUT_MS);
      connection.query('ROLLBACK', (failure) => finish(!failure));
    });
  }
}

function markerTable({ commitMarker, readOnly }: TransactionOptions): string | undefined {
  if (commitMarker === undefined || commitMarker === false || readOnly === true) return undefined;
  return commitMarker === true ? MARKER_TABLE : commitMarker.table;
}
