import { OptionError, retryInfo, type Transaction } from '@outlast/pg-retry';
import { describe, expect, it } from 'vitest';
import { terminateBackends } from '../../faults/index.js';
import { failureOf } from '../support/errors.js';
import { executions } from '../support/log.js';
import { openLab } from '../support/postgres-lab.js';

const lab = await openLab({ log: 'all', own: true });

describe.skipIf(lab.reason)(`a transaction ${lab.reason}`, () => {
  lab.use();

  const insert = (tx: Transaction, table: string, id: string) =>
    tx.query(`insert into ${table} values ($1)`, [id]);
  const ids = async (table: string): Promise<string[]> =>
    (await lab.server.admin(`select id from ${table} order by id`)).rows.map((row) => row.id);

  it('commits what its callback did, and gives its value', async () => {
    const table = await lab.table();
    const pool = lab.pool();
    const value = await pool.transaction(async (tx, { attempt, signal }) => {
      expect(attempt).toBe(1);
      expect(signal).toBeInstanceOf(AbortSignal);
      await insert(tx, table, 'a');
      await insert(tx, table, 'b');
      return 'done';
    });
    expect(value).toBe('done');
    expect(await ids(table)).toEqual(['a', 'b']);
    expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
  });

  it('rolls back when its callback throws, which surfaces as it is after one run', async () => {
    const table = await lab.table();
    const pool = lab.pool();
    let runs = 0;
    for (const thrown of [new Error('mine'), 'a text', Object.freeze(new TypeError('frozen'))]) {
      const error = await failureOf(
        pool.transaction(async (tx) => {
          runs += 1;
          await insert(tx, table, 'a');
          throw thrown;
        }),
      );
      expect(error).toBe(thrown);
    }
    expect(runs).toBe(3);
    expect(await ids(table)).toEqual([]);
    expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
  });

  it('does not take an error that its callback made for one of the driver', async () => {
    const pool = lab.pool();
    let runs = 0;
    const mine = Object.assign(new Error('looks like a deadlock'), {
      code: '40P01',
      severity: 'ERROR',
    });
    const error = await failureOf(
      pool.transaction(() => {
        runs += 1;
        throw mine;
      }),
    );
    expect(error).toBe(mine);
    expect(runs).toBe(1);
  });

  it.each([
    ['a cut before', 'cut-before'],
    ['a cut after', 'cut-after'],
  ] as const)(
    'is replayed as a whole when %s a statement took its connection',
    async (_, fault) => {
      const table = await lab.table();
      const pool = lab.pool();
      const armed = lab.proxy.arm({ when: { bytes: /insert/, nth: 2 }, fault });
      const attempts: number[] = [];
      const value = await pool.transaction(async (tx, { attempt }) => {
        attempts.push(attempt);
        await insert(tx, table, 'a');
        await insert(tx, table, 'b');
        return attempt;
      });
      expect(armed.fired).toBe(1);
      expect(value).toBe(2);
      expect(attempts).toEqual([1, 2]);
      expect(await ids(table)).toEqual(['a', 'b']);
    },
  );

  it('is replayed although its callback caught the loss of the connection', async () => {
    const table = await lab.table();
    const pool = lab.pool();
    lab.proxy.arm({ when: { bytes: /insert/, nth: 2 }, fault: 'cut-before' });
    let runs = 0;
    await pool.transaction(async (tx) => {
      runs += 1;
      await insert(tx, table, 'a');
      await insert(tx, table, 'b').catch(() => {});
      await insert(tx, table, 'c').catch(() => {});
    });
    expect(runs).toBe(2);
    expect(await ids(table)).toEqual(['a', 'b', 'c']);
  });

  it('is replayed when its backend was terminated between two statements', async () => {
    const table = await lab.table();
    const pool = lab.pool();
    let runs = 0;
    await pool.transaction(async (tx) => {
      runs += 1;
      await insert(tx, table, 'a');
      if (runs === 1) await terminateBackends(lab.server);
      await insert(tx, table, 'b');
    });
    expect(runs).toBe(2);
    expect(await ids(table)).toEqual(['a', 'b']);
  });

  it('runs its callback at most maxAttempts times', async () => {
    const table = await lab.table();
    const pool = lab.pool({ retry: { baseDelayMs: 10 } });
    lab.proxy.arm({ when: { bytes: /insert/ }, fault: 'cut-before', times: 100 });
    let runs = 0;
    const error = await failureOf(
      pool.transaction(
        (tx) => {
          runs += 1;
          return insert(tx, table, 'a');
        },
        { maxAttempts: 3 },
      ),
    );
    expect(runs).toBe(3);
    expect(retryInfo(error)).toMatchObject({
      operation: 'pg.transaction',
      attempts: 3,
      reason: 'exhausted',
      outcome: 'not-applied',
    });
    expect(await ids(table)).toEqual([]);
  });

  it('waits for a server that is away, which is not an attempt', async () => {
    const table = await lab.table();
    const pool = lab.pool({ retry: { waitMs: 30_000, maxAttempts: 1 } });
    await lab.server.stop();
    let runs = 0;
    const pending = pool.transaction((tx) => {
      runs += 1;
      return insert(tx, table, 'a');
    });
    await lab.server.start();
    await pending;
    expect(runs).toBe(1);
    expect(await ids(table)).toEqual(['a']);
  });

  it.each([
    [{ isolation: 'read committed' }, ['read committed', 'off', 'off']],
    [{ isolation: 'repeatable read' }, ['repeatable read', 'off', 'off']],
    [{ isolation: 'serializable' }, ['serializable', 'off', 'off']],
    [{ readOnly: true }, ['read committed', 'on', 'off']],
    [{ isolation: 'serializable', readOnly: true, deferrable: true }, ['serializable', 'on', 'on']],
    [{ isolation: 'serializable', trackCommit: false }, ['serializable', 'off', 'off']],
  ] as const)('really runs with %j', async (options, wanted) => {
    const pool = lab.pool();
    const set = await pool.transaction(async (tx) => {
      const shown = [];
      for (const name of ['isolation', 'read_only', 'deferrable']) {
        shown.push(Object.values((await tx.query(`show transaction_${name}`)).rows[0])[0]);
      }
      return shown;
    }, options);
    expect(set).toEqual(wanted);
    expect((await pool.query('show transaction_read_only')).rows[0].transaction_read_only).toBe(
      'off',
    );
  });

  it('that is readOnly is replayed even when the answer to its COMMIT was lost, and never asks for an xid', async () => {
    const table = await lab.table();
    await lab.server.admin(`insert into ${table} values ('a')`);
    const pool = lab.pool();
    const log = await lab.logMark();
    const armed = lab.proxy.arm({ when: { bytes: /COMMIT/ }, fault: 'cut-after' });
    let runs = 0;
    const rows = await pool.transaction(
      async (tx) => {
        runs += 1;
        return (await tx.query(`select id from ${table}`)).rows;
      },
      { readOnly: true },
    );
    expect(armed.fired).toBe(1);
    expect(runs).toBe(2);
    expect(rows).toEqual([{ id: 'a' }]);
    const texts = executions(await log()).map((one) => one.text);
    expect(texts.filter((text) => text.startsWith('BEGIN'))).toEqual([
      expect.stringMatching(/^BEGIN READ ONLY$/),
      expect.stringMatching(/^BEGIN READ ONLY$/),
    ]);
    const error = await failureOf(
      pool.transaction((tx) => insert(tx, table, 'b'), { readOnly: true }),
    );
    expect(error).toMatchObject({ code: '25006' });
  });

  it('begins plainly, without a snapshot, with trackCommit: false', async () => {
    const pool = lab.pool();
    const log = await lab.logMark();
    await pool.transaction((tx) => tx.query('lock table pg_class in access share mode'), {
      trackCommit: false,
    });
    const texts = executions(await log()).map((one) => one.text.trim());
    expect(texts).toEqual(['BEGIN', 'lock table pg_class in access share mode', 'COMMIT']);
  });

  it('asks for its xid in the round trip of BEGIN', async () => {
    const pool = lab.pool();
    await pool.transaction((tx) => tx.query('select 1'));
    const log = await lab.logMark();
    await pool.transaction((tx) => tx.query('select 1'));
    const texts = executions(await log()).map((one) => one.text.trim());
    expect(texts).toHaveLength(3);
    expect(texts[0]).toMatch(/^BEGIN; SELECT pg_current_xact_id\(\)/);
  });

  it('that ran into an SQL error which its callback swallowed rejects with that error, not with success', async () => {
    const table = await lab.table('id text primary key');
    const pool = lab.pool();
    let runs = 0;
    let caught: unknown;
    const error = await failureOf(
      pool.transaction(async (tx) => {
        runs += 1;
        await insert(tx, table, 'a');
        await insert(tx, table, 'a').catch((reason: unknown) => {
          caught = reason;
        });
        return 'looks fine';
      }),
    );
    expect(error).toBe(caught);
    expect(error).toMatchObject({ code: '23505' });
    expect(retryInfo(error)).toMatchObject({ outcome: 'not-applied', attempts: 1 });
    expect(runs).toBe(1);
    expect(await ids(table)).toEqual([]);
  });

  it('surfaces at COMMIT what a deferred constraint finds, after one run', async () => {
    const table = await lab.table('id text unique deferrable initially deferred');
    const pool = lab.pool();
    let runs = 0;
    const error = await failureOf(
      pool.transaction(async (tx) => {
        runs += 1;
        await insert(tx, table, 'a');
        await insert(tx, table, 'a');
      }),
    );
    expect(error).toMatchObject({ code: '23505' });
    expect(retryInfo(error)).toMatchObject({
      attempts: 1,
      reason: 'permanent',
      outcome: 'not-applied',
    });
    expect(runs).toBe(1);
    expect(await ids(table)).toEqual([]);
    expect(pool.idleCount).toBe(1);
  });

  it('is dropped with its connection when its signal aborts in mid-callback, and nothing is applied', async () => {
    const table = await lab.table();
    const pool = lab.pool();
    const controller = new AbortController();
    const reason = new Error('enough');
    let seen: AbortSignal | undefined;
    let after: unknown;
    const error = await failureOf(
      pool.transaction(
        async (tx, { signal }) => {
          seen = signal;
          await insert(tx, table, 'a');
          controller.abort(reason);
          after = await failureOf(insert(tx, table, 'b'));
        },
        { signal: controller.signal },
      ),
    );
    expect(error).toBe(reason);
    expect(retryInfo(error)).toMatchObject({ reason: 'cancelled', outcome: 'not-applied' });
    expect(seen?.aborted).toBe(true);
    expect(pool.totalCount).toBe(0);
    expect((await lab.sessions()).length).toBe(0);
    expect(after).toBe(reason);
    expect(await ids(table)).toEqual([]);
  });

  it('is stopped when its totalTimeoutMs is over', async () => {
    const table = await lab.table();
    const pool = lab.pool();
    const start = performance.now();
    const error = await failureOf(
      pool.transaction(
        async (tx) => {
          await insert(tx, table, 'a');
          await tx.query('select pg_sleep(30)');
        },
        { totalTimeoutMs: 300 },
      ),
    );
    expect(performance.now() - start).toBeLessThan(1500);
    expect(retryInfo(error)).toMatchObject({ reason: 'deadline', outcome: 'not-applied' });
    expect(await ids(table)).toEqual([]);
  });

  it('has a client that cannot be released, and that is of no use when it is over', async () => {
    const table = await lab.table();
    const pool = lab.pool();
    let kept: Transaction | undefined;
    await pool.transaction(async (tx) => {
      kept = tx;
      expect(() => tx.release()).toThrow(OptionError);
      await insert(tx, table, 'a');
    });
    const late = await failureOf(
      kept?.query(`insert into ${table} values ('late')`) as Promise<unknown>,
    );
    expect(late).toBeInstanceOf(OptionError);
    const told = await new Promise((resolve) => {
      kept?.query('select 1', (error) => resolve(error));
    });
    expect(told).toBeInstanceOf(OptionError);
    const nested = kept?.transaction(() => 1) as Promise<unknown>;
    expect(await failureOf(nested)).toBeInstanceOf(OptionError);
    expect(await ids(table)).toEqual(['a']);
  });

  it.each([
    ['COMMIT'],
    ['commit and chain'],
    ['END'],
    ['ROLLBACK'],
    ['abort'],
    ['BEGIN'],
    ['start transaction'],
    [`prepare transaction 'x'`],
    ['/* so */ commit'],
    ['insert into TABLE values (1); commit; begin'],
  ])('refuses that its callback says %s', async (text) => {
    const table = await lab.table();
    const pool = lab.pool();
    const own = text.replace('TABLE', table);
    const error = await failureOf(
      pool.transaction(async (tx) => {
        await insert(tx, table, 'a');
        await tx.query(own);
      }),
    );
    expect(error).toBeInstanceOf(OptionError);
    expect(error.message).toMatch(/must not begin or end/);
    expect(await ids(table)).toEqual([]);
  });

  it('takes every form of query, callbacks and values included', async () => {
    const pool = lab.pool();
    const told = await pool.transaction(async (tx) => {
      const a = (await tx.query('select $1::int as n', [1])).rows[0].n;
      const b = (await tx.query({ text: 'select $1::int as n', values: [2] })).rows[0].n;
      const c = await new Promise((resolve, reject) => {
        tx.query('select 3 as n', (error, result) =>
          error ? reject(error) : resolve(result.rows[0].n),
        );
      });
      const d = await new Promise((resolve, reject) => {
        tx.query('select $1::int as n', [4], (error, result) =>
          error ? reject(error) : resolve(result.rows[0].n),
        );
      });
      return [a, b, c, d];
    });
    expect(told).toEqual([1, 2, 3, 4]);
  });

  it('takes only a function, and only options that it knows', async () => {
    const pool = lab.pool();
    const bad = [
      [undefined, {}],
      ['select 1', {}],
      [() => 1, { isolation: 'snapshot' }],
      [() => 1, { isolation: 7 }],
      [() => 1, { readonly: true }],
      [() => 1, { readOnly: 'yes' }],
      [() => 1, { maxAttempts: 0 }],
      [() => 1, { maxAttempts: Number.NaN }],
      [() => 1, { totalTimeoutMs: -1 }],
      [() => 1, { signal: {} }],
      [() => 1, { trackCommit: 1 }],
      [() => 1, { verifyCommit: true }],
      [() => 1, null],
    ] as [never, never][];
    for (const [body, options] of bad) {
      expect(await failureOf(pool.transaction(body, options))).toBeInstanceOf(OptionError);
    }
    const error = await failureOf(pool.transaction(() => 1, { readonly: true } as never));
    expect(error.message).toMatch(/transaction\.readonly.*Did you mean readOnly\?/);
    expect(lab.proxy.counts.connections).toBe(0);
  });
});
