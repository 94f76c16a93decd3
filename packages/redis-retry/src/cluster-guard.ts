import type { Failure, Reason, RetryPolicy } from '@outlast/core-retry';
import { refusedByBreaker } from './breaker.js';
import { ByHand, CARRIER, type HandHost } from './cluster-by-hand.js';
import { type ClusterInternals, keepNode, type PinnedNode } from './cluster-driver.js';
import { ClusterLimits } from './cluster-limits.js';
import { LOST, type NodeHost, watchNode } from './cluster-node.js';
import { ClusterTransactions, type GroupHost } from './cluster-transactions.js';
import { ClusterWatches } from './cluster-watches.js';
import { Outage } from './connect.js';
import { CONNECTION_CLOSED, type Command, type RedisInternals } from './driver.js';
import { connectionClosed, QueueFullError } from './errors.js';
import { kindOf } from './kinds.js';
import { NARROWED, watchSignal } from './narrow.js';
import {
  announceRetry,
  OPERATION,
  observe,
  operationOf,
  retryDelay,
  STARTED,
  surface,
} from './operation.js';
import type { ClientSettings } from './options.js';
import { Pauses } from './pauses.js';
import { isWaitedFor } from './replies.js';
import { Tokens } from './resolve.js';
import { IN_TRANSACTION, inTransaction } from './transactions.js';
import { mayRepeat } from './verdict.js';

/** The driver's methods that ours go on to: those of its class, or of a client that somebody else made. */
export type ClusterBase = Pick<
  ClusterInternals,
  'sendCommand' | 'delayUntilReady' | 'handleError' | 'disconnect' | 'quit' | 'setStatus'
>;

/** What a command was before it was handed to the Cluster. */
const FINAL: unique symbol = Symbol('outlast.final');

/** The sink of the pipeline that it was sent with; the driver makes another when it sends all of it again. */
const SINK: unique symbol = Symbol('outlast.sink');

declare module './driver.js' {
  interface Command {
    [SINK]?: object;
    [FINAL]?: (error: Error) => void;
  }
}

const PAUSE_MS = 200;
/** Answers after which the driver itself finds the way: it follows the slot, or asks again. */
const REDIRECTIONS = /^(?:MOVED|ASK|TRYAGAIN|CLUSTERDOWN) /;

/**
 * Watches over a Cluster client. The driver sends a command again, whatever it is, when the connection to
 * its node closes, and gives up after 16 turns of 100 ms. Here a command whose answer was lost goes again
 * only if it may, and one that may goes on for as long as its patience lasts.
 */
export class ClusterGuard implements NodeHost, GroupHost, HandHost {
  readonly client: ClusterInternals;
  readonly base: ClusterBase;
  readonly settings: ClientSettings;
  readonly policy: RetryPolicy;
  readonly outage: Outage;
  closed = false;
  /** `quit()` was called: what is on its way may end, and nothing more is sent. */
  quitting = false;
  /** Why the latest connection to a node failed. */
  nodeError: Error | undefined;
  /** The driver is asked to find another way for a command; whatever else it would resend it may not. */
  redirecting = false;
  /** Somebody else has made the client, and may have given it commands before. */
  adopted = false;
  readonly watches: ClusterWatches;
  private readonly tokens = new Tokens();
  private readonly limits: ClusterLimits;
  private readonly transactions: ClusterTransactions;
  private readonly byHand: ByHand;
  private readonly pauses: Pauses;

  constructor(client: ClusterInternals, base: ClusterBase, settings: ClientSettings) {
    this.client = client;
    this.base = base;
    this.settings = settings;
    this.policy = settings.policy;
    this.outage = new Outage(settings.policy);
    this.pauses = new Pauses(settings.policy);
    this.limits = new ClusterLimits(client, settings.policy, {
      waits: (command) => this.pauses.has(command) || this.transactions.holds(command),
      patienceOf: (command) => this.patienceOf(command),
      expired: (command, error) => this.giveUp(command, error),
      surface: (...how) => this.surface(...how),
    });
    this.watches = new ClusterWatches(client);
    this.transactions = new ClusterTransactions(this);
    this.byHand = new ByHand(this);
  }

  /** A connection to a node is made. */
  adopt(node: RedisInternals): void {
    watchNode(node, this);
  }

  isOver(command: Command): boolean {
    if (command[OPERATION]?.ended === true) return true;
    const spoilt = this.transactions.isSpoilt(command);
    if (spoilt) this.giveUp(command, undefined);
    return spoilt;
  }

  /** Takes the place of the driver's `sendCommand`. */
  send(command: Command, stream?: object, node?: PinnedNode): unknown {
    if (command[FINAL] !== undefined && (stream === undefined || command[SINK] === stream)) {
      // It has waited for the map of slots. Its pipeline is written one by one now: a slot may be over.
      if (!this.isOver(command)) this.base.sendCommand.call(this.client, command, undefined, node);
      return command.promise;
    }
    const kind = kindOf(command.name);
    if (node === undefined) this.byHand.claim(command, kind);
    if (!this.admit(command, kind, stream, node?.slot)) return command.promise;
    if (stream !== undefined) command[SINK] = stream;
    command[FINAL] = command.reject;
    if (command[IN_TRANSACTION] === true) this.byHand.send(command, kind);
    else if (node === undefined) this.dispatch(command, command);
    else {
      command.reject = (error) => this.slotFailed(command, error);
      if (stream !== undefined && isPart(command, kind)) {
        this.transactions.join(command, stream, node.slot);
      }
      if (node.redis === undefined) keepNode(this.client, node.slot);
      this.base.sendCommand.call(this.client, command, stream, node);
    }
    return command.promise;
  }

  /** Hands a command to the driver, for a node. */
  forward(command: Command, node: PinnedNode): void {
    keepNode(this.client, node.slot);
    this.base.sendCommand.call(this.client, command, undefined, node);
  }

  /** Takes over a command that a node of a client that somebody else made holds. */
  takeOver(command: Command): void {
    command[STARTED] = Math.trunc(this.policy.settings.clock.now());
    command[FINAL] = command.reject;
    command.reject =
      command.pipelineIndex === undefined
        ? (error) => this.failed(command, error, command, () => this.later(command, PAUSE_MS))
        : (error) => this.slotFailed(command, error);
  }

  /** Takes over a command that waits for the map of slots. */
  requeue(command: Command, stream: object | undefined, node: PinnedNode | undefined): void {
    this.takeOver(command);
    this.limits.troubled(command);
    if (node === undefined) this.resend(command);
    else this.base.sendCommand.call(this.client, command, stream, node);
  }

  private admit(command: Command, kind: string, sink?: object, slot?: number): boolean {
    const { policy, client, settings } = this;
    const { clock, budget } = policy.settings;
    const now = clock.now();
    command[STARTED] = Math.trunc(now);
    budget?.deposit(now);
    if (policy.watched) observe(policy, command);
    if (this.closed || this.quitting || client.status === 'end') {
      this.end(command, connectionClosed(), 'closed', 'acquire');
      return false;
    }
    if (client.offlineQueue.length >= settings.maxQueued && client.status !== 'ready') {
      this.end(command, new QueueFullError(settings.maxQueued), 'exhausted', 'acquire');
      return false;
    }
    const refusal = refusedByBreaker(policy, command, sink);
    if (refusal !== undefined) {
      this.end(command, refusal, 'circuit-open', 'acquire');
      return false;
    }
    const narrowed = command[NARROWED];
    if (narrowed?.signal !== undefined) {
      if (narrowed.signal.aborted) {
        this.limits.cancel(command, narrowed.signal.reason);
        return false;
      }
      watchSignal(command, (reason) => this.limits.cancel(command, reason));
    }
    const totalMs = Math.min(narrowed?.totalTimeoutMs ?? Infinity, policy.settings.totalTimeoutMs);
    const limitMs = Math.min(totalMs, settings.commandTimeoutMs ?? Infinity);
    if (limitMs !== Infinity) this.limits.bound(command, limitMs, limitMs === totalMs);
    if (kind === 'set') this.tokens.issued(command);
    else if (kind !== '' && command[IN_TRANSACTION] !== true) {
      this.watches.issue(command, kind, slot);
    }
    if (client.status !== 'ready') this.limits.troubled(command);
    return true;
  }

  /**
   * Hands a command to the driver, and its failures to us first.
   *
   * @param target the command, or a stand-in: the driver follows redirections 16 times a command, and for
   *   a stand-in begins to count anew
   */
  private dispatch(command: Command, target: Command): void {
    target.reject = (error) => this.gaveUp(command, error);
    const slot = command[CARRIER] === true ? command.getSlot() : null;
    if (slot !== null) keepNode(this.client, slot);
    this.base.sendCommand.call(this.client, target);
    // Any node takes a MULTI, and the driver asks any when the one is away.
    const redirect = slot === null ? target.reject : () => this.later(command, PAUSE_MS);
    target.reject = (error) => this.failed(command, error, target, redirect);
  }

  private redirect(target: Command, error: Error, way: (error: Error) => void): void {
    this.redirecting = true;
    try {
      way.call(target, error);
    } finally {
      this.redirecting = false;
    }
  }

  /** A node has answered with an error, or is gone. */
  private failed(
    command: Command,
    error: Error,
    target: Command,
    redirect: (error: Error) => void,
  ): void {
    if (command[OPERATION]?.ended === true) return;
    const how = target[LOST];
    delete target[LOST];
    if (how !== 'sent' && (how === 'unsent' || REDIRECTIONS.test(error.message))) {
      this.limits.troubled(command);
      this.redirect(target, error, redirect);
      return;
    }
    if (this.lostForGood(command, error)) return;
    if (error.message === CONNECTION_CLOSED) this.redirect(target, error, redirect);
    else this.gaveUp(command, error);
  }

  /** Decides about an answer that was lost, or was no; true if the command has been ended. */
  private lostForGood(command: Command, error: Error): boolean {
    const { policy } = this;
    const failure = this.judge(error);
    const operation = operationOf(command, this.patienceOf(command));
    operation.failed(error, failure);
    // "Not now" is waited for, and is no attempt.
    const waits = isWaitedFor(error.message);
    let reason: Reason | undefined;
    if (this.closed) reason = 'closed';
    else if (!failure.transient) reason = 'permanent';
    else if (failure.outcome === 'unknown' && !this.repeatable(command)) reason = 'outcome-unknown';
    else if (!waits && operation.attempts >= policy.settings.maxAttempts) reason = 'exhausted';
    if (reason !== undefined) {
      const give = (): void => this.surface(command, error, failure, reason);
      const question =
        reason === 'outcome-unknown'
          ? this.tokens.lookUp(command, this.settings.waitMs, give)
          : this.tokens.infer(command, error, give);
      if (question === undefined) give();
      else this.client.sendCommand(question);
      return true;
    }
    announceRetry(policy, operation, error, failure, 0);
    if (!waits) operation.again(0);
    this.limits.troubled(command);
    return false;
  }

  /** The driver has no way on. What comes here may run again: the rest has been ended before. */
  private gaveUp(command: Command, error: Error): void {
    const { policy } = this;
    const operation = operationOf(command, this.patienceOf(command));
    if (operation.ended) return;
    const failure = this.judge(error);
    this.limits.troubled(command);
    const now = policy.settings.clock.now();
    const over = now + PAUSE_MS >= operation.waitUntil || now + PAUSE_MS >= operation.deadline;
    if (this.closed || !failure.transient || over) {
      const known: Failure = { ...failure, outcome: 'not-applied' };
      const reason = this.closed ? 'closed' : failure.transient ? 'exhausted' : 'permanent';
      this.surface(command, this.explained(error), known, reason);
      return;
    }
    const delayMs = Math.min(retryDelay(policy, operation, failure), PAUSE_MS);
    this.later(command, Math.max(delayMs, PAUSE_MS / 4));
  }

  /** A slot of a pipeline has failed; the others have verdicts of their own. */
  private slotFailed(command: Command, error: Error): void {
    if (command[OPERATION]?.ended === true) return;
    const how = command[LOST];
    delete command[LOST];
    const part = isPart(command, kindOf(command.name));
    if (part && how === 'unsent' && !this.closed && this.transactions.unsent(command, error))
      return;
    if (part && how === undefined) {
      // The driver moves a transaction as a whole, if the node has refused all of it.
      command.reject = command[FINAL] as (error: Error) => void;
      delete command[FINAL];
      command.reject(error);
      return;
    }
    if (part) {
      const failure = this.judge(error);
      const outcome = how === 'sent' ? 'unknown' : 'not-applied';
      const reason = how === 'sent' ? 'outcome-unknown' : 'exhausted';
      this.surface(command, error, { ...failure, outcome }, reason);
      return;
    }
    const unsent = how === 'unsent' || (how === undefined && REDIRECTIONS.test(error.message));
    if (unsent) this.limits.troubled(command);
    else if (this.lostForGood(command, error)) return;
    this.resend(command);
  }

  private later(command: Command, delayMs: number): void {
    this.pauses.add(command, delayMs, () => {
      this.client.refreshSlotsCache();
      // To a node with an open transaction it would become a part of that.
      if (this.byHand.isOpen && command[CARRIER] !== true) this.later(command, PAUSE_MS);
      else this.resend(command);
    });
  }

  private resend(command: Command): void {
    // What the driver writes on it stays there; its promise is the command's.
    this.dispatch(command, Object.create(command) as Command);
  }

  private repeatable(command: Command): boolean {
    return this.settings.verdict.resend && mayRepeat(this.settings.verdict, command);
  }

  judge(error: Error): Failure {
    return this.policy.settings.classify(error, 'sent');
  }

  patienceOf(command: Command): number {
    return command[NARROWED]?.waitMs ?? this.settings.waitMs;
  }

  /** The driver says that no node is available; a node's own error says why. */
  explained(error: Error | undefined): Error {
    const { nodeError } = this;
    const own = error ?? connectionClosed();
    if (nodeError !== undefined && own.cause === undefined && nodeError !== own) {
      Object.defineProperty(own, 'cause', { value: nodeError, configurable: true, writable: true });
    }
    return own;
  }

  /** Ends a command that was never sent. */
  giveUp(command: Command, error: Error | undefined): void {
    this.end(command, this.explained(error), this.closed ? 'closed' : 'exhausted', 'acquire');
  }

  private end(command: Command, error: Error, reason: Reason, phase: 'acquire' | 'sent'): void {
    const failure = this.policy.settings.classify(error, phase);
    this.surface(command, error, failure, reason);
  }

  surface(command: Command, error: Error, failure: Failure, reason: Reason): void {
    this.pauses.remove(command);
    this.transactions.ended(command);
    command.reject = command[FINAL] ?? command.reject;
    surface(this.policy, this, command, error, failure, reason);
  }

  /** A Cluster that had ended is connected again. */
  reopened(): void {
    this.closed = false;
    this.quitting = false;
  }

  /** The Cluster is closed on purpose: what is pending is told at once. */
  close(): void {
    this.closed = true;
    this.outage.forget();
    this.client.invokeReadyDelayedCallbacks(connectionClosed());
    this.transactions.close();
    const waiting = this.pauses.commands();
    const { offlineQueue } = this.client;
    for (let item = offlineQueue.shift(); item; item = offlineQueue.shift()) {
      waiting.push(item.command);
    }
    for (const command of waiting) {
      const own = Object.hasOwn(command, STARTED) ? command : Object.getPrototypeOf(command);
      if (own[OPERATION]?.ended !== true) this.end(own, connectionClosed(), 'closed', 'acquire');
    }
  }
}

/** Whether a command of a pipeline belongs to a transaction. */
function isPart(command: Command, kind: string): boolean {
  return inTransaction(command) || kind === 'exec' || kind === 'multi' || kind === 'discard';
}
