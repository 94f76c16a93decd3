import type { Clock, Timer } from '@outlast/core-retry';
import type driver from 'pg';
import { internals } from './driver.js';

/** How long an answer may take at most, and a goodbye, in milliseconds. */
const ANSWER_MS = 5000;
const GOODBYE_MS = 1000;

/** The connection that notifications come on. It is asked now and then whether it lives. */
export class ListenConnection {
  /** Resolves when the connection is gone, for whatever reason. */
  readonly lost: Promise<void>;
  private readonly client: driver.ClientBase;
  private readonly clock: Clock;
  private readonly keepAliveMs: () => number;
  private timer: Timer | undefined;
  private asking = false;
  private gone = false;

  /** @param keepAliveMs how long it may be left alone, in milliseconds; asked before each question */
  constructor(
    client: driver.ClientBase,
    clock: Clock,
    keepAliveMs: () => number,
    onNotification: (notification: driver.Notification) => void,
  ) {
    this.client = client;
    this.clock = clock;
    this.keepAliveMs = keepAliveMs;
    this.lost = new Promise((resolve) => {
      const ended = (): void => {
        this.gone = true;
        this.timer?.cancel();
        resolve();
      };
      client.once('end', ended);
      client.once('error', () => {
        ended();
        this.destroy();
      });
    });
    client.on('notification', (notification) => {
      if (!this.gone) onNotification(notification);
    });
    this.refresh();
  }

  async run(text: string): Promise<void> {
    await this.client.query(text);
  }

  /** Says goodbye; resolves when the connection is closed, after a second at the latest. */
  async close(): Promise<void> {
    this.gone = true;
    this.timer?.cancel();
    const late = this.clock.setTimeout(() => this.destroy(), GOODBYE_MS);
    // Its promise may reject, or never settle, on a connection that has died.
    this.end();
    await this.lost;
    late.cancel();
  }

  /** Drops the connection, without a word. */
  destroy(): void {
    const { connection } = internals(this.client);
    if (connection?.stream === undefined) this.end();
    else connection.stream.destroy();
  }

  private end(): void {
    // The types of a pooled client do not have it.
    (this.client as driver.Client).end().catch(() => {});
  }

  /** Somebody may want it asked more often. */
  refresh(): void {
    if (this.gone || this.asking) return;
    this.timer?.cancel();
    const pauseMs = this.keepAliveMs();
    this.timer = this.clock.setTimeout(() => this.ask(Math.min(pauseMs, ANSWER_MS)), pauseMs);
  }

  // The server says nothing of itself: without a question a dead connection looks like a quiet one.
  private ask(limitMs: number): void {
    this.asking = true;
    this.timer = this.clock.setTimeout(() => this.destroy(), limitMs);
    this.run('SELECT 1').then(
      () => {
        this.asking = false;
        this.refresh();
      },
      () => this.destroy(),
    );
  }
}
