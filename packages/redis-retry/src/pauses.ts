import type { RetryPolicy, Timer } from '@outlast/core-retry';
import type { Command } from './driver.js';
import { OPERATION } from './operation.js';

/** Commands that wait for their next turn, each with a timer. */
export class Pauses {
  private readonly policy: RetryPolicy;
  private readonly timers = new Map<Command, Timer>();

  constructor(policy: RetryPolicy) {
    this.policy = policy;
  }

  /** Calls `resume` after `delayMs`, unless the command has ended by then. */
  add(command: Command, delayMs: number, resume: () => void): void {
    const { clock, unref } = this.policy.settings;
    const timer = clock.setTimeout(
      () => {
        this.timers.delete(command);
        if (command[OPERATION]?.ended !== true) resume();
      },
      delayMs,
      { unref },
    );
    this.timers.set(command, timer);
  }

  has(command: Command): boolean {
    return this.timers.has(command);
  }

  remove(command: Command): void {
    this.timers.get(command)?.cancel();
    this.timers.delete(command);
  }

  /** What waits; it is the caller's to end it. */
  commands(): Command[] {
    return [...this.timers.keys()];
  }
}
