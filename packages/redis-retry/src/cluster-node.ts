import type { RetryPolicy, Timer } from '@outlast/core-retry';
import { NodeAttempts, TIMED_OUT } from './cluster-attempts.js';
import { type ClusterWatches, discardFor } from './cluster-watches.js';
import type { Command, FlushOptions, QueueItem, RedisInternals, Sink } from './driver.js';
import { commandTimedOut, connectionClosed, connectTimedOut } from './errors.js';
import { kindOf } from './kinds.js';
import { Liveness } from './liveness.js';
import { STARTED } from './operation.js';
import type { ClientSettings } from './options.js';
import { hideSecrets } from './secrets.js';
import { noteRefusedAtOnce, takeRefusedAtOnce } from './unsent.js';

/** Of a command that a node has given back: whether it had been written to the node's connection. */
export const LOST: unique symbol = Symbol('outlast.lost');
/** Of a command that wants to know on which connection it was written. */
export const WRITTEN: unique symbol = Symbol('outlast.written');
/** Of a node: its connection of now, as an identity. */
export const CONNECTION: unique symbol = Symbol('outlast.connection');

declare module './driver.js' {
  interface Command {
    [LOST]?: 'sent' | 'unsent';
    [WRITTEN]?: (node: RedisInternals, connection: object) => void;
  }
  interface RedisInternals {
    [CONNECTION]?: object;
  }
}

/** What a node's guard needs of its Cluster. */
export interface NodeHost {
  readonly policy: RetryPolicy;
  readonly settings: ClientSettings;
  readonly watches: ClusterWatches;
  /** Why the latest connection to a node failed, which the driver's own error does not say. */
  nodeError: Error | undefined;
  readonly adopted: boolean;
  /** A command comes that was given to the Cluster before it was ours to watch. */
  takeOver(command: Command): void;
  /**
   * Whether a command may not be written any more: its caller has been told that it was not, or is now, for
   * he has been told so of a part of its transaction.
   */
  isOver(command: Command): boolean;
}

const DEFAULT_CONNECT_TIMEOUT_MS = 10_000;
// What the driver itself sends to a node that is ready; nobody waits for it.
const OWN: ReadonlySet<string> = new Set(['asking', 'readonly', 'readwrite', 'client', 'info']);

/**
 * Watches the connection to one node of a Cluster. The driver rejects what was written and what was not
 * with one and the same error; here each command learns which of the two it was, before it is rejected.
 */
export function watchNode(node: RedisInternals, host: NodeHost): void {
  const { policy, watches } = host;
  const { sendCommand, setStatus, handleReconnection, silentEmit } = node;
  const { duplicate } = node as unknown as { duplicate(override?: object): RedisInternals };
  const attempts =
    policy.settings.attemptTimeoutMs === Infinity ? undefined : new NodeAttempts(node, policy);
  const liveness = new Liveness(node, policy, host.settings.livenessMs);
  let greeting: Timer | undefined;
  let cause: Error | undefined;
  let connection = {};
  node[CONNECTION] = connection;
  if (node.status === 'ready') liveness.begin();

  const lost = (command: Command, how: 'sent' | 'unsent', error: Error): void => {
    command[LOST] = how;
    command.reject(error);
  };

  const lostSent = (command: Command, error: Error): void => {
    const how = takeRefusedAtOnce(command) ? 'unsent' : 'sent';
    const late = command[TIMED_OUT] === true;
    command[TIMED_OUT] = false;
    lost(command, how, late ? commandTimedOut() : error);
  };

  const greet = (): void => {
    const given = node.options['connectTimeout'];
    const timeoutMs = typeof given === 'number' ? given : DEFAULT_CONNECT_TIMEOUT_MS;
    const { connectionEpoch } = node;
    greeting?.cancel();
    if (timeoutMs <= 0) return;
    greeting = policy.settings.clock.setTimeout(() => {
      if (node.status !== 'connect' || node.connectionEpoch !== connectionEpoch) return;
      if (node.commandQueue.length === 0) greet();
      else node.stream?.destroy(connectTimedOut());
    }, timeoutMs);
  };

  const takeSent = (): QueueItem[] => {
    const items: QueueItem[] = [];
    for (let item = node.commandQueue.shift(); item; item = node.commandQueue.shift()) {
      items.push(item);
    }
    return items;
  };

  node.sendCommand = (command, sink?: Sink): unknown => {
    if (command[STARTED] === undefined) {
      const early = host.adopted && node.status !== 'connect' && !OWN.has(command.name);
      if (!early) return sendCommand.call(node, command, sink);
      host.takeOver(command);
    }
    if (host.isOver(command)) return command.promise;
    const kind = watches.used ? kindOf(command.name) : '';
    let target = command;
    if ((kind === 'exec' || kind === 'discard') && isWriteable(node)) {
      const mustNotRun = watches.end(command, node, connection) && kind === 'exec';
      if (mustNotRun) target = discardFor(command, (error) => lost(command, 'unsent', error));
    }
    const result = sendCommand.call(node, target, sink);
    if (node.commandQueue.peekBack()?.command !== target) {
      // A pipeline writes when all of its slots have come; one that is given up would hold up the rest.
      const item = node.offlineQueue.peekBack();
      if (item?.command === target) item.stream = undefined;
      return result;
    }
    if (kind === 'watch') watches.written(command, connection);
    command[WRITTEN]?.(node, connection);
    attempts?.sent(target);
    if (node.stream?.errored) noteRefusedAtOnce(node, target);
    return result;
  };

  node.setStatus = (status, argument): void => {
    const wasReady = node.status === 'ready';
    if (status === 'connect') greet();
    else if (status === 'ready' || status === 'close') greeting?.cancel();
    if (status === 'ready') liveness.begin();
    setStatus.call(node, status, argument);
    if (status !== 'close') return;
    attempts?.stop();
    liveness.stop();
    connection = {};
    node[CONNECTION] = connection;
    for (const { command } of takeSent()) {
      if (command[STARTED] !== undefined) lostSent(command, connectionClosed(cause));
      // The greeting of a connection that is gone is nobody's.
      else if (wasReady && !OWN.has(command.name)) command.reject(connectionClosed(cause));
    }
    cause = undefined;
  };

  node.flushQueue = (error, options: FlushOptions = {}): void => {
    if (options.commandQueue !== false && node.commandQueue.length > 0) {
      node.stream?.removeAllListeners('data');
      for (const { command } of takeSent()) {
        if (command[STARTED] !== undefined) lostSent(command, error);
      }
    }
    if (options.offlineQueue === false) return;
    const { offlineQueue } = node;
    for (let item = offlineQueue.shift(); item; item = offlineQueue.shift()) {
      if (item.command[STARTED] === undefined) item.command.reject(error);
      else lost(item.command, 'unsent', error);
    }
  };

  node.handleReconnection = (error, item): void => {
    hideSecrets(error);
    handleReconnection.call(node, error, item);
  };

  node.silentEmit = (event, argument): boolean => {
    if (event === 'error' && argument instanceof Error) {
      hideSecrets(argument);
      cause = argument;
      host.nodeError = argument;
    }
    return silentEmit.call(node, event, argument);
  };

  // The driver asks for the slots over a copy of the connection, and does not look at its errors.
  Object.defineProperty(node, 'duplicate', {
    configurable: true,
    value(override?: object): RedisInternals {
      const copy = duplicate.call(node, override);
      (copy as unknown as NodeJS.EventEmitter).on('error', (error) => {
        host.nodeError = error;
      });
      return copy;
    },
  });
}

/** Whether the driver writes a command of a caller's now, in place of queueing it. */
function isWriteable({ status, stream }: RedisInternals): boolean {
  return status === 'ready' && stream?.writable === true;
}
