import type { Attempt, RetryPolicy } from '@outlast/core-retry';
import { type QueryExtras, queryExtras } from '@outlast/core-retry/connector';
import driver from 'pg';
import { ClientState, watchStatements } from './client-state.js';
import { type CommitMarkerOption, CommitMarkers, markerTable } from './commit-marker.js';
import { CommitTracker } from './commit-tracker.js';
import { Connector } from './connect.js';
import { basePool, type ConnectCallback, type PendingItem, type PoolInternals } from './driver.js';
import { checkHealth, type Health } from './health.js';
import { Listener } from './listen.js';
import type { ListenHandler, ListenOptions, Subscription } from './listen-options.js';
import { Liveness } from './liveness.js';
import { Openings } from './openings.js';
import { DRIVER_QUERY_KEYS, poolSettings, type RetryPoolConfig } from './options.js';
import type { PoolCore } from './pool-core.js';
import { QueryCall } from './query.js';
import { analyse } from './statement.js';
import { textOf } from './statement-outcome.js';
import { giveUp, isSubmittable, runSubmittable, type Submittable } from './submittable.js';
import {
  type TransactionBody,
  TransactionCall,
  type TransactionOptions,
} from './transaction-call.js';

type Callback = (error: unknown, result?: unknown) => void;
type Release = (release?: Error | boolean) => void;

/** `pg.Pool` that outlasts the outages of its server. Same overloads, events, counters and errors. */
export interface Pool {
  query<T extends driver.Submittable>(queryStream: T): T;
  query<R extends unknown[] = unknown[], I = unknown[]>(
    config: driver.QueryArrayConfig<I> & QueryExtras,
    values?: driver.QueryConfigValues<I>,
  ): Promise<driver.QueryArrayResult<R>>;
  // biome-ignore lint/suspicious/noExplicitAny: the row type of @types/pg, for drop-in means drop-in
  query<R extends driver.QueryResultRow = any, I = any[]>(
    config: driver.QueryConfig<I> & QueryExtras,
  ): Promise<driver.QueryResult<R>>;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  query<R extends driver.QueryResultRow = any, I = any[]>(
    textOrConfig: string | (driver.QueryConfig<I> & QueryExtras),
    values?: driver.QueryConfigValues<I>,
  ): Promise<driver.QueryResult<R>>;
  query<R extends unknown[] = unknown[], I = unknown[]>(
    config: driver.QueryArrayConfig<I> & QueryExtras,
    callback: (err: Error, result: driver.QueryArrayResult<R>) => void,
  ): void;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  query<R extends driver.QueryResultRow = any, I = any[]>(
    textOrConfig: string | (driver.QueryConfig<I> & QueryExtras),
    callback: (err: Error, result: driver.QueryResult<R>) => void,
  ): void;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  query<R extends driver.QueryResultRow = any, I = any[]>(
    text: string,
    values: driver.QueryConfigValues<I>,
    callback: (err: Error, result: driver.QueryResult<R>) => void,
  ): void;
}

// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: the overloads of `query` need an interface
export class Pool extends driver.Pool {
  /** Retries, and tells what happens: `pool.policy.on('retry', …)`. */
  readonly policy: RetryPolicy;
  readonly #core: PoolCore;
  readonly #connector: Connector;
  readonly #liveness: Liveness;
  readonly #states = new WeakMap<driver.ClientBase, ClientState>();
  readonly #resolveWrites: boolean;
  readonly #openings = new Openings();
  #listener: Listener | undefined;
  #serial = 0;

  // The driver's types call `waitingCount` a field, and want the overloads of `query` declared once:
  // both are put on the prototype by hand, where pg-pool has its own.
  static {
    Object.defineProperty(Pool.prototype, 'waitingCount', {
      configurable: true,
      get(this: Pool): number {
        return (this as unknown as PoolInternals)._pendingQueue.length + this.#parked();
      },
    });
    Object.defineProperty(Pool.prototype, 'query', {
      configurable: true,
      writable: true,
      value: function query(this: Pool, config: unknown, values?: unknown, done?: Callback) {
        return this.#dispatch(config, values, done);
      },
    });
  }

  // Clients up to this serial leave when they are released: their server is going down.
  #retiredUpTo = 0;

  /**
   * @param config what `pg.Pool` takes, with `retry` and `resolveWrites`; the object is not changed
   * @throws OptionError naming the option or environment variable, the value and what is valid
   */
  constructor(config?: RetryPoolConfig) {
    const settings = poolSettings(config);
    super(settings.driver);
    this.policy = settings.policy;
    this.#resolveWrites = settings.resolveWrites;
    this.#connector = new Connector(this, settings.policy, settings.hosts, () => this.#retire());
    this.#liveness = new Liveness(
      () => (this as unknown as PoolInternals)._clients,
      settings.policy.settings.clock,
      settings.livenessMs,
    );
    const { totalTimeoutMs, attemptTimeoutMs, signal } = settings.policy.settings;
    const core: Omit<PoolCore, 'tracker' | 'markers'> = {
      policy: settings.policy,
      connector: this.#connector,
      waitMs: settings.waitMs,
      bounded: totalTimeoutMs !== Infinity || attemptTimeoutMs !== Infinity || signal !== undefined,
      checkOut: (callback) => basePool.connect.call(this, callback),
      stateOf: (client) => this.#stateOf(client),
      newestSerial: () => this.#serial,
      openedBetween: (serial, until) => this.#openings.between(serial, until),
    };
    this.#core = Object.assign(core, {
      tracker: new CommitTracker(core as PoolCore),
      markers: new CommitMarkers(core as PoolCore),
    });
  }

  /**
   * Runs `fn` in a transaction, and again as a whole when the server rolled it back (deadlock,
   * serialization failure) or its connection was lost before COMMIT. When the answer to COMMIT is lost
   * its outcome is found out.
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
   * Makes the table of `transaction({ commitMarker })` ahead of its first use.
   *
   * @param marker as in the transaction: `{ table: 'schema.name' }`; default the table of `true`
   * @throws OptionError with the statement, if this role may not create it; the driver's error
   */
  async createMarkerTable(marker: CommitMarkerOption = true): Promise<void> {
    const table = markerTable(marker);
    if (table === undefined) return;
    await this.#core.markers.ensure(table, () => this.#checkOut('pg.createMarkerTable'));
  }

  /**
   * LISTEN, for as long as the pool lives: all channels share one connection of their own, which is
   * opened again when it is lost. What is sent meanwhile is missed: `onGap` tells.
   *
   * @param channel taken as it is, capitals and all; at most 63 bytes
   * @param fn called with the payload ('' if there is none) and the driver's notification
   * @returns resolves when the server has acknowledged the LISTEN
   * @throws OptionError naming the argument or option; the driver's error if the server cannot be reached
   *   within the pool's patience, or says no
   */
  listen(channel: string, fn: ListenHandler, options: ListenOptions = {}): Promise<Subscription> {
    if (this.ending) return this.#refuse();
    this.#listener ??= new Listener(this.#core);
    return this.#listener.subscribe(channel, fn, options);
  }

  /** Asks the server a small question. Never rejects. */
  healthCheck(): Promise<Health> {
    return checkHealth(this.#core, this);
  }

  override connect(): Promise<driver.PoolClient>;
  override connect(
    callback: (
      error: Error | undefined,
      client: driver.PoolClient | undefined,
      done: Release,
    ) => void,
  ): void;
  override connect(callback?: ConnectCallback): Promise<driver.PoolClient> | undefined {
    const promise = this.ending ? this.#refuse() : this.#checkOutForUser();
    if (callback === undefined) return promise;
    promise.then(
      (client) => process.nextTick(callback, undefined, client, client.release),
      (error: Error) => process.nextTick(callback, error, undefined, () => {}),
    );
    return undefined;
  }

  override end(): Promise<void>;
  override end(callback: () => void): void;
  override end(callback?: () => void): Promise<void> | undefined {
    if (!this.ending) {
      this.policy.close();
      this.#connector.close();
      this.#liveness.close();
      const parked = (this as unknown as PoolInternals)._pendingQueue.splice(0);
      const error = new Error('Cannot use a pool after calling end on the pool');
      for (const item of parked) item.callback(error, undefined, () => {});
    }
    const listening = this.#listener?.end();
    if (callback === undefined) return Promise.all([super.end(), listening]).then(() => {});
    // As the driver tells it, errors included, once the listener is gone too.
    const tell = (...told: []): unknown =>
      Promise.resolve(listening).then(() => process.nextTick(callback, ...told));
    return super.end(tell as () => void) as undefined;
  }

  /** @internal pg-pool calls it for each event. */
  override emit(type: string | symbol, ...args: unknown[]): boolean {
    if (type === 'connect') this.#adopt(args[0] as driver.PoolClient);
    if (type === 'error') {
      hideClient(args[0]);
      // Without a listener it would end the process, for a client that nobody was using.
      if (this.listenerCount('error') === 0) return false;
    }
    return basePool.emit.call(this, type, ...args);
  }

  /** @internal pg-pool calls it to open a connection for somebody who waits. */
  newClient(item: PendingItem): void {
    this.#connector.open(item);
  }

  /** @internal pg-pool calls it when a client comes back. */
  _release(client: driver.PoolClient, idleListener: () => void, error?: Error | boolean): void {
    const state = this.#stateOf(client);
    state.checkedOut = false;
    const retired = state.serial <= this.#retiredUpTo;
    const unfit = !error && (retired || !state.usable);
    basePool._release.call(this as never, client, idleListener, unfit ? true : error);
  }

  #parked(): number {
    return this.#connector.reconnect.waiting;
  }

  /** Sorts out the overloads of `query`. */
  #dispatch(config: unknown, values: unknown, callback: Callback | undefined): unknown {
    // The driver's own refusal.
    if (typeof config === 'function') return super.query(config as never);
    let done = callback;
    let parameters = values;
    if (typeof values === 'function') {
      done = values as Callback;
      parameters = undefined;
    }
    const promise = isSubmittable(config)
      ? this.#submit(config, parameters)
      : this.#query(config, parameters);
    if (done === undefined) return promise;
    const answer = done;
    promise.then(
      // On a tick of its own: what the callback throws is the process' to hear, not the promise's.
      (result) => process.nextTick(answer, undefined, result),
      (error: unknown) => process.nextTick(answer, error),
    );
    return undefined;
  }

  #query(config: unknown, values: unknown): Promise<driver.QueryResult> {
    if (this.ending) return this.#refuse();
    try {
      const object = typeof config === 'object' && config !== null;
      const extras = object ? queryExtras(config, DRIVER_QUERY_KEYS) : undefined;
      const resolve = extras?.resolveWrites ?? this.#resolveWrites;
      const promise =
        resolve && analyse(textOf(config)).kind === 'write'
          ? this.#resolvedWrite(config, values, extras)
          : this.#plainQuery(config, values, extras);
      return promise.catch(restack);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #plainQuery(
    config: unknown,
    values: unknown,
    extras: QueryExtras | undefined,
  ): Promise<driver.QueryResult> {
    const call = new QueryCall(this.#core, config, values, extras);
    return this.policy.execute((attempt) => call.run(attempt), call);
  }

  #resolvedWrite(
    config: unknown,
    values: unknown,
    extras: QueryExtras | undefined,
  ): Promise<driver.QueryResult> {
    const { signal, totalTimeoutMs } = extras ?? {};
    const options: TransactionOptions = {
      ...(signal === undefined ? undefined : { signal }),
      ...(totalTimeoutMs === undefined ? undefined : { totalTimeoutMs }),
    };
    const copy = typeof config === 'object' && config !== null ? Object.create(config) : config;
    const run = (tx: { query: unknown }): Promise<driver.QueryResult> =>
      (tx.query as (config: unknown, values: unknown) => Promise<driver.QueryResult>)(copy, values);
    return new TransactionCall(this.#core, run, options, 'pg.query').execute();
  }

  // A cursor or stream is used up by its first use: only its client is waited for.
  #submit(submittable: Submittable, values: unknown): Promise<unknown> {
    const client = this.ending ? this.#refuse() : this.#checkOutForUser();
    const whole: Promise<unknown> = client.then(
      (acquired) => {
        // What goes wrong from here on the cursor or stream is told, so that nobody need listen here.
        whole.catch(() => {});
        return runSubmittable(acquired, submittable, values);
      },
      (error: unknown) => {
        giveUp(submittable, error);
        throw error;
      },
    );
    return whole;
  }

  async #checkOutForUser(): Promise<driver.PoolClient> {
    const client = await this.#checkOut('pg.connect').catch(restack);
    this.#stateOf(client).checkedOut = true;
    return client;
  }

  #checkOut(operation: string): Promise<driver.PoolClient> {
    const patience = { leftMs: this.#core.waitMs };
    const { bounded } = this.#core;
    return this.policy.execute(
      (attempt: Attempt) => this.#connector.acquire(attempt, patience, bounded),
      { operation },
    );
  }

  /** The driver's own answer of a pool that has ended. */
  #refuse(): Promise<never> {
    return new Promise((_, reject) => basePool.connect.call(this, reject as ConnectCallback));
  }

  #adopt(client: driver.PoolClient): void {
    const state = this.#stateOf(client);
    // Whoever holds it is told by the statement that fails; nobody listening must not end the process.
    client.on('error', () => {});
    watchStatements(client, state, this.policy);
    client.once('end', () => this.#forget(client, state));
    this.#openings.add(state.serial, this.policy.settings.clock.now());
    this.#connector.reconnect.succeeded();
    this.#liveness.begin();
  }

  // drizzle never gives a client back whose BEGIN failed: a connection that is dead takes no place in the pool.
  #forget(client: driver.PoolClient, state: ClientState): void {
    if (!state.checkedOut) return;
    const pool = this as unknown as PoolInternals;
    pool._clients = pool._clients.filter((one) => one !== client);
    pool._pulseQueue();
  }

  #stateOf(client: driver.ClientBase): ClientState {
    let state = this.#states.get(client);
    if (state === undefined) {
      this.#serial += 1;
      state = new ClientState(client, this.#serial);
      this.#states.set(client, state);
    }
    return state;
  }

  // A smart shutdown waits for its clients: idle ones leave now, busy ones after their statement.
  #retire(): void {
    const { _idle, _remove } = this as unknown as PoolInternals;
    this.#retiredUpTo = this.#serial;
    this.#listener?.retire();
    for (const { client } of [..._idle]) _remove.call(this as never, client);
  }
}

/** Leads the stack of a driver's error back to the caller, as the driver itself does. */
function restack(error: unknown): never {
  if (error instanceof Error && Object.isExtensible(error)) Error.captureStackTrace(error);
  throw error;
}

// pg-pool hangs the whole client on the error, password included; a getter is not printed.
function hideClient(error: unknown): void {
  if (!(error instanceof Error) || !Object.hasOwn(error, 'client')) return;
  const { client } = error as { client?: unknown };
  Object.defineProperty(error, 'client', {
    get: () => client,
    enumerable: false,
    configurable: true,
  });
}
