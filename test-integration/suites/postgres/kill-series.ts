import { isOutcomeUnknown, Pool } from '@outlast/pg-retry';
import type { PostgresServer } from '../../servers/index.js';

/** What a series of kills left behind, as the rows of the server say. */
export interface KillReport {
  readonly kills: number;
  readonly acknowledged: number;
  readonly unknown: number;
  readonly refused: number;
  /** Commits that were reported though their rows are not there. */
  readonly falselyCommitted: number;
  /** Operations that are there more than once. */
  readonly doubled: number;
  /** Operations that are there though they were reported as not applied. */
  readonly denied: number;
  /** By how much the counters differ from the rows: a callback that ran twice shows here. */
  readonly counterDrift: number;
  /** Lost COMMITs that were found out, one way or the other. */
  readonly resolved: number;
}

const WORKERS = 12;

/**
 * Kills the server's whole process tree again and again with COMMITs in flight, beside a client that
 * eats transaction ids, so that numbers which were never flushed are handed out again.
 */
export async function killSeries(
  server: PostgresServer,
  table: string,
  kills: number,
): Promise<KillReport> {
  await server.admin(`create table ${table} (id text not null)`);
  await server.admin(`create table ${table}_counter (worker int primary key, v int not null)`);
  await server.admin(
    `insert into ${table}_counter select g, 0 from generate_series(0, ${WORKERS - 1}) g`,
  );
  await server.admin(`create table ${table}_eaten (x int)`);
  await server.admin(`grant all on all tables in schema public to app`);
  const pool = new Pool({
    connectionString: server.url(),
    max: WORKERS,
    retry: { maxAttempts: 20 },
  });
  const eater = new Pool({ connectionString: server.url(), max: 2, retry: { baseDelayMs: 20 } });
  const ledger = new Map<string, 'ok' | 'unknown' | 'not-applied'>();
  let running = true;
  let resolved = 0;
  let number = 0;

  const work = async (worker: number): Promise<void> => {
    while (running) {
      number += 1;
      const id = `${worker}-${number}`;
      let lostCommit = false;
      try {
        await pool.transaction(async (tx, { attempt }) => {
          lostCommit ||= attempt > 1;
          await tx.query(`update ${table}_counter set v = v + 1 where worker = $1`, [worker]);
          await tx.query(`insert into ${table} values ($1)`, [id]);
        });
        ledger.set(id, 'ok');
        if (lostCommit) resolved += 1;
      } catch (error) {
        ledger.set(id, isOutcomeUnknown(error) ? 'unknown' : 'not-applied');
      }
    }
  };
  const eat = async (): Promise<void> => {
    while (running) await eater.query(`insert into ${table}_eaten values (1)`).catch(() => {});
  };
  const workers = [...Array.from({ length: WORKERS }, (_, i) => work(i)), eat(), eat()];

  for (let kill = 0; kill < kills; kill++) {
    const target = number + 40 + ((kill * 37) % 100);
    while (number < target) await new Promise((resolve) => setTimeout(resolve, 2));
    await server.kill9();
    await server.start();
  }
  running = false;
  await Promise.all(workers);
  await Promise.all([pool.end(), eater.end()]);

  const rows = (await server.admin(`select id, count(*)::int as n from ${table} group by id`))
    .rows as {
    id: string;
    n: number;
  }[];
  const present = new Map(rows.map(({ id, n }) => [id, n]));
  const counted = (await server.admin(`select sum(v)::int as v from ${table}_counter`)).rows[0] as {
    v: number;
  };
  const all = [...ledger];
  const count = (test: (id: string, verdict: string) => boolean): number =>
    all.filter(([id, verdict]) => test(id, verdict)).length;
  return {
    kills,
    acknowledged: count((_, verdict) => verdict === 'ok'),
    unknown: count((_, verdict) => verdict === 'unknown'),
    refused: count((_, verdict) => verdict === 'not-applied'),
    falselyCommitted: count((id, verdict) => verdict === 'ok' && !present.has(id)),
    doubled: rows.filter(({ n }) => n > 1).length,
    denied: count((id, verdict) => verdict === 'not-applied' && present.has(id)),
    counterDrift: counted.v - rows.reduce((sum, { n }) => sum + n, 0),
    resolved,
  };
}
