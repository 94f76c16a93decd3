import type { Failure, Reason } from '@outlast/core-retry';
import type { ClusterInternals } from './cluster-driver.js';
import { CONNECTION, LOST, WRITTEN } from './cluster-node.js';
import { type ClusterWatches, discardFor } from './cluster-watches.js';
import { type Command, CommandClass, type RedisInternals } from './driver.js';
import { connectionClosed } from './errors.js';
import { NARROWED } from './narrow.js';
import { OPERATION } from './operation.js';
import { REPEATABLE } from './repeatable.js';
import { IN_TRANSACTION, isKind } from './transactions.js';

/** A transaction that was begun by hand, from its first command on. */
interface Hand {
  /** What waits until MULTI has been answered. */
  readonly waiting: Command[];
  begun: boolean;
  slot: number;
  node: RedisInternals | undefined;
  connection: object | undefined;
  /** EXEC has been sent: from then on nobody knows what a lost answer means. */
  executed: boolean;
  /** One of its commands was given up before it was sent: the others must not run without it. */
  spoilt: boolean;
  /** Why MULTI could not be sent. */
  error: Error | undefined;
}

/** What transactions by hand need of their Cluster's guard. */
export interface HandHost {
  readonly client: ClusterInternals;
  /** Issues a command of ours. */
  send(command: Command): unknown;
  readonly watches: ClusterWatches;
  judge(error: Error): Failure;
  surface(command: Command, error: Error, failure: Failure, reason: Reason): void;
}

const SLOTS = 16_384;
// As Redis says it of a transaction that lacks one of its commands.
const ABORTED = 'EXECABORT Transaction discarded because of previous errors.';
/** Go over a connection of their own, or to any node. */
const ELSEWHERE = /^(?:[ps]?(?:un)?subscribe|cluster|quit)$/i;
/** The MULTI that is sent for a caller's. */
export const CARRIER: unique symbol = Symbol('outlast.carrier');

declare module './driver.js' {
  interface Command {
    [CARRIER]?: boolean;
  }
}

/**
 * Transactions by hand (`multi({ pipeline: false })`). MULTI has no key, so that the driver sends it to any
 * node, and what follows to others. Here it is sent when the first key is known, to the node of that key,
 * and all that follows up to EXEC goes there.
 */
export class ByHand {
  private readonly host: HandHost;
  private open: Hand | undefined;

  constructor(host: HandHost) {
    this.host = host;
  }

  /** Whether a transaction is open, so that what is sent to its node would become a part of it. */
  get isOpen(): boolean {
    return this.open !== undefined;
  }

  /** A command is issued by itself; marks it if it belongs to a transaction by hand. */
  claim(command: Command, kind: string): void {
    if (command[CARRIER] === true || ELSEWHERE.test(command.name)) return;
    if (this.open !== undefined || kind === 'multi') command[IN_TRANSACTION] = true;
  }

  /** Takes a command that belongs to a transaction by hand. */
  send(command: Command, kind: string): void {
    if (this.open === undefined) {
      // The server's own word follows when a key says which server.
      this.open = {
        waiting: [],
        begun: false,
        slot: -1,
        node: undefined,
        connection: undefined,
        executed: false,
        spoilt: false,
        error: undefined,
      };
      command.resolve(Buffer.from('OK'));
      return;
    }
    const hand = this.open;
    const ends = kind === 'exec' || kind === 'discard';
    if (ends) this.open = undefined;
    if (!hand.begun) {
      if (ends) {
        command.resolve(kind === 'exec' ? [] : Buffer.from('OK'));
        return;
      }
      hand.begun = true;
      this.begin(hand, command);
    }
    command.reject = (error) => this.failed(hand, command, error);
    if (hand.error !== undefined) refuse(command, hand.error);
    else if (hand.node === undefined) hand.waiting.push(command);
    else this.forward(hand, command);
  }

  /** MULTI may be sent again until it is answered: what it began ends with its connection. */
  private begin(hand: Hand, first: Command): void {
    const multi = new CommandClass('multi', [], {});
    hand.slot = first.getSlot() ?? Math.trunc(Math.random() * SLOTS);
    multi.getSlot = () => hand.slot;
    multi[CARRIER] = true;
    multi[REPEATABLE] = true;
    if (first[NARROWED] !== undefined) multi[NARROWED] = first[NARROWED];
    let at: { node: RedisInternals; connection: object } | undefined;
    multi[WRITTEN] = (node, connection) => {
      at = { node, connection };
    };
    this.host.send(multi);
    multi.promise.then(
      () => {
        hand.node = at?.node;
        hand.connection = at?.connection;
        for (const command of hand.waiting.splice(0)) this.forward(hand, command);
      },
      (error: Error) => {
        hand.error = error;
        for (const command of hand.waiting.splice(0)) refuse(command, error);
      },
    );
  }

  private forward(hand: Hand, command: Command): void {
    const { node, connection } = hand;
    if (node === undefined || node[CONNECTION] !== connection || node.stream?.writable !== true) {
      // Nothing of it has run: the server forgot what was queued when it lost the connection.
      refuse(command, connectionClosed());
      return;
    }
    const ended = command[OPERATION]?.ended === true;
    if (ended) hand.spoilt = true;
    const kind = isKind(command, 'exec') ? 'exec' : isKind(command, 'discard') ? 'discard' : '';
    if (kind !== '') this.host.watches.issue(command, kind, hand.slot);
    if (kind !== '' && (ended || (kind === 'exec' && hand.spoilt))) {
      node.sendCommand(discardFor(command, () => {}));
      if (!ended) refuse(command, new Error(ABORTED));
      return;
    }
    if (kind === 'exec') hand.executed = true;
    node.sendCommand(command);
  }

  private failed(hand: Hand, command: Command, error: Error): void {
    const { host } = this;
    const how = command[LOST];
    delete command[LOST];
    const failure = host.judge(error);
    if (how === undefined) {
      if (/^(?:MOVED|ASK) /.test(error.message)) host.client.refreshSlotsCache();
      host.surface(command, error, failure, 'permanent');
      return;
    }
    const unknown = how === 'sent' && hand.executed;
    const outcome = unknown ? 'unknown' : 'not-applied';
    host.surface(
      command,
      error,
      { ...failure, outcome },
      unknown ? 'outcome-unknown' : 'permanent',
    );
  }
}

/** Nothing of it was sent. */
function refuse(command: Command, error: Error): void {
  if (command[OPERATION]?.ended === true) return;
  command[LOST] = 'unsent';
  command.reject(error);
}
