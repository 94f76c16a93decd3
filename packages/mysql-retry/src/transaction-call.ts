import {
  type Attempt,
  type CallOptions,
  CommitOutcomeUnknownError,
  type Failure,
  isOutcomeUnknown,
  type Phase,
  type Resolution,
  retryInfo,
} from '@outlast/core-retry';
import type { Patience } from '@outlast/core-retry/connector';
import {
  abortSignal,
  type Check,
  checkOptions,
  duration,
  flag,
  invalidOption,
  type Known,
  mark,
  nonEmptyText,
  wholeNumber,
} from '@outlast/core-retry/connector';
import { classifyMysql, discards, isStatementTimeout } from './classify.js';
import { isUsable, stateOf } from './connection-state.js';
import { dropSocket, type PoolConnection } from './driver.js';
import { type LostCommit, MARKER_TABLE } from './markers.js';
import type { PoolCore } from './pool-core.js';
import { Transaction, type TransactionContext } from './transaction.js';

/** InnoDB's isolation levels, as `SET TRANSACTION` has them. */
export type IsolationLevel =
  | 'read uncommitted'
  | 'read committed'
  | 'repeatable read'
  | 'serializable';

/** Options of `pool.transaction()`. */
export interface TransactionOptions {
  /** Default: the session's. */
  readonly isolation?: IsolationLevel;
  /** READ ONLY: replayed whenever its connection is lost. Default false. */
  readonly readOnly?: boolean;
  /**
   * Writes a row of its own in the same transaction, so that a lost COMMIT can be resolved: true for the
   * table `outlast_commit_markers` of the connection's database, or the name of another. Default false.
   */
  readonly commitMarker?: boolean | { readonly table: string };
  /** All runs of the callback, the first included. Default: the pool's. */
  readonly maxAttempts?: number;
  /** Bound on everything, in milliseconds. */
  readonly totalTimeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** What runs in a transaction; may run more than once. */
export type TransactionBody<T> = (
  tx: Transaction,
  context: TransactionContext,
) => T | PromiseLike<T>;

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
  isolation: isLevel,
  readOnly: flag,
  commitMarker: isMarker,
  maxAttempts: wholeNumber(1, true),
  totalTimeoutMs: duration({ min: 1, infinite: true }),
  signal: abortSignal,
};

/** One `pool.transaction()`: the whole callback is what may be replayed. */
export class TransactionCall<T> implements CallOptions<T>, Patience {
  readonly operation: string;
  readonly idempotent: boolean;
  declare readonly maxAttempts: number;
  declare readonly totalTimeoutMs: number;
  declare readonly signal: AbortSignal;
  readonly #core: PoolCore;
  readonly #body: TransactionBody<T>;
  readonly #options: TransactionOptions;
  readonly #bounded: boolean;
  /** The table of its marker, if it has one. */
  readonly #table: string | undefined;
  #leftMs: number;
  #transaction: Transaction | undefined;
  #lost: LostCommit | undefined;
  #value: { readonly value: T } | undefined;
  #why = 'it had no commit marker';

  constructor(
    core: PoolCore,
    body: TransactionBody<T>,
    options: TransactionOptions,
    operation = 'mysql.transaction',
  ) {
    if (typeof body !== 'function') throw invalidOption('transaction(fn)', body, 'a function');
    checkOptions('transaction', options, KNOWN);
    this.operation = operation;
    this.#core = core;
    this.#body = body;
    this.#options = options;
    this.#leftMs = core.waitMs;
    this.#table = markerTable(options);
    // What changed nothing is replayed, never resolved.
    this.idempotent = options.readOnly === true;
    if (options.maxAttempts !== undefined) this.maxAttempts = options.maxAttempts;
    if (options.totalTimeoutMs !== undefined) this.totalTimeoutMs = options.totalTimeoutMs;
    if (options.signal !== undefined) this.signal = options.signal;
    this.#bounded =
      core.bounded || options.signal !== undefined || options.totalTimeoutMs !== undefined;
  }

  get leftMs(): number {
    return this.#leftMs;
  }

  set leftMs(value: number) {
    this.#leftMs = value;
  }

  async execute(): Promise<T> {
    try {
      return await this.#core.policy.execute((attempt) => this.#run(attempt), this);
    } catch (error) {
      throw this.#surfacing(error);
    }
  }

  /** Until COMMIT is sent nothing can have been applied; what the callback throws is its own affair. */
  classify(error: unknown, phase: Phase): Failure {
    if (phase !== 'sent') return classifyMysql(error, phase);
    const verdict = this.#transaction?.verdict(error);
    return verdict === undefined
      ? { ...classifyMysql(error, phase), transient: false, outcome: 'not-applied' }
      : { ...this.#core.connector.asWanted(error, verdict), outcome: 'not-applied' };
  }

  async resolve(_failure: Failure, attempt: Attempt): Promise<Resolution<T>> {
    if (this.#lost === undefined || this.#value === undefined) return { outcome: 'unknown' };
    const verdict = await this.#core.markers.resolve(this.#lost, attempt, this.#bounded);
    if (verdict === 'applied') return { outcome: 'applied', value: this.#value.value };
    if (verdict === 'not-applied') return { outcome: 'not-applied' };
    this.#why = verdict.unknown;
    return { outcome: 'unknown' };
  }

  #surfacing(error: unknown): unknown {
    const info = retryInfo(error);
    if (info?.reason !== 'outcome-unknown' || !isOutcomeUnknown(error)) return error;
    const unknown = new CommitOutcomeUnknownError(this.#why, { cause: error });
    return mark(unknown, info, this.#core.policy, this);
  }

  async #run(attempt: Attempt): Promise<T> {
    this.#value = undefined;
    this.#lost = undefined;
    this.#transaction = undefined;
    const connection = await this.#core.connector.acquire(attempt, this, this.#bounded);
    if (this.#table !== undefined || this.#bounded) await this.#prepare(connection);
    attempt.phase = 'sent';
    const transaction = new Transaction(connection);
    this.#transaction = transaction;
    let gone = false;
    const abort = (): void => {
      transaction.end(attempt.signal.reason);
      if (gone) return;
      gone = true;
      void this.#core.stop(connection);
    };
    if (this.#bounded) attempt.signal.addEventListener('abort', abort, { once: true });
    try {
      await this.#open(connection, transaction);
      const value = await this.#body(transaction, contextOf(attempt));
      if (transaction.poison !== undefined) throw transaction.poison.error;
      this.#value = { value };
      await this.#commit(connection, transaction, attempt);
      transaction.end();
      if (!gone) connection.release();
      gone = true;
      if (this.#table !== undefined) this.#core.markers.sweep(this.#table);
      return value;
    } catch (error) {
      const cause = transaction.poison === undefined ? error : transaction.poison.error;
      if (!gone) {
        gone = true;
        await this.#close(connection, transaction, cause);
      }
      throw cause;
    }
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

  async #open(connection: PoolConnection, transaction: Transaction): Promise<void> {
    const { isolation, readOnly } = this.#options;
    // Holds for the next transaction, whosever that is: if it does not begin, the connection must go.
    if (isolation !== undefined) {
      stateOf(connection).poisoned = true;
      await transaction.own(`SET TRANSACTION ISOLATION LEVEL ${isolation.toUpperCase()}`);
    }
    await transaction.own(readOnly === true ? 'START TRANSACTION READ ONLY' : 'START TRANSACTION');
    stateOf(connection).poisoned = false;
  }

  async #commit(
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

  /** Rolls back where there is something to roll back with; what cannot be cleaned is dropped. */
  async #close(
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

function contextOf(attempt: Attempt): TransactionContext {
  return {
    attempt: attempt.number,
    get signal() {
      return attempt.signal;
    },
  };
}
