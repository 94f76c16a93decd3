import type { Timer } from '@outlast/core-retry';
import type { Command, FlushOptions, QueueItem, RedisInternals } from './driver.js';
import { connectionClosed, connectTimedOut } from './errors.js';
import { STARTED } from './operation.js';
import type { CommandPolicy } from './policy.js';
import { hideSecrets } from './secrets.js';

/** Of a command that a node has given back: whether it had been written to the node's connection. */
export const LOST: unique symbol = Symbol('outlast.lost');

declare module './driver.js' {
  interface Command {
    [LOST]?: 'sent' | 'unsent';
  }
}

const DEFAULT_CONNECT_TIMEOUT_MS = 10_000;

/**
 * Watches the connection to one node of a Cluster. The driver rejects what was written and what was not
 * with one and the same error; here each command learns which of the two it was, before it is rejected.
 *
 * @param onError hears why a connection failed, which the driver's own error does not say
 */
export function watchNode(
  node: RedisInternals,
  policy: CommandPolicy,
  onError: (error: Error) => void,
): void {
  const { setStatus, handleReconnection, silentEmit } = node;
  const { duplicate } = node as unknown as { duplicate(override?: object): RedisInternals };
  let greeting: Timer | undefined;
  let cause: Error | undefined;

  const lost = (command: Command, how: 'sent' | 'unsent', error: Error): void => {
    command[LOST] = how;
    command.reject(error);
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

  node.setStatus = (status, argument): void => {
    if (status === 'connect') greet();
    else if (status === 'ready' || status === 'close') greeting?.cancel();
    setStatus.call(node, status, argument);
    if (status !== 'close') return;
    for (const { command } of takeSent()) {
      // The greeting of a connection that is gone is nobody's.
      if (command[STARTED] !== undefined) lost(command, 'sent', connectionClosed(cause));
    }
    cause = undefined;
  };

  node.flushQueue = (error, options: FlushOptions = {}): void => {
    if (options.commandQueue !== false && node.commandQueue.length > 0) {
      node.stream?.removeAllListeners('data');
      for (const { command } of takeSent()) {
        if (command[STARTED] !== undefined) lost(command, 'sent', error);
      }
    }
    if (options.offlineQueue === false) return;
    const { offlineQueue } = node;
    for (let item = offlineQueue.shift(); item; item = offlineQueue.shift()) {
      lost(item.command, 'unsent', error);
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
      onError(argument);
    }
    return silentEmit.call(node, event, argument);
  };

  // The driver asks for the slots over a copy of the connection, and does not look at its errors.
  Object.defineProperty(node, 'duplicate', {
    configurable: true,
    value(override?: object): RedisInternals {
      const copy = duplicate.call(node, override);
      (copy as unknown as NodeJS.EventEmitter).on('error', onError);
      return copy;
    },
  });
}
