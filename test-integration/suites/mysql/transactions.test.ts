import { setTimeout as sleep } from 'node:timers/promises';
import {
  isCommitOutcomeUnknownError,
  isOptionError,
  isOutcomeUnknown,
  type Pool,
  type ResultSetHeader,
  retryInfo,
} from '@outlast/mysql-retry';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { failureOf } from '../support/errors.js';
import { openMysqlLab } from '../support/mysql-lab.js';

const lab = await openMysqlLab({ log: true, settings: { 'innodb-lock-wait-timeout': 1 } });

describe.skipIf(lab.reason)(`pool.transaction ${lab.reason}`, () => {
  lab.use();

  const counter = async (): Promise<string> => {
    const table = await lab.table('id int primary key, v int');
    await lab.server.admin(`insert into ${table} values (1, 0), (2, 0)`);
    return table;
  };
  const value = (table: string): Promise<number> =>
    lab.value(`select v from ${table} where id = 1`);
  const countUp = (pool: Pool, table: string, options: object, runs: { n: number }) =>
    pool.transaction(async (tx) => {
      runs.n += 1;
      await tx.query<ResultSetHeader>(`update ${table} set v = v + 1 where id = 1`);
      return runs.n;
    }, options);

  it('commits what its callback did, and rolls back what it throws', async () => {
    const table = await counter();
    const pool = lab.pool({ connectionLimit: 1 });
    const mark = await lab.logMark();
    const options = { isolation: 'read committed', readOnly: false } as const;
    expect(await countUp(pool, table, options, { n: 0 })).toBe(1);
    expect((await mark()).map(({ text }) => text)).toEqual([
      'SET TRANSACTION ISOLATION LEVEL READ COMMITTED',
      'START TRANSACTION',
      `update ${table} set v = v + 1 where id = 1`,
      'COMMIT',
    ]);
    const own = new Error('mine');
    const thrown = await failureOf(
      pool.transaction(async (tx) => {
        await tx.query(`update ${table} set v = 100`);
        throw own;
      }),
    );
    expect(thrown).toBe(own);
    const read = failureOf(
      pool.transaction((tx) => tx.query(`update ${table} set v = 100`), { readOnly: true }),
    );
    expect(await read).toMatchObject({ errno: 1792 });
    expect(await value(table)).toBe(1);
  });

  it('has savepoints within, and refuses what would end it', async () => {
    const table = await counter();
    const pool = lab.pool();
    await pool.transaction(async (tx) => {
      await tx.execute(`update ${table} set v = v + ? where id = 1`, [1]);
      const inner = tx.transaction(async (nested) => {
        await nested.query(`update ${table} set v = 50`);
        throw new Error('only this');
      });
      await expect(inner).rejects.toThrow('only this');
      for (const sql of [
        'commit',
        'rollback',
        'begin',
        'create table x (a int)',
        'set autocommit = 1',
      ]) {
        expect(isOptionError(await failureOf(tx.query(sql)))).toBe(true);
      }
      expect(() => tx.release()).toThrow('tx.release()');
    });
    expect(await value(table)).toBe(1);
    const kept = await pool.transaction((tx) => tx);
    expect((await failureOf(kept.query('select 1'))).message).toContain('had ended');
    // One that its text does not show.
    const procedure = lab.name('proc');
    await lab.server.admin(`create procedure ${procedure}() begin commit; end`);
    const ended = await failureOf(
      pool.transaction(async (tx) => {
        await tx.query(`update ${table} set v = 7 where id = 1`);
        await tx.query(`call ${procedure}()`);
      }),
    );
    expect(isOptionError(ended) || /commits by itself/.test(ended.message)).toBe(true);
  });

  it('runs again as a whole after a deadlock, though the callback caught it (sequelize#8352)', async () => {
    const table = await counter();
    const pool = lab.pool();
    const retries: unknown[] = [];
    pool.policy.on('retry', ({ error }) => retries.push((error as { errno: number }).errno));
    let arrived = 0;
    const cross = (first: number, second: number) =>
      pool.transaction(async (tx, { attempt }) => {
        await tx.query(`update ${table} set v = v + 1 where id = ${first}`);
        arrived += 1;
        if (attempt === 1) await waitFor(() => arrived >= 2, { everyMs: 2 });
        await tx.query(`update ${table} set v = v + 1 where id = ${second}`).catch(() => {});
        await tx.query(`update ${table} set v = v + 1 where id = ${second}`).catch(() => {});
      });
    await Promise.all([cross(1, 2), cross(2, 1)]);
    expect(retries).toContain(1213);
    // One of the two rows by the first statement of each, twice by the other: nothing of what was undone.
    expect(await lab.value(`select sum(v) from ${table}`)).toBe('6');
  });

  it('rolls back after a lock that it did not get, and runs again: no part of it is left', async () => {
    const table = await counter();
    const pool = lab.pool({ connectionLimit: 1 });
    const rival = await lab.session();
    await rival.query('begin');
    await rival.query(`update ${table} set v = 10 where id = 2`);
    const runs: number[] = [];
    const mark = await lab.logMark();
    await pool.transaction(async (tx, { attempt }) => {
      runs.push(attempt);
      await tx.query(`update ${table} set v = v + 1 where id = 1`);
      await tx.query(`update ${table} set v = v + 1 where id = 2`).catch(() => {});
      if (attempt === 1) await rival.query('commit');
    });
    expect(runs).toEqual([1, 2]);
    expect((await mark()).map(({ text }) => text)).toContain('ROLLBACK');
    expect(await value(table)).toBe(1);
    expect(await lab.value(`select v from ${table} where id = 2`)).toBe(11);
  });

  it('goes on after a NOWAIT that found the row taken, for who says so wants the error', async () => {
    const table = await counter();
    const pool = lab.pool();
    const rival = await lab.session();
    await rival.query('begin');
    await rival.query(`update ${table} set v = 10 where id = 2`);
    const nowait = `select * from ${table} where id = 2 for update nowait`;
    const runs: number[] = [];
    await pool.transaction(async (tx, { attempt }) => {
      runs.push(attempt);
      await expect(tx.query(nowait)).rejects.toMatchObject({ errno: 1205 });
      await tx.query(`update ${table} set v = v + 1 where id = 1`);
    });
    const error = await failureOf(pool.transaction((tx) => tx.query(nowait)));
    await rival.query('rollback');
    expect(retryInfo(error)).toMatchObject({ attempts: 1, reason: 'permanent' });
    expect([runs, await value(table)]).toEqual([[1], 1]);
  });

  it('runs again as a whole when its connection is lost before COMMIT', async () => {
    const table = await counter();
    const pool = lab.pool();
    const runs = { n: 0 };
    const armed = lab.proxy.arm({ when: { bytes: `update ${table}` }, fault: 'cut-after' });
    await countUp(pool, table, {}, runs);
    expect([armed.fired, runs.n, await value(table)]).toEqual([1, 2, 1]);
  });

  it.each([
    ['cut-before', 0],
    ['cut-after', 1],
  ] as const)(
    'without a marker says that it does not know what became of a lost COMMIT (%s), and runs no second time (efcore#22904, neo4j-java-driver#593)',
    async (fault, applied) => {
      const table = await counter();
      const pool = lab.pool();
      const runs = { n: 0 };
      lab.proxy.arm({ when: { bytes: 'COMMIT' }, fault });
      const error = await failureOf(countUp(pool, table, {}, runs));
      expect(isCommitOutcomeUnknownError(error)).toBe(true);
      expect(isOutcomeUnknown(error)).toBe(true);
      expect(error.cause).toMatchObject({ code: 'ECONNRESET' });
      expect([runs.n, await value(table)]).toEqual([1, applied]);
    },
  );

  it('that only reads is replayed when its COMMIT is lost', async () => {
    const pool = lab.pool();
    const armed = lab.proxy.arm({ when: { bytes: 'COMMIT' }, fault: 'cut-after' });
    const attempts = await pool.transaction((_, { attempt }) => attempt, { readOnly: true });
    expect([armed.fired, attempts]).toEqual([1, 2]);
  });

  it.each([
    ['cut-before', 2],
    ['cut-after', 1],
    ['hold', 1],
  ] as const)(
    'with a marker finds out what became of a lost COMMIT (%s): one row, %i runs',
    async (fault, expected) => {
      const table = await counter();
      const pool = lab.pool();
      await pool.createMarkerTable();
      const runs = { n: 0 };
      const armed = lab.proxy.arm({ when: { bytes: 'COMMIT' }, fault, holdMs: 1200 });
      await countUp(pool, table, { commitMarker: true }, runs);
      await armed.hit;
      expect(armed.fired).toBe(1);
      expect(await value(table)).toBe(1);
      // A COMMIT that is held back finds the fence where the session was killed before it came.
      if (fault !== 'hold') expect(runs.n).toBe(expected);
    },
  );

  it.each(['cut-before', 'cut-after'] as const)(
    'with a marker is not misled by a callback that goes to another database (%s)',
    async (fault) => {
      const table = await counter();
      await lab.server.admin('create database if not exists other');
      await lab.server.admin("grant all on other.* to 'app'@'%'");
      const pool = lab.pool();
      await pool.createMarkerTable();
      await pool.createMarkerTable('other.outlast_commit_markers');
      const armed = lab.proxy.arm({ when: { bytes: 'COMMIT' }, fault });
      await pool.transaction(
        async (tx) => {
          await tx.query(`update ${table} set v = v + 1 where id = 1`);
          await tx.query('use other');
          await tx.query('select 1');
        },
        { commitMarker: true },
      );
      expect([armed.fired, await value(table)]).toEqual([1, 1]);
    },
  );

  it('is not misled by a fence of its own whose answer is lost', async () => {
    const table = await counter();
    const pool = lab.pool();
    await pool.createMarkerTable();
    const runs = { n: 0 };
    lab.proxy.arm({ when: { bytes: 'COMMIT' }, fault: 'cut-before' });
    const fence = lab.proxy.arm({ when: { bytes: /, 1\)/ }, fault: 'cut-after' });
    await countUp(pool, table, { commitMarker: true }, runs);
    expect([fence.fired, runs.n, await value(table)]).toEqual([1, 2, 1]);
  });

  it('survives a kill -9 in the middle of its COMMITs: each of them once', async () => {
    const table = await counter();
    const pool = lab.pool({ connectionLimit: 5 });
    await pool.createMarkerTable();
    let acknowledged = 0;
    let running = true;
    const worker = async (): Promise<void> => {
      while (running) {
        await countUp(pool, table, { commitMarker: true }, { n: 0 });
        acknowledged += 1;
      }
    };
    const workers = Promise.all(Array.from({ length: 5 }, worker));
    await waitFor(() => acknowledged > 30, { what: 'some of them' });
    await lab.server.kill9();
    await lab.server.start();
    const before = acknowledged;
    await waitFor(() => acknowledged > before + 30, { what: 'more of them' });
    running = false;
    await workers;
    expect(await value(table)).toBe(acknowledged);
  });

  /** A server that has been up for a moment only could be another life of itself: it is asked nothing then. */
  const ofAge = (): Promise<unknown> =>
    waitFor(
      async () => Number((await lab.server.admin("show status like 'Uptime'"))[0].Value) > 4,
      { what: 'the server to be of age' },
    );
  const kills = (texts: readonly { text: string }[]): string[] =>
    texts.map(({ text }) => text).filter((text) => /^kill \d/i.test(text));

  it('ends its old session, to shorten the wait, while that is still its own', async () => {
    const table = await counter();
    const pool = lab.pool();
    await pool.createMarkerTable();
    await ofAge();
    const runs = { n: 0 };
    const mark = await lab.logMark();
    const armed = lab.proxy.arm({ when: { bytes: 'COMMIT' }, fault: 'hold', holdMs: 1200 });
    await countUp(pool, table, { commitMarker: true }, runs);
    await armed.hit;
    // The COMMIT that came 1.2 s late found its session gone.
    expect([runs.n, await value(table)]).toEqual([2, 1]);
    expect(kills(await mark())).toHaveLength(1);
  });

  it.each([
    ['cut-before', 2],
    ['cut-after', 1],
  ] as const)(
    'harms nobody who was given its session’s number after a restart (COMMIT %s)',
    async (fault, expected) => {
      const table = await counter();
      const pool = lab.pool({ connectionLimit: 1 });
      await pool.createMarkerTable();
      await ofAge();
      let mine = 0;
      const runs = { n: 0 };
      const mark = await lab.logMark();
      const armed = lab.proxy.arm({ when: { bytes: 'COMMIT' }, fault });
      const pending = pool.transaction(
        async (tx) => {
          runs.n += 1;
          const [[row]] = (await tx.query('select connection_id() as id')) as unknown as [
            { id: number }[],
          ];
          if (runs.n === 1) mine = row?.id ?? 0;
          await tx.query(`update ${table} set v = v + 1 where id = 1`);
          // Nobody comes through after the COMMIT until others have taken its session's number.
          lab.proxy.refuse();
        },
        { commitMarker: true },
      );
      await armed.hit;
      await lab.server.kill9();
      await lab.server.start();
      const bystanders: Awaited<ReturnType<typeof lab.session>>[] = [];
      for (let last = 0; last < mine; ) {
        const one = await lab.session();
        last = one.threadId;
        // All of them at once were too many for the server.
        if (last < mine - 5) await one.end();
        else bystanders.push(one);
      }
      expect(bystanders.map(({ threadId }) => threadId)).toContain(mine);
      await lab.proxy.accept();
      // The second run refuses again, with its connection in hand.
      await pending;
      await lab.proxy.accept();
      for (const one of bystanders) {
        expect((await one.query('select 1 as a'))[0]).toEqual([{ a: 1 }]);
      }
      expect(kills(await mark())).toEqual([]);
      expect([runs.n, await value(table)]).toEqual([expected, 1]);
    },
  );

  it('makes the table of markers on first use, sweeps old ones, and says what is missing to who may not', async () => {
    const table = await counter();
    const markers = lab.name('markers');
    const pool = lab.pool();
    await countUp(pool, table, { commitMarker: { table: markers } }, { n: 0 });
    expect(await lab.count(markers)).toBe(1);
    await lab.server.admin(
      `insert into ${markers} values (X'00', 0, now() - interval 2 hour), (X'01', 1, now())`,
    );
    const another = lab.pool();
    await countUp(another, table, { commitMarker: { table: markers } }, { n: 0 });
    await waitFor(async () => (await lab.count(markers, `at < now() - interval 1 hour`)) === 0, {
      what: 'the old marker to go',
    });
    expect(await lab.count(markers)).toBe(3);
    await lab.server.admin("create user 'narrow'@'%' identified by 'narrow'");
    await lab.server.admin(`grant select, insert, update, delete on app.* to 'narrow'@'%'`);
    const narrow = lab.pool({ user: 'narrow', password: 'narrow' });
    const missing = { commitMarker: { table: 'not_there' } };
    const error = await failureOf(countUp(narrow, table, missing, { n: 0 }));
    expect(isOptionError(error)).toBe(true);
    expect(error.message).toContain('CREATE TABLE IF NOT EXISTS `app`.`not_there`');
    expect(await value(table)).toBe(2);
  });

  it('ends when its time or its signal does, and leaves nothing behind', async () => {
    const table = await counter();
    const pool = lab.pool({ connectionLimit: 1 });
    const error = await failureOf(
      pool.transaction(
        async (tx) => {
          await tx.query(`update ${table} set v = 9`);
          await tx.query('select sleep(2)');
        },
        { totalTimeoutMs: 300 },
      ),
    );
    expect(retryInfo(error)).toMatchObject({ reason: 'deadline' });
    await sleep(50);
    expect((await pool.query('select 1 as a'))[0]).toEqual([{ a: 1 }]);
    expect(await value(table)).toBe(0);
  });

  it.each([
    [undefined, {}, /transaction\(fn\) must be a function/],
    [() => 1, { isolation: 'snapshot' }, /transaction\.isolation must be/],
    [() => 1, { commitMarker: 'yes' }, /transaction\.commitMarker must be/],
    [() => 1, { commitMarker: { table: '' } }, /transaction\.commitMarker must be/],
    [() => 1, { readonly: true }, /Did you mean readOnly/],
  ])('refuses %s with %j', async (fn, options, message) => {
    const pool = lab.pool();
    await expect(pool.transaction(fn as never, options as never)).rejects.toThrow(message);
  });
});
