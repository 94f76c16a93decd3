import { Pool } from '@outlast/pg-retry';
import { startPostgres } from '@outlast/test-integration/servers';
import pg from 'pg';
import { compare, print, type Result, workers } from './harness.js';

const WORKERS = 20;
const FAST = { fsync: 'off', synchronous_commit: 'off' };

/** Our pool against the driver's own, on one server. */
export async function benchPostgres(): Promise<{
  readonly ok: boolean;
  readonly results: Result[];
}> {
  const server = await startPostgres({ settings: FAST });
  const options = { connectionString: server.url(), max: 10 };
  const plain = new pg.Pool(options);
  const ours = new Pool(options);
  plain.on('error', () => {});
  try {
    await plain.query('create table counters (id int primary key, v int not null)');
    await plain.query('insert into counters select g, 0 from generate_series(0, 999) g');
    await plain.query('create table taken (id int primary key)');
    await plain.query('insert into taken values (1)');
    const results = [
      await compare(
        `pg: SELECT 1, ${WORKERS} workers, pool of 10`,
        workers('pg.Pool', WORKERS, () => plain.query('select 1')),
        [workers('pg-retry', WORKERS, () => ours.query('select 1'))],
        [{ subject: 'pg-retry', against: 'pg.Pool', atMost: 1 / 0.97 }],
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
        'pg: a transaction of one UPDATE',
        workers('BEGIN … COMMIT by hand', WORKERS, () => byHand(plain)),
        [
          workers('pool.transaction()', WORKERS, () =>
            ours.transaction((tx) => tx.query(UPDATE, [randomId()])),
          ),
        ],
        [{ subject: 'pool.transaction()', against: 'BEGIN … COMMIT by hand', atMost: 1 / 0.95 }],
        1000,
      ),
      await compare(
        'pg: what resolveWrites costs',
        workers('plain UPDATE', WORKERS, () => ours.query(UPDATE, [randomId()])),
        [
          workers('UPDATE with resolveWrites', WORKERS, () =>
            ours.query({ text: UPDATE, values: [randomId()], resolveWrites: true }),
          ),
        ],
        [],
        1000,
      ),
    ];
    return { ok: results.map(print).every(Boolean), results };
  } finally {
    await Promise.all([plain.end(), ours.end()]);
    await server.dispose();
  }
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
