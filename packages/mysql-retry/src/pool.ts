import { errorMonitor } from 'node:events';
import type { Attempt, RetryPolicy } from '@outlast/core-retry';
import type { QueryExtras } from '@outlast/core-retry/connector';
import { discards, isServerError, isStatementTimeout } from './classify.js';
import { Connector } from './connect.js';
import { isUsable, stateOf } from './connection-state.js';
import {
  BasePool,
  type Callback,
  type Command,
  type ConnectionCallback,
  copyConfig,
  core as driver,
  dropSocket,
  type PoolConfig,
  type PoolConnection,
  poolConfig,
} from './driver.js';
import { Engines } from './engines.js';
import { checkHealth, type Health } from './health.js';
import { askIdentity } from './identity.js';
import { Liveness } from './liveness.js';
import { MARKER_TABLE, Markers } from './markers.js';
import { failWithConnection, watchCommands } from './marks.js';
import { type PoolSettings, poolSettings, type RetryPoolOptions, splitOptions } from './options.js';
import type { PoolCore } from './pool-core.js';
import { PromisePool } from './promise-pool.js';
import { type Method, QueryCall } from './query.js';
import type { Answer } from './reads.js';
import { analyse } from './statement.js';
import { textOf } from './statement-outcome.js';
import { stopStatement } from './stop.js';
import type { Transaction } from './transaction.js';
import {
  type TransactionBody,
  TransactionCall,
  type TransactionOptions,
} from './transaction-call.js';

const ROLLBACK_TIMEOUT_MS = 5000;

/** The driver's pool of callbacks that outlasts the outages of its server. Same methods, events and errors. */
export class RetryPool extends BasePool {
  /** Retries, and tells what happens: `pool.policy.on('retry', …)`. */
  readonly policy: RetryPolicy;
  readonly #core: PoolCore;
  readonly #connector: Connector;
  readonly #liveness: Liveness;
  readonly #engines: Engines;
  readonly #settings: PoolSettings;

  /** @throws OptionError naming the option or environment variable, the value and what is valid */
  constructor(options: { readonly config: PoolConfig; readonly settings?: PoolSettings }) {
    super({ config: options.config });
    const settings = options.settings ?? poolSettings({});
    this.#settings = settings;
    this.policy = settings.policy;
    this.#connector = new Connector(this, settings);
    this.#liveness = new Liveness(this, this.#connector.servers, settings);
    const { totalTimeoutMs, attemptTimeoutMs, signal } = settings.policy.settings;
    const core: Omit<PoolCore, 'markers'> = {
      policy: settings.policy,
      connector: this.#connector,
      config: this.config.connectionConfig,
      waitMs: settings.waitMs,
      bounded: totalTimeoutMs !== Infinity || attemptTimeoutMs !== Infinity || signal !== undefined,
      identify: (connection) => this.#identify(connection),
      stop: (connection) => this.#stop(connection),
    };
    this.#core = Object.assign(core, { markers: new Markers(core as PoolCore) });
    this.#engines = new Engines((sql, values, bounds) =>
      this.answer('query', { sql, values, idempotent: true, ...bounds }, undefined),
    );
  }

  // --- the driver's methods ---------------------------------------------------------------------------------

  override getConnection(callback: ConnectionCallback): void {
    const patience = { leftMs: this.#core.waitMs };
    const { bounded } = this.#core;
    this.policy
      .execute((attempt: Attempt) => this.#connector.acquire(attempt, patience, bounded), {
        operation: 'mysql.getConnection',
      })
      .then(
        (connection) => {
          stateOf(connection).checkedOut = true;
          process.nextTick(callback, null, connection);
        },
        (error: unknown) => process.nextTick(callback, error),
      );
  }

  override query(sql: unknown, values?: unknown, callback?: Callback): unknown {
    const done = typeof values === 'function' ? (values as Callback) : callback;
    if (done === undefined) return this.#stream(sql, values);
    const parameters = typeof values === 'function' ? undefined : values;
    // What the driver returns: a query that has a text, and ends.
    const command = driver.createQuery(sql, parameters, undefined, this.config.connectionConfig);
    this.#callBack(this.answer('query', sql, parameters), (...result) => {
      done(...result);
      command.emit('end');
    });
    return command;
  }

  override execute(sql: unknown, values?: unknown, callback?: Callback): void {
    const done = typeof values === 'function' ? (values as Callback) : (callback as Callback);
    const parameters = typeof values === 'function' ? undefined : values;
    this.#callBack(this.answer('execute', sql, parameters), done);
  }

  override end(callback?: (error: unknown) => void): void {
    if (!this._closed) {
      this.policy.close();
      this.#connector.close();
      this.#liveness.close();
    }
    super.end(callback);
  }

  override promise(implementation?: PromiseConstructor): PromisePool {
    return new PromisePool(this, implementation);
  }

  /** @internal The driver calls it when a connection comes back, and when one has left. */
  override releaseConnection(connection: PoolConnection): void {
    if (connection._pool === null || connection._pool === undefined) {
      // It has left, though somebody may still hold it: its slot is somebody else's.
      process.nextTick(() => this.#connector.pulse());
      return;
    }
    const state = stateOf(connection);
    state.checkedOut = false;
    state.idleSince = this.policy.settings.clock.now();
    if (!isUsable(connection)) dropSocket(connection);
    else if (this.config.resetOnRelease === true) this.#clean(connection, 'reset');
    else if (state.dirty) this.#clean(connection, 'rollback');
    else super.releaseConnection(connection);
  }

  /** @internal The driver tells by it that a connection was made. */
  override emit(type: string | symbol, ...args: unknown[]): boolean {
    if (type === 'connection') this.#adopt(args[0] as PoolConnection);
    return super.emit(type, ...args);
  }

  // --- ours -------------------------------------------------------------------------------------------------

  /**
   * Runs `fn` in a transaction, and again as a whole when the server rolled it back (deadlock, lock wait
   * timeout) or its connection was lost before COMMIT.
   *
   * @throws the driver's error; CommitOutcomeUnknownError if nobody can say what became of the COMMIT;
   *   whatever `fn` throws, after ROLLBACK
   */
  transaction<T>(fn: TransactionBody<T>, options: TransactionOptions = {}): Promise<T> {
    try {
      return new TransactionCall(this.#core, fn, options).execute();
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Makes the table of commit markers, where it is missing.
   *
   * @throws OptionError with the statement to run, if this user may not make it
   */
  async createMarkerTable(table: string = MARKER_TABLE): Promise<void> {
    const { connector, markers, waitMs } = this.#core;
    const patience = { leftMs: waitMs };
    await this.policy.execute(
      async (attempt: Attempt) => {
        const connection = await connector.acquire(attempt, patience, false);
        try {
          await markers.ensure(connection, table);
        } catch (error) {
          if (!isServerError(error) && !isUsable(connection)) dropSocket(connection);
          throw error;
        } finally {
          connection.release();
        }
      },
      { operation: 'mysql.createMarkerTable', idempotent: true },
    );
  }

  /** Asks the server a small question. Never rejects. */
  healthCheck(): Promise<Health> {
    return checkHealth(this.#core, this, () => this.#connector.reconnect.waiting);
  }

  /** @internal Rows and fields of one statement, for both faces. */
  answer(method: Method, sql: unknown, values: unknown): Promise<Answer> {
    if (this._closed) return Promise.reject(new Error('Pool is closed.'));
    try {
      if (typeof sql !== 'object' || sql === null) {
        return this.#settings.resolveWrites && analyse(textOf(sql)).kind === 'write'
          ? this.#resolvedWrite(method, sql, values, undefined)
          : this.#plain(method, sql, values, undefined);
      }
      const { driver: options, extras } = splitOptions(sql);
      const resolve = extras?.resolveWrites ?? this.#settings.resolveWrites;
      return resolve && analyse(textOf(sql)).kind === 'write'
        ? this.#resolvedWrite(method, options, values, extras)
        : this.#plain(method, options, values, extras);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #plain(
    method: Method,
    sql: unknown,
    values: unknown,
    extras: QueryExtras | undefined,
  ): Promise<Answer> {
    const call = new QueryCall(this.#core, method, sql, values, extras);
    return this.policy.execute((attempt) => call.run(attempt), call);
  }

  async #resolvedWrite(
    method: Method,
    sql: unknown,
    values: unknown,
    extras: QueryExtras | undefined,
  ): Promise<Answer> {
    const { signal, totalTimeoutMs } = extras ?? {};
    const bounds = {
      ...(signal === undefined ? undefined : { signal }),
      ...(totalTimeoutMs === undefined ? undefined : { totalTimeoutMs }),
    };
    const { clock } = this.policy.settings;
    const start = clock.now();
    // What no transaction can take back, no transaction can find out.
    const innodb = await this.#engines.isInnodb(analyse(textOf(sql)).target, bounds);
    if (totalTimeoutMs !== undefined) {
      bounds.totalTimeoutMs = Math.max(1, totalTimeoutMs - (clock.now() - start));
    }
    if (!innodb) return this.#plain(method, sql, values, { ...extras, ...bounds });
    const options: TransactionOptions = { ...bounds, commitMarker: true };
    const run = (tx: Transaction): Promise<Answer> =>
      tx[method](sql as string, values) as unknown as Promise<Answer>;
    return new TransactionCall(this.#core, run, options, `mysql.${method}`).execute();
  }

  #callBack(answer: Promise<Answer>, done: Callback): void {
    answer.then(
      // On a tick of its own: what the callback throws is the process' to hear, not the promise's.
      ([rows, fields]) => {
        if (fields === undefined) process.nextTick(done, null, rows);
        else process.nextTick(done, null, rows, fields);
      },
      (error: unknown) => process.nextTick(done, error),
    );
  }

  // Its rows may be with the application when it breaks: only its connection is waited for.
  #stream(sql: unknown, values: unknown): Command {
    const { connectionConfig } = this.config;
    const options = typeof sql === 'object' && sql !== null ? splitOptions(sql).driver : sql;
    const command = driver.createQuery(options, values, undefined, connectionConfig);
    const patience = { leftMs: this.#core.waitMs };
    const acquire = async (attempt: Attempt): Promise<PoolConnection> => {
      const connection = await this.#connector.acquire(attempt, patience, this.#core.bounded);
      // It may have to be stopped, so that its session must be known.
      if ((options as { timeout?: unknown }).timeout) await this.#identify(connection);
      return connection;
    };
    this.policy.execute(acquire, { operation: 'mysql.query' }).then(
      (connection) => {
        stateOf(connection).noteStream(textOf(sql));
        failWithConnection(command, connection, this.policy, stateOf(connection));
        // It only looks on: a listener would silence an error that nobody else listens for.
        command.once(errorMonitor, (error) => this.#streamFailed(connection, error));
        command.once('end', () => connection.release());
        try {
          connection.query(command, undefined);
        } catch (error) {
          connection.release();
          command.emit('error', error);
        }
      },
      (error: unknown) => process.nextTick(() => command.emit('error', error)),
    );
    return command;
  }

  #streamFailed(connection: PoolConnection, error: unknown): void {
    // It would not end before the server answers.
    if (isStatementTimeout(error)) void this.#stop(connection);
    else if (this.#connector.isDemotion(error)) this.#connector.demoted(connection, error);
    else if (discards(error)) dropSocket(connection);
  }

  #adopt(connection: PoolConnection): void {
    // Whoever holds it is told by the statement that fails; nobody listening must not end the process.
    connection.on('error', () => {});
    // Older drivers lend theirs to all; where this one leads must stay known when new ones go elsewhere.
    const { connectionConfig } = this.config;
    if (connection.config === connectionConfig) connection.config = copyConfig(connectionConfig);
    watchCommands(connection, stateOf(connection), this.policy);
    this.#liveness.watch();
    if (this.#connector.servers.particular) return;
    stateOf(connection).accepted = true;
    this.#connector.reconnect.succeeded();
  }

  /** Whatever is open on it must not be somebody else's; what cannot be cleaned is dropped. */
  #clean(connection: PoolConnection, how: 'reset' | 'rollback'): void {
    let done = false;
    const finish = (error: unknown): void => {
      if (done) return;
      done = true;
      timer.cancel();
      stateOf(connection).cleaned();
      if (error || this._closed) dropSocket(connection);
      else if (how === 'reset') super._handleSuccessfulRelease(connection);
      else super.releaseConnection(connection);
    };
    const timer = this.policy.settings.clock.setTimeout(
      () => finish(new Error('No answer.')),
      ROLLBACK_TIMEOUT_MS,
    );
    if (how === 'reset') connection.reset(finish);
    else connection.query('ROLLBACK', finish);
  }

  async #identify(connection: PoolConnection): Promise<void> {
    const state = stateOf(connection);
    if (state.identity !== undefined) return;
    try {
      const { clock } = this.policy.settings;
      const asked = askIdentity(connection, clock);
      state.identity = await this.#connector.servers.inTime(connection, asked);
    } catch (error) {
      if (isServerError(error)) state.identity = null;
      else {
        dropSocket(connection);
        throw error;
      }
    }
  }

  #stop(connection: PoolConnection): Promise<void> {
    const { identity } = stateOf(connection);
    const { host, port } = connection.config;
    dropSocket(connection);
    if (!identity) return Promise.resolve();
    return stopStatement(
      this.#connector.servers,
      { host, port },
      identity,
      this.policy.settings.clock,
    );
  }
}

/** The pool of callbacks that the options describe. */
export function makePool(options: string | RetryPoolOptions): RetryPool {
  const settings = poolSettings(options);
  return new RetryPool({ config: poolConfig(settings.driver), settings });
}
