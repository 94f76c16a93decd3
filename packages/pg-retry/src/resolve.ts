import type driver from 'pg';
import {
  FACTS,
  FUNCTIONS,
  type ServerFacts,
  sameLife,
  sameServer,
  type TrackingKind,
} from './server-facts.js';

/** What is known of a transaction whose COMMIT was sent. */
export interface TrackedTransaction {
  readonly xid: string;
  readonly kind: Exclude<TrackingKind, 'none'>;
  /** The server that took the COMMIT, as its connection knew it. */
  readonly facts: ServerFacts;
  /** The serial of the newest client when the COMMIT was lost. */
  readonly lostAtSerial: number;
}

/** What became of it, or why that cannot be said. */
export type Verdict = 'committed' | 'aborted' | { readonly unknown: string };

/** Runs one query on one connection. */
export type Ask = (text: string, values: readonly unknown[]) => Promise<driver.QueryResult>;

/** The connection that asks. */
export interface Asker {
  readonly ask: Ask;
  /** In which order it was opened, against `lostAtSerial`. */
  readonly serial: number;
  /** The backend that it was told of when it was opened. */
  readonly processID: number | null | undefined;
  /** Monotonic milliseconds. */
  now(): number;
  /** Whether a connection newer than `serial` may have been opened before `until`. */
  openedBetween(serial: number, until: number): boolean;
}

interface Answer extends ServerFacts {
  /** The backend that answers. */
  readonly pid: number;
  readonly recovering: boolean;
  /** How long ago the server's present life began, in milliseconds: its start, or its latest crash. */
  readonly aliveMs: number;
  /**
   * The newest checkpoint is the one of the server's own start. With wal_level minimal an idle server's
   * later ones look the same, so there it cannot be told.
   */
  readonly fresh: boolean;
  /** When that checkpoint was written, in seconds since 1970. */
  readonly checkpointAt: number;
  /** `epoch:xid` of that checkpoint, or the number alone. */
  readonly nextXid: string;
  /** null: the server does not know, or never gave out that number. */
  readonly status: 'committed' | 'aborted' | 'in progress' | null;
}

const POLL_MS = [20, 50, 100, 200] as const;

/** One statement, so that all of it is true at the same moment. */
function lookUp(kind: TrackedTransaction['kind']): string {
  const { current, status, type } = FUNCTIONS[kind];
  // Asked of a number that was never given out the status raises 22023, hence the comparison first.
  return `select pg_backend_pid() as pid, pg_is_in_recovery() as recovering, ${FACTS},
  extract(epoch from clock_timestamp() - greatest(pg_postmaster_start_time(),
    (select stats_reset from pg_stat_bgwriter)))::float8 * 1000 as "aliveMs",
  c.redo_lsn = c.checkpoint_lsn and current_setting('wal_level') <> 'minimal' as fresh, c.next_xid::text as "nextXid",
  extract(epoch from c.checkpoint_time)::float8 as "checkpointAt",
  case when not pg_is_in_recovery() and $1::${type} < ${current} then ${status}($1::${type}) end as status
  from pg_control_checkpoint() c`;
}

const END_BACKEND = `select pg_terminate_backend(pid) from pg_stat_activity
  where backend_xid = $1::xid and usename = session_user and pid <> pg_backend_pid()`;

/**
 * Finds out what became of a transaction whose COMMIT got no answer, over one working connection.
 *
 * `in progress` in the same life of the server means that its backend has not heard that the client is
 * gone, or that the COMMIT is still on its way: the backend is ended, and the status then settles.
 *
 * @param wait pauses between two looks; rejects when time is up
 */
export async function resolveCommit(
  transaction: TrackedTransaction,
  asker: Asker,
  wait: (ms: number) => Promise<void>,
): Promise<Verdict> {
  const { ask } = asker;
  const text = lookUp(transaction.kind);
  for (let look = 0; ; look++) {
    const answer = (await ask(text, [transaction.xid])).rows[0] as Answer;
    const life = lifeOf(transaction, answer, asker);
    const verdict = judge(transaction, answer, life);
    if (verdict !== 'in progress') return verdict;
    // Only in the same life is the number still ours, so nobody else's backend is ever ended.
    await ask(END_BACKEND, [xid32(transaction.xid)]);
    await wait(POLL_MS[Math.min(look, POLL_MS.length - 1)] as number);
  }
}

/**
 * The server that answers: in the life that took the COMMIT; stopped in good order and started since;
 * restarted once since, its start's checkpoint still the newest; crashed at some time since; perhaps
 * crashed, or somebody reset the statistics; or another server, or another timeline.
 */
export type Life = 'same' | 'stopped' | 'restarted' | 'crashed' | 'doubtful' | 'other';

function lifeOf(transaction: TrackedTransaction, answer: Answer, asker: Asker): Life {
  const { facts, lostAtSerial } = transaction;
  if (answer.recovering || !sameServer(facts, answer)) return 'other';
  if (sameLife(facts, answer)) return 'same';
  // A connection that was open before the loss and still answers has seen no crash since; if it is
  // the same backend that answers, for a pooler in between survives its server.
  const direct = answer.pid === asker.processID;
  if (direct && asker.serial <= lostAtSerial) return 'same';
  // A crash resets the statistics, a shutdown keeps them.
  if (facts.statsReset !== null && facts.statsReset === answer.statsReset) return 'stopped';
  // A backend that dies takes all others along but not the postmaster; then a checkpoint like that of
  // a start, and newer than the connection, is the proof.
  const crashed =
    facts.started !== answer.started || (answer.fresh && answer.checkpointAt > facts.noted);
  if (!crashed) return 'doubtful';
  // Its checkpoint speaks of the crash before it. If there was a life in between, it may have handed
  // the number out again, and then that checkpoint counts it. The reconnect looks every 200 ms, so a
  // life that took commits has most likely met one of our connections.
  const began = asker.now() - answer.aliveMs;
  return answer.fresh && !asker.openedBetween(lostAtSerial, began) ? 'restarted' : 'crashed';
}

export function judge(
  { xid }: Pick<TrackedTransaction, 'xid'>,
  answer: Pick<Answer, 'status' | 'nextXid' | 'recovering'>,
  life: Life,
): Verdict | 'in progress' {
  const { status } = answer;
  if (answer.recovering) return { unknown: 'the server that answers is a standby' };
  if (life === 'other') {
    return { unknown: 'the server that answers is another one, or was promoted' };
  }
  if (life === 'same') return status ?? { unknown: 'the server has forgotten the transaction' };
  // What is not below the counter of a later life's checkpoint never reached the disk; the number may
  // by now be somebody else's, so its status says nothing.
  const crashed = life === 'restarted' || life === 'crashed';
  const neverDurable = crashed && BigInt(xid) >= fullXid(answer.nextXid, xid);
  // And if whoever has the number now aborted it, then either that was ours, or ours was never durable.
  if (neverDurable || status === 'aborted') return 'aborted';
  if (life === 'crashed') {
    return { unknown: 'the server crashed more than once, or has written a checkpoint since' };
  }
  if (life === 'doubtful') {
    return { unknown: 'the server may have crashed since, or its statistics were reset' };
  }
  return status === 'committed'
    ? 'committed'
    : { unknown: 'the server was restarted and does not say' };
}

// Without an epoch (it always has one since 9.6) the number could only be compared within one epoch.
function fullXid(nextXid: string, xid: string): bigint {
  const [epoch, low] = nextXid.includes(':') ? nextXid.split(':') : [undefined, nextXid];
  const high = epoch === undefined ? BigInt(xid) >> 32n : BigInt(epoch);
  return (high << 32n) | BigInt(low as string);
}

function xid32(xid: string): string {
  return (BigInt(xid) & 0xffffffffn).toString();
}
