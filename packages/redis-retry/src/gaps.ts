import type { Command, Condition } from './driver.js';
import type { Guard } from './guard.js';

/** What a subscriber cannot have heard: emitted as `gap`, once a reconnect. */
export interface Gap {
  readonly channels: readonly string[];
  readonly patterns: readonly string[];
  /** Sharded channels. */
  readonly shardChannels: readonly string[];
  /** How long nobody listened, in milliseconds. */
  readonly downMs: number;
}

/**
 * Redis keeps no messages for those who are away. After a reconnect the driver subscribes again, and
 * what was published in between is lost; the subscriber is told, so that he can read what he missed.
 */
export class Gaps {
  private readonly guard: Guard;
  private lostAt: number | undefined;
  private restored: Promise<unknown>[] = [];

  constructor(guard: Guard) {
    this.guard = guard;
  }

  /** The connection is lost. */
  lost(condition: Condition | null): void {
    if (condition?.subscriber) this.lostAt ??= this.guard.policy.settings.clock.now();
  }

  /** The driver subscribes again. */
  restoring(command: Command): void {
    if (command.name.toLowerCase() !== 'select') this.restored.push(command.promise);
  }

  /** Commands can be sent; the driver is about to subscribe again. */
  ready(previous: Condition | null | undefined): void {
    const { client, policy } = this.guard;
    const { lostAt } = this;
    const subscriber = previous?.subscriber;
    if (lostAt === undefined || !subscriber || client.options['autoResubscribe'] === false) return;
    const gap = {
      channels: subscriber.channels('subscribe'),
      patterns: subscriber.channels('psubscribe'),
      shardChannels: subscriber.channels('ssubscribe'),
    };
    this.restored = [];
    process.nextTick(() => {
      Promise.all(this.restored).then(
        () => {
          if (this.lostAt !== lostAt) return;
          this.lostAt = undefined;
          const downMs = policy.settings.clock.now() - lostAt;
          client.emit('gap', Object.freeze({ ...gap, downMs }) satisfies Gap);
        },
        () => {},
      );
    });
  }
}
