import {
  type CommitMarkerOption,
  isCommitOutcomeUnknownError,
  isOutcomeUnknown,
  Pool,
} from '@outlast/pg-retry';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type FaultProxy, startProxy } from '../../faults/index.js';
import { type PostgresServer, startStandby, waitFor } from '../../servers/index.js';
import { ending } from '../support/errors.js';
import { takeServer } from '../support/postgres-lab.js';

const { server: primary, reason } = await takeServer({ own: true });

/** Whether the COMMIT came to the primary, and from there to the standby before it was promoted. */
const LOSSES = [
  ['was replicated', 'cut-after', true, 1],
  ['the primary alone had', 'cut-after', false, 0],
  ['nobody got', 'cut-before', true, 0],
] as const;

describe.skipIf(reason !== '')(`a COMMIT lost in a failover ${reason}`, () => {
  let standby: PostgresServer;
  let proxy: FaultProxy;
  let pool: Pool;
  let runs: number;

  beforeAll(async () => {
    await primary.admin('create table promoted (v int)');
    await primary.admin('grant all on promoted to app');
  });
  beforeEach(async () => {
    runs = 0;
    await primary.admin('truncate promoted');
    proxy = await startProxy({ targetPort: primary.port });
    pool = new Pool({ connectionString: primary.url({ port: proxy.port }) });
    standby = await startStandby(primary);
  });
  afterEach(async () => {
    await pool.end();
    await proxy.close();
    await standby.dispose();
    await primary.start();
  });
  afterAll(() => primary.dispose());

  /** The primary dies with the answer to COMMIT under way, and the standby takes its address. */
  async function failOver(fault: 'cut-after' | 'cut-before', replicated: boolean): Promise<void> {
    const armed = proxy.arm({ when: { bytes: /COMMIT/ }, fault });
    await armed.hit;
    proxy.refuse();
    if (replicated) await caughtUp();
    await primary.kill9();
    await standby.promote();
    proxy.retarget(standby.port);
    await proxy.accept();
  }

  async function caughtUp(): Promise<void> {
    const { rows } = await primary.admin('select pg_current_wal_lsn() as lsn');
    const replayed = 'select pg_last_wal_replay_lsn() >= $1::pg_lsn as all';
    await waitFor(async () => (await standby.admin(replayed, [rows[0].lsn])).rows[0].all, {
      what: 'the standby to have all',
    });
  }

  /** From here on the standby gets nothing more. */
  async function stopReplication(): Promise<void> {
    await caughtUp();
    await standby.admin(`alter system set primary_conninfo = ''`);
    await standby.admin('select pg_reload_conf()');
    const receivers = 'select count(*)::int as n from pg_stat_wal_receiver';
    await waitFor(async () => (await standby.admin(receivers)).rows[0].n === 0, {
      what: 'the standby to receive no more',
    });
  }

  const survivors = async (): Promise<number> =>
    (await standby.admin('select count(*)::int as n from promoted')).rows[0].n;

  const insert = (commitMarker: CommitMarkerOption) =>
    ending(
      pool.transaction(
        async (tx) => {
          runs += 1;
          await tx.query('insert into promoted values (1)');
          return runs;
        },
        { commitMarker },
      ),
    );

  it.each(LOSSES)(
    'that %s is unknown on the promoted standby: another timeline need not have it',
    async (_, fault, replicated, present) => {
      if (!replicated) await stopReplication();
      const [end] = await Promise.all([insert(false), failOver(fault, replicated)]);
      const error = end.ok ? undefined : end.error;
      expect(isCommitOutcomeUnknownError(error)).toBe(true);
      expect(String(error)).toMatch(/another one, or was promoted/);
      expect([runs, await survivors()]).toEqual([1, present]);
    },
  );

  it.each(LOSSES)(
    'that %s is decided by a marker, for the history that survives: one row, and true',
    async (_, fault, replicated, present) => {
      const marker = { table: 'markers.marks' };
      await primary.admin('create schema if not exists markers authorization app');
      await pool.createMarkerTable(marker);
      await caughtUp();
      if (!replicated) await stopReplication();
      const [end] = await Promise.all([insert(marker), failOver(fault, replicated)]);
      const expected = present === 1 ? 1 : 2;
      expect(end).toMatchObject({ ok: true, value: expected });
      expect([runs, await survivors()]).toEqual([expected, 1]);
    },
  );

  it('as a write of its own is unknown too', async () => {
    const write = ending(
      pool.query({ text: 'insert into promoted values (1)', resolveWrites: true }),
    );
    const [end] = await Promise.all([write, failOver('cut-after', true)]);
    expect(isOutcomeUnknown(end.ok ? undefined : end.error)).toBe(true);
    expect(await survivors()).toBe(1);
  });
});
