import { pgRetry } from '@outlast/pg-retry';
import { QueryTypes } from 'sequelize';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../../servers/index.js';
import { openLab } from '../../support/postgres-lab.js';
import { sequelizeOn } from '../libraries/sequelize-on.js';
import { barrier, counters, valuesIn } from '../transaction/tables.js';

const lab = await openLab();

describe.skipIf(lab.reason)(`what has to be repeated ${lab.reason}`, () => {
  lab.use();

  it('is the single statement that ran into a deadlock: both have their effect once (slonik#176)', async () => {
    const table = await counters(lab);
    // One statement that takes two locks, the second once both have their first.
    await lab.server.admin(`create function ${table}_add(first text, second text) returns void
      language plpgsql as $$ begin
        update ${table} set v = v + 1 where name = first;
        perform pg_advisory_xact_lock_shared(77);
        update ${table} set v = v + 1 where name = second;
      end $$`);
    const gate = await lab.session();
    await gate.query('select pg_advisory_lock(77)');
    const pool = lab.pool();
    const codes: unknown[] = [];
    pool.policy.on('retry', ({ failure }) => codes.push(failure.code));
    const both = Promise.all([
      pool.query(`select ${table}_add('a', 'b')`),
      pool.query(`select ${table}_add('b', 'a')`),
    ]);
    const waiting = `select count(*)::int from pg_locks where locktype = 'advisory' and not granted`;
    await waitFor(async () => (await lab.value(waiting)) === 2, { what: 'both to have one lock' });
    await gate.query('select pg_advisory_unlock(77)');
    await both;
    expect(codes).toEqual(['40P01']);
    expect(await valuesIn(lab, table)).toEqual([2, 2]);
  });

  it('is the whole of sequelize’s transaction, not its last statement (sequelize#1478, #8294, #8352, #17466)', async () => {
    const table = await counters(lab);
    const db = sequelizeOn(lab.pool({ max: 4 }));
    const policy = pgRetry();
    const codes: unknown[] = [];
    policy.on('retry', ({ failure }) => codes.push(failure.code));
    const together = barrier(2);
    let runs = 0;
    const both = (first: string, second: string) =>
      policy.execute(async () => {
        runs += 1;
        try {
          await db.transaction(async (transaction) => {
            const add = (name: string) =>
              db.query(`update ${table} set v = v + 1 where name = $1`, {
                bind: [name],
                transaction,
                type: QueryTypes.UPDATE,
              });
            await add(first);
            await together();
            await add(second);
          });
        } catch (error) {
          // sequelize wraps the driver's error, which is the one that carries the mark
          throw (error as { original?: unknown }).original ?? error;
        }
      });
    await Promise.all([both('a', 'b'), both('b', 'a')]);
    expect([codes, runs]).toEqual([['40P01'], 3]);
    expect(await valuesIn(lab, table)).toEqual([2, 2]);
    await db.close();
  });
});
