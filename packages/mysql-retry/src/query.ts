import {
  type Attempt,
  type CallOptions,
  type Failure,
  isProgrammersError,
  type Phase,
} from '@outlast/core-retry';
import type { Patience, QueryExtras } from '@outlast/core-retry/connector';
import { discards, isServerError, isStatementTimeout } from './classify.js';
import { stateOf } from './connection-state.js';
import { type Callback, type Command, dropSocket, type PoolConnection } from './driver.js';
import { wasNeverSent } from './marks.js';
import type { PoolCore } from './pool-core.js';
import { type Answer, looksLikeRead, NotARead, replayRead } from './reads.js';
import { classifyStatement, textOf } from './statement-outcome.js';
import { carriesRawSql } from './values.js';

export type Method = 'query' | 'execute';

/**
 * One `query` or `execute` of the pool: what the policy calls once an attempt, and what it asks when an
 * answer was lost. The acquisition and the statement are two steps, so that it is known whether anything
 * was sent.
 */
export class QueryCall implements CallOptions<Answer>, Patience {
  readonly operation: string;
  declare readonly signal: AbortSignal;
  declare readonly totalTimeoutMs: number;
  readonly #core: PoolCore;
  readonly #method: Method;
  readonly #sql: unknown;
  readonly #values: unknown;
  readonly #idempotent: boolean;
  readonly #bounded: boolean;
  /** It may have to be stopped, so that its session must be known. */
  readonly #stoppable: boolean;
  #leftMs: number;
  #connection: PoolConnection | undefined;
  #stopping: Promise<void> | undefined;
  #lost: unknown;
  #guarded = false;
  #refused = false;

  constructor(
    core: PoolCore,
    method: Method,
    sql: unknown,
    values: unknown,
    extras: QueryExtras | undefined,
  ) {
    this.operation = method === 'query' ? 'mysql.query' : 'mysql.execute';
    this.#core = core;
    this.#method = method;
    this.#sql = sql;
    this.#values = values;
    this.#leftMs = core.waitMs;
    this.#idempotent = extras?.idempotent ?? core.policy.settings.idempotent;
    let { bounded } = core;
    if (extras !== undefined) {
      if (extras.signal !== undefined) this.signal = extras.signal;
      if (extras.totalTimeoutMs !== undefined) this.totalTimeoutMs = extras.totalTimeoutMs;
      bounded ||= extras.signal !== undefined || extras.totalTimeoutMs !== undefined;
    }
    this.#bounded = bounded;
    this.#stoppable =
      bounded || (typeof sql === 'object' && Boolean((sql as { timeout?: unknown }).timeout));
  }

  get leftMs(): number {
    return this.#leftMs;
  }

  set leftMs(value: number) {
    this.#leftMs = value;
  }

  run(attempt: Attempt): Promise<Answer> {
    if (this.#guarded) return this.#replay(attempt);
    const { connector } = this.#core;
    // The usual way, in callbacks: a promise a statement is what the driver's own pool costs.
    if (!this.#stoppable && !connector.mustWait()) {
      attempt.phase = 'acquire';
      return new Promise((resolve, reject) => {
        connector.checkOut((error, connection) => {
          if (connection !== undefined) this.#send(connection, attempt, resolve, reject);
          else if (connector.isOutage(error)) {
            connector.reconnect.failed(error);
            this.#acquire(attempt).then(
              (late) => this.#send(late, attempt, resolve, reject),
              reject,
            );
          } else reject(connector.judged(error));
        });
      });
    }
    return this.#acquire(attempt).then(
      (connection) =>
        new Promise((resolve, reject) => {
          this.#send(connection, attempt, resolve, reject);
        }),
    );
  }

  /** What looks like a read may run again: its replay is guarded, and refuses what is none after all. */
  get idempotent(): boolean {
    return this.#idempotent || this.#guarded;
  }

  classify(error: unknown, phase: Phase): Failure {
    const { connector } = this.#core;
    const failure = connector.asWanted(error, classifyStatement(error, phase, textOf(this.#sql)));
    // Until a replay has shown that it only reads its outcome stays unknown.
    if (failure.outcome === 'unknown') this.#guarded = !this.#idempotent && this.#mayBeRead();
    return failure;
  }

  /** An attempt took too long: wait until the server has been told to stop it. */
  stop(): Promise<void> | undefined {
    return this.#stopping;
  }

  // What the driver writes into the text by itself (raw SQL, a formatter of one's own) is not in the text.
  #mayBeRead(): boolean {
    if (this.#refused || this.#core.config.queryFormat !== undefined) return false;
    const own = (this.#sql as { values?: unknown } | null)?.values;
    if (carriesRawSql(this.#values) || carriesRawSql(own)) return false;
    return looksLikeRead(textOf(this.#sql));
  }

  async #acquire(attempt: Attempt): Promise<PoolConnection> {
    const { connector } = this.#core;
    const connection = await connector.acquire(attempt, this, this.#bounded);
    if (this.#stoppable) await this.#core.identify(connection);
    return connection;
  }

  #send(
    connection: PoolConnection,
    attempt: Attempt,
    resolve: (answer: Answer) => void,
    reject: (error: unknown) => void,
  ): void {
    attempt.phase = 'sent';
    this.#connection = connection;
    let command: Command | undefined;
    const finish: Callback = (error, rows, fields) => {
      // It was stopped, and its connection is gone; or the driver tells a second time.
      if (this.#connection !== connection) return;
      this.#connection = undefined;
      if (!error) {
        stateOf(connection).note(rows);
        connection.release();
        resolve([rows, fields]);
        return;
      }
      // A statement that was being prepared has executed nothing.
      if (wasNeverSent(command)) attempt.phase = 'acquire';
      this.#fail(connection, error, attempt, reject);
    };
    if (this.#bounded) this.#stopOnAbort(connection, attempt);
    try {
      command =
        this.#values === undefined
          ? connection[this.#method](this.#sql, finish)
          : connection[this.#method](this.#sql, this.#values, finish);
    } catch (error) {
      // The driver refused the arguments; the connection has not been touched.
      this.#connection = undefined;
      attempt.phase = 'acquire';
      connection.release();
      reject(error);
    }
  }

  #fail(
    connection: PoolConnection,
    error: unknown,
    attempt: Attempt,
    reject: (error: unknown) => void,
  ): void {
    if (isServerError(error)) {
      if (this.#core.connector.isDemotion(error)) {
        this.#core.connector.demoted(connection, error);
      } else if (discards(error)) dropSocket(connection);
      else connection.release();
      reject(error);
      return;
    }
    if (isProgrammersError(error)) {
      // A value that cannot be written: nothing was.
      attempt.phase = 'acquire';
      dropSocket(connection);
      reject(error);
      return;
    }
    this.#lost = error;
    if (isStatementTimeout(error)) {
      this.#core.stop(connection).then(() => reject(error), reject);
      return;
    }
    dropSocket(connection);
    reject(error);
  }

  #stopOnAbort(connection: PoolConnection, { signal }: Attempt): void {
    const stop = (): void => {
      if (this.#connection !== connection) return;
      this.#connection = undefined;
      this.#lost = signal.reason;
      this.#stopping = this.#core.stop(connection);
    };
    signal.addEventListener('abort', stop, { once: true });
  }

  async #replay(attempt: Attempt): Promise<Answer> {
    const connection = await this.#acquire(attempt);
    attempt.phase = 'sent';
    this.#connection = connection;
    if (this.#bounded) this.#stopOnAbort(connection, attempt);
    const settle =
      (resolve: (answer: Answer) => void, reject: (error: unknown) => void): Callback =>
      (error, rows, fields) => {
        if (error) reject(error);
        else resolve([rows, fields]);
      };
    const run = (sql: string, values: unknown[] = []): Promise<Answer> =>
      new Promise((resolve, reject) => {
        const plain = { sql, values, rowsAsArray: false, nestTables: false, typeCast: true };
        connection.query({ ...plain, namedPlaceholders: false }, settle(resolve, reject));
      });
    const read = (): Promise<Answer> =>
      new Promise((resolve, reject) => {
        if (this.#values === undefined)
          connection[this.#method](this.#sql, settle(resolve, reject));
        else connection[this.#method](this.#sql, this.#values, settle(resolve, reject));
      });
    try {
      const answer = await replayRead(run, textOf(this.#sql), read);
      this.#release(connection);
      return answer;
    } catch (error) {
      const refused = error instanceof NotARead;
      if (isStatementTimeout(error)) await this.#core.stop(connection);
      this.#release(connection, !refused && (!isServerError(error) || discards(error)));
      if (!refused) throw error;
      this.#refused = true;
      throw this.#lost;
    }
  }

  #release(connection: PoolConnection, broken = false): void {
    if (this.#connection !== connection) return;
    this.#connection = undefined;
    if (broken) dropSocket(connection);
    else connection.release();
  }
}
