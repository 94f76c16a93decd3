import {
  type CircuitOpenError,
  type Failure,
  type RetryPolicy,
  retryInfo,
} from '@outlast/core-retry';
import type { Command } from './driver.js';
import { STARTED } from './operation.js';
import { inTransaction, isKind } from './transactions.js';

/** What was said to the first command of a pipeline: null for leave. */
const pipelines = new WeakMap<object, CircuitOpenError | null>();

/**
 * Asks the policy's breaker for leave, once a command, and lets the command's end vote. A pipeline is one
 * write, so that its first command asks for all of it. The parts of a transaction are not asked: a MULTI
 * that was refused would let its commands run by themselves.
 *
 * @param sink of the command's pipeline
 * @returns what the command is to be rejected with, if the breaker is open
 */
export function refusedByBreaker(
  policy: RetryPolicy,
  command: Command,
  sink: object | undefined,
): CircuitOpenError | undefined {
  if (policy.settings.breaker === undefined) return undefined;
  if (sink === undefined) return ask(policy, command);
  let said = pipelines.get(sink);
  if (said === undefined) {
    said = ask(policy, command) ?? null;
    pipelines.set(sink, said);
  }
  return said ?? undefined;
}

function ask(policy: RetryPolicy, command: Command): CircuitOpenError | undefined {
  const { breaker, clock } = policy.settings;
  if (breaker === undefined || inTransaction(command) || isKind(command, 'exec')) return undefined;
  const ticket = breaker.admit();
  if (ticket === 0) return breaker.refusal();
  const elapsedMs = (): number =>
    breaker.timed ? clock.now() - (command[STARTED] ?? clock.now()) : 0;
  command.promise.then(
    () => breaker.succeeded(ticket, elapsedMs()),
    (error: unknown) => {
      const reason = retryInfo(error)?.reason;
      if (reason === 'cancelled' || reason === 'closed') breaker.released(ticket);
      else breaker.settle(ticket, judged(policy, error), error, elapsedMs());
    },
  );
  return undefined;
}

function judged(policy: RetryPolicy, error: unknown): Failure {
  try {
    return policy.settings.classify(error, 'sent');
  } catch {
    return { category: 'unknown', transient: false, outcome: 'unknown' };
  }
}
