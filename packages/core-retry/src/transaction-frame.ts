import type { Attempt } from './attempt.js';
import type { CallOptions, Resolution } from './call.js';
import { CommitOutcomeUnknownError } from './errors.js';
import type { Failure, Phase } from './failure.js';
import { isOutcomeUnknown, mark, retryInfo } from './marks.js';
import {
  abortSignal,
  duration,
  flag,
  invalidOption,
  type Known,
  wholeNumber,
} from './options-check.js';
import type { Patience } from './reconnect.js';
import type { RetryPolicy } from './retry-policy.js';

/** What a transaction callback is told beside its transaction. */
export interface TransactionContext {
  /** From 1: the callback runs again after contention (a deadlock …) or a lost connection. */
  readonly attempt: number;
  /** Aborted when the attempt is given up. */
  readonly signal: AbortSignal;
}

/** What the frame needs of the transaction that a callback is given. */
export interface OpenTransaction {
  /** The error that ended the transaction, whatever the callback made of it. */
  readonly poison: { readonly error: unknown } | undefined;
  /** From here on nothing of the callback reaches the server; `error` is what it is told. */
  end(error?: unknown): void;
}

/** What a pool lends to its transactions. */
export interface TransactionLender {
  readonly policy: RetryPolicy;
  /** Patience of one operation, in milliseconds. */
  readonly waitMs: number;
  /** Whether the policy itself sets a time or a signal, so that attempts must be stoppable. */
  readonly bounded: boolean;
}

/** The options of a transaction that mean the same in every database. */
export interface TransactionBounds {
  /** READ ONLY: replayed whenever its connection is lost. Default false. */
  readonly readOnly?: boolean;
  /** All runs of the callback, the first included. Default: the pool's. */
  readonly maxAttempts?: number;
  /** Bound on everything, in milliseconds. Default: the pool's. */
  readonly totalTimeoutMs?: number;
  /** Ends the transaction: what runs is stopped on the server, and it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** What is valid of {@link TransactionBounds}. */
export const TRANSACTION_BOUNDS: Known<TransactionBounds> = {
  readOnly: flag,
  maxAttempts: wholeNumber(1, true),
  totalTimeoutMs: duration({ min: 1, infinite: true }),
  signal: abortSignal,
};

/** What runs in a transaction; may run more than once. */
export type FramedBody<T, X> = (tx: X, context: TransactionContext) => T | PromiseLike<T>;

/**
 * One `pool.transaction()` of a database: the whole callback is what may be replayed. A connector says how
 * its database opens, commits and gives up; the order of it all, and that a connection is given back
 * exactly once whatever happens meanwhile, is said here.
 *
 * Its own state is private, for a policy reads every enumerable key of a call as an option.
 */
export abstract class TransactionFrame<T, C, X extends OpenTransaction>
  implements CallOptions<T>, Patience
{
  readonly operation: string;
  readonly idempotent: boolean;
  declare readonly maxAttempts: number;
  declare readonly totalTimeoutMs: number;
  declare readonly signal: AbortSignal;
  readonly #lender: TransactionLender;
  readonly #body: FramedBody<T, X>;
  readonly #bounded: boolean;
  #leftMs: number;
  #transaction: X | undefined;
  #value: { readonly value: T } | undefined;

  /** @throws OptionError if `body` is not a function */
  constructor(
    lender: TransactionLender,
    body: FramedBody<T, X>,
    options: TransactionBounds,
    operation: string,
  ) {
    if (typeof body !== 'function') throw invalidOption('transaction(fn)', body, 'a function');
    this.operation = operation;
    this.#lender = lender;
    this.#body = body;
    this.#leftMs = lender.waitMs;
    // What changed nothing is replayed, never resolved.
    this.idempotent = options.readOnly === true;
    if (options.maxAttempts !== undefined) this.maxAttempts = options.maxAttempts;
    if (options.totalTimeoutMs !== undefined) this.totalTimeoutMs = options.totalTimeoutMs;
    if (options.signal !== undefined) this.signal = options.signal;
    this.#bounded =
      lender.bounded || options.signal !== undefined || options.totalTimeoutMs !== undefined;
  }

  get leftMs(): number {
    return this.#leftMs;
  }

  set leftMs(value: number) {
    this.#leftMs = value;
  }

  /** Whether its attempts may be given up while they run. */
  protected get bounded(): boolean {
    return this.#bounded;
  }

  /** The transaction of the present run, once there is one. */
  protected get transaction(): X | undefined {
    return this.#transaction;
  }

  async execute(): Promise<T> {
    try {
      return await this.#lender.policy.execute((attempt) => this.#run(attempt), this);
    } catch (error) {
      throw this.#surfacing(error);
    }
  }

  abstract classify(error: unknown, phase: Phase): Failure;
  abstract resolve(failure: Failure, attempt: Attempt): Promise<Resolution<T>>;

  /** A connection of its own; also what has to be known or made before the transaction begins. */
  protected abstract acquire(attempt: Attempt): Promise<C>;
  /** What the callback is given. */
  protected abstract wrap(connection: C): X;
  /** BEGIN, in whatever words. */
  protected abstract open(connection: C, transaction: X): Promise<void>;
  /** Sets `attempt.phase` to `commit` just before the statement whose loss leaves the outcome unknown. */
  protected abstract commit(connection: C, transaction: X, attempt: Attempt): Promise<void>;
  /** After a failure: rolls back and gives the connection back, or drops it. Bounded in time, never rejects. */
  protected abstract close(connection: C, transaction: X, error: unknown): Promise<void>;
  /** Stops on the server what the connection runs, and drops it. */
  protected abstract abandon(connection: C): void;
  /** Gives back a connection whose transaction was committed. */
  protected abstract release(connection: C): void;
  /** Why nobody can tell what became of a lost COMMIT. */
  protected abstract get why(): string;

  /** The verdict on a lost COMMIT that has its effect. */
  protected applied(): Resolution<T> {
    return this.#value === undefined
      ? { outcome: 'unknown' }
      : { outcome: 'applied', value: this.#value.value };
  }

  #surfacing(error: unknown): unknown {
    const info = retryInfo(error);
    if (info?.reason !== 'outcome-unknown' || !isOutcomeUnknown(error)) return error;
    const unknown = new CommitOutcomeUnknownError(this.why, { cause: error });
    return mark(unknown, info, this.#lender.policy, this);
  }

  async #run(attempt: Attempt): Promise<T> {
    this.#value = undefined;
    this.#transaction = undefined;
    const connection = await this.acquire(attempt);
    attempt.phase = 'sent';
    const transaction = this.wrap(connection);
    this.#transaction = transaction;
    let gone = false;
    const abort = (): void => {
      transaction.end(attempt.signal.reason);
      if (gone) return;
      gone = true;
      this.abandon(connection);
    };
    if (this.#bounded) attempt.signal.addEventListener('abort', abort, { once: true });
    try {
      await this.open(connection, transaction);
      const value = await this.#body(transaction, contextOf(attempt));
      if (transaction.poison !== undefined) throw transaction.poison.error;
      this.#value = { value };
      await this.commit(connection, transaction, attempt);
      transaction.end();
      if (!gone) this.release(connection);
      gone = true;
      return value;
    } catch (error) {
      const cause = transaction.poison === undefined ? error : transaction.poison.error;
      if (!gone) {
        gone = true;
        await this.close(connection, transaction, cause);
      }
      throw cause;
    }
  }
}

function contextOf(attempt: Attempt): TransactionContext {
  return {
    attempt: attempt.number,
    get signal() {
      return attempt.signal;
    },
  };
}
