import type { Failure, Reason } from '@outlast/core-retry';
import type { QueueItem } from './driver.js';
import { connectionClosed } from './errors.js';
import type { Guard } from './guard.js';
import {
  announceRetry,
  OPERATION,
  type Operation,
  operationOf,
  reasonOf,
  retryDelay,
  STARTED,
  surface,
} from './operation.js';
import { isWaitedFor } from './replies.js';
import { hideSecrets } from './secrets.js';
import { inTransaction } from './transactions.js';
import { mayRepeat } from './verdict.js';

/** Takes the place of the driver's `handleReconnection`: Redis has answered with an error. */
export function refused(guard: Guard, error: Error, item: QueueItem): void {
  const { client, policy } = guard;
  const { command } = item;
  hideSecrets(error);
  if (command[STARTED] === undefined || command[OPERATION]?.ended === true) {
    guard.base.handleReconnection.call(client, error, item);
    return;
  }
  const asked = guard.handshake.askReconnect(error);
  const failure = guard.judge(error, command);
  const operation = operationOf(command, guard.settings.waitMs);
  operation.failed(error, failure);
  if (/^READONLY /.test(error.message) && failure.transient) guard.handshake.leave();
  const again =
    !inTransaction(command) &&
    (failure.transient || asked === 2) &&
    (failure.outcome === 'not-applied' || mayRepeat(guard.settings.verdict, command));
  if (!again) {
    const give = (): void => {
      const reason = failure.transient ? reasonOf(failure) : 'permanent';
      surface(policy, guard, command, error, failure, reason);
    };
    const question = guard.tokens.infer(command, error, give);
    if (question === undefined) give();
    else guard.send(question, undefined);
    return;
  }
  if (asked === 2 && operation.attempts < policy.settings.maxAttempts) {
    // The caller's word, and his order: behind what he has just issued himself.
    announceRetry(policy, operation, error, failure, 0);
    operation.again(0);
    guard.send(command, undefined);
    return;
  }
  later(guard, operation, item, error, failure);
}

/** Sends a command again after a while, or gives it up. */
function later(
  guard: Guard,
  operation: Operation,
  item: QueueItem,
  error: Error,
  failure: Failure,
): void {
  const { policy } = guard;
  const { clock, maxAttempts, budget } = policy.settings;
  const now = clock.now();
  const waits = isWaitedFor(error.message);
  const delayMs = delayOf(guard, operation, failure, waits);
  let reason: Reason | undefined;
  // The service is there and says "not now": that is waited for, and is no attempt.
  if (waits ? operation.patienceMs <= 0 : operation.attempts >= maxAttempts) reason = 'exhausted';
  else if (now + delayMs >= operation.deadline) reason = 'deadline';
  else if (!waits && budget?.withdraw() === false) reason = 'budget';
  if (reason !== undefined) {
    surface(policy, guard, operation.command, error, failure, reason);
    return;
  }
  if (waits) operation.patienceMs -= delayMs;
  announceRetry(policy, operation, error, failure, delayMs);
  operation.again(delayMs);
  if (waits) operation.attempts -= 1;
  operation.attemptDeadline = Infinity;
  item.stream = undefined;
  guard.held.hold(item, delayMs, guard.client.commandQueue.toArray());
}

function delayOf(guard: Guard, operation: Operation, failure: Failure, waits: boolean): number {
  if (!waits) return retryDelay(guard.policy, operation, failure);
  const { baseDelayMs, random } = guard.policy.settings;
  const raw = Math.min(50 * 2 ** Math.min(operation.delaysMs.length, 20), baseDelayMs);
  return raw * (0.75 + 0.5 * random());
}

/** A delay is over. */
export function resend(guard: Guard, item: QueueItem): void {
  const { command } = item;
  const operation = command[OPERATION];
  if (operation === undefined || operation.ended) return;
  const { last } = operation;
  if (operation.superseded && last !== undefined) {
    surface(guard.policy, guard, command, last.error as Error, last.failure, 'permanent');
    return;
  }
  if (guard.closed || guard.client.status === 'end') {
    guard.end(command, connectionClosed(guard.socketError), 'closed', 'acquire');
    return;
  }
  guard.send(command, undefined);
}
