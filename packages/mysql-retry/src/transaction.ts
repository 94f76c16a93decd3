import { type Failure, OptionError } from '@outlast/core-retry';
import { savepoint } from '@outlast/core-retry/connector';
import type { FieldPacket, QueryOptions, QueryResult } from 'mysql2';
import { discards, isReadOnlyServer, isServerError } from './classify.js';
import { inTransaction, stateOf } from './connection-state.js';
import type { Callback, PoolConnection } from './driver.js';
import { analyse } from './statement.js';
import { classifyStatement, textOf } from './statement-outcome.js';

const CONTROL: ReadonlySet<string> = new Set(['begin', 'commit', 'rollback', 'ends-transaction']);

/**
 * The connection inside `pool.transaction()`: `query` and `execute` as on a connection of `mysql2/promise`;
 * a nested `transaction()` is a savepoint; BEGIN, COMMIT, ROLLBACK and what commits by itself (DDL) are
 * not for the callback.
 */
export class Transaction {
  readonly #connection: PoolConnection;
  #seen: Map<unknown, Failure> | undefined;
  #poison: { readonly error: unknown } | undefined;
  #depth = 0;
  #ended = false;

  constructor(connection: PoolConnection) {
    this.#connection = connection;
  }

  query<T extends QueryResult>(sql: string, values?: unknown): Promise<[T, FieldPacket[]]>;
  query<T extends QueryResult>(
    options: QueryOptions,
    values?: unknown,
  ): Promise<[T, FieldPacket[]]>;
  query(sql: unknown, values?: unknown): Promise<unknown> {
    return this.#send('query', sql, values);
  }

  execute<T extends QueryResult>(sql: string, values?: unknown): Promise<[T, FieldPacket[]]>;
  execute<T extends QueryResult>(
    options: QueryOptions,
    values?: unknown,
  ): Promise<[T, FieldPacket[]]>;
  execute(sql: unknown, values?: unknown): Promise<unknown> {
    return this.#send('execute', sql, values);
  }

  /** The error that ended the transaction, whatever the callback made of it. */
  get poison(): { readonly error: unknown } | undefined {
    return this.#poison;
  }

  /** What an error means that the driver threw in this transaction; undefined for anybody else's. */
  verdict(error: unknown): Failure | undefined {
    return this.#seen?.get(error);
  }

  /** From here on nothing of the callback reaches the server; `error` is what it is told. */
  end(error?: unknown): void {
    this.#ended = true;
    if (error !== undefined) this.#poison ??= { error };
  }

  /**
   * Remembers what the driver threw, and whether the transaction can go on after it. After a deadlock the
   * server has rolled all of it back; after a lock wait timeout only the statement, and a COMMIT would
   * leave a part of the whole.
   */
  note(error: unknown, text: string): void {
    const failure = classifyStatement(error, 'sent', text);
    this.#seen ??= new Map();
    this.#seen.set(error, failure);
    const lost = isServerError(error) ? discards(error) : failure.transient;
    const contention = failure.category === 'contention' && failure.transient;
    if (lost || contention || isReadOnlyServer(error)) this.#poison ??= { error };
  }

  /** A savepoint: rolled back if `fn` throws, and the transaction goes on. */
  async transaction<T>(fn: (tx: Transaction) => T | PromiseLike<T>): Promise<T> {
    this.#depth += 1;
    try {
      const run = (sql: string): Promise<unknown> => this.query(sql);
      return await savepoint(this, this.#depth, run, () => fn(this));
    } finally {
      this.#depth -= 1;
    }
  }

  /** @throws always: the pool releases the connection of a transaction when it ends. */
  release(): never {
    throw new OptionError(
      'tx.release()',
      'is not for the callback: the pool releases the connection.',
    );
  }

  /** One statement of the pool's own (BEGIN, the marker, COMMIT). */
  own(sql: string): Promise<unknown> {
    return this.#run('query', { sql, namedPlaceholders: false }, undefined);
  }

  #send(method: 'query' | 'execute', sql: unknown, values: unknown): Promise<unknown> {
    const refusal = this.#refusal(sql);
    return refusal === undefined ? this.#run(method, sql, values, true) : Promise.reject(refusal);
  }

  #run(
    method: 'query' | 'execute',
    sql: unknown,
    values: unknown,
    inside = false,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const done: Callback = (error, rows, fields) => {
        if (error) {
          this.note(error, textOf(sql));
          reject(error);
          return;
        }
        stateOf(this.#connection).note(rows);
        if (inside && inTransaction(rows) === false) {
          // A statement that commits by itself, of a kind that its text did not show.
          const ended = new OptionError('tx.query()', ENDED);
          this.end(ended);
          reject(ended);
        } else resolve([rows, fields]);
      };
      if (values === undefined) this.#connection[method](sql, done);
      else this.#connection[method](sql, values, done);
    });
  }

  #refusal(sql: unknown): unknown {
    if (this.#poison !== undefined) return this.#poison.error;
    if (this.#ended) {
      return new OptionError('tx.query()', 'was called after its transaction had ended.');
    }
    return CONTROL.has(analyse(textOf(sql)).kind)
      ? new OptionError(
          'tx.query()',
          'must not begin or end the transaction, nor run what commits by itself (DDL, LOCK TABLES): return or throw instead.',
        )
      : undefined;
  }
}

const ENDED =
  'ran a statement that commits by itself: what the callback had done before it is committed, and cannot be taken back or replayed.';
