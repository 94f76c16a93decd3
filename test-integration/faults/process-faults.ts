import type { PostgresServer } from '../servers/postgres-server.js';

/** Whose sessions to end. */
export interface TerminateOptions {
  /** Default `app`. */
  user?: string;
  /** At most so many, picked at random. Default all. */
  n?: number;
}

/** `pg_terminate_backend` (57P01) for sessions of one role; returns how many were ended. */
export async function terminateBackends(
  server: PostgresServer,
  options: TerminateOptions = {},
): Promise<number> {
  const { user = 'app', n = null } = options;
  const { rows } = await server.admin(
    `select count(*) filter (where pg_terminate_backend(pid))::int as ended
       from (select pid from pg_stat_activity
              where usename = $1 and backend_type = 'client backend' and pid <> pg_backend_pid()
              order by random() limit $2) as victims`,
    [user, n],
  );
  return rows[0].ended;
}
