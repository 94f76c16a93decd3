import { Pool } from '@outlast/pg-retry';
import { startPostgres } from '@outlast/test-integration/servers';
import pg from 'pg';
import { compare, type Gate, print, type Result, workers } from './harness.js';

const WORKERS = 20;
const FAST = { fsync: 'off', synchronous_commit: 'off' };

/** Our pool against the driver's own, on one server at a time. */
export async function benchPostgres(): Promise<{
  readonly ok: boolean;
  readonly results: Result[];
}> {
  // Queries without the disk, which would hide what the client costs.
  const queries = await onServer(FAST, async (plain, ours) => [
    await compare(
      `pg: SELECT 1, ${WORKERS} workers, pool of 10`,
      workers('pg.Pool', WORKERS, () => plain.query('select 1')),
      [workers('pg-retry', WORKERS, () => ours.query('select 1'))],
      [{ subject: 'pg-retry', against: 'pg.Pool', atMost: AT_LEAST_97_PERCENT }],
      1000,
    ),
    await compare(
      'pg: one query in ten is a constraint violation',
      workers('pg.Pool', WORKERS, oneInTenFails(plain)),
      [workers('pg-retry', WORKERS, oneInTenFails(ours))],
      [{ subject: 'pg-retry', against: 'pg.Pool', atMost: 1 }],
      1000,
    ),
    await compare(
      'pg: what resolveWrites costs (fsync off)',
      workers('plain UPDATE', WORKERS, () => ours.query(UPDATE, [randomId()])),
      [workers('UPDATE with resolveWrites', WORKERS, () => ours.query(resolved()))],
      [],
      1000,
    ),
    await compareTransactions('pg: a transaction of one UPDATE (fsync off)', plain, ours, []),
  ]);
  // Transactions on a server that keeps what it acknowledges, as it comes out of initdb.
  const transactions = await onServer({}, async (plain, ours) => [
    await compareTransactions('pg: a transaction of one UPDATE (durable)', plain, ours, [
      { subject: 'pool.transaction()', against: BY_HAND, atMost: AT_LEAST_95_PERCENT },
    ]),
    await compare(
      'pg: what resolveWrites costs (durable)',
      workers('plain UPDATE', WORKERS, () => ours.query(UPDATE, [randomId()])),
      [workers('UPDATE with resolveWrites', WORKERS, () => ours.query(resolved()))],
      [],
      1000,
    ),
  ]);
  const results = [...queries, ...transactions];
  return { ok: results.map(print).every(Boolean), results };
}

const AT_LEAST_97_PERCENT = 1.031;
const AT_LEAST_95_PERCENT = 1.053;
const BY_HAND = 'BEGIN … COMMIT by hand';

async function onServer(
  settings: Record<string, string>,
  measure: (plain: pg.Pool, ours: Pool) => Promise<Result[]>,
): Promise<Result[]> {
  const server = await startPostgres({ settings });
  const options = { connectionString: server.url(), max: 10 };
  const plain = new pg.Pool(options);
  const ours = new Pool(options);
  plain.on('error', () => {});
  try {
    await plain.query('create table counters (id int primary key, v int not null)');
    await plain.query('insert into counters select g, 0 from generate_series(0, 999) g');
    await plain.query('create table taken (id int primary key)');
    await plain.query('insert into taken values (1)');
    return await measure(plain, ours);
  } finally {
    await Promise.all([plain.end(), ours.end()]);
    await server.dispose();
  }
}

function compareTransactions(
  title: string,
  plain: pg.Pool,
  ours: Pool,
  gates: readonly Gate[],
): Promise<Result> {
  const update = (tx: { query: pg.PoolClient['query'] }): Promise<unknown> =>
    tx.query(UPDATE, [randomId()]);
  return compare(
    title,
    workers(BY_HAND, WORKERS, () => byHand(plain)),
    [
      workers('pool.transaction()', WORKERS, () => ours.transaction(update)),
      workers('with trackCommit: false', WORKERS, () =>
        ours.transaction(update, { trackCommit: false }),
      ),
    ],
    gates,
    1000,
  );
}

function resolved(): { text: string; values: number[]; resolveWrites: true } {
  return { text: UPDATE, values: [randomId()], resolveWrites: true };
}

const UPDATE = 'update counters set v = v + 1 where id = $1';

function randomId(): number {
  return Math.floor(Math.random() * 1000);
}

function oneInTenFails(pool: pg.Pool): () => Promise<unknown> {
  let turn = 0;
  return async () => {
    turn += 1;
    if (turn % 10 !== 0) return pool.query('select 1');
    return pool.query('insert into taken values (1)').catch((error: { code?: string }) => {
      if (error.code !== '23505') throw error;
    });
  };
}

async function byHand(pool: pg.Pool): Promise<void> {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    await client.query(UPDATE, [randomId()]);
    await client.query('COMMIT');
  } finally {
    client.release();
  }
}
