import { ClosedError } from '@outlast/core-retry';
import { onAbort } from '@outlast/core-retry/connector';
import driver from 'pg';
import { isFatal, isServerError } from './classify.js';
import { ListenConnection } from './listen-connection.js';
import {
  checkListen,
  KEEP_ALIVE_MS,
  type ListenHandler,
  type ListenOptions,
  type Subscription,
} from './listen-options.js';
import { Subscriber } from './listen-subscriber.js';
import type { PoolCore } from './pool-core.js';

/** A connection that held so long, in milliseconds, ends a row of failures. */
const STEADY_MS = 5000;
const FIRST_PAUSE_MS = 200;

interface Channel {
  readonly name: string;
  readonly subscribers: Set<Subscriber>;
  /** Where the server has acknowledged it. */
  on: ListenConnection | undefined;
}

/**
 * All that a pool listens for, on one connection of its own that takes no slot of the pool. It is opened
 * with the first subscription, closed with the last, and opened again for as long as there is one.
 */
export class Listener {
  readonly #core: PoolCore;
  readonly #channels = new Map<string, Channel>();
  #connection: ListenConnection | undefined;
  #running: Promise<void> | undefined;
  // Ends a pause or a wait, for nobody is left to wait for.
  #idle = new AbortController();
  /** Why there is no connection. */
  #why: { readonly error: unknown } | undefined;

  constructor(core: PoolCore) {
    this.#core = core;
  }

  /** Resolves when the server has acknowledged it; waits out an outage for as long as patience lasts. */
  async subscribe(name: string, fn: ListenHandler, options: ListenOptions): Promise<Subscription> {
    checkListen(name, fn, options);
    const subscriber = new Subscriber(this.#core, name, fn, options);
    let channel = this.#channels.get(name);
    if (channel === undefined) {
      channel = { name, subscribers: new Set(), on: undefined };
      this.#channels.set(name, channel);
      if (this.#connection !== undefined) this.#listenAlso(this.#connection, channel);
    }
    channel.subscribers.add(subscriber);
    this.#connection?.refresh();
    if (channel.on !== undefined) subscriber.granted();
    else if (this.#why !== undefined) subscriber.delayed(this.#why.error);
    this.#running ??= this.#run();
    try {
      await subscriber.listening;
    } catch (error) {
      void this.#leave(name, subscriber);
      throw error;
    }
    return { close: async () => this.#leave(name, subscriber) };
  }

  /** The server goes down, or is no longer the right one: another connection is looked for. */
  retire(): void {
    void this.#connection?.close();
  }

  /** Ends all subscriptions; resolves when the connection is closed. */
  async end(): Promise<void> {
    const error = new ClosedError('The pool');
    const channels = [...this.#channels.values()];
    this.#channels.clear();
    for (const { subscribers } of channels) {
      for (const subscriber of subscribers) subscriber.closed(error);
    }
    await this.#stop();
    await this.#running;
  }

  #leave(name: string, subscriber: Subscriber): Promise<void> | undefined {
    const channel = this.#channels.get(name);
    if (channel?.subscribers.delete(subscriber) !== true) return undefined;
    if (channel.subscribers.size > 0) return undefined;
    this.#channels.delete(name);
    if (this.#channels.size === 0) return this.#stop();
    // Nobody hears it any more in any case: nothing of it is waited for.
    this.#connection?.run(`UNLISTEN ${driver.escapeIdentifier(name)}`).catch(() => {});
    return undefined;
  }

  async #stop(): Promise<void> {
    this.#idle.abort();
    await this.#connection?.close();
  }

  async #run(): Promise<void> {
    const { clock } = this.#core.policy.settings;
    let failures = 0;
    while (this.#channels.size > 0) {
      if (this.#idle.signal.aborted) this.#idle = new AbortController();
      const from = clock.now();
      let pauseCapMs: number | undefined;
      try {
        await this.#serve();
        pauseCapMs = this.#core.policy.settings.baseDelayMs;
      } catch (error) {
        if (!this.#idle.signal.aborted) pauseCapMs = this.#failed(error);
      }
      failures = clock.now() - from > STEADY_MS ? 0 : failures + 1;
      if (pauseCapMs !== undefined && failures > 1) await this.#pause(failures - 1, pauseCapMs);
    }
    this.#why = undefined;
    this.#running = undefined;
  }

  /** Opens the connection, listens, and returns when it is lost. */
  async #serve(): Promise<void> {
    const { connector, policy } = this.#core;
    await connector.reconnect.wait(Infinity, this.#idle.signal);
    const client = await connector.openOutside();
    const connection = new ListenConnection(
      client,
      policy.settings.clock,
      () => this.#keepAliveMs(),
      (notification) => this.#deliver(notification),
    );
    if (this.#channels.size === 0) return connection.close();
    this.#connection = connection;
    try {
      await this.#listen(connection, [...this.#channels.values()]);
      await connection.lost;
    } finally {
      this.#connection = undefined;
      for (const channel of this.#channels.values()) {
        channel.on = undefined;
        for (const subscriber of channel.subscribers) subscriber.lost();
      }
    }
  }

  #listenAlso(connection: ListenConnection, channel: Channel): void {
    this.#listen(connection, [channel]).catch((error: unknown) => this.#refused(error, [channel]));
  }

  /** Resolves too if the connection is lost meanwhile: then all is listened for again. @throws the server's no */
  async #listen(connection: ListenConnection, channels: readonly Channel[]): Promise<void> {
    const names = channels.map(({ name }) => `LISTEN ${driver.escapeIdentifier(name)}`);
    try {
      await connection.run(names.join('; '));
    } catch (error) {
      connection.destroy();
      if (isServerError(error) && !isFatal(error)) throw error;
      return;
    }
    this.#why = undefined;
    for (const channel of channels) {
      channel.on = connection;
      for (const subscriber of channel.subscribers) subscriber.granted();
    }
  }

  /** @returns what a pause may grow to, in milliseconds; undefined if the reconnect does the pausing */
  #failed(error: unknown): number | undefined {
    const { connector, policy } = this.#core;
    const { baseDelayMs, maxDelayMs } = policy.settings;
    if (!connector.isOutage(error)) {
      this.#refused(error, [...this.#channels.values()]);
      return maxDelayMs;
    }
    this.#why = { error };
    for (const { subscribers } of this.#channels.values()) {
      for (const subscriber of subscribers) subscriber.delayed(error);
    }
    // A server without a place for one more is there for all others.
    if (isFull(error)) return baseDelayMs;
    connector.failed(error);
    return undefined;
  }

  #refused(error: unknown, channels: readonly Channel[]): void {
    for (const { subscribers } of channels) {
      for (const subscriber of subscribers) subscriber.refused(error);
    }
  }

  #deliver(notification: driver.Notification): void {
    const channel = this.#channels.get(notification.channel);
    if (channel === undefined) return;
    for (const subscriber of [...channel.subscribers]) subscriber.deliver(notification);
  }

  #keepAliveMs(): number {
    let shortest = Infinity;
    for (const { subscribers } of this.#channels.values()) {
      for (const { keepAliveMs } of subscribers) shortest = Math.min(shortest, keepAliveMs);
    }
    return shortest === Infinity && this.#channels.size === 0 ? KEEP_ALIVE_MS : shortest;
  }

  #pause(failures: number, capMs: number): Promise<void> {
    const { clock, random } = this.#core.policy.settings;
    const raw = Math.min(FIRST_PAUSE_MS * 2 ** Math.min(failures - 1, 20), capMs);
    return new Promise((resolve) => {
      const timer = clock.setTimeout(() => done(), raw * (0.75 + 0.25 * random()));
      const unwatch = onAbort(this.#idle.signal, () => done());
      const done = (): void => {
        timer.cancel();
        unwatch();
        resolve();
      };
    });
  }
}

function isFull(error: unknown): boolean {
  return (error as { code?: unknown } | null)?.code === '53300';
}
