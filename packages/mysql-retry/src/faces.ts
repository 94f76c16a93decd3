import type { RetryPolicy } from '@outlast/core-retry';
import type {
  Pool as CallbackDriverPool,
  ExecuteValues,
  FieldPacket,
  QueryError,
  QueryResult,
  QueryValues,
} from 'mysql2';
import type { Pool as PromiseDriverPool } from 'mysql2/promise';
import type { Health } from './health.js';
import type { RetryQueryOptions } from './options.js';
import type { TransactionBody, TransactionOptions } from './transaction-call.js';

/** What both faces of a pool have beside the driver's own. */
interface Outlasting {
  /** Retries, and tells what happens: `pool.policy.on('retry', …)`. */
  readonly policy: RetryPolicy;
  /**
   * Runs `fn` in a transaction, and again as a whole when the server rolled it back (deadlock, lock wait
   * timeout) or its connection was lost before COMMIT.
   *
   * @throws the driver's error; CommitOutcomeUnknownError if nobody can say what became of the COMMIT;
   *   whatever `fn` throws, after ROLLBACK
   */
  transaction<T>(fn: TransactionBody<T>, options?: TransactionOptions): Promise<T>;
  /**
   * Makes the table of commit markers, where it is missing. Default `outlast_commit_markers`.
   *
   * @throws OptionError with the statement to run, if this user may not make it
   */
  createMarkerTable(table?: string): Promise<void>;
  /** Asks the server a small question. Never rejects. */
  healthCheck(): Promise<Health>;
}

type Answered<T extends QueryResult> = Promise<[T, FieldPacket[]]>;
type Done<T extends QueryResult> = (
  err: QueryError | null,
  result: T,
  fields: FieldPacket[],
) => unknown;

/** The pool of promises that outlasts the outages of its server. Same methods, events and errors. */
export interface PromiseFace extends PromiseDriverPool, Outlasting {
  query<T extends QueryResult>(sql: string, values?: QueryValues): Answered<T>;
  query<T extends QueryResult>(options: RetryQueryOptions, values?: QueryValues): Answered<T>;
  execute<T extends QueryResult>(sql: string, values?: ExecuteValues): Answered<T>;
  execute<T extends QueryResult>(options: RetryQueryOptions, values?: ExecuteValues): Answered<T>;
  /** The same pool, with the driver's callbacks. */
  pool: CallbackFace;
}

/** The driver's overloads, and those with our options. */
type Asking<Theirs, Values> = Theirs &
  (<T extends QueryResult>(options: RetryQueryOptions, callback?: Done<T>) => unknown) &
  (<T extends QueryResult>(
    options: RetryQueryOptions,
    values: Values,
    callback?: Done<T>,
  ) => unknown);

/** As {@link PromiseFace}, with the driver's callbacks. */
export interface CallbackFace extends CallbackDriverPool, Outlasting {
  query: Asking<CallbackDriverPool['query'], QueryValues>;
  execute: Asking<CallbackDriverPool['execute'], ExecuteValues>;
  promise(implementation?: PromiseConstructor): PromiseFace;
}
