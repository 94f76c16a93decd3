import {
  DeadlineExceededError,
  type Failure,
  type Reason,
  type RetryPolicy,
} from '@outlast/core-retry';
import type { ClusterInternals } from './cluster-driver.js';
import type { Command } from './driver.js';
import { commandTimedOut } from './errors.js';
import { type Operation, operationOf } from './operation.js';

/** How a command is ended from here. */
export interface Ends {
  /** Whether it waits for its next turn. */
  waits(command: Command): boolean;
  patienceOf(command: Command): number;
  expired(command: Command, error: Error | undefined): void;
  surface(command: Command, error: Error, failure: Failure, reason: Reason): void;
}

/** Patience, deadlines and signals of the commands of a Cluster. */
export class ClusterLimits {
  private readonly client: ClusterInternals;
  private readonly policy: RetryPolicy;
  private readonly ends: Ends;

  constructor(client: ClusterInternals, policy: RetryPolicy, ends: Ends) {
    this.client = client;
    this.policy = policy;
    this.ends = ends;
  }

  /** From its first trouble on a command's patience counts. */
  troubled(command: Command): void {
    const operation = operationOf(command, this.ends.patienceOf(command));
    if (operation.waitUntil !== Infinity) return;
    const { clock, unref } = this.policy.settings;
    operation.waitUntil = clock.now() + operation.patienceMs;
    if (operation.patienceMs === Infinity) return;
    const timer = clock.setTimeout(() => this.expire(operation), operation.patienceMs, { unref });
    command.promise.then(
      () => timer.cancel(),
      () => timer.cancel(),
    );
  }

  /** Patience is over. What is on its way to a node may still be answered; what waits is ended. */
  private expire(operation: Operation): void {
    const { command } = operation;
    const waits = this.leaveQueue(command) || this.ends.waits(command) || this.isQueued(command);
    if (operation.ended || !waits) return;
    this.ends.expired(command, operation.last?.error as Error | undefined);
  }

  bound(command: Command, limitMs: number, total: boolean): void {
    const { clock, unref } = this.policy.settings;
    const operation = operationOf(command, this.ends.patienceOf(command));
    operation.deadline = clock.now() + limitMs;
    const timer = clock.setTimeout(
      () => {
        if (operation.ended) return;
        const own = total ? new DeadlineExceededError(operation.name, limitMs) : commandTimedOut();
        const error = total ? ((operation.last?.error as Error | undefined) ?? own) : own;
        this.give(command, error, 'timeout', 'deadline');
      },
      limitMs,
      { unref },
    );
    command.promise.then(
      () => timer.cancel(),
      () => timer.cancel(),
    );
  }

  cancel(command: Command, reason: unknown): void {
    if (operationOf(command, 0).ended || command.isResolved) return;
    this.give(command, reason as Error, 'cancelled', 'cancelled');
  }

  /** Ends a command that may be on its way. */
  private give(
    command: Command,
    error: Error,
    category: 'timeout' | 'cancelled',
    reason: Reason,
  ): void {
    const sent = this.client
      .nodes()
      .some((node) => node.commandQueue.toArray().some((item) => sameAs(item.command, command)));
    this.leaveQueue(command);
    const outcome = sent ? 'unknown' : 'not-applied';
    if (sent) operationOf(command, 0).sawUnknown = true;
    this.ends.surface(command, error, { category, transient: false, outcome }, reason);
  }

  /** Whether a command waits for the connection of a node, which will not write what has ended. */
  private isQueued(command: Command): boolean {
    return this.client
      .nodes()
      .some((node) => node.offlineQueue.toArray().some((item) => sameAs(item.command, command)));
  }

  /** Takes a command out of the Cluster's own queue. */
  private leaveQueue(command: Command): boolean {
    const { offlineQueue } = this.client;
    for (let i = 0; i < offlineQueue.length; i++) {
      const item = offlineQueue.peekAt(i);
      if (item === undefined || !sameAs(item.command, command)) continue;
      offlineQueue.removeOne(i);
      return true;
    }
    return false;
  }
}

/** Whether what the driver holds is the command, or its stand-in. */
function sameAs(held: Command, command: Command): boolean {
  return held === command || Object.getPrototypeOf(held) === command;
}
