import type { Failure, Phase, RetryPolicy, Timer } from '@outlast/core-retry';
import { markCall, type Patience, Reconnect } from '@outlast/core-retry/connector';
import { ACQUIRE_TIMEOUT, classifyMysql, isReadOnlyServer, isWrongTarget } from './classify.js';
import { stateOf } from './connection-state.js';
import {
  BasePool,
  type ConnectionCallback,
  type CorePool,
  dropSocket,
  type PoolConnection,
} from './driver.js';
import type { PoolSettings } from './options.js';
import { Servers } from './servers.js';

/** What an acquisition needs of its attempt. */
export interface Acquiring {
  phase: Phase;
  readonly signal?: AbortSignal | undefined;
}

/** How long a ping of an idle connection may take, in milliseconds. */
const PING_TIMEOUT_MS = 2000;

const base: CorePool = BasePool.prototype;

/** Finds connections for one pool, and waits for its server while it cannot be reached. */
export class Connector {
  readonly reconnect: Reconnect;
  readonly servers: Servers;
  private readonly pool: CorePool;
  private readonly policy: RetryPolicy;
  private readonly settings: PoolSettings;
  private deferred: Timer | undefined;

  constructor(pool: CorePool, settings: PoolSettings) {
    this.pool = pool;
    this.policy = settings.policy;
    this.settings = settings;
    this.servers = new Servers(pool.config, settings);
    this.reconnect = new Reconnect({
      service: 'mysql',
      policy: settings.policy,
      probe: () => this.probe(),
      isPermanent: (error) => !classifyMysql(error, 'connect').transient,
    });
  }

  /** A connection, as soon as there is one; waits out an outage for as long as patience lasts. */
  async acquire(attempt: Acquiring, patience: Patience, bounded: boolean): Promise<PoolConnection> {
    const signal = bounded ? attempt.signal : undefined;
    attempt.phase = 'acquire';
    for (;;) {
      if (this.mustWait()) await this.reconnect.spend(patience, signal);
      try {
        return await this.checkOutUntil(signal);
      } catch (error) {
        if (!this.isOutage(error)) throw this.judged(error);
        this.reconnect.failed(error);
        await this.reconnect.spend(patience, signal);
      }
    }
  }

  /** Nobody dials for himself while the loop does. */
  mustWait(): boolean {
    return this.reconnect.waiting > 0 && this.pool._freeConnections.length === 0;
  }

  /** Whether a failure to connect means that the server is away, rather than that it says no. */
  isOutage(error: unknown): boolean {
    const { transient, category } = classifyMysql(error, 'connect');
    return (
      transient &&
      (category === 'network' ||
        category === 'timeout' ||
        category === 'unavailable' ||
        category === 'resource-exhausted')
    );
  }

  /** The driver's own way to a connection, without patience. Calls back once. */
  checkOut(callback: ConnectionCallback): void {
    this.enter(this.waiterFor(callback));
  }

  /** Gives a slot that has become free to who waits for one. */
  pulse(): void {
    const { _connectionQueue: queue, _freeConnections: free } = this.pool;
    while (queue.length > 0 && this.deferred === undefined && (free.length > 0 || this.hasRoom)) {
      this.enter(queue.shift() as ConnectionCallback);
    }
  }

  /** A write met a server that takes none, and one that does is wanted. */
  isDemotion(error: unknown): boolean {
    return this.servers.wantsWrites && isReadOnlyServer(error);
  }

  /** What a failure means where a server that takes no writes is what was asked for. */
  asWanted(error: unknown, failure: Failure): Failure {
    const final = !this.servers.wantsWrites && isReadOnlyServer(error);
    return final ? { ...failure, transient: false } : failure;
  }

  /** The server behind a connection does not take writes, or no more: it, and its like, are given up. */
  demoted(connection: PoolConnection, error: unknown): void {
    dropSocket(connection);
    this.giveUpLike(connection);
    if (this.servers.several && this.servers.aimsAt(connection.config))
      this.reconnect.failed(error);
  }

  close(): void {
    this.deferred?.cancel();
    this.deferred = undefined;
    this.reconnect.close();
  }

  /**
   * What surfaces for an error that is no outage. The caller has set how long he waits for a slot, and
   * has waited that long: no retry prolongs it.
   */
  judged(error: unknown): unknown {
    if ((error as { code?: unknown } | null)?.code !== ACQUIRE_TIMEOUT) return error;
    const call = {
      operation: 'mysql.acquire',
      elapsedMs: this.settings.acquireTimeoutMs,
      reason: 'exhausted',
      outcome: 'not-applied',
    } as const;
    return markCall(error, call, this);
  }

  private checkOutUntil(signal: AbortSignal | undefined): Promise<PoolConnection> {
    return new Promise((resolve, reject) => {
      let withdrawn = false;
      const waiter = this.waiterFor((error, connection) => {
        if (connection === undefined) reject(error);
        else if (withdrawn) connection.release();
        else resolve(connection);
      });
      this.enter(waiter);
      if (signal === undefined) return;
      const withdraw = (): void => {
        withdrawn = true;
        this.withdraw(waiter);
        reject(signal.reason);
      };
      if (signal.aborted) withdraw();
      else signal.addEventListener('abort', withdraw, { once: true });
    });
  }

  /** What stands in the driver's queue: proves what comes, and is gone when its time is up. */
  private waiterFor(callback: ConnectionCallback): ConnectionCallback {
    const { acquireTimeoutMs, pingAfterIdleMs } = this.settings;
    const { clock } = this.policy.settings;
    let timer: Timer | undefined;
    let late = false;
    const waiter: ConnectionCallback = (error, connection) => {
      if (connection === undefined) {
        timer?.cancel();
        callback(error);
        return;
      }
      const state = stateOf(connection);
      if (state.idleSince > 0 && clock.now() - state.idleSince > pingAfterIdleMs) {
        this.prove(connection, (alive) => {
          if (alive) waiter(undefined, connection);
          else if (late) callback(acquireTimeout(acquireTimeoutMs));
          else this.enter(waiter);
        });
        return;
      }
      timer?.cancel();
      callback(undefined, connection);
    };
    if (acquireTimeoutMs !== Infinity) {
      timer = clock.setTimeout(() => {
        // One that is dialled or proved for him now is bounded by the time that this may take.
        if (this.withdraw(waiter)) callback(acquireTimeout(acquireTimeoutMs));
        else late = true;
      }, acquireTimeoutMs);
    }
    return waiter;
  }

  /** @returns whether it was still in the queue */
  private withdraw(waiter: ConnectionCallback): boolean {
    const queue = this.pool._connectionQueue;
    for (let at = 0; at < queue.length; at++) {
      if (queue.get(at) !== waiter) continue;
      queue.removeOne(at);
      return true;
    }
    return false;
  }

  /** Pings what was idle for long; what does not answer is dropped. */
  private prove(connection: PoolConnection, proved: (alive: boolean) => void): void {
    const { clock } = this.policy.settings;
    const { idleSince } = stateOf(connection);
    let settled = false;
    const settle = (error: unknown): void => {
      if (settled) return;
      settled = true;
      timer.cancel();
      stateOf(connection).idleSince = 0;
      if (error) dropSocket(connection);
      proved(!error);
    };
    const timer = clock.setTimeout(() => {
      // What has been idle for as long hangs on the same dead wire, most likely.
      for (const idle of listed(this.pool._freeConnections)) {
        if (stateOf(idle).idleSince <= idleSince) dropSocket(idle);
      }
      settle(new Error('No answer to a ping.'));
    }, PING_TIMEOUT_MS);
    connection.ping(settle);
  }

  private get hasRoom(): boolean {
    const { config, _allConnections: all } = this.pool;
    return config.connectionLimit === 0 || all.length < config.connectionLimit;
  }

  private enter(waiter: ConnectionCallback): void {
    const { pool } = this;
    if (pool._closed || pool._freeConnections.length > 0 || !this.hasRoom) {
      base.getConnection.call(pool, waiter);
    } else this.open(waiter);
  }

  /** A new connection for somebody: fails fast in an outage, and is staggered after it. */
  private open(waiter: ConnectionCallback): void {
    const { down } = this.reconnect;
    if (down !== undefined && this.reconnect.waiting > 0) {
      process.nextTick(waiter, down.error);
      return;
    }
    const waitMs = this.reconnect.slowStart.admit();
    if (waitMs === 0) {
      this.dial(waiter);
      return;
    }
    this.pool._connectionQueue.unshift(waiter);
    this.deferred ??= this.policy.settings.clock.setTimeout(() => {
      this.deferred = undefined;
      this.pulse();
    }, waitMs);
  }

  private dial(waiter: ConnectionCallback, elsewhere = this.servers.several): void {
    this.servers.aim();
    const failed = (error: unknown): void => {
      if (elsewhere && this.isOutage(error)) this.dialElsewhere(waiter);
      else waiter(error);
    };
    base.getConnection.call(this.pool, (error, connection) => {
      if (connection === undefined) return failed(error);
      if (stateOf(connection).accepted) return waiter(undefined, connection);
      this.servers.check(connection).then(
        () => {
          stateOf(connection).accepted = true;
          this.reconnect.succeeded();
          waiter(undefined, connection);
        },
        (refusal: unknown) => {
          dropSocket(connection);
          if (isWrongTarget(refusal)) this.giveUpLike(connection);
          failed(refusal);
        },
      );
    });
  }

  /** Those that lead where this one does: idle ones at once, busy ones after their statement. */
  private giveUpLike({ config: { host, port } }: PoolConnection): void {
    const { _freeConnections: free, _allConnections: all } = this.pool;
    const alike = ({ config }: PoolConnection): boolean =>
      config.host === host && config.port === port;
    for (const idle of listed(free)) if (alike(idle)) dropSocket(idle);
    // Where there is no other server, who is at work may go on.
    if (!this.servers.several) return;
    for (const busy of listed(all)) if (alike(busy)) stateOf(busy).poisoned = true;
  }

  /** The server that served last serves no more: another may, before anybody has to wait. */
  private dialElsewhere(waiter: ConnectionCallback): void {
    this.servers.find().then(() => {
      if (!this.pool._closed && this.hasRoom) this.dial(waiter, false);
      else base.getConnection.call(this.pool, waiter);
    }, waiter);
  }

  private async probe(): Promise<void> {
    // It joins the pool, unless those that broke have not left yet and there is no room.
    if (this.servers.several || !this.hasRoom) return this.servers.find();
    await new Promise<void>((resolve, reject) => {
      this.dial((error, connection) => {
        if (connection === undefined) return reject(error);
        connection.release();
        resolve();
      });
    });
  }
}

/** A copy, for what is done with one may take it off the list. */
function listed(list: { readonly length: number; get(at: number): PoolConnection | undefined }) {
  return Array.from({ length: list.length }, (_, at) => list.get(at) as PoolConnection);
}

function acquireTimeout(ms: number): Error {
  const error = new Error(
    `No connection of the pool became free within ${ms} ms: raise connectionLimit or acquireTimeoutMs, or hold connections for a shorter time.`,
  );
  return Object.assign(error, { code: ACQUIRE_TIMEOUT });
}
