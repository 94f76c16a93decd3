import type { Transaction } from '@outlast/pg-retry';
import type { QueryResult } from 'pg';
import type { PostgresLab } from '../../support/postgres-lab.js';

export function insert(tx: Transaction, table: string, id: string): Promise<QueryResult> {
  return tx.query(`insert into ${table} values ($1)`, [id]);
}

export async function idsIn(lab: PostgresLab, table: string): Promise<string[]> {
  const { rows } = await lab.server.admin(`select id from ${table} order by id`);
  return rows.map((row) => row.id);
}

/** Two counters, `a` and `b`: an effect that happened twice shows in them. */
export async function counters(lab: PostgresLab): Promise<string> {
  const table = await lab.table('name text primary key, v int not null');
  await lab.server.admin(`insert into ${table} values ('a', 0), ('b', 0)`);
  return table;
}

export function add(
  tx: Pick<Transaction, 'query'>,
  table: string,
  name: string,
): Promise<QueryResult> {
  return tx.query(`update ${table} set v = v + 1 where name = $1`, [name]);
}

export async function valuesIn(lab: PostgresLab, table: string): Promise<number[]> {
  const { rows } = await lab.server.admin(`select v from ${table} order by name`);
  return rows.map((row) => row.v);
}

/** Lets `n` callers go on together, once; later ones pass. */
export function barrier(n: number): () => Promise<void> {
  let arrived = 0;
  let open: () => void = () => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  return () => {
    arrived += 1;
    if (arrived === n) open();
    return gate;
  };
}
