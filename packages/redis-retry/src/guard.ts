import type { Failure, Reason, RetryPolicy } from '@outlast/core-retry';
import { refusedByBreaker } from './breaker.js';
import { Outage } from './connect.js';
import {
  type Command,
  CommandClass,
  type FlushOptions,
  type RedisInternals,
  type Sink,
} from './driver.js';
import { connectionClosed, notWriteable, QueueFullError } from './errors.js';
import { Gaps } from './gaps.js';
import { Handshake } from './handshake.js';
import { Held } from './held.js';
import { kindOf } from './kinds.js';
import { Liveness } from './liveness.js';
import { settleLost } from './loss.js';
import { NARROWED, watchSignal } from './narrow.js';
import { OPERATION, observe, operationOf, STARTED, surface } from './operation.js';
import type { ClientSettings } from './options.js';
import { resend } from './refusals.js';
import { Tokens } from './resolve.js';
import { REFUSED, Transactions } from './transactions.js';
import { noteRefusedAtOnce } from './unsent.js';
import { Waiting } from './waiting.js';

/** The driver's methods that ours go on to: those of its class, or of a client that somebody else made. */
export type Base = Pick<
  RedisInternals,
  | 'sendCommand'
  | 'setStatus'
  | 'flushQueue'
  | 'handleReconnection'
  | 'silentEmit'
  | 'disconnect'
  | '_readyCheck'
>;

/**
 * Watches over one client of ioredis: takes each command on its way out, and each that could not be
 * answered back from the driver, and decides what becomes of it. A command that goes well costs a look
 * at the clock and one at its name; everything else begins with a failure.
 */
export class Guard {
  readonly client: RedisInternals;
  readonly base: Base;
  readonly settings: ClientSettings;
  readonly policy: RetryPolicy;
  readonly outage: Outage;
  readonly transactions: Transactions = new Transactions();
  readonly tokens: Tokens = new Tokens();
  readonly waiting: Waiting;
  readonly held: Held;
  readonly handshake: Handshake;
  readonly gaps: Gaps;
  readonly liveness: Liveness;
  /** Closed on purpose. */
  closed = false;
  /** QUIT was issued: it is the last command of this connection. */
  private quitting = false;
  /** The socket's error, if this connection ended with one. */
  socketError: Error | undefined;
  /** The caller's own `retryStrategy`, if he has one. */
  ownStrategy: unknown;
  private readonly bounded: boolean;

  constructor(client: RedisInternals, base: Base, settings: ClientSettings) {
    this.client = client;
    this.base = base;
    this.settings = settings;
    this.policy = settings.policy;
    this.outage = new Outage(settings.policy);
    this.waiting = new Waiting(this);
    this.held = new Held(settings.policy, (item) => resend(this, item));
    this.handshake = new Handshake(this);
    this.gaps = new Gaps(this);
    this.liveness = new Liveness(client, settings.policy, settings.livenessMs);
    const { totalTimeoutMs, attemptTimeoutMs } = settings.policy.settings;
    this.bounded =
      settings.commandTimeoutMs !== undefined ||
      totalTimeoutMs !== Infinity ||
      attemptTimeoutMs !== Infinity;
  }

  /** Takes over a client that has been at work: what it holds is its user's. */
  adopt(): void {
    const { client } = this;
    const now = Math.trunc(this.policy.settings.clock.now());
    const sent = client.status === 'ready' ? client.commandQueue.toArray() : [];
    for (const { command } of sent) command[STARTED] ??= now;
    for (const item of client.offlineQueue.toArray()) {
      item.command[STARTED] ??= now;
      item.stream = undefined;
      this.waiting.add(item.command);
    }
    if (client.status === 'reconnecting') this.down(undefined);
    if (client.status === 'connect') this.handshake.begin();
    if (client.status === 'ready') this.liveness.begin();
  }

  /** Takes the place of the driver's `sendCommand`. */
  send(command: Command, sink: Sink | undefined): unknown {
    const { client, base } = this;
    if (command[STARTED] === undefined) {
      if (this.handshake.isInternal(command)) return this.handshake.send(command, sink);
      if (!this.admit(command, sink)) return command.promise;
    }
    if (this.held.size > 0) this.held.issued(command);
    if (command[REFUSED] === true) return this.refuseExec(command, sink);
    const { offlineQueue } = client;
    const before = offlineQueue.length;
    const result = base.sendCommand.call(client, command, sink);
    if (offlineQueue.length > before) this.queued(command);
    else {
      if (this.bounded || command[OPERATION] !== undefined) this.waiting.sent(command);
      if (client.stream?.errored) noteRefusedAtOnce(client, command);
    }
    return result;
  }

  /** A command that is new here. False if it has been settled already. */
  private admit(command: Command, sink: Sink | undefined): boolean {
    const { policy } = this;
    const { clock, budget } = policy.settings;
    const now = clock.now();
    command[STARTED] = Math.trunc(now);
    budget?.deposit(now);
    if (policy.watched) observe(policy, command);
    const narrowed = command[NARROWED];
    if (this.bounded || narrowed !== undefined) this.waiting.bound(command, now);
    if (narrowed?.signal !== undefined) {
      if (narrowed.signal.aborted) {
        this.abort(command, narrowed.signal.reason);
        return false;
      }
      watchSignal(command, (reason) => this.abort(command, reason));
    }
    const kind = kindOf(command.name);
    if (this.closed || this.quitting || this.client.status === 'end') {
      if (kind === 'quit' && this.client.status !== 'end') command.resolve(Buffer.from('OK'));
      else this.end(command, connectionClosed(), 'closed', 'acquire');
      return false;
    }
    if (this.client.options['enableOfflineQueue'] === false && isDown(this.client.status)) {
      this.end(command, notWriteable(), 'exhausted', 'acquire');
      return false;
    }
    if (this.transactions.idle && (kind === '' || kind === 'set' || sink !== undefined)) {
      const refusal = refusedByBreaker(policy, command, sink);
      if (refusal !== undefined) {
        this.end(command, refusal, 'circuit-open', 'acquire');
        return false;
      }
    }
    if (kind === '' && this.transactions.idle) return true;
    if (kind === 'set') this.tokens.issued(command);
    if (kind === 'quit') return this.quit(command);
    if (!this.transactions.issue(command, kind)) {
      // Nothing of it ran: the server forgot what was queued when it lost the connection.
      this.end(command, connectionClosed(this.socketError), 'permanent', 'acquire');
      return false;
    }
    return true;
  }

  /** The driver has put a command into its queue, for it cannot be written now. */
  private queued(command: Command): void {
    const { client, settings } = this;
    const item = client.offlineQueue.peekBack();
    if (item?.command !== command) return;
    // A pipeline writes when all of its slots have come; one that is given up would hold up the rest.
    item.stream = undefined;
    if (client.offlineQueue.length > settings.maxQueued) {
      client.offlineQueue.pop();
      this.end(command, new QueueFullError(settings.maxQueued), 'exhausted', 'acquire');
      return;
    }
    this.waiting.add(command);
  }

  /**
   * The WATCH of a transaction was lost with its connection: somebody may have changed its keys since.
   * The transaction is discarded in place of being run, and EXEC answers null, which is Redis' own word
   * for "a watched key has changed".
   */
  private refuseExec(command: Command, sink: Sink | undefined): unknown {
    command[REFUSED] = false;
    const discard = new CommandClass('discard', [], {});
    discard[STARTED] = command[STARTED] ?? 0;
    discard.inTransaction = command.inTransaction;
    if (command.pipelineIndex !== undefined) discard.pipelineIndex = command.pipelineIndex;
    discard.promise.then(
      () => {
        // It returns the promise of the EXEC, which may have been given up.
        command.resolve(null);
      },
      (error: Error) => this.end(command, error, 'permanent', 'acquire'),
    );
    this.send(discard, sink);
    return command.promise;
  }

  /** QUIT waits for what is on its way, but for no server that cannot be reached. */
  private quit(command: Command): boolean {
    if (!this.outage.isDown || this.client.status === 'ready') {
      this.quitting = true;
      return true;
    }
    this.client.disconnect();
    command.resolve(Buffer.from('OK'));
    return false;
  }

  /** What an error means for this command; the caller's own `retryIf` replaces whether it is transient. */
  judge(error: Error, command: Command): Failure {
    const { classify, retryIf } = this.policy.settings;
    let failure: Failure = { category: 'unknown', transient: false, outcome: 'unknown' };
    try {
      failure = classify(error, 'sent');
      const { readOnly, role } = this.client.options;
      // Who has asked for a replica is told so at once.
      if (/^READONLY /.test(error.message) && (readOnly === true || role === 'slave')) {
        failure = { ...failure, transient: false };
      }
      if (retryIf === undefined) return failure;
      const number = command[OPERATION]?.attempts ?? 1;
      const attempt = { number, phase: 'sent' } as Parameters<typeof retryIf>[1];
      return { ...failure, transient: retryIf(error, attempt) === true };
    } catch {
      return { ...failure, transient: false };
    }
  }

  /** What an error of connecting means. */
  judgeConnect(error: Error): Failure {
    return this.policy.settings.classify(error, 'connect');
  }

  /** Whether it ends the wait of everybody: a wrong password does, a refusal does not. */
  private mustEnd(error: Error): boolean {
    const { transient, category } = this.judgeConnect(error);
    return !transient && category === 'auth';
  }

  /** Whether the latest dial failed in a way that does not pass by itself. */
  get refusedForGood(): boolean {
    const { error } = this.outage;
    return error !== undefined && this.mustEnd(error);
  }

  /** Ends a command that was never sent, or of which nobody knows. */
  end(command: Command, error: Error, reason: Reason, phase: 'acquire' | 'sent'): void {
    const { category, transient, outcome } = this.policy.settings.classify(error, phase);
    const code = (error as { code?: string }).code;
    const failure: Failure = {
      category,
      transient,
      outcome: phase === 'acquire' ? 'not-applied' : outcome,
      ...(code === undefined ? undefined : { code }),
    };
    surface(this.policy, this, command, error, failure, reason);
  }

  /** The connection has ended; the driver's queues are as they were. */
  lost(previous: string): void {
    settleLost(this, previous);
    if (this.client.manuallyClosing || this.closed) this.outage.forget();
    else this.down(this.socketError);
    this.socketError = undefined;
  }

  /** Redis cannot be reached, for this reason. */
  down(error: Error | undefined): void {
    if (this.outage.failed(error)) this.waiting.begin();
    if (error !== undefined && this.mustEnd(error)) this.waiting.refuse(error);
    this.waiting.sweep();
  }

  /** Takes the place of the driver's `flushQueue`: what waits is to be rejected. */
  flush(error: Error, options: FlushOptions = {}): void {
    const { client } = this;
    if (options.commandQueue !== false && client.commandQueue.length > 0) {
      client.stream?.removeAllListeners('data');
      settleLost(this, client.status, error);
    }
    if (options.offlineQueue === false) return;
    // A handshake that failed in a way that may pass ends nobody's wait: the driver dials again.
    if (client.status === 'connect' && !this.mustEnd(error)) return;
    this.waiting.refuse(error);
  }

  /** `disconnect()`: what is pending is told at once. */
  close(): void {
    const { client } = this;
    this.closed = true;
    this.outage.forget();
    for (const { command } of this.held.drain()) {
      this.end(command, connectionClosed(), 'closed', 'acquire');
    }
    this.waiting.refuse(connectionClosed());
    if (client.commandQueue.length > 0) {
      // Their answers may still come, and would be taken for those of others.
      client.stream?.removeAllListeners('data');
      settleLost(this, client.status);
    }
  }

  /** A client that had ended is connected again. */
  reopened(): void {
    this.closed = false;
    this.quitting = false;
  }

  /** The client has ended and will not dial again. */
  ended(): void {
    this.outage.forget();
    for (const { command } of this.held.drain()) {
      this.end(command, connectionClosed(this.socketError), 'closed', 'acquire');
    }
    this.waiting.stop();
  }

  /** The first dial of `connect()` has failed; the driver goes on dialling. */
  whenReady(error: Error): Promise<void> {
    const { status } = this.client;
    const dials = status === 'reconnecting' || status === 'connecting' || status === 'connect';
    const final = this.outage.error;
    if (this.closed || !dials || error.message.startsWith('Redis is already')) throw error;
    if (final !== undefined && this.mustEnd(final)) throw final;
    return this.waiting.whenReady();
  }

  /** A command's caller does not want it any more. */
  abort(command: Command, reason: unknown): void {
    const { client } = this;
    if (operationOf(command, 0).ended || command.isResolved) return;
    const sent = client.commandQueue.toArray().some((item) => item.command === command);
    const failure: Failure = {
      category: 'cancelled',
      transient: false,
      outcome: sent ? 'unknown' : 'not-applied',
    };
    this.held.remove(command);
    surface(this.policy, this, command, reason as Error, failure, 'cancelled');
    this.waiting.sweep();
    if (sent) this.waiting.abandoned(command);
  }
}

/** Whether there is no connection that could take a command. */
function isDown(status: string): boolean {
  return status === 'connecting' || status === 'reconnecting' || status === 'close';
}
