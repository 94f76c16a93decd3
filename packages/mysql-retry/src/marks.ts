import { errorMonitor } from 'node:events';
import { isProgrammersError, type Phase, type RetryPolicy } from '@outlast/core-retry';
import { markCall, reasonOf } from '@outlast/core-retry/connector';
import { discards, isServerError, isStatementTimeout } from './classify.js';
import { type ConnectionState, commandText } from './connection-state.js';
import type { Command, CoreConnection } from './driver.js';
import { analyse } from './statement.js';
import { classifyStatement } from './statement-outcome.js';

/**
 * Watches what a user does on a connection that he has checked out: every command passes `addCommand`, so
 * that its errors can be marked by how far it came, and a connection that comes back in a transaction is
 * known. Calls through to the prototype, which tracers may have patched.
 */
export function watchCommands(
  connection: CoreConnection,
  state: ConnectionState,
  policy: RetryPolicy,
): void {
  const add = (command: Command): Command => {
    if (state.checkedOut) watch(command, connection, state, policy);
    const prototype = Object.getPrototypeOf(connection) as CoreConnection;
    return prototype.addCommand.call(connection, command);
  };
  const addClosed = (command: Command): void => {
    if (state.checkedOut) watch(command, connection, state, policy);
    const prototype = Object.getPrototypeOf(connection) as CoreConnection;
    prototype._addCommandClosedState.call(connection, command);
  };
  const own = { writable: true, configurable: true };
  Object.defineProperty(connection, 'addCommand', { value: add, ...own });
  // The driver puts this in the place of the other when the connection is gone.
  Object.defineProperty(connection, '_addCommandClosedState', { value: addClosed, ...own });
}

const RESETS: ReadonlySet<string> = new Set(['ResetConnection', 'ChangeUser']);

function watch(
  command: Command,
  connection: CoreConnection,
  state: ConnectionState,
  policy: RetryPolicy,
): void {
  const { onResult } = command;
  if (onResult === undefined) {
    // The driver leaves a stream whose connection breaks without an end.
    failWithConnection(command, connection, policy, state);
    // It only looks on: a listener would silence an error that nobody else listens for.
    command.once(errorMonitor, (error) => poison(state, error));
    if (isStatement(command)) state.noteStream(commandText(command));
    return;
  }
  const { clock } = policy.settings;
  const start = clock.now();
  command.onResult = (error, rows, fields) => {
    if (!error) {
      if (RESETS.has(command.constructor.name)) state.cleaned();
      state.note(rows);
      if (fields === undefined) onResult(error, rows);
      else onResult(error, rows, fields);
      return;
    }
    poison(state, error);
    onResult(marked(error, command, clock.now() - start, state));
  };
}

function poison(state: ConnectionState, error: unknown): void {
  if (isStatementTimeout(error) || discards(error)) state.poisoned = true;
}

// A Prepare has executed nothing, and neither has a command that still waited in the queue.
function marked(
  error: unknown,
  command: Command,
  elapsedMs: number,
  state: ConnectionState,
): unknown {
  const text = commandText(command);
  const neverRan = !isServerError(error) && (wasNeverSent(command) || isProgrammersError(error));
  const { kind } = analyse(text);
  const commits = kind === 'commit';
  const phase: Phase =
    neverRan || command.constructor.name === 'Prepare' ? 'acquire' : commits ? 'commit' : 'sent';
  let failure = classifyStatement(error, phase, text);
  if (commits && failure.outcome === 'unknown') state.commitLost = true;
  // ORMs say ROLLBACK when COMMIT fails, and surface that error: it must not hide what is not known.
  if (kind === 'rollback' && state.commitLost) failure = { ...failure, outcome: 'unknown' };
  const call = {
    operation: 'mysql.connection.query',
    elapsedMs,
    reason: reasonOf(failure),
    outcome: failure.outcome,
    // Nothing has tried it again: a policy around the transaction of an ORM may.
    repeatable: true,
  };
  return markCall(error, call, state);
}

/** Whether not a byte of it was written. */
export function wasNeverSent(command: Command | undefined): boolean {
  return command === undefined || command.next === null;
}

function isStatement(command: Command): boolean {
  return command.constructor.name === 'Query' || command.constructor.name === 'Execute';
}

/** A stream is told when its connection breaks under it, or before its turn. */
export function failWithConnection(
  command: Command,
  connection: CoreConnection,
  policy: RetryPolicy,
  state: ConnectionState,
): void {
  const { clock } = policy.settings;
  const start = clock.now();
  const broke = (error: unknown): void => {
    connection.removeListener('error', broke);
    if (command.listenerCount('error') === 0) return;
    command.emit('error', marked(error, command, clock.now() - start, state));
  };
  connection.on('error', broke);
  command.once('end', () => connection.removeListener('error', broke));
}
