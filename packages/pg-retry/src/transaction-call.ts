import type { Attempt, Failure, Phase, Resolution } from '@outlast/core-retry';
import {
  type Check,
  callable,
  checkOptions,
  type FramedBody,
  flag,
  type Known,
  TRANSACTION_BOUNDS,
  type TransactionBounds,
  TransactionFrame,
} from '@outlast/core-retry/connector';
import type driver from 'pg';
import { cancelStatement } from './cancel.js';
import { classifyPg, DEMOTED, isFatal, isReadOnlyRefusal, isServerError } from './classify.js';
import { type CommitMarkerOption, markerTable, type SentMarker } from './commit-marker.js';
import { isReadTimeout } from './marks.js';
import { searchOutcome } from './outcome-search.js';
import type { PoolCore } from './pool-core.js';
import { healed } from './prepared.js';
import type { TrackedTransaction, Verdict } from './resolve.js';
import type { TrackingKind } from './server-facts.js';
import { Transaction } from './transaction.js';

/** PostgreSQL's isolation levels, as `SET TRANSACTION` has them. */
export type IsolationLevel = 'read committed' | 'repeatable read' | 'serializable';

/** Options of `pool.transaction()`. */
export interface TransactionOptions extends TransactionBounds {
  /** Default: the server's. */
  readonly isolation?: IsolationLevel;
  /** DEFERRABLE, of use with `serializable` and `readOnly`. Default false. */
  readonly deferrable?: boolean;
  /**
   * Asks for the transaction's id with BEGIN, so that a lost COMMIT can be resolved. Default true; false
   * gives a plain BEGIN, for what must come before the first snapshot.
   */
  readonly trackCommit?: boolean;
  /**
   * Writes a row with a unique id in the same transaction (table `outlast_commit_markers`, made on first
   * use), so that a lost COMMIT can be resolved on servers that do not follow transactions or do not let
   * this role ask. Takes the place of `trackCommit`. Costs an INSERT, and no round trip. Default false.
   */
  readonly commitMarker?: CommitMarkerOption;
  /**
   * Asked when the server cannot say what became of a lost COMMIT: true if its effect is there, false if
   * it is not, undefined if that cannot be told either.
   */
  readonly verifyCommit?: (lost: {
    readonly xid: string | undefined;
  }) => boolean | undefined | Promise<boolean | undefined>;
}

/** What runs in a transaction; may run more than once. */
export type TransactionBody<T> = FramedBody<T, Transaction>;

const ROLLBACK_TIMEOUT_MS = 5000;
const IN_FAILED_TRANSACTION = '25P02';
const LEVELS: readonly unknown[] = ['read committed', 'repeatable read', 'serializable'];
const isLevel: Check = (value) =>
  LEVELS.includes(value) ? undefined : "'read committed', 'repeatable read' or 'serializable'";

const KNOWN: Known<TransactionOptions> = {
  ...TRANSACTION_BOUNDS,
  isolation: isLevel,
  deferrable: flag,
  trackCommit: flag,
  commitMarker: undefined,
  verifyCommit: callable,
};

/** One `pool.transaction()` on PostgreSQL. */
export class TransactionCall<T> extends TransactionFrame<T, driver.PoolClient, Transaction> {
  readonly #core: PoolCore;
  readonly #options: TransactionOptions;
  readonly #begin: string;
  readonly #markerTable: string | undefined;
  #marker: SentMarker | undefined;
  #tracked: Omit<TrackedTransaction, 'lostAtSerial'> | undefined;
  #lostAtSerial = 0;
  #demoted: unknown;
  // A prepared name failed: the next run does without them.
  #nameless = false;
  #why = 'the server does not follow transactions';

  constructor(
    core: PoolCore,
    body: TransactionBody<T>,
    options: TransactionOptions,
    operation = 'pg.transaction',
  ) {
    checkOptions('transaction', options, KNOWN);
    super(core, body, options, operation);
    this.#core = core;
    this.#options = options;
    this.#begin = beginText(options);
    const table = markerTable(options.commitMarker);
    this.#markerTable = options.readOnly === true ? undefined : table;
  }

  /** Until COMMIT is sent nothing can have been applied; what the callback throws is its own affair. */
  classify(error: unknown, phase: Phase): Failure {
    if (phase === 'acquire' || phase === 'connect') return classifyPg(error, phase);
    if (error === this.#demoted) return DEMOTED;
    const drivers = this.transaction?.threw(error) === true;
    if (phase === 'commit') return classifyPg(error, phase);
    const failure = classifyPg(error, phase);
    if (!this.#nameless && this.transaction?.lostName(error) === true) {
      this.#nameless = true;
      return healed(failure);
    }
    return { ...failure, transient: drivers && failure.transient, outcome: 'not-applied' };
  }

  async resolve(_failure: Failure, attempt: Attempt): Promise<Resolution<T>> {
    const verdict = await this.#verdict(attempt);
    if (verdict === 'committed') return this.applied();
    if (verdict === 'aborted') return { outcome: 'not-applied' };
    if (verdict !== undefined) this.#why = verdict.unknown;
    const verified = await this.#options.verifyCommit?.({ xid: this.#tracked?.xid });
    if (verified === undefined) return { outcome: 'unknown' };
    return verified ? this.applied() : { outcome: 'not-applied' };
  }

  #verdict(attempt: Attempt): Promise<Verdict> | undefined {
    const core = this.#core;
    const marker = this.#marker;
    if (marker !== undefined) {
      return searchOutcome(core, attempt, this.bounded, (client) =>
        core.markers.resolve(marker, client),
      );
    }
    if (this.#tracked === undefined) return undefined;
    const transaction = { ...this.#tracked, lostAtSerial: this.#lostAtSerial };
    return core.tracker.resolve(transaction, attempt, this.bounded);
  }

  protected async acquire(attempt: Attempt): Promise<driver.PoolClient> {
    this.#tracked = undefined;
    this.#marker = undefined;
    const { connector, markers } = this.#core;
    const acquire = (): Promise<driver.PoolClient> =>
      connector.acquire(attempt, this, this.bounded);
    // Before it has a client of its own, for the pool may have but one.
    if (this.#markerTable !== undefined) await markers.ensure(this.#markerTable, acquire);
    return acquire();
  }

  protected wrap(client: driver.PoolClient): Transaction {
    return new Transaction(client, this.#nameless);
  }

  protected async open(client: driver.PoolClient, transaction: Transaction): Promise<void> {
    const { trackCommit = true, readOnly = false } = this.#options;
    const send = (text: string): Promise<driver.QueryResult> =>
      note(transaction, () => client.query(text));
    const table = this.#markerTable;
    if (table !== undefined) {
      const { markers } = this.#core;
      this.#marker = await note(transaction, () => markers.prepare(table, client));
    }
    if (!trackCommit || readOnly || table !== undefined) {
      await send(this.#begin);
      return;
    }
    const { tracker } = this.#core;
    const kind: TrackingKind = await note(transaction, () => tracker.kind(client));
    if (kind === 'none') {
      await send(this.#begin);
      return;
    }
    const state = this.#core.stateOf(client);
    const results = (await send(
      `${this.#begin}; ${tracker.question(kind, state)}`,
    )) as unknown as driver.QueryResult[];
    this.#tracked = tracker.opened(kind, state, results[1]?.rows[0]);
  }

  protected async commit(
    client: driver.PoolClient,
    transaction: Transaction,
    attempt: Attempt,
  ): Promise<void> {
    this.#lostAtSerial = this.#core.newestSerial();
    attempt.phase = 'commit';
    const { command } = this.#marker
      ? await this.#commitWith(this.#marker, client, transaction, attempt)
      : await note(transaction, () => client.query('COMMIT'));
    if (command === 'COMMIT') return;
    // The server rolls back what an error had aborted, and calls that a success.
    attempt.phase = 'sent';
    throw transaction.abortedBy ?? new Error(`COMMIT was answered with ${command}`);
  }

  async #commitWith(
    marker: SentMarker,
    client: driver.PoolClient,
    transaction: Transaction,
    attempt: Attempt,
  ): Promise<driver.QueryResult> {
    const text = this.#core.markers.commitText(marker);
    try {
      const results = (await note(transaction, () =>
        client.query(text),
      )) as unknown as driver.QueryResult[];
      return results.at(-1) as driver.QueryResult;
    } catch (error) {
      if (!isServerError(error) || isFatal(error)) throw error;
      // What the server refuses here was refused before COMMIT, or rolled back by it.
      attempt.phase = 'sent';
      const aborted = (error as { code?: unknown }).code === IN_FAILED_TRANSACTION;
      throw aborted ? (transaction.abortedBy ?? error) : error;
    }
  }

  /** Rolls back where there is something to roll back with; a client that cannot be cleaned is dropped. */
  protected async close(
    client: driver.PoolClient,
    transaction: Transaction,
    error: unknown,
  ): Promise<void> {
    const drop = (): void => client.release(error instanceof Error ? error : true);
    transaction.end(error);
    if (isReadTimeout(error)) {
      await cancelStatement(client);
      return drop();
    }
    const state = this.#core.stateOf(client);
    if (!state.alive || state.poisoned || transaction.unfit) return drop();
    if (!(await this.#rolledBack(client))) return drop();
    if (isReadOnlyRefusal(error) && this.#options.readOnly !== true) {
      if (await this.#core.connector.isDemoted(client)) this.#demoted = error;
      return drop();
    }
    client.release();
  }

  protected abandon(client: driver.PoolClient): void {
    void cancelStatement(client);
    client.release(true);
  }

  protected release(client: driver.PoolClient): void {
    client.release();
    if (this.#markerTable !== undefined) this.#core.markers.sweep(this.#markerTable);
  }

  protected get why(): string {
    return this.#why;
  }

  #rolledBack(client: driver.PoolClient): Promise<boolean> {
    const { clock } = this.#core.policy.settings;
    return new Promise((resolve) => {
      const timer = clock.setTimeout(() => resolve(false), ROLLBACK_TIMEOUT_MS);
      client
        .query('ROLLBACK')
        .then(
          () => resolve(true),
          () => resolve(false),
        )
        .finally(() => timer.cancel());
    });
  }
}

async function note<R>(transaction: Transaction, send: () => Promise<R>): Promise<R> {
  try {
    return await send();
  } catch (error) {
    transaction.note(error);
    throw error;
  }
}

function beginText({ isolation, readOnly, deferrable }: TransactionOptions): string {
  const modes = [
    isolation === undefined ? '' : ` ISOLATION LEVEL ${isolation.toUpperCase()}`,
    readOnly === true ? ' READ ONLY' : '',
    deferrable === true ? ' DEFERRABLE' : '',
  ];
  return `BEGIN${modes.join('')}`;
}
