import type { Timer } from '@outlast/core-retry';
import { markCall } from '@outlast/core-retry/connector';
import type { Notification } from 'pg';
import { KEEP_ALIVE_MS, type ListenHandler, type ListenOptions } from './listen-options.js';
import type { PoolCore } from './pool-core.js';

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  readonly since: number;
  latest: unknown;
  timer: Timer | undefined;
}

/** Who called `pool.listen()`: waits for the server's first word, then hears what comes. */
export class Subscriber {
  /** Resolves when the server listens for it the first time. */
  readonly listening: Promise<void>;
  readonly keepAliveMs: number;
  private readonly core: PoolCore;
  private readonly channel: string;
  private readonly fn: ListenHandler;
  private readonly options: ListenOptions;
  private waiting: Waiting | undefined;
  private lostAt: number | undefined;
  private warned = false;

  constructor(core: PoolCore, channel: string, fn: ListenHandler, options: ListenOptions) {
    this.core = core;
    this.channel = channel;
    this.fn = fn;
    this.options = options;
    this.keepAliveMs = options.keepAliveMs ?? KEEP_ALIVE_MS;
    this.listening = new Promise((resolve, reject) => {
      const since = this.now();
      this.waiting = { resolve, reject, since, latest: undefined, timer: undefined };
    });
  }

  /** The server listens, for the first time or again. */
  granted(): void {
    const { waiting, lostAt } = this;
    this.settled();
    waiting?.resolve();
    this.lostAt = undefined;
    if (lostAt === undefined) return;
    const { onGap } = this.options;
    const gap = Object.freeze({ channel: this.channel, downMs: this.now() - lostAt });
    if (onGap !== undefined) this.call(() => onGap(gap));
  }

  /** The connection that it was heard on is gone. */
  lost(): void {
    if (this.waiting === undefined) this.lostAt ??= this.now();
  }

  /** The server cannot be reached: whoever has never been heard waits as long as his patience lasts. */
  delayed(error: unknown): void {
    const { waiting } = this;
    if (waiting === undefined) return;
    waiting.latest = error;
    const { clock } = this.core.policy.settings;
    waiting.timer ??= clock.setTimeout(() => this.giveUp(waiting), this.core.waitMs);
  }

  /** The server says no: who waits for its first word is done, all others wait on. */
  refused(error: unknown): void {
    if (this.waiting === undefined) this.tell(error);
    else this.closed(error);
  }

  /** It is over; `error` is what it is told if it still waits. */
  closed(error: unknown): void {
    const { waiting } = this;
    this.settled();
    waiting?.reject(error);
  }

  deliver(notification: Notification): void {
    this.call(() => this.fn(notification.payload ?? '', notification));
  }

  private giveUp(waiting: Waiting): void {
    const call = {
      operation: 'pg.listen',
      elapsedMs: this.now() - waiting.since,
      reason: 'exhausted',
      outcome: 'not-applied',
    } as const;
    this.closed(markCall(waiting.latest, call, this, this));
  }

  private settled(): void {
    this.waiting?.timer?.cancel();
    this.waiting = undefined;
  }

  /** Whatever a handler throws or rejects with is told, and ends nothing. */
  private call(handler: () => unknown): void {
    new Promise((resolve) => resolve(handler())).catch((error: unknown) => this.tell(error));
  }

  private tell(error: unknown): void {
    const { onError } = this.options;
    if (onError !== undefined) {
      new Promise((resolve) => resolve(onError(error))).catch(() => {});
      return;
    }
    if (this.warned) return;
    this.warned = true;
    process.emitWarning(
      `A handler of pool.listen('${this.channel}') failed, or the server refused to listen; give { onError } to be told. ${error}`,
      'OutlastListenWarning',
    );
  }

  private now(): number {
    return this.core.policy.settings.clock.now();
  }
}
