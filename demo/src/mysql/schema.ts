import type { MysqlServer } from '@outlast/test-integration/servers';
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
  server: MysqlServer,
  lane: LaneKey,
  workers: number,
): Promise<void> {
  await server.admin(
    `create table ${lane}_orders (id varchar(40) not null, way varchar(20) not null, key (id)) engine = InnoDB`,
  );
  await server.admin(
    `create table ${lane}_counters (worker int, way varchar(20), v int not null default 0, primary key (worker, way)) engine = InnoDB`,
  );
  const rows = Array.from({ length: workers }, (_, worker) => WAYS.map((way) => [worker, way]));
  await server.admin(`insert into ${lane}_counters (worker, way) values ?`, [rows.flat()]);
}

/** What the database holds of a lane; asked straight of the server, past every proxy. */
export async function countRows(server: MysqlServer, lane: LaneKey): Promise<Facts> {
  const rows: { id: string; n: number }[] = await server.admin(
    `select id, count(*) as n from ${lane}_orders group by id`,
  );
  const counters: { worker: number; way: Way; v: number }[] = await server.admin(
    `select worker, way, v from ${lane}_counters`,
  );
  // a transaction writes one row and counts one up: its counters are checked against its rows
  const ways: { way: Way; n: number; counts: string }[] = await server.admin(
    `select way, (select count(*) from ${lane}_orders o where o.way = c.way) as n, sum(v) as counts
       from ${lane}_counters c group by way`,
  );
  const byWay = new Map<string, number>();
  let torn = 0;
  for (const { way, n, counts } of ways) {
    if (way === 'transaction') torn = Math.abs(n - Number(counts));
    byWay.set(way, way === 'transaction' ? n : n + Number(counts));
  }
  return {
    ids: new Map(rows.map(({ id, n }) => [id, n])),
    counters: new Map(
      counters
        .filter(({ way }) => way !== 'transaction')
        .map(({ worker, way, v }) => [counterName(worker, way), v]),
    ),
    byWay,
    torn,
  };
}
