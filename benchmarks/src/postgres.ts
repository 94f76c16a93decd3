import { Pool } from '@outlast/pg-retry';
import { startPostgres } from '@outlast/test-integration/servers';
import pg from 'pg';
import { compare, type Gate, print, type Result, workers } from './harness.js';
import { heapUsed } from './heap.js';

const WORKERS = 20;
const FAST = { fsync: 'off', synchronous_commit: 'off' };

/** Our pool against the driver's own, on one server at a time. */
export async function benchPostgres(): Promise<{
  readonly ok: boolean;
  readonly results: Result[];
}> {
  // Queries without the disk, which would hide what the client costs.
  const queries = await onServer(FAST, async (plain, ours) => [
    ...(await compareQueries(plain, ours)),
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
  const gates = results.map(print);
  return { ok: gates.every(Boolean) && (await idlePools()), results };
}

const CONCURRENT = [1, 10, 100] as const;

/** What an application asks with, all of which the gate is for. */
const FACES = {
  'promise, text': (pool) => pool.query('select $1::int as n', [1]),
  'promise, prepared': (pool) => pool.query(PREPARED),
  'callback, text': (pool) =>
    settled((done) => pool.query('select $1::int as n', [1], (error) => done(error))),
  'callback, prepared': (pool) => settled((done) => pool.query(PREPARED, (error) => done(error))),
} as const satisfies Record<string, (pool: pg.Pool) => Promise<unknown>>;

const PREPARED = { name: 'one', text: 'select $1::int as n', values: [1] };

function settled(call: (done: (error: Error | undefined) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    call((error) => (error ? reject(error) : resolve()));
  });
}

async function compareQueries(plain: pg.Pool, ours: Pool): Promise<Result[]> {
  const results: Result[] = [];
  for (const [face, query] of Object.entries(FACES)) {
    for (const count of CONCURRENT) {
      results.push(
        await compare(
          `pg: SELECT $1, ${face}, ${count} at once, pool of 10`,
          workers('pg.Pool', count, () => query(plain)),
          [workers('pg-retry', count, () => query(ours))],
          [{ subject: 'pg-retry', against: 'pg.Pool', atMost: AT_LEAST_97_PERCENT }],
          400,
        ),
      );
    }
  }
  return results;
}

const IDLE_POOLS = 500;
const MOST_IDLE_BYTES = 10_000;

/** What a pool that does nothing takes beyond one of the driver's. */
async function idlePools(): Promise<boolean> {
  const options = { connectionString: 'postgres://localhost:1/none' };
  const bytes = async (make: () => object): Promise<number> => {
    make();
    const before = await heapUsed();
    const pools = Array.from({ length: IDLE_POOLS }, make);
    const after = await heapUsed();
    return (after - before) / pools.length;
  };
  const plain = await bytes(() => new pg.Pool(options));
  const more = (await bytes(() => new Pool(options))) - plain;
  const ok = more <= MOST_IDLE_BYTES;
  console.log(
    `\npg: an idle pool takes ${more.toFixed(0)} bytes more than the driver's ${plain.toFixed(0)}  ${ok ? `≤ ${MOST_IDLE_BYTES} ok` : `> ${MOST_IDLE_BYTES} MISSED`}`,
  );
  return ok;
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
