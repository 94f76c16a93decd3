import { DeadlineExceededError, type Failure, type Timer } from '@outlast/core-retry';
import { isBlocking } from './commands.js';
import type { Command, QueueItem } from './driver.js';
import { commandTimedOut, connectionClosed, tooManyRetries } from './errors.js';
import type { Guard } from './guard.js';
import { NARROWED } from './narrow.js';
import { OPERATION, operationOf, surface } from './operation.js';
import { inTransaction, isKind } from './transactions.js';

// A connection whose oldest command has been given up may be silent for so long before it is dropped.
const SILENCE_MS = 250;

interface ReadyWaiter {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  readonly until: number;
}

/**
 * Ends what has waited for too long: in the driver's queue for a connection (patience), or for its
 * answer (deadlines). One timer a client, for the earliest.
 */
export class Waiting {
  private readonly guard: Guard;
  private readonly readyWaiters = new Set<ReadyWaiter>();
  private timer: Timer | undefined;
  private timerAt = Infinity;

  constructor(guard: Guard) {
    this.guard = guard;
  }

  /** A command waits in the driver's queue. */
  add(command: Command): void {
    const { guard } = this;
    const operation = operationOf(command, guard.settings.waitMs);
    // While it is not known that Redis is away, a command waits at least for that to be found out.
    const { patienceMs } = operation;
    const limit = guard.outage.isDown
      ? patienceMs
      : Math.max(patienceMs, guard.handshake.timeoutMs);
    operation.waitUntil = this.now() + limit;
    if (limit <= 0) this.sweep();
    else this.arm(Math.min(operation.waitUntil, operation.deadline));
  }

  /** A command is about to be written. */
  sending(command: Command): void {
    const { attemptTimeoutMs } = this.guard.policy.settings;
    const operation = operationOf(command, this.guard.settings.waitMs);
    if (operation.waitUntil === Infinity && attemptTimeoutMs === Infinity) return;
    const now = this.now();
    if (operation.waitUntil !== Infinity) {
      operation.patienceMs = Math.max(0, operation.waitUntil - now);
      operation.waitUntil = Infinity;
    }
    if (attemptTimeoutMs === Infinity) return;
    operation.attemptDeadline = now + attemptTimeoutMs;
    this.arm(operation.attemptDeadline);
  }

  /** A command is new, and has limits. */
  bound(command: Command, now: number): void {
    const { settings, policy } = this.guard;
    const narrowed = command[NARROWED];
    const total = Math.min(narrowed?.totalTimeoutMs ?? Infinity, policy.settings.totalTimeoutMs);
    const limit = Math.min(settings.commandTimeoutMs ?? Infinity, total);
    const operation = operationOf(command, narrowed?.waitMs ?? settings.waitMs);
    operation.deadline = now + limit;
    operation.limitMs = limit;
    operation.deadlineOf = limit === total ? 'total' : 'command';
    this.arm(operation.deadline);
  }

  /** An outage begins: from now on patience counts. */
  begin(): void {
    const now = this.now();
    for (const { command } of this.guard.client.offlineQueue.toArray()) {
      const operation = operationOf(command, this.guard.settings.waitMs);
      operation.waitUntil = Math.min(operation.waitUntil, now + operation.patienceMs);
      this.arm(operation.waitUntil);
    }
  }

  /** Settles when commands can be sent, or when patience is over. */
  whenReady(): Promise<void> {
    const { guard } = this;
    return new Promise((resolve, reject) => {
      const until = this.now() + guard.settings.waitMs;
      this.readyWaiters.add({ resolve, reject, until });
      this.arm(until);
      this.sweep();
    });
  }

  ready(): void {
    for (const { resolve } of this.readyWaiters) resolve();
    this.readyWaiters.clear();
  }

  /** Rejects everything that waits. */
  refuse(error: Error): void {
    const { guard } = this;
    const { offlineQueue } = guard.client;
    for (const { reject } of this.readyWaiters) reject(error);
    this.readyWaiters.clear();
    const reason = guard.closed || guard.client.status === 'end' ? 'closed' : 'permanent';
    for (let item = offlineQueue.shift(); item !== undefined; item = offlineQueue.shift()) {
      const { command } = item;
      if (isKind(command, 'quit')) command.resolve(Buffer.from('OK'));
      else if (command[OPERATION]?.ended !== true) guard.end(command, error, reason, 'acquire');
    }
  }

  /** Ends whatever has waited for too long, and sees when to look again. */
  sweep(): void {
    this.timer?.cancel();
    this.timer = undefined;
    this.timerAt = Infinity;
    const now = this.now();
    for (const waiter of this.readyWaiters) {
      if (waiter.until > now) this.arm(waiter.until);
      else {
        this.readyWaiters.delete(waiter);
        waiter.reject(this.outageError());
      }
    }
    this.sweepQueue(now);
    this.sweepSent(now);
  }

  stop(): void {
    this.timer?.cancel();
    this.timer = undefined;
    this.timerAt = Infinity;
  }

  private sweepQueue(now: number): void {
    const { offlineQueue } = this.guard.client;
    const items = offlineQueue.toArray();
    const expired = items.filter(({ command }) => this.limitOf(command) <= now);
    for (const { command } of items) this.arm(this.limitOf(command), now);
    if (expired.length === 0) return;
    const leaving = new Set(withTheirTransactions(items, new Set(expired)));
    for (let n = offlineQueue.length; n > 0; n--) offlineQueue.shift();
    for (const item of items) if (!leaving.has(item)) offlineQueue.push(item);
    const { guard } = this;
    for (const { command } of leaving) {
      if (command[OPERATION]?.ended === true) continue;
      if (isKind(command, 'multi')) guard.transactions.abandon();
      const late = (command[OPERATION]?.deadline ?? Infinity) <= now;
      if (late) this.giveUp(command, 'acquire');
      else guard.end(command, this.outageError(), 'exhausted', 'acquire');
    }
  }

  private sweepSent(now: number): void {
    const { client } = this.guard;
    const { commandQueue } = client;
    let drop = false;
    for (let i = 0; i < commandQueue.length; i++) {
      const command = commandQueue.peekAt(i)?.command;
      const operation = command?.[OPERATION];
      if (command === undefined || operation === undefined || operation.ended) continue;
      if (operation.deadline <= now) {
        this.giveUp(command, 'sent');
        this.abandoned(command);
      } else if (operation.attemptDeadline <= now) {
        operation.timedOut = true;
        drop = true;
      } else this.arm(Math.min(operation.deadline, operation.attemptDeadline), now);
    }
    // The copy on the wire must not run after the next one.
    if (drop) client.stream?.destroy(commandTimedOut());
  }

  /**
   * Nobody waits for the answer of a command that was sent. One that still waits to pop would take an
   * element that nobody gets: its connection is dropped. So is one that goes on saying nothing.
   */
  abandoned(command: Command): void {
    const { client, policy } = this.guard;
    const { stream, connectionEpoch } = client;
    if (isBlocking(command.name.toLowerCase(), command.args)) {
      stream?.destroy(commandTimedOut());
      return;
    }
    const oldest = client.commandQueue.peekFront();
    if (oldest?.command !== command) return;
    policy.settings.clock.setTimeout(
      () => {
        const silent = client.commandQueue.peekFront() === oldest;
        if (silent && client.connectionEpoch === connectionEpoch)
          stream?.destroy(commandTimedOut());
      },
      SILENCE_MS,
      { unref: true },
    );
  }

  private limitOf(command: Command): number {
    const operation = command[OPERATION];
    if (operation === undefined) return Infinity;
    return operation.ended ? -Infinity : Math.min(operation.waitUntil, operation.deadline);
  }

  /** A command has taken too long: what surfaces is the last thing that went wrong, if anything did. */
  private giveUp(command: Command, phase: 'sent' | 'acquire'): void {
    const { guard } = this;
    const operation = operationOf(command, 0);
    const { last, name, limitMs, deadlineOf } = operation;
    const own =
      deadlineOf === 'total' ? new DeadlineExceededError(name, limitMs) : commandTimedOut();
    const earlier = (last?.error as Error | undefined) ?? guard.outage.error;
    const error = deadlineOf === 'total' ? (earlier ?? own) : own;
    const failure: Failure = {
      category: 'timeout',
      transient: false,
      outcome: phase === 'sent' ? 'unknown' : 'not-applied',
    };
    if (failure.outcome === 'unknown') operation.sawUnknown = true;
    surface(guard.policy, guard, command, error, failure, 'deadline');
  }

  /** What surfaces when patience is over. */
  private outageError(): Error {
    const { outage, settings } = this.guard;
    const error = outage.error ?? connectionClosed();
    const retries = settings.maxRetriesPerRequest;
    return typeof retries === 'number' && retries >= 0 ? tooManyRetries(retries, error) : error;
  }

  private arm(at: number, now = this.now()): void {
    if (at === Infinity || at >= this.timerAt) return;
    const { clock, unref } = this.guard.policy.settings;
    this.timer?.cancel();
    this.timerAt = at;
    this.timer = clock.setTimeout(() => this.sweep(), Math.max(1, at - now), { unref });
  }

  private now(): number {
    return this.guard.policy.settings.clock.now();
  }
}

/** A transaction leaves as a whole, or not at all. */
function* withTheirTransactions(
  items: readonly QueueItem[],
  expired: ReadonlySet<QueueItem>,
): Generator<QueueItem> {
  let begun: 'no' | 'leaves' | 'stays' = 'no';
  for (const item of items) {
    const { command } = item;
    if (isKind(command, 'multi')) begun = expired.has(item) ? 'leaves' : 'stays';
    const part = inTransaction(command) || isKind(command, 'exec') || isKind(command, 'discard');
    if (begun === 'leaves' && part) yield item;
    else if (!(begun === 'stays' && part) && expired.has(item)) yield item;
    if (isKind(command, 'exec') || isKind(command, 'discard')) begun = 'no';
  }
}
