import type { Phase, RetryPolicy } from '@outlast/core-retry';
import { markCall, reasonOf } from '@outlast/core-retry/connector';
import type driver from 'pg';
import { isFatal, isServerError } from './classify.js';
import type { ClientState } from './client-state.js';
import { internals } from './driver.js';
import { forgetPrepared, preparedName } from './prepared.js';
import { analyse } from './statement.js';
import { classifyStatement, textOf } from './statement-outcome.js';

/** Follows one statement on a client that a user has checked out. */
export interface StatementMark {
  /** What surfaces: the driver's own error, marked. */
  failed(error: unknown): unknown;
  succeeded<T>(value?: T): T | undefined;
  /** The driver refused it by a throw: it was never in the queue. */
  withdraw(): void;
}

/**
 * Marks the error of a statement by how far it came: never sent, sent, or a COMMIT. The driver fails
 * what ran and what was queued behind it with one error object, so the place in the queue decides.
 */
export function markStatement(
  client: driver.ClientBase,
  state: ClientState,
  policy: RetryPolicy,
  config: unknown,
): StatementMark {
  state.issued += 1;
  const number = state.issued;
  state.open.add(number);
  const { clock } = policy.settings;
  const start = clock.now();
  return {
    succeeded(value) {
      state.open.delete(number);
      return value;
    },
    withdraw() {
      state.open.delete(number);
    },
    failed(error) {
      const { _queryable, _ending, pipeline } = internals(client);
      const broken = _queryable === false || _ending === true;
      const [running] = state.open;
      // What ended the connection hit the statement that ran; nothing behind it was sent any more.
      if (isFatal(error) || (broken && !isServerError(error))) state.brokeAt ??= running;
      const queued = number !== running || number > (state.brokeAt ?? number);
      state.open.delete(number);
      if (isReadTimeout(error)) state.poisoned = true;
      const name = preparedName(config);
      if (name !== undefined && forgetPrepared(client, error, name)) state.poisoned = true;
      const text = textOf(config);
      const { kind } = analyse(text);
      const phase: Phase = kind === 'commit' ? 'commit' : 'sent';
      const neverSent = queued && !pipeline && !isServerError(error);
      let failure = classifyStatement(error, neverSent ? 'acquire' : phase, text);
      if (phase === 'commit' && failure.outcome === 'unknown') state.commitLost = true;
      // ORMs say ROLLBACK when COMMIT fails, and surface that error: it must not hide what is not known.
      if (kind === 'rollback' && state.commitLost) failure = { ...failure, outcome: 'unknown' };
      const call = {
        operation: 'pg.client.query',
        elapsedMs: clock.now() - start,
        reason: reasonOf(failure),
        outcome: failure.outcome,
        repeatable: true,
      };
      return markCall(error, call, state);
    },
  };
}

/** The client-side `query_timeout` of pg: the statement may still be running. */
export function isReadTimeout(error: unknown): boolean {
  return error instanceof Error && error.message === 'Query read timeout';
}
