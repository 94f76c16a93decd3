import {
  backoffDelay,
  type FailedAttempt,
  type Failure,
  type Reason,
  type RetryInfo,
} from '@outlast/core-retry';
import { mark } from '@outlast/core-retry/connector';
import type { Command } from './driver.js';
import type { CommandPolicy } from './policy.js';

const KEPT_FAILURES = 8;
const KEPT_DELAYS = 100;

/** When a command was first handed to a client of ours, in whole milliseconds. */
export const STARTED: unique symbol = Symbol('outlast.started');
/** What happened to it, once something did. */
export const OPERATION: unique symbol = Symbol('outlast.operation');

declare module './driver.js' {
  interface Command {
    [STARTED]?: number;
    [OPERATION]?: Operation;
  }
}

/**
 * One command from its first trouble on. A command that goes well never has one: it costs a number.
 */
export class Operation {
  readonly command: Command;
  readonly name: string;
  /** Attempts so far: how often it was written to a connection, the first included. */
  attempts = 1;
  sawUnknown = false;
  /** While it waits: when its patience ends. */
  waitUntil: number = Infinity;
  /** What is left of its patience between two waits. */
  patienceMs: number;
  /** When the whole operation must have ended. */
  deadline: number = Infinity;
  /** Why: its own `totalTimeoutMs`, or the driver's `commandTimeout`. */
  deadlineOf: 'total' | 'command' = 'command';
  limitMs: number = Infinity;
  /** When the attempt under way must have ended. */
  attemptDeadline: number = Infinity;
  /** A later command of the same keys has been applied; to run this one now would undo it. */
  superseded = false;
  /** Its promise has been settled; its answer may still be on the way. */
  ended = false;
  /** The attempt under way took too long, and its connection is dropped for it. */
  timedOut = false;
  /** Repeated until it is done: what the driver restores after a reconnect. */
  endless = false;
  readonly delaysMs: number[] = [];
  readonly failures: FailedAttempt[] = [];
  last: FailedAttempt | undefined;

  constructor(command: Command, patienceMs: number) {
    this.command = command;
    this.name = `redis.${command.name.toLowerCase()}`;
    this.patienceMs = patienceMs;
  }

  /** Notes a failure of the attempt under way. */
  failed(error: unknown, failure: Failure): void {
    if (this.last !== undefined) {
      this.failures.push(this.last);
      if (this.failures.length > KEPT_FAILURES) this.failures.shift();
    }
    this.last = { attempt: this.attempts, error, failure };
    if (failure.outcome === 'unknown') this.sawUnknown = true;
  }

  /** Another attempt will follow after `delayMs`. */
  again(delayMs: number): void {
    this.attempts += 1;
    this.delaysMs.push(delayMs);
    if (this.delaysMs.length > KEPT_DELAYS) this.delaysMs.shift();
  }
}

/** The command's operation, made when there is none yet. */
export function operationOf(command: Command, patienceMs: number): Operation {
  let operation = command[OPERATION];
  if (operation === undefined) {
    operation = new Operation(command, patienceMs);
    command[OPERATION] = operation;
  }
  return operation;
}

/**
 * Ends a command: its promise rejects with the driver's own error, marked with what happened.
 *
 * @param owner whose mark it is, so that a policy around the client knows it from its own
 */
export function surface(
  policy: CommandPolicy,
  owner: object,
  command: Command,
  error: Error,
  failure: Failure,
  reason: Reason,
): void {
  const { settings } = policy;
  const operation = operationOf(command, 0);
  if (operation.last?.error !== error) operation.failed(error, failure);
  operation.ended = true;
  const { name, attempts, sawUnknown } = operation;
  const outcome = sawUnknown ? 'unknown' : 'not-applied';
  const now = settings.clock.now();
  const info: RetryInfo = Object.freeze({
    operation: name,
    attempts,
    elapsedMs: Math.max(0, now - (command[STARTED] ?? now)),
    delaysMs: Object.freeze(operation.delaysMs.slice()),
    reason,
    outcome,
    failures: Object.freeze(operation.failures.slice(-KEPT_FAILURES)),
  });
  const surfacing = mark(error, info, owner, operation) as Error;
  if (policy.heard('exhausted') || policy.heard('outcomeUnknown')) {
    if (reason !== 'closed' && reason !== 'cancelled') report(policy, info, failure, surfacing);
  }
  command.reject(surfacing);
}

function report(policy: CommandPolicy, info: RetryInfo, failure: Failure, error: Error): void {
  const { operation, attempts, elapsedMs, reason, failures } = info;
  const base = { operation, at: policy.settings.clock.wallNow(), attempts };
  policy.emit({ type: 'exhausted', ...base, elapsedMs, reason, failure, error, failures });
  if (info.outcome === 'unknown') policy.emit({ type: 'outcomeUnknown', ...base, reason, error });
}

/** Tells those who listen that another attempt will follow. */
export function announceRetry(
  policy: CommandPolicy,
  operation: Operation,
  error: unknown,
  failure: Failure,
  delayMs: number,
): void {
  const { settings } = policy;
  if (settings.onRetry === undefined && !policy.heard('retry')) return;
  const event = Object.freeze({
    type: 'retry' as const,
    operation: operation.name,
    at: settings.clock.wallNow(),
    attempt: operation.attempts,
    maxAttempts: settings.maxAttempts,
    delayMs,
    failure,
    error,
  });
  policy.emit(event);
  try {
    settings.onRetry?.(event);
  } catch {
    // A hook that throws changes nothing.
  }
}

/** Tells those who listen how a command goes that goes well. */
export function observe(policy: CommandPolicy, command: Command): void {
  const { clock, maxAttempts } = policy.settings;
  const operation = `redis.${command.name.toLowerCase()}`;
  if (policy.heard('attempt')) {
    policy.emit({ type: 'attempt', operation, at: clock.wallNow(), attempt: 1, maxAttempts });
  }
  if (!policy.heard('success')) return;
  command.promise.then(
    () => {
      const elapsedMs = clock.now() - (command[STARTED] ?? clock.now());
      const attempts = command[OPERATION]?.attempts ?? 1;
      policy.emit({
        type: 'success',
        operation,
        at: clock.wallNow(),
        attempts,
        maxAttempts,
        elapsedMs,
      });
    },
    () => {},
  );
}

/** Why a transient failure surfaces. */
export function reasonOf(failure: Failure): Reason {
  return failure.outcome === 'unknown' ? 'outcome-unknown' : 'exhausted';
}

/** Milliseconds before the next attempt: what the policy's own `delayMs` says, else the backoff. */
export function retryDelay(policy: CommandPolicy, operation: Operation, failure: Failure): number {
  const { settings } = policy;
  const number = operation.attempts;
  let own: number | undefined;
  try {
    type Given = Parameters<NonNullable<typeof settings.delayMs>>[1];
    own = settings.delayMs?.(failure, { number, phase: 'sent' } as Given);
  } catch {
    own = undefined;
  }
  if (own !== undefined && own >= 0) return Math.min(own, settings.maxDelayMs);
  const previous = operation.delaysMs.at(-1) ?? 0;
  return backoffDelay(settings, number, previous, settings.random);
}
