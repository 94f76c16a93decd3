import type driver from 'pg';
import { isServerError } from './classify.js';
import { analyse } from './statement.js';

/** Runs one statement on a client. */
export type Run = (config: unknown, values?: unknown) => Promise<driver.QueryResult>;

/** The replay of what looked like a read was refused: it is, or calls, something that writes. */
export class NotARead extends Error {}

// Volatile, and harmless all the same: running one again changes nothing but its own answer.
const HARMLESS: readonly string[] = [
  'random',
  'clock_timestamp',
  'timeofday',
  'pg_sleep',
  'gen_random_uuid',
];

// One row a name that spoils the read: unknown to the catalogue, or volatile and not harmless. A name
// without a schema means every function of that name on the search path, whatever its arguments.
const SPOILERS = `
select n.name from unnest($1::text[]) as n(name),
  lateral (select parse_ident(n.name) as parts) i
where not exists (
    select from pg_catalog.pg_proc p where p.proname = i.parts[array_upper(i.parts, 1)]
      and case when array_upper(i.parts, 1) > 1
        then p.pronamespace = (select s.oid from pg_catalog.pg_namespace s where s.nspname = i.parts[1])
        else pg_catalog.pg_function_is_visible(p.oid) end)
  or exists (
    select from pg_catalog.pg_proc p where p.proname = i.parts[array_upper(i.parts, 1)]
      and p.provolatile = 'v'
      and not (p.pronamespace = 'pg_catalog'::regnamespace and p.proname = any($2::text[]))
      and case when array_upper(i.parts, 1) > 1
        then p.pronamespace = (select s.oid from pg_catalog.pg_namespace s where s.nspname = i.parts[1])
        else pg_catalog.pg_function_is_visible(p.oid) end)
limit 1`;

/** Whether a text is, by its grammar, one statement that only reads. */
export function looksLikeRead(text: string): boolean {
  return analyse(text).kind === 'read';
}

/**
 * Replays a read whose answer was lost: inside a READ ONLY transaction, after asking the catalogue, in
 * that same transaction, whether the functions it calls are harmless. READ ONLY alone permits too much
 * (`pg_notify`, advisory locks, `dblink`, temporary tables).
 *
 * @throws NotARead if it is none; then nothing of it was run
 */
export async function replayRead(
  run: Run,
  text: string,
  config: unknown,
  values: unknown,
): Promise<driver.QueryResult> {
  const { functions } = analyse(text);
  await run('BEGIN READ ONLY');
  if (functions.length > 0) {
    const spoilers = await run(SPOILERS, [functions, HARMLESS]);
    const name = (spoilers.rows[0] as { name: string } | undefined)?.name;
    if (name !== undefined) {
      await run('ROLLBACK');
      throw new NotARead(`${name} may write`);
    }
  }
  let result: driver.QueryResult;
  try {
    result = await run(config, values);
  } catch (error) {
    if (!isServerError(error)) throw error;
    await run('ROLLBACK');
    throw (error as { code?: string }).code === '25006'
      ? new NotARead('refused by READ ONLY')
      : error;
  }
  await run('COMMIT');
  return result;
}
