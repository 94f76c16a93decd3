import type { RetryPolicy, Timer } from '@outlast/core-retry';
import type { Command, RedisInternals } from './driver.js';
import { commandTimedOut } from './errors.js';

/** When the attempt under way began. */
const SENT_AT: unique symbol = Symbol('outlast.sentAt');
/** Of a command whose attempt took too long, and whose connection was dropped for it. */
export const TIMED_OUT: unique symbol = Symbol('outlast.timedOut');

declare module './driver.js' {
  interface Command {
    [SENT_AT]?: number;
    [TIMED_OUT]?: boolean;
  }
}

/**
 * `attemptTimeoutMs` of what was sent to one node. Answers come in the order of the commands, so that one
 * timer for the oldest is enough. The connection is dropped: what is on the wire must not run after the
 * next attempt.
 */
export class NodeAttempts {
  private readonly node: RedisInternals;
  private readonly policy: RetryPolicy;
  private timer: Timer | undefined;

  constructor(node: RedisInternals, policy: RetryPolicy) {
    this.node = node;
    this.policy = policy;
  }

  /** A command may have been written; it is the last one on its way, if it was. */
  sent(command: Command): void {
    if (this.node.commandQueue.peekBack()?.command !== command) return;
    const { clock, attemptTimeoutMs } = this.policy.settings;
    command[SENT_AT] = clock.now();
    if (this.timer === undefined) this.arm(attemptTimeoutMs);
  }

  stop(): void {
    this.timer?.cancel();
    this.timer = undefined;
  }

  private arm(delayMs: number): void {
    const { clock, unref } = this.policy.settings;
    this.timer = clock.setTimeout(() => this.look(), Math.max(1, delayMs), { unref });
  }

  private look(): void {
    this.timer = undefined;
    const { node } = this;
    const { clock, attemptTimeoutMs } = this.policy.settings;
    const now = clock.now();
    let next = Infinity;
    let late = false;
    for (const { command } of node.commandQueue.toArray()) {
      if (command[SENT_AT] === undefined) continue;
      const left = command[SENT_AT] + attemptTimeoutMs - now;
      if (left > 0) {
        next = left;
        break;
      }
      command[TIMED_OUT] = true;
      late = true;
    }
    if (late) node.stream?.destroy(commandTimedOut());
    else if (next !== Infinity) this.arm(next);
  }
}
