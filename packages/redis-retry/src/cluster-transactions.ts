import type { RetryPolicy, Timer } from '@outlast/core-retry';
import type { ClusterInternals, PinnedNode } from './cluster-driver.js';
import { LOST } from './cluster-node.js';
import type { Command } from './driver.js';
import { OPERATION } from './operation.js';

/** The transaction that a command of a pipeline belongs to. */
const GROUP: unique symbol = Symbol('outlast.group');

declare module './driver.js' {
  interface Command {
    [GROUP]?: Group;
  }
}

interface Group {
  readonly slot: number;
  readonly parts: Command[];
  /** What came back from a node that it had not been written to. */
  readonly returned: Set<Command>;
  /** A part of it has been given up: the others must not run without it. */
  spoilt: boolean;
  /** When its patience ends, from its first trouble on. */
  until: number;
  error: Error | undefined;
  timer: Timer | undefined;
}

/** What the transactions of pipelines need of their Cluster's guard. */
export interface GroupHost {
  readonly client: ClusterInternals;
  readonly policy: RetryPolicy;
  patienceOf(command: Command): number;
  /** Hands a command to the driver, for a node. */
  forward(command: Command, node: PinnedNode): void;
  /** Ends a command that was never sent. */
  giveUp(command: Command, error: Error | undefined): void;
}

const PAUSE_MS = 200;

/**
 * The transactions of pipelines: what was never sent waits, as everything does, and goes as a whole or not
 * at all. A MULTI that was given up would let its commands run by themselves.
 */
export class ClusterTransactions {
  private readonly host: GroupHost;
  private readonly groups = new WeakMap<object, Group>();
  private readonly waiting = new Set<Group>();

  constructor(host: GroupHost) {
    this.host = host;
  }

  /** A command of a transaction is sent for the first time, through the sink of its pipeline. */
  join(command: Command, sink: object, slot: number): void {
    let group = this.groups.get(sink);
    if (group === undefined) {
      group = {
        slot,
        parts: [],
        returned: new Set(),
        spoilt: false,
        until: Infinity,
        error: undefined,
        timer: undefined,
      };
      this.groups.set(sink, group);
    }
    group.parts.push(command);
    command[GROUP] = group;
  }

  /** A command has been given up. */
  ended(command: Command): void {
    const group = command[GROUP];
    if (group !== undefined) group.spoilt = true;
  }

  /** Whether a part of the command's transaction has been given up, so that this one must not be sent. */
  isSpoilt(command: Command): boolean {
    return command[GROUP]?.spoilt === true;
  }

  /** Whether a command waits here. */
  holds(command: Command): boolean {
    const group = command[GROUP];
    return group !== undefined && this.waiting.has(group);
  }

  /**
   * A node has given back a command that was not written to it.
   *
   * @returns false if it belongs to no transaction of a pipeline
   */
  unsent(command: Command, error: Error): boolean {
    const group = command[GROUP];
    if (group === undefined) return false;
    group.returned.add(command);
    group.error = error;
    const { clock, unref } = this.host.policy.settings;
    if (group.until === Infinity) group.until = clock.now() + this.host.patienceOf(command);
    if (group.timer !== undefined) return true;
    const left = group.until - clock.now();
    this.waiting.add(group);
    group.timer = clock.setTimeout(
      () => this.resume(group, left <= PAUSE_MS),
      Math.max(1, Math.min(PAUSE_MS, left)),
      { unref },
    );
    return true;
  }

  /** The Cluster is closed: what waits is ended. */
  close(): void {
    for (const group of this.waiting) {
      group.timer?.cancel();
      this.end(group);
    }
  }

  private resume(group: Group, last: boolean): void {
    const { client } = this.host;
    group.timer = undefined;
    if (last || group.spoilt || group.returned.size < group.parts.length) {
      this.end(group);
      return;
    }
    this.waiting.delete(group);
    group.returned.clear();
    client.refreshSlotsCache();
    const node: PinnedNode = { slot: group.slot, redis: undefined };
    for (const part of group.parts) {
      delete part[LOST];
      this.host.forward(part, node);
    }
  }

  private end(group: Group): void {
    this.waiting.delete(group);
    for (const part of group.returned) {
      if (part[OPERATION]?.ended !== true) this.host.giveUp(part, group.error);
    }
  }
}
