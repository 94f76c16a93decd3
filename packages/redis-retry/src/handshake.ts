import type { Timer } from '@outlast/core-retry';
import { word } from './args.js';
import type { Command, Sink } from './driver.js';
import { connectTimedOut } from './errors.js';
import type { Guard } from './guard.js';
import { operationOf, STARTED } from './operation.js';
import { isKind } from './transactions.js';

const DEFAULT_CONNECT_TIMEOUT_MS = 10_000;

const HANDSHAKE: ReadonlySet<string> = new Set(['auth', 'hello', 'select', 'client', 'readonly']);
const RESTORING: ReadonlySet<string> = new Set(['select', 'subscribe', 'psubscribe', 'ssubscribe']);

/**
 * What the driver does by itself when it connects: the handshake, which belongs to one connection and is
 * bounded in time here (the driver waits for ever for a server that accepts and is silent), and what it
 * restores, which is repeated until it is done.
 */
export class Handshake {
  private readonly guard: Guard;
  private doing: 'nothing' | 'greeting' | 'checking' | 'restoring' = 'nothing';
  private timer: Timer | undefined;
  private leftEpoch = -1;

  constructor(guard: Guard) {
    this.guard = guard;
  }

  /** How long a connection may take to be made, and then to be greeted; Infinity for no limit. */
  get timeoutMs(): number {
    const { connectTimeout } = this.guard.client.options;
    if (connectTimeout === undefined) return DEFAULT_CONNECT_TIMEOUT_MS;
    return typeof connectTimeout === 'number' && connectTimeout > 0 ? connectTimeout : Infinity;
  }

  /** Whether the driver itself issues the command. */
  isInternal(command: Command): boolean {
    const { status, condition } = this.guard.client;
    const name = command.name.toLowerCase();
    if (this.doing === 'restoring') return RESTORING.has(name);
    if (status !== 'connect') return false;
    if (this.doing === 'greeting') return HANDSHAKE.has(name);
    if (this.doing === 'checking') return name === 'info';
    // ioredis 5 sends SETINFO when it has read its own version, 6 greets again if RESP3 was refused.
    if (name === 'client') return word(command.args[0]) === 'setinfo';
    return condition?.handshake === true && (name === 'auth' || name === 'hello');
  }

  /** Sends a command of the driver's own. */
  send(command: Command, sink: Sink | undefined): unknown {
    const { guard } = this;
    // Nobody else waits for it, and its rejection must not end the process.
    command.promise.catch(() => {});
    if (this.doing !== 'restoring') {
      return guard.base.sendCommand.call(guard.client, command, sink);
    }
    command[STARTED] = 0;
    operationOf(command, Infinity).endless = true;
    guard.gaps.restoring(command);
    return guard.send(command, sink);
  }

  /** The socket is connected. */
  begin(): void {
    this.during('greeting');
    this.arm();
  }

  /** Commands can be sent; the driver restores what the last connection held. */
  ready(): void {
    this.stop();
    this.during('restoring');
  }

  /** The driver asks whether the server has loaded its data. */
  check(ask: () => void): void {
    this.doing = 'checking';
    try {
      ask();
    } finally {
      this.doing = 'nothing';
    }
  }

  stop(): void {
    this.timer?.cancel();
    this.timer = undefined;
  }

  /**
   * When the driver dials next, in milliseconds; null for never.
   *
   * @param strategy the caller's own, if he has one
   */
  nextDial(strategy: ((times: number) => unknown) | undefined, times: number): unknown {
    const { client, outage } = this.guard;
    const { offlineQueue } = client;
    // A client that is to quit has nothing to come back for.
    for (let i = 0; i < offlineQueue.length; i++) {
      const command = offlineQueue.peekAt(i)?.command;
      if (command !== undefined && isKind(command, 'quit')) return null;
    }
    return strategy === undefined ? outage.nextDelay() : strategy.call(client.options, times);
  }

  /** Leaves a server that is no master any more, once a connection; what is on its way is answered first. */
  leave(): void {
    const { client, base } = this.guard;
    if (this.leftEpoch === client.connectionEpoch || client.status !== 'ready') return;
    this.leftEpoch = client.connectionEpoch;
    base.disconnect.call(client, true);
  }

  /** The caller's `reconnectOnError`: 2 asks to send the command again. */
  askReconnect(error: Error): 0 | 1 | 2 {
    const { client } = this.guard;
    const { reconnectOnError } = client.options;
    if (typeof reconnectOnError !== 'function') return 0;
    const answer: unknown = reconnectOnError(error);
    if (answer !== true && answer !== 1 && answer !== 2) return 0;
    this.leave();
    return answer === 2 ? 2 : 1;
  }

  private arm(): void {
    const { timeoutMs } = this;
    this.stop();
    if (timeoutMs === Infinity) return;
    const { client, policy } = this.guard;
    const { connectionEpoch } = client;
    this.timer = policy.settings.clock.setTimeout(() => {
      if (client.status !== 'connect' || client.connectionEpoch !== connectionEpoch) return;
      // Nothing is asked while the server says that it loads its data: the driver asks again later.
      if (client.commandQueue.length === 0) this.arm();
      else client.stream?.destroy(connectTimedOut());
    }, timeoutMs);
  }

  // The driver does it in one go right after it has set its status; then the callers have their turn.
  private during(what: 'greeting' | 'restoring'): void {
    this.doing = what;
    process.nextTick(() => {
      if (this.doing === what) this.doing = 'nothing';
    });
  }
}
