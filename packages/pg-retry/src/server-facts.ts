import type driver from 'pg';

/** What tells one server, and one life of it, from another. */
export interface ServerFacts {
  readonly system: string;
  /** First 8 hex digits of the WAL file's name: changes with every promotion. */
  readonly timeline: string;
  /** When the postmaster was started. */
  readonly started: string;
  /** When the statistics were reset, which a crash does too; null where the server does not say. */
  readonly statsReset: string | null;
  /** The server's time of day when it said so, in seconds since 1970. */
  readonly noted: number;
}

/** How a server names transactions: PostgreSQL 13 and later, 10 to 12, or not so that we can use it. */
export type TrackingKind = 'xid8' | 'txid' | 'none';

/** The names of the transaction functions of each kind. */
export const FUNCTIONS = {
  xid8: { current: 'pg_current_xact_id()', status: 'pg_xact_status', type: 'xid8' },
  txid: { current: 'txid_current()', status: 'txid_status', type: 'bigint' },
} as const;

/** Columns with the facts of the server; needs no right beyond those of every role. */
export const FACTS = `(select system_identifier::text from pg_control_system()) as system,
  case when not pg_is_in_recovery() then left(pg_walfile_name(pg_current_wal_lsn()), 8) end as timeline,
  extract(epoch from pg_postmaster_start_time())::text as started,
  (select extract(epoch from stats_reset)::text from pg_stat_bgwriter) as "statsReset",
  extract(epoch from clock_timestamp())::float8 as noted`;

const EXISTS = `select to_regprocedure('pg_current_xact_id()') is not null as xid8,
  to_regprocedure('txid_status(bigint)') is not null as txid`;

type Query = (text: string) => Promise<driver.QueryResult>;

/**
 * Finds out, once a server, whether its transactions can be followed: whether it has the functions and
 * this role may call all that a resolution will.
 */
export async function probeTracking(query: Query): Promise<TrackingKind> {
  try {
    const has = (await query(EXISTS)).rows[0] as { xid8: boolean; txid: boolean };
    const kind = has.xid8 ? 'xid8' : has.txid ? 'txid' : 'none';
    if (kind === 'none') return kind;
    const { status, type } = FUNCTIONS[kind];
    await query(
      `select ${FACTS}, next_xid::text, redo_lsn = checkpoint_lsn, ${status}(null::${type}) from pg_control_checkpoint()`,
    );
    return kind;
  } catch (error) {
    // The server answered, and does not have it or does not allow it.
    if (typeof (error as { severity?: unknown }).severity === 'string') return 'none';
    throw error;
  }
}

/** The life of the server is the same: nothing that it acknowledged or numbered was lost between. */
export function sameLife(a: ServerFacts, b: ServerFacts): boolean {
  return a.started === b.started && a.statsReset !== null && a.statsReset === b.statsReset;
}

export function sameServer(a: ServerFacts, b: ServerFacts): boolean {
  return a.system === b.system && a.timeline === b.timeline;
}
