import { createPool, type Pool } from '@outlast/mysql-retry';
import { type MariadbSettings, startMariadb } from '@outlast/test-integration/servers';
import mysql from 'mysql2/promise';
import { compare, type Gate, print, type Result, workers } from './harness.js';

const FAST = { 'innodb-flush-log-at-trx-commit': 0 };
const LIMIT = 10;
const CONCURRENT = [1, 10, 100] as const;

const AT_LEAST_97_PERCENT = 1.031;
const AT_LEAST_95_PERCENT = 1.053;
const BY_HAND = 'BEGIN … COMMIT by hand';
const UPDATE = 'update counters set v = v + 1 where id = ?';

/** Our pool against the driver's own, on one server at a time. */
export async function benchMysql(): Promise<{
  readonly ok: boolean;
  readonly results: Result[];
}> {
  // Statements without the disk, which would hide what the client costs.
  const fast = await onServer(FAST, async (plain, ours) => {
    const results: Result[] = [];
    for (const count of CONCURRENT) {
      for (const method of ['query', 'execute'] as const) {
        results.push(await compareReads(plain, ours, method, count));
      }
    }
    results.push(
      await compare(
        'mysql: what resolveWrites costs (log flushed once a second)',
        workers('plain UPDATE', 20, () => ours.query(UPDATE, [randomId()])),
        [workers('UPDATE with resolveWrites', 20, () => ours.query(resolved()))],
        [],
        1000,
      ),
    );
    return results;
  });
  const durable = await onServer({}, async (plain, ours) => [
    await compareTransactions(plain, ours, [
      { subject: 'pool.transaction()', against: BY_HAND, atMost: AT_LEAST_95_PERCENT },
    ]),
    await compare(
      'mysql: what resolveWrites costs (durable)',
      workers('plain UPDATE', 20, () => ours.query(UPDATE, [randomId()])),
      [workers('UPDATE with resolveWrites', 20, () => ours.query(resolved()))],
      [],
      1000,
    ),
  ]);
  const results = [...fast, ...durable];
  return { ok: results.map(print).every(Boolean), results };
}

function compareReads(
  plain: mysql.Pool,
  ours: Pool,
  method: 'query' | 'execute',
  count: number,
): Promise<Result> {
  const protocol = method === 'query' ? 'text' : 'prepared';
  return compare(
    `mysql: SELECT ?, ${protocol}, ${count} at once, pool of ${LIMIT}`,
    workers('mysql2', count, reads(plain, method)),
    [workers('mysql-retry', count, reads(ours, method))],
    [{ subject: 'mysql-retry', against: 'mysql2', atMost: AT_LEAST_97_PERCENT }],
    500,
  );
}

function reads(pool: mysql.Pool, method: 'query' | 'execute'): () => Promise<unknown> {
  return method === 'query'
    ? () => pool.query('select ? as a', [1])
    : () => pool.execute('select ? as a', [1]);
}

function compareTransactions(
  plain: mysql.Pool,
  ours: Pool,
  gates: readonly Gate[],
): Promise<Result> {
  const update = (tx: Pick<mysql.Connection, 'query'>): Promise<unknown> =>
    tx.query(UPDATE, [randomId()]);
  return compare(
    'mysql: a transaction of one UPDATE (durable)',
    workers(BY_HAND, 20, () => byHand(plain)),
    [
      workers('pool.transaction()', 20, () => ours.transaction((tx) => update(tx as never))),
      workers('with commitMarker', 20, () =>
        ours.transaction((tx) => update(tx as never), { commitMarker: true }),
      ),
    ],
    gates,
    1000,
  );
}

async function onServer(
  settings: MariadbSettings,
  measure: (plain: mysql.Pool, ours: Pool) => Promise<Result[]>,
): Promise<Result[]> {
  const server = await startMariadb({ settings });
  const options = { ...server.config(), connectionLimit: LIMIT };
  const plain = mysql.createPool(options);
  const ours = createPool(options);
  try {
    await plain.query('create table counters (id int primary key, v int not null)');
    await server.admin('insert into counters select seq, 0 from seq_0_to_999');
    await ours.createMarkerTable();
    return await measure(plain, ours);
  } finally {
    await Promise.all([plain.end(), ours.end()]);
    await server.dispose();
  }
}

function resolved(): { sql: string; values: number[]; resolveWrites: true } {
  return { sql: UPDATE, values: [randomId()], resolveWrites: true };
}

function randomId(): number {
  return Math.floor(Math.random() * 1000);
}

async function byHand(pool: mysql.Pool): Promise<void> {
  const connection = await pool.getConnection();
  try {
    await connection.beginTransaction();
    await connection.query(UPDATE, [randomId()]);
    await connection.commit();
  } finally {
    connection.release();
  }
}
