import type { Phase, RetryPolicy, Timer } from '@outlast/core-retry';
import { markCall, type Patience, Reconnect } from '@outlast/core-retry/connector';
import type driver from 'pg';
import { classifyPg } from './classify.js';
import {
  basePool,
  type ConnectCallback,
  internals,
  type PendingItem,
  type PoolInternals,
} from './driver.js';
import type { Destination } from './host-list.js';
import type { Hosts } from './hosts.js';
import { CONNECT_TIMEOUT_MS } from './options.js';
import { isDemoted } from './target.js';

/** How long a server that refused a write may take to say what it is, in milliseconds. */
const ASK_MS = 5000;

/** What an acquisition needs of its attempt. */
export interface Acquiring {
  phase: Phase;
  readonly signal?: AbortSignal | undefined;
}

/** Opens connections for one pool, and waits for its server while it cannot be reached. */
export class Connector {
  readonly reconnect: Reconnect;
  private readonly pool: driver.Pool & PoolInternals;
  private readonly policy: RetryPolicy;
  private readonly hosts: Hosts | undefined;
  private deferred: Timer | undefined;
  private readonly retire: () => void;

  /** @param retire lets the pool's clients go, for their server goes down or is no longer the right one */
  constructor(
    pool: driver.Pool,
    policy: RetryPolicy,
    hosts: Hosts | undefined,
    retire: () => void,
  ) {
    this.pool = pool as driver.Pool & PoolInternals;
    this.policy = policy;
    this.hosts = hosts;
    this.retire = retire;
    this.reconnect = new Reconnect({
      service: 'pg',
      policy,
      probe: () => this.probe(),
      isPermanent: (error) => !classifyPg(error, 'connect').transient,
    });
  }

  /** A client, as soon as there is one; waits out an outage for as long as patience lasts. */
  async acquire(
    attempt: Acquiring,
    patience: Patience,
    bounded: boolean,
  ): Promise<driver.PoolClient> {
    const signal = bounded ? attempt.signal : undefined;
    attempt.phase = 'acquire';
    for (;;) {
      if (this.mustWait()) await this.reconnect.spend(patience, signal);
      try {
        return await this.checkOut(signal);
      } catch (error) {
        if (!this.isOutage(error)) throw this.judged(error);
        this.failed(error);
        await this.reconnect.spend(patience, signal);
      }
    }
  }

  /** Nobody dials for himself while the loop does. */
  mustWait(): boolean {
    return this.reconnect.waiting > 0 && this.pool.idleCount === 0;
  }

  /** Whether a failure to connect means that the server is away, rather than that it says no. */
  isOutage(error: unknown): boolean {
    const { transient, category } = classifyPg(error, 'connect');
    if (!transient || (isSlotTimeout(error) && this.reconnect.down === undefined)) return false;
    return (
      category === 'network' ||
      category === 'timeout' ||
      category === 'unavailable' ||
      category === 'resource-exhausted'
    );
  }

  /** A connect met an outage. */
  failed(error: unknown): void {
    if (isSlotTimeout(error)) return;
    if (isShuttingDown(error)) this.retire();
    this.reconnect.failed(error);
  }

  /**
   * A server refused a write as read-only. Whether it has become the wrong one: then its clients leave,
   * and the next connection is looked for elsewhere.
   */
  async isDemoted(client: driver.ClientBase): Promise<boolean> {
    const { hosts } = this;
    if (hosts === undefined) return false;
    const { clock } = this.policy.settings;
    const demoted = await new Promise<boolean>((resolve) => {
      const timer = clock.setTimeout(() => resolve(true), ASK_MS);
      isDemoted(client, hosts.target)
        .then(resolve, () => resolve(true))
        .finally(() => timer.cancel());
    });
    if (demoted) {
      hosts.passOver();
      this.retire();
    }
    return demoted;
  }

  /** Takes the place of pg-pool's `newClient`: fails fast in an outage, and staggers after it. */
  open(item: PendingItem): void {
    const { down } = this.reconnect;
    if (down !== undefined && this.reconnect.waiting > 0) {
      if (!item.timedOut) item.callback(down.error as Error, undefined, () => {});
      return;
    }
    const waitMs = this.reconnect.slowStart.admit();
    if (waitMs === 0) {
      this.dial(item);
      return;
    }
    this.pool._pendingQueue.unshift(item);
    this.deferred ??= this.policy.settings.clock.setTimeout(() => {
      this.deferred = undefined;
      this.pool._pulseQueue();
    }, waitMs);
  }

  /** A connection like the pool's own that takes none of its slots: whoever asked for it closes it. */
  openOutside(): Promise<driver.PoolClient> {
    return new Promise((resolve, reject) => {
      this.dial({
        callback: (error, client) => {
          if (client === undefined) return reject(error);
          this.pool._clients = this.pool._clients.filter((one) => one !== client);
          this.pool._pulseQueue();
          resolve(client);
        },
      });
    });
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
    if (!isSlotTimeout(error)) return error;
    const call = {
      operation: 'pg.acquire',
      elapsedMs: this.pool.options.connectionTimeoutMillis ?? 0,
      reason: 'exhausted',
      outcome: 'not-applied',
    } as const;
    return markCall(error, call, this);
  }

  private checkOut(signal: AbortSignal | undefined): Promise<driver.PoolClient> {
    return new Promise((resolve, reject) => {
      let withdrawn = false;
      const callback: ConnectCallback = (error, client) => {
        if (error) reject(error);
        else if (withdrawn) client?.release();
        else resolve(client as driver.PoolClient);
      };
      basePool.connect.call(this.pool, callback);
      signal?.addEventListener(
        'abort',
        () => {
          withdrawn = true;
          const queue = this.pool._pendingQueue;
          const at = queue.findIndex((item) => item.callback === callback);
          if (at >= 0) queue.splice(at, 1);
          reject(signal.reason);
        },
        { once: true },
      );
    });
  }

  private probe(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.dial({
        callback: (error, client) => {
          if (error || client === undefined) {
            if (isShuttingDown(error)) this.retire();
            reject(error);
            return;
          }
          this.spare(client);
          resolve();
        },
      });
    });
  }

  private dial(item: PendingItem): void {
    if (this.hosts === undefined) {
      this.dialOne(item, undefined);
      return;
    }
    this.hosts.dial(
      (host, then) => this.dialOne({ callback: then }, host),
      (error, client) => {
        if (client === undefined) item.callback(error, undefined, () => {});
        else if (item.timedOut) this.spare(client);
        else item.callback(undefined, client, client.release);
      },
      (client) => this.spare(client),
    );
  }

  /** A connection joins the pool, unless those that broke have not left yet and there is no room. */
  private spare(client: driver.PoolClient): void {
    client.release(this.pool.totalCount > this.pool.options.max);
  }

  // pg-pool has one option for two waits. Dialling is bounded by default; waiting for a slot of a busy
  // pool is the driver's business, and is not.
  // Returns what gives it up.
  private dialOne(item: PendingItem, host: Destination | undefined): () => void {
    const { options } = this.pool;
    const given = options.connectionTimeoutMillis;
    options.connectionTimeoutMillis = given || CONNECT_TIMEOUT_MS;
    if (host !== undefined) Object.assign(options, host.config);
    try {
      basePool.newClient.call(this.pool, item);
      const client = this.pool._clients.at(-1);
      return () => internals(client).connection?.stream?.destroy();
    } catch (error) {
      item.callback(error as Error, undefined, () => {});
      return () => {};
    } finally {
      options.connectionTimeoutMillis = given;
    }
  }
}

function isSlotTimeout(error: unknown): boolean {
  return error instanceof Error && error.message === 'timeout exceeded when trying to connect';
}

// 57P03 is also "starting up", but then no client of ours can be alive to be closed.
function isShuttingDown(error: unknown): boolean {
  return (error as { code?: unknown } | null)?.code === '57P03';
}
