import { isOutcomeUnknown, retryInfo } from '@outlast/pg-retry';
import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import { terminateBackends } from '../../faults/index.js';
import { waitFor } from '../../servers/index.js';
import { watchDriverErrors } from '../support/driver-errors.js';
import { failureOf } from '../support/errors.js';
import { openLab } from '../support/postgres-lab.js';

const lab = await openLab();

describe.skipIf(lab.reason)(`an error on a client that is checked out ${lab.reason}`, () => {
  lab.use();

  const outcomes = (errors: readonly unknown[]): unknown[] =>
    errors.map((error) => retryInfo(error)?.outcome);
  const two = (client: pg.PoolClient, table: string) =>
    Promise.all(
      ['sent', 'queued'].map((id) =>
        failureOf(client.query(`insert into ${table} values ('${id}')`)),
      ),
    );

  it.each([
    ['insert', 'cut-before', 0],
    ['insert', 'cut-after', 1],
  ] as const)(
    'of a statement that was sent (%s, %s) is unknown, and it is the driver’s own',
    async (_, fault, present) => {
      const table = await lab.table();
      const pool = lab.pool();
      const client = await pool.connect();
      using driver = watchDriverErrors();
      const armed = lab.proxy.arm({ when: { bytes: `into ${table}` }, fault });
      const error = await failureOf(client.query(`insert into ${table} values ('a')`));
      expect(armed.fired).toBe(1);
      expect(driver.made[0]).toBe(error);
      expect(error).toMatchObject({ code: 'ECONNRESET' });
      expect(isOutcomeUnknown(error)).toBe(true);
      expect(retryInfo(error)).toMatchObject({
        operation: 'pg.client.query',
        attempts: 1,
        reason: 'outcome-unknown',
      });
      client.release();
      expect(await lab.count(table)).toBe(present);
    },
  );

  it.each(['cut-before', 'cut-after'] as const)(
    'of COMMIT is unknown (%s), so is that of the ROLLBACK after it, and of other statements not applied',
    async (fault) => {
      const table = await lab.table();
      const pool = lab.pool();
      const client = await pool.connect();
      await client.query('begin');
      await client.query(`insert into ${table} values ('a')`);
      lab.proxy.arm({ when: { bytes: /commit/ }, fault });
      const error = await failureOf(client.query('commit'));
      expect(isOutcomeUnknown(error)).toBe(true);
      const later = await failureOf(client.query(`insert into ${table} values ('b')`));
      expect(retryInfo(later)?.outcome).toBe('not-applied');
      // What an ORM says next, and the error that it surfaces.
      expect(isOutcomeUnknown(await failureOf(client.query('rollback')))).toBe(true);
      client.release();
      expect(await lab.count(table)).toBe(fault === 'cut-after' ? 1 : 0);
    },
  );

  it('of the sent one of two is unknown and of the queued one not applied, though the driver has one error for both', async () => {
    const table = await lab.table();
    const pool = lab.pool();
    const client = await pool.connect();
    using driver = watchDriverErrors();
    lab.proxy.arm({ when: { bytes: `into ${table}` }, fault: 'cut-after' });
    const [sent, queued] = await two(client, table);
    expect(driver.made[0]).toBe(driver.made[1]);
    expect(outcomes([sent, queued])).toEqual(['unknown', 'not-applied']);
    expect(sent).toBe(driver.made[0]);
    expect(queued).not.toBe(sent);
    expect(queued.cause).toBe(sent);
    expect(queued).toMatchObject({ code: sent.code, message: sent.message, syscall: sent.syscall });
    expect(queued).toBeInstanceOf(Error);
    client.release();
    const { rows } = await lab.server.admin(`select id from ${table}`);
    expect(rows).toEqual([{ id: 'sent' }]);
  });

  it('is told to callbacks as it is to promises, each once', async () => {
    const table = await lab.table();
    const pool = lab.pool();
    const client = await pool.connect();
    lab.proxy.arm({ when: { bytes: `into ${table}` }, fault: 'cut-after' });
    const told: unknown[] = [];
    const tell = (error: Error): unknown => told.push(error);
    void client.query(`insert into ${table} values ('sent')`, tell);
    void client.query(`insert into ${table} values ($1)`, ['queued'], tell);
    void client.query({ text: `insert into ${table} values ($1)`, values: ['queued'] }, tell);
    await waitFor(() => told.length === 3, { what: 'three callbacks' });
    expect(outcomes(told)).toEqual(['unknown', 'not-applied', 'not-applied']);
    await failureOf(client.query('select 1'));
    expect(told).toHaveLength(3);
    client.release();
    expect(await lab.count(table)).toBe(1);
  });

  it('of the fourth in a row knows which were answered, which was sent, and which never left', async () => {
    const table = await lab.table();
    const pool = lab.pool();
    const client = await pool.connect();
    lab.proxy.arm({ when: { bytes: /'3'/ }, fault: 'cut-before' });
    const ids = ['1', '2', '3', '4', '5'];
    const ends = await Promise.allSettled(
      ids.map((id) => client.query(`insert into ${table} values ('${id}')`)),
    );
    expect(ends.map((end) => end.status)).toEqual([
      'fulfilled',
      'fulfilled',
      'rejected',
      'rejected',
      'rejected',
    ]);
    const errors = ends.map((end) => (end.status === 'rejected' ? end.reason : undefined));
    expect(outcomes(errors.slice(2))).toEqual(['unknown', 'not-applied', 'not-applied']);
    client.release();
    expect(await lab.count(table)).toBe(2);
  });

  it('that the server sent before it ended the session is unknown for what ran, not applied for what was queued', async () => {
    const table = await lab.table();
    const pool = lab.pool();
    const client = await pool.connect();
    const ends = Promise.all([
      failureOf(client.query(`insert into ${table} select 'ran' from pg_sleep(20)`)),
      failureOf(client.query(`insert into ${table} values ('queued')`)),
    ]);
    await waitFor(async () => (await lab.sessions()).some((one) => one.state === 'active'));
    await terminateBackends(lab.server);
    const [ran, queued] = await ends;
    expect(ran).toMatchObject({ code: '57P01' });
    expect(outcomes([ran, queued])).toEqual(['unknown', 'not-applied']);
    client.release();
    expect(await lab.count(table)).toBe(0);
  });

  it('of a statement on a client that had died before is not applied', async () => {
    const pool = lab.pool();
    const client = await pool.connect();
    const died = new Promise((resolve) => client.once('error', resolve));
    await terminateBackends(lab.server);
    await died;
    const error = await failureOf(client.query('select 1'));
    expect(error.message).toMatch(/not queryable/);
    expect(retryInfo(error)).toMatchObject({ outcome: 'not-applied', reason: 'exhausted' });
    client.release();
  });

  it('from SQL is not applied and permanent, the same object, and the client goes on', async () => {
    const pool = lab.pool();
    const client = await pool.connect();
    using driver = watchDriverErrors();
    const error = await failureOf(client.query('select * from no_such_table'));
    expect(driver.made).toHaveLength(1);
    expect(driver.made[0]).toBe(error);
    expect(retryInfo(error)).toMatchObject({ outcome: 'not-applied', reason: 'permanent' });
    expect((await client.query('select 1 as n')).rows).toEqual([{ n: 1 }]);
    client.release();
    expect(pool.idleCount).toBe(1);
  });

  it('is never followed by a replay, not even of a read', async () => {
    const pool = lab.pool();
    const client = await pool.connect();
    const armed = lab.proxy.arm({ when: { bytes: /select 'once'/ }, fault: 'cut-before' });
    const error = await failureOf(client.query(`select 'once'`));
    expect(armed.fired).toBe(1);
    expect(isOutcomeUnknown(error)).toBe(true);
    client.release();
  });

  it('leaves the pool in order: the client is gone when it is released, and the next one works', async () => {
    const pool = lab.pool({ max: 1 });
    const client = await pool.connect();
    lab.proxy.arm({ when: { bytes: /select 'x'/ }, fault: 'cut-after' });
    await failureOf(client.query(`select 'x'`));
    expect(pool.totalCount).toBe(1);
    client.release();
    expect(pool.totalCount).toBe(0);
    expect((await pool.query('select 1 as n')).rows).toEqual([{ n: 1 }]);
    expect(pool.idleCount).toBe(1);
  });

  it('of the one that was sent is unknown although one behind it has timed out in the queue', async () => {
    const table = await lab.table();
    const client = await lab.pool().connect();
    const sent = failureOf(client.query(`insert into ${table} select 'x' from pg_sleep(20)`));
    await waitFor(async () => (await lab.sessions()).some((one) => one.state === 'active'));
    const late = { text: 'select 1', query_timeout: 50 } as pg.QueryConfig;
    expect((await failureOf(client.query(late))).message).toBe('Query read timeout');
    lab.proxy.cutAll();
    expect(outcomes([await sent])).toEqual(['unknown']);
    client.release();
    await terminateBackends(lab.server);
  });

  it('of the one that was sent is unknown although the driver has refused another by a throw', async () => {
    const table = await lab.table();
    const client = await lab.pool().connect();
    expect(() => client.query(null as never)).toThrow(/null or undefined query/);
    lab.proxy.arm({ when: { bytes: `into ${table}` }, fault: 'cut-after' });
    const sent = await failureOf(client.query(`insert into ${table} values ('x')`));
    expect(outcomes([sent])).toEqual(['unknown']);
    client.release();
    expect(await lab.count(table)).toBe(1);
  });

  it('is told to a callback that rides in the config, which stays as it is', async () => {
    const table = await lab.table();
    const pool = lab.pool();
    const client = await pool.connect();
    const told: unknown[] = [];
    const callback = (error: unknown): unknown => told.push(error);
    const config = Object.freeze({ text: `insert into ${table} values ('x')`, callback });
    void client.query(config as never);
    await waitFor(() => told.length === 1, { what: 'the callback' });
    lab.proxy.arm({ when: { bytes: `into ${table}` }, fault: 'cut-after' });
    void client.query(config as never);
    await waitFor(() => told.length === 2, { what: 'the callback' });
    expect([told[0], outcomes([told[1]])]).toEqual([null, ['unknown']]);
    client.release();
    expect(await lab.count(table)).toBe(2);
  });

  it('is marked again on a client that pool.query has used in between', async () => {
    const table = await lab.table();
    const pool = lab.pool({ max: 1 });
    for (let round = 0; round < 3; round++) {
      await pool.query('select 1');
      const client = await pool.connect();
      await client.query('select 2');
      client.release();
    }
    const client = await pool.connect();
    lab.proxy.arm({ when: { bytes: `into ${table}` }, fault: 'cut-after' });
    const [sent, queued] = await two(client, table);
    expect(outcomes([sent, queued])).toEqual(['unknown', 'not-applied']);
    client.release();
  });
});
