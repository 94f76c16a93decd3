import type { PostgresServer } from '@outlast/test-integration/servers';
import type { Facts } from '../audit.js';
import type { LaneKey } from '../drill.js';

/** How a write is written. It stands in the statements themselves, for the proxy to know them by. */
export type Way = 'write' | 'resolved write' | 'transaction';

const WAYS: readonly Way[] = ['write', 'resolved write', 'transaction'];

/** The name of a counter in the ledger. */
export function counterName(worker: number, way: Way): string {
  return `${way} ${worker}`;
}

/** Tables of one lane. Their ids are not unique, so that a row written twice is there twice. */
export async function createTables(
  server: PostgresServer,
  lane: LaneKey,
  workers: number,
): Promise<void> {
  await server.admin(`
    set role app;
    create schema ${lane};
    create table ${lane}.orders (id text not null, way text not null);
    create index on ${lane}.orders (id);
    create table ${lane}.counters (
      worker int, way text, v int not null default 0, primary key (worker, way)
    ) with (fillfactor = 10);
    insert into ${lane}.counters (worker, way)
      select worker, way
        from generate_series(0, ${workers - 1}) worker, unnest('{${WAYS.join(',')}}'::text[]) way`);
}

/** What the database holds of a lane; asked straight of the server, past every proxy. */
export async function countRows(server: PostgresServer, lane: LaneKey): Promise<Facts> {
  const rows = await server.admin(`select id, count(*)::int as n from ${lane}.orders group by id`);
  const counters = await server.admin(`select worker, way, v from ${lane}.counters`);
  // a transaction writes one row and counts one up: its counters are checked against its rows
  const ways = await server.admin(
    `select way, (select count(*)::int from ${lane}.orders o where o.way = c.way) as rows,
            sum(v)::int as counts
       from ${lane}.counters c group by way`,
  );
  const byWay = new Map<string, number>();
  let torn = 0;
  for (const { way, rows: n, counts } of ways.rows) {
    if (way === 'transaction') torn = Math.abs(n - counts);
    byWay.set(way, way === 'transaction' ? n : n + counts);
  }
  return {
    ids: new Map(rows.rows.map(({ id, n }) => [id, n])),
    counters: new Map(
      counters.rows
        .filter(({ way }) => way !== 'transaction')
        .map(({ worker, way, v }) => [counterName(worker, way), v]),
    ),
    byWay,
    torn,
  };
}
