import type { Failure, Reason, Timer } from '@outlast/core-retry';
import type { ClusterInternals } from './cluster-driver.js';
import { ClusterLimits } from './cluster-limits.js';
import { LOST, watchNode } from './cluster-node.js';
import { Outage } from './connect.js';
import { CONNECTION_CLOSED, type Command, type RedisInternals } from './driver.js';
import { connectionClosed, QueueFullError } from './errors.js';
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
import type { CommandPolicy } from './policy.js';
import { isWaitedFor } from './replies.js';
import { Tokens } from './resolve.js';
import { inTransaction, isKind } from './transactions.js';
import { mayRepeat } from './verdict.js';

type Base = Pick<ClusterInternals, 'sendCommand' | 'delayUntilReady'>;

/** What a command was before it was handed to the Cluster. */
const FINAL: unique symbol = Symbol('outlast.final');

declare module './driver.js' {
  interface Command {
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
export class ClusterGuard {
  readonly client: ClusterInternals;
  readonly base: Base;
  readonly settings: ClientSettings;
  readonly policy: CommandPolicy;
  readonly outage: Outage;
  closed = false;
  /** Why the latest connection to a node failed. */
  nodeError: Error | undefined;
  private readonly tokens = new Tokens();
  private readonly limits: ClusterLimits;
  private readonly timers = new Map<Command, Timer>();

  constructor(client: ClusterInternals, base: Base, settings: ClientSettings) {
    this.client = client;
    this.base = base;
    this.settings = settings;
    this.policy = settings.policy;
    this.outage = new Outage(settings.policy);
    this.limits = new ClusterLimits(client, settings.policy, {
      waits: (command) => this.timers.has(command),
      patienceOf: (command) => this.patienceOf(command),
      expired: (command, error) => this.end(command, this.explained(error), 'exhausted', 'acquire'),
      surface: (...how) => this.surface(...how),
    });
  }

  /** A connection to a node is made. */
  adopt(node: RedisInternals): void {
    watchNode(node, this.policy, (error) => {
      this.nodeError = error;
    });
  }

  /** Takes the place of the driver's `sendCommand`. */
  send(command: Command, stream?: object, node?: object): unknown {
    if (command[FINAL] !== undefined) {
      return this.base.sendCommand.call(this.client, command, stream, node);
    }
    if (!this.admit(command)) return command.promise;
    command[FINAL] = command.reject;
    if (node === undefined) this.dispatch(command, command);
    else {
      command.reject = (error) => this.slotFailed(command, error);
      this.base.sendCommand.call(this.client, command, stream, node);
    }
    return command.promise;
  }

  private admit(command: Command): boolean {
    const { policy, client, settings } = this;
    const { clock, budget } = policy.settings;
    const now = clock.now();
    command[STARTED] = Math.trunc(now);
    budget?.deposit(now);
    if (policy.heard('attempt') || policy.heard('success')) observe(policy, command);
    if (this.closed || client.status === 'end') {
      this.end(command, connectionClosed(), 'closed', 'acquire');
      return false;
    }
    if (client.offlineQueue.length >= settings.maxQueued && client.status !== 'ready') {
      this.end(command, new QueueFullError(settings.maxQueued), 'exhausted', 'acquire');
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
    if (isKind(command, 'set')) this.tokens.issued(command);
    if (client.status !== 'ready')
      this.limits.troubled(operationOf(command, this.patienceOf(command)));
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
    this.base.sendCommand.call(this.client, target);
    const redirect = target.reject;
    target.reject = (error) => this.failed(command, error, target, redirect);
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
      this.limits.troubled(operationOf(command, this.patienceOf(command)));
      redirect.call(target, error);
      return;
    }
    if (this.lostForGood(command, error)) return;
    if (error.message === CONNECTION_CLOSED) redirect.call(target, error);
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
    this.limits.troubled(operation);
    return false;
  }

  /** The driver has no way on. What comes here may run again: the rest has been ended before. */
  private gaveUp(command: Command, error: Error): void {
    const { policy } = this;
    const operation = operationOf(command, this.patienceOf(command));
    if (operation.ended) return;
    const failure = this.judge(error);
    this.limits.troubled(operation);
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
    const part = inTransaction(command) || isKind(command, 'exec') || isKind(command, 'multi');
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
    if (unsent) this.limits.troubled(operationOf(command, this.patienceOf(command)));
    else if (this.lostForGood(command, error)) return;
    this.resend(command);
  }

  private later(command: Command, delayMs: number): void {
    const { clock, unref } = this.policy.settings;
    const timer = clock.setTimeout(
      () => {
        this.timers.delete(command);
        if (command[OPERATION]?.ended === true) return;
        this.client.refreshSlotsCache();
        this.resend(command);
      },
      delayMs,
      { unref },
    );
    this.timers.set(command, timer);
  }

  private resend(command: Command): void {
    // What the driver writes on it stays there; its promise is the command's.
    this.dispatch(command, Object.create(command) as Command);
  }

  private repeatable(command: Command): boolean {
    return this.settings.verdict.resend && mayRepeat(this.settings.verdict, command);
  }

  private judge(error: Error): Failure {
    return this.policy.settings.classify(error, 'sent');
  }

  private patienceOf(command: Command): number {
    return command[NARROWED]?.waitMs ?? this.settings.waitMs;
  }

  /** The driver says that no node is available; a node's own error says why. */
  private explained(error: Error | undefined): Error {
    const { nodeError } = this;
    const own = error ?? connectionClosed();
    if (nodeError !== undefined && own.cause === undefined && nodeError !== own) {
      Object.defineProperty(own, 'cause', { value: nodeError, configurable: true, writable: true });
    }
    return own;
  }

  private end(command: Command, error: Error, reason: Reason, phase: 'acquire' | 'sent'): void {
    const failure = this.policy.settings.classify(error, phase);
    this.surface(command, error, failure, reason);
  }

  private surface(command: Command, error: Error, failure: Failure, reason: Reason): void {
    this.timers.get(command)?.cancel();
    this.timers.delete(command);
    command.reject = command[FINAL] ?? command.reject;
    surface(this.policy, this, command, error, failure, reason);
  }

  /** A pipeline waits for the map of slots. */
  untilReady(callback: (error?: Error) => void): void {
    const { clock } = this.policy.settings;
    const until = clock.now() + this.settings.waitMs;
    const wait = (): void => {
      this.base.delayUntilReady.call(this.client, (error) => {
        const { status } = this.client;
        const final = this.closed || status === 'end' || clock.now() >= until;
        if (error === undefined || error === null || final)
          callback(error && this.explained(error));
        else wait();
      });
    };
    wait();
  }

  /** The Cluster is closed on purpose: what is pending is told at once. */
  close(): void {
    this.closed = true;
    this.outage.forget();
    const waiting = [...this.timers.keys()];
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
