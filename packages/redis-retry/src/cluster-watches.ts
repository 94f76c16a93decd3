import type { ClusterInternals } from './cluster-driver.js';
import { type Command, CommandClass, type RedisInternals } from './driver.js';
import { STARTED } from './operation.js';

/** Of an EXEC or DISCARD: the slot of its transaction. */
const SLOT: unique symbol = Symbol('outlast.slot');
/** Of an EXEC that has been written once: the connections that held the WATCHes before it. */
const HELD: unique symbol = Symbol('outlast.held');

declare module './driver.js' {
  interface Command {
    [SLOT]?: number | undefined;
    [HELD]?: readonly (object | undefined)[];
  }
}

interface Watch {
  readonly command: Command;
  readonly slot: number | null;
  /** The connection that it was written to; undefined until it is. */
  connection: object | undefined;
}

/**
 * The WATCHes of a Cluster client. Each holds on one connection to one node, and is forgotten with it, or
 * when its slot moves: somebody may have written since. The EXEC that follows is not run there, but
 * answers null, which is Redis' own word for "a watched key has changed".
 */
export class ClusterWatches {
  /** Whether there has been any: until then nothing is looked at. */
  used = false;
  private readonly client: ClusterInternals;
  private watches: Watch[] = [];

  constructor(client: ClusterInternals) {
    this.client = client;
  }

  /**
   * A command is issued.
   *
   * @param slot of its transaction, if it is an EXEC
   */
  issue(command: Command, kind: string, slot: number | undefined): void {
    switch (kind) {
      case 'watch': {
        this.used = true;
        const watch = { command, slot: command.getSlot(), connection: undefined };
        this.watches.push(watch);
        command.promise.catch(() => {
          this.watches = this.watches.filter((one) => one !== watch);
        });
        break;
      }
      case 'unwatch':
        this.watches = [];
        break;
      case 'exec':
      case 'discard':
        command[SLOT] = slot;
    }
  }

  /** A WATCH, or its stand-in, has been written. */
  written(command: Command, connection: object): void {
    const own = this.watches.find(
      (one) => one.command === command || Object.getPrototypeOf(command) === one.command,
    );
    if (own === undefined) return;
    own.connection = connection;
    // One a slot and connection is enough, for those who never EXEC.
    this.watches = this.watches.filter(
      (one) => one === own || one.connection !== connection || one.slot !== own.slot,
    );
  }

  /**
   * An EXEC or DISCARD is about to be written, and ends the WATCHes before it.
   *
   * @returns whether one of them was made on another connection
   */
  end(command: Command, node: RedisInternals, connection: object): boolean {
    let held = command[HELD];
    if (held === undefined) {
      const ended = this.watches.filter((one) => this.concerns(one, command, node, connection));
      this.watches = this.watches.filter((one) => !ended.includes(one));
      held = ended.map((one) => one.connection);
      command[HELD] = held;
    }
    return held.some((one) => one !== connection);
  }

  /** Whether a WATCH is one of those that Redis would look at. */
  private concerns(
    watch: Watch,
    command: Command,
    node: RedisInternals,
    connection: object,
  ): boolean {
    if (watch.connection === connection) return true;
    if (watch.slot === null) return false;
    if (watch.slot === command[SLOT]) return true;
    const key = this.client.slots[watch.slot]?.[0];
    return key !== undefined && this.client.connectionPool.getInstanceByKey(key) === node;
  }
}

/**
 * What is written in place of an EXEC that must not run. Its answer settles the EXEC.
 *
 * @param lost called if there is none: the transaction has not run in any case
 */
export function discardFor(exec: Command, lost: (error: Error) => void): Command {
  const discard = new CommandClass('discard', [], {});
  discard[STARTED] = exec[STARTED] ?? 0;
  discard.inTransaction = exec.inTransaction;
  if (exec.pipelineIndex !== undefined) discard.pipelineIndex = exec.pipelineIndex;
  discard.promise.then(() => {
    // It returns the promise of the EXEC, which may have been given up.
    exec.resolve(null);
  }, lost);
  return discard;
}
