import type { Timer } from '@outlast/core-retry';
import { isReadOnly } from './commands.js';
import type { Command, QueueItem } from './driver.js';
import { OPERATION } from './operation.js';
import type { CommandPolicy } from './policy.js';

interface Entry {
  readonly item: QueueItem;
  readonly keys: ReadonlySet<string>;
  readonly reads: boolean;
  readonly timer: Timer;
}

/**
 * Commands that the server has refused for now and that are sent again after a delay. Plain ioredis keeps
 * the order in which commands were issued, and so must we: a command of the same keys that was issued
 * later and is applied in the meantime supersedes one that waits here, which then fails as refused
 * instead of undoing it.
 */
export class Held {
  private readonly policy: CommandPolicy;
  private readonly resend: (item: QueueItem) => void;
  private readonly entries = new Set<Entry>();

  constructor(policy: CommandPolicy, resend: (item: QueueItem) => void) {
    this.policy = policy;
    this.resend = resend;
  }

  get size(): number {
    return this.entries.size;
  }

  /** Keeps a command for `delayMs`; `behind` were issued later and are on their way already. */
  hold(item: QueueItem, delayMs: number, behind: readonly QueueItem[]): void {
    const { command } = item;
    const { clock, unref } = this.policy.settings;
    const entry: Entry = {
      item,
      keys: keysOf(command),
      reads: isReadOnly(command.name.toLowerCase()),
      timer: clock.setTimeout(
        () => {
          this.entries.delete(entry);
          this.resend(item);
        },
        delayMs,
        { unref },
      ),
    };
    this.entries.add(entry);
    for (const other of behind) watch(entry, other.command);
  }

  /** A command is sent while others wait here. */
  issued(command: Command): void {
    for (const entry of this.entries) if (entry.item.command !== command) watch(entry, command);
  }

  /** Takes out a command that is not wanted any more. */
  remove(command: Command): void {
    for (const entry of this.entries) {
      if (entry.item.command !== command) continue;
      entry.timer.cancel();
      this.entries.delete(entry);
    }
  }

  /** Takes out everything, for a client that is closed. */
  drain(): readonly QueueItem[] {
    const items = [...this.entries].map(({ item }) => item);
    for (const { timer } of this.entries) timer.cancel();
    this.entries.clear();
    return items;
  }
}

function watch(entry: Entry, later: Command): void {
  if (entry.reads && isReadOnly(later.name.toLowerCase())) return;
  if (!later.getKeys().some((key) => entry.keys.has(String(key)))) return;
  later.promise.then(
    () => {
      const operation = entry.item.command[OPERATION];
      if (operation !== undefined) operation.superseded = true;
    },
    () => {},
  );
}

function keysOf(command: Command): ReadonlySet<string> {
  return new Set(command.getKeys().map(String));
}
