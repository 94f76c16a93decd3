import type { Failure } from '@outlast/core-retry';
import type driver from 'pg';
import { isServerError } from './classify.js';
import { internals } from './driver.js';
import { CACHED_PLAN } from './sqlstates.js';

// invalid_sql_statement_name and duplicate_prepared_statement, by PostgreSQL's `errcodes.txt`.
const LOST = '26000';
const TAKEN = '42P05';

/**
 * A named prepared statement that can no longer be used under its name: its result has another shape
 * since, the session has lost it, or (behind a pooler that hands one session to many) somebody else has
 * taken the name. In all three the server has run nothing.
 */
export type StalePrepared = 'changed' | 'lost' | 'taken';

/** The codes of all three; the first two never mean anything else. */
export const STALE_CODES: ReadonlySet<string | undefined> = new Set([LOST, TAKEN, '0A000']);

export function stalePrepared(error: unknown): StalePrepared | undefined {
  if (!isServerError(error)) return undefined;
  const { code, routine } = error as { code: string; routine?: string };
  if (code === LOST) return 'lost';
  if (code === TAKEN) return 'taken';
  return `${code} ${routine}` === CACHED_PLAN ? 'changed' : undefined;
}

/** The name under which a query asks to be prepared. */
export function preparedName(config: unknown): string | undefined {
  const name = (config as { name?: unknown } | null | undefined)?.name;
  return typeof name === 'string' && name !== '' ? name : undefined;
}

/** The same query without its name, and so without any memory; the caller's object is not changed. */
export function unnamed(config: object): object {
  return Object.create(config, { name: { value: undefined } });
}

/** What such an error means for a statement that is now run again without its name. */
export function healed(failure: Failure): Failure {
  return { ...failure, transient: true, outcome: 'not-applied' };
}

/**
 * Makes the driver forget a name that failed, so that it is prepared anew.
 *
 * @returns whether the connection must go all the same: the server still holds the name for a shape that
 *   no longer fits
 */
export function forgetPrepared(client: driver.ClientBase, error: unknown, name: string): boolean {
  const stale = stalePrepared(error);
  if (stale === undefined) return false;
  delete internals(client).connection?.parsedStatements?.[name];
  return stale === 'changed';
}
