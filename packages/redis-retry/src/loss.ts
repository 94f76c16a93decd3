import type { Reason } from '@outlast/core-retry';
import { isBlocking } from './commands.js';
import type { Command, QueueItem } from './driver.js';
import { commandTimedOut, connectionClosed } from './errors.js';
import type { Guard } from './guard.js';
import {
  announceRetry,
  OPERATION,
  operationOf,
  reasonOf,
  retryDelay,
  STARTED,
  surface,
} from './operation.js';
import { IN_TRANSACTION, inTransaction, isKind } from './transactions.js';
import { takeRefusedAtOnce } from './unsent.js';
import { mayRepeat } from './verdict.js';

/**
 * Decides about everything whose answer was lost with its connection. What may run again is put in front
 * of what waits, in the order in which it was issued; what may not surfaces, *outcome unknown*. The
 * driver would send all of it again.
 *
 * @param previous the client's status before, for a connection that was never ready holds a handshake
 * @param given what ended it, if that is known and not the socket's error
 */
export function settleLost(guard: Guard, previous: string, given?: Error): void {
  const { client, transactions } = guard;
  const items: QueueItem[] = [];
  for (let item = client.commandQueue.shift(); item; item = client.commandQueue.shift()) {
    items.push(item);
  }
  requeueUnsent(guard, items);
  const commands = items.map(({ command }) => command);
  transactions.lost(commands, client.offlineQueue);
  failFragments(
    guard,
    commands.some((command) => isByHand(command) && isKind(command, 'exec')),
  );
  const executed = commands.some((command) => isByHand(command) && isKind(command, 'exec'));
  const again: QueueItem[] = [];
  for (const item of items) {
    const { command } = item;
    if (command[OPERATION]?.ended === true) continue;
    if (command[STARTED] === undefined) {
      // The greeting of a connection that is gone; the driver has forgotten it as well.
      if (previous !== 'connect') command.reject(connectionClosed(guard.socketError));
    } else if (isKind(command, 'quit')) command.resolve(Buffer.from('OK'));
    else if (isByHand(command) && !executed) {
      // EXEC was never sent: nothing of the transaction ran.
      guard.end(command, connectionClosed(guard.socketError), 'permanent', 'acquire');
    } else settle(guard, item, given, again);
  }
  for (const item of again.reverse()) client.offlineQueue.unshift(item);
  for (const { command } of again) guard.waiting.add(command);
}

/** What never left this process waits, as if it had come after the loss. */
function requeueUnsent(guard: Guard, items: QueueItem[]): void {
  const { client } = guard;
  let first = items.length;
  while (first > 0 && takeRefusedAtOnce((items[first - 1] as QueueItem).command)) first -= 1;
  for (const { command, select } of items.splice(first).reverse()) {
    if (command[OPERATION]?.ended === true) continue;
    if (client.options['enableOfflineQueue'] === false || guard.closed) {
      const reason = guard.closed ? 'closed' : 'exhausted';
      guard.end(command, connectionClosed(guard.socketError), reason, 'acquire');
      continue;
    }
    client.offlineQueue.unshift({ command, stream: undefined, select });
    guard.waiting.add(command);
  }
}

function settle(guard: Guard, item: QueueItem, given: Error | undefined, again: QueueItem[]): void {
  const { command } = item;
  const { policy, settings, client } = guard;
  const operation = operationOf(command, settings.waitMs);
  const error = operation.timedOut
    ? commandTimedOut()
    : (given ?? connectionClosed(guard.socketError));
  operation.timedOut = false;
  operation.attemptDeadline = Infinity;
  const failure = guard.judge(error, command);
  operation.failed(error, failure);
  const give = (reason: Reason): void => {
    surface(policy, guard, command, error, failure, reason);
  };
  const refusal = guard.closed || client.manuallyClosing ? 'closed' : undefined;
  if (refusal !== undefined || !failure.transient || !settings.verdict.resend) {
    give(refusal ?? (failure.transient ? reasonOf(failure) : 'permanent'));
    return;
  }
  if (inTransaction(command) || !mayRepeat(settings.verdict, command)) {
    const unknown = (): void => give(reasonOf(failure));
    const question = guard.tokens.lookUp(command, settings.waitMs, unknown);
    if (question === undefined) unknown();
    else again.push({ command: question, stream: undefined, select: item.select });
    return;
  }
  // What blocks is answered seldom by design, and waits as long as its caller likes.
  const endless = operation.endless || isBlocking(command.name.toLowerCase(), command.args);
  if (!endless && operation.attempts >= policy.settings.maxAttempts) {
    give('exhausted');
    return;
  }
  const next = { command, stream: undefined, select: item.select };
  const delayMs = endless ? 0 : retryDelay(policy, operation, failure);
  if (policy.settings.clock.now() + delayMs >= operation.deadline) {
    give('deadline');
    return;
  }
  // The reconnect paces it, and there is one of them for all: it draws on no budget.
  announceRetry(policy, operation, error, failure, delayMs);
  operation.again(delayMs);
  if (delayMs === 0) again.push(next);
  else guard.held.hold(next, delayMs, []);
}

/** What waits of a transaction whose MULTI was sent on the connection that is gone. */
function failFragments(guard: Guard, executed: boolean): void {
  const { offlineQueue } = guard.client;
  const items = offlineQueue.toArray();
  const fragments = new Set<QueueItem>();
  for (const item of items) {
    const { command } = item;
    if (!isByHand(command)) continue;
    if (executed || isKind(command, 'multi')) break;
    fragments.add(item);
    if (isKind(command, 'exec') || isKind(command, 'discard')) break;
  }
  if (fragments.size === 0) return;
  for (let n = offlineQueue.length; n > 0; n--) offlineQueue.shift();
  for (const item of items) if (!fragments.has(item)) offlineQueue.push(item);
  for (const { command } of fragments) {
    guard.end(command, connectionClosed(guard.socketError), 'permanent', 'acquire');
  }
}

function isByHand(command: Command): boolean {
  return command[IN_TRANSACTION] === true;
}
