import type { Category, Outcome } from '@outlast/core-retry';

/**
 * What one SQLSTATE means, whatever the phase:
 * `sent` is the outcome when it answers a statement that was sent. `by-severity` is the rule of the
 * server (an ERROR rolled the statement back, a FATAL or PANIC says nothing about it); the others
 * override it. A failure while acquiring or connecting is always `not-applied`.
 */
export interface SqlState {
  readonly category: Category;
  /** `connecting`: only while acquiring or connecting, or when the connection ends with it. */
  readonly transient: boolean | 'connecting';
  readonly sent: Outcome | 'by-severity';
}

const rolledBack = (category: Category, transient: SqlState['transient'] = false): SqlState => ({
  category,
  transient,
  sent: 'by-severity',
});
const neverSent = (category: Category, transient: SqlState['transient'] = false): SqlState => ({
  category,
  transient,
  sent: 'not-applied',
});
const lost = (category: Category, transient: SqlState['transient'] = false): SqlState => ({
  category,
  transient,
  sent: 'unknown',
});

/** The key of the one SQLSTATE that means two things; see {@link sqlState}. */
export const CACHED_PLAN = '0A000 RevalidateCachedQuery';

/**
 * Single SQLSTATEs. Sources: PostgreSQL's `errcodes.txt` (names and classes); which are transient,
 * and the outcome of each: `reference/sql.md` §2a, drawn from Npgsql `PostgresException.IsTransient`,
 * slonik, cockroach-go and pgjdbc, and put right where they retry what may have been applied.
 */
export const SQLSTATES: ReadonlyMap<string, SqlState> = new Map<string, SqlState>([
  // Poolers answer with these, as a plain ERROR, when they lose the server in mid-statement.
  ['08000', lost('network', true)],
  ['08003', lost('network', true)],
  ['08006', lost('network', true)],
  ['08001', neverSent('network', true)],
  ['08004', neverSent('unavailable', true)],
  ['08007', lost('network', true)],
  // PgBouncer says this for its own shutdown, its queue's timeout and a crashed server alike.
  ['08P01', lost('network', 'connecting')],

  // Healed by a new connection, or a new name: not decided by this table.
  [CACHED_PLAN, rolledBack('invalid')],
  ['26000', rolledBack('invalid')],

  // These mask the error that came first.
  ['25001', rolledBack('invalid')],
  ['25P01', rolledBack('invalid')],
  ['25P02', rolledBack('invalid')],
  // Only several hosts can tell a demoted server from a transaction that was asked to be READ ONLY.
  ['25006', rolledBack('invalid')],
  // Sent only while a transaction is open and idle, so that nothing of it was committed.
  ['25P03', neverSent('timeout', true)],
  ['25P04', rolledBack('timeout')],

  ['28000', neverSent('auth')],
  ['28P01', neverSent('auth')],
  ['3D000', neverSent('not-found')],

  ['40000', rolledBack('contention', true)],
  ['40001', rolledBack('contention', true)],
  ['40P01', rolledBack('contention', true)],
  // CockroachDB's, before it took 40001.
  ['CR000', rolledBack('contention', true)],
  // A deferred constraint: the same rows violate it again.
  ['40002', rolledBack('conflict')],
  ['40003', lost('unavailable', true)],

  // Opt-in: who says NOWAIT wants the error.
  ['55P03', rolledBack('contention')],
  ['55006', rolledBack('contention')],
  ['55000', rolledBack('invalid')],

  ['53000', rolledBack('resource-exhausted', true)],
  ['53100', rolledBack('resource-exhausted')],
  ['53200', rolledBack('resource-exhausted', true)],
  ['53300', neverSent('resource-exhausted', true)],
  ['53400', rolledBack('resource-exhausted', true)],

  ['57000', rolledBack('unavailable')],
  ['57014', rolledBack('timeout')],
  // A commit that waited for a synchronous standby may stand locally.
  ['57P01', lost('unavailable', true)],
  ['57P02', lost('unavailable', true)],
  ['57P03', neverSent('unavailable', true)],
  ['57P04', rolledBack('not-found')],
  ['57P05', lost('timeout', true)],

  ['58000', lost('unavailable')],
  ['58030', lost('unavailable')],
  ['F0000', rolledBack('invalid')],
  ['XX000', rolledBack('unknown')],
  ['XX001', rolledBack('unknown')],
  ['XX002', rolledBack('unknown')],

  ['23001', rolledBack('conflict')],
  ['23503', rolledBack('conflict')],
  ['23505', rolledBack('conflict')],
  ['23P01', rolledBack('conflict')],
  ['2BP01', rolledBack('conflict')],
  ['42501', rolledBack('auth')],
]);

/** Whole classes, for what {@link SQLSTATES} does not name. Same sources. */
export const SQLSTATE_CLASSES: ReadonlyMap<string, SqlState> = new Map<string, SqlState>([
  ['08', lost('network')],
  ['22', rolledBack('invalid')],
  ['23', rolledBack('invalid')],
  ['28', neverSent('auth')],
  ['2B', rolledBack('conflict')],
  ['40', rolledBack('contention')],
  ['42', rolledBack('invalid')],
  ['44', rolledBack('invalid')],
  ['53', rolledBack('resource-exhausted')],
  ['57', rolledBack('unavailable')],
  ['58', lost('unavailable')],
  ['P0', rolledBack('invalid')],
  ['XX', rolledBack('unknown')],
]);

/** A server that answers with a code nobody listed (RAISE … USING ERRCODE) has decided. */
const UNLISTED: SqlState = rolledBack('invalid');

/** The meaning of a SQLSTATE; `routine` is the server's function that raised it. */
export function sqlState(code: string, routine?: string): SqlState {
  const exact = code === '0A000' && routine === 'RevalidateCachedQuery' ? CACHED_PLAN : code;
  return SQLSTATES.get(exact) ?? SQLSTATE_CLASSES.get(code.slice(0, 2)) ?? UNLISTED;
}

/**
 * The SQLSTATEs after which the same call may succeed later, in every phase (08P01 only
 * when it ends the connection, and so not here). Whether it may be *made* again is the outcome's business.
 */
export const RETRYABLE_SQLSTATES: readonly string[] = [...SQLSTATES]
  .filter(([, state]) => state.transient === true)
  .map(([code]) => code);
