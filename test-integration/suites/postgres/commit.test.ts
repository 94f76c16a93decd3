import {
  isCommitOutcomeUnknownError,
  isOutcomeUnknown,
  Pool,
  retryInfo,
  type TransactionOptions,
} from '@outlast/pg-retry';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type FaultProxy, startProxy } from '../../faults/index.js';
import { waitFor } from '../../servers/index.js';
import { takeServer } from '../support/postgres-lab.js';
import { killSeries } from './kill-series.js';

const { server, reason } = await takeServer({ own: true, log: 'all' });

describe.skipIf(reason !== '')(`a lost COMMIT ${reason}`, () => {
  let proxy: FaultProxy;
  let pool: Pool;
  let tables = 0;

  beforeAll(async () => {
    proxy = await startProxy({ targetPort: server.port });
    pool = new Pool({ connectionString: server.url({ port: proxy.port }) });
  });
  afterAll(async () => {
    await pool.end();
    await proxy.close();
    await server.dispose();
  });

  /** A counter whose repeat shows, in a table of its own. */
  async function counter(): Promise<{ name: string; value: () => Promise<number> }> {
    tables += 1;
    const name = `lost_commit_${tables}`;
    await server.admin(`create table ${name} (v int not null)`);
    await server.admin(`insert into ${name} values (0)`);
    await server.admin(`grant all on ${name} to app`);
    const value = async (): Promise<number> =>
      ((await server.admin(`select v from ${name}`)).rows[0] as { v: number }).v;
    return { name, value };
  }

  async function serverSeconds(): Promise<number> {
    const { rows } = await server.admin(
      'select extract(epoch from clock_timestamp())::float8 as s',
    );
    return Math.floor((rows[0] as { s: number }).s);
  }

  async function postmasterStart(): Promise<string> {
    const { rows } = await server.admin('select pg_postmaster_start_time()::text as t');
    return (rows[0] as { t: string }).t;
  }

  async function increment(
    table: string,
    options?: TransactionOptions,
    on: Pool = pool,
  ): Promise<{ runs: number; value: string }> {
    let runs = 0;
    const value = await on.transaction(async (tx) => {
      runs += 1;
      await tx.query(`update ${table} set v = v + 1`);
      return `run ${runs}`;
    }, options);
    return { runs, value };
  }

  it('that was committed is not run again, and the caller gets its value', async () => {
    const { name, value } = await counter();
    const armed = proxy.arm({ when: { bytes: /COMMIT/ }, fault: 'cut-after' });
    expect(await increment(name)).toEqual({ runs: 1, value: 'run 1' });
    expect(armed.fired).toBe(1);
    expect(await value()).toBe(1);
  });

  it('that never arrived is replayed once', async () => {
    const { name, value } = await counter();
    const armed = proxy.arm({ when: { bytes: /COMMIT/ }, fault: 'cut-before' });
    expect(await increment(name)).toEqual({ runs: 2, value: 'run 2' });
    expect(armed.fired).toBe(1);
    expect(await value()).toBe(1);
  });

  it('that arrives 1.2 s late makes one row', async () => {
    const { name, value } = await counter();
    const armed = proxy.arm({ when: { bytes: /COMMIT/ }, fault: 'hold', holdMs: 1200 });
    const { runs } = await increment(name);
    await armed.hit;
    expect(await value()).toBe(1);
    expect(runs).toBe(2);
  });

  it('whose backend is left idle in transaction ends that backend, and nobody else’s', async () => {
    const { name, value } = await counter();
    const bystander = await pool.connect();
    await bystander.query('begin');
    await bystander.query('select pg_current_xact_id_if_assigned()').catch(() => {});
    await bystander.query(`create temp table mine_${name} (x int)`);
    const armed = proxy.arm({ when: { bytes: /COMMIT/ }, fault: 'hold', holdMs: 15_000 });
    const { runs } = await increment(name);
    expect(runs).toBe(2);
    expect(await value()).toBe(1);
    await bystander.query('rollback');
    bystander.release();
    expect((await armed.hit).delivered).toBe(false);
  });

  it('of a resolved write is found out, and the write has its result', async () => {
    const { name, value } = await counter();
    for (const fault of ['cut-after', 'cut-before'] as const) {
      const armed = proxy.arm({ when: { bytes: /COMMIT/ }, fault });
      const text = `update ${name} set v = v + $1 returning v`;
      const result = await pool.query({ text, values: [1], resolveWrites: true });
      expect(armed.fired).toBe(1);
      expect(result.rows).toEqual([{ v: await value() }]);
    }
    expect(await value()).toBe(2);
  });

  it('is believed after a clean restart, for a shutdown stores the counter', async () => {
    const { name, value } = await counter();
    const armed = proxy.arm({ when: { bytes: /COMMIT/ }, fault: 'cut-after' });
    const running = increment(name);
    await armed.hit;
    proxy.refuse();
    await server.restart('fast');
    await proxy.accept();
    expect(await running).toEqual({ runs: 1, value: 'run 1' });
    expect(await value()).toBe(1);
  });

  it('after a crash and another checkpoint is unknown, though the server says committed', async () => {
    const { name, value } = await counter();
    const fresh = new Pool({ connectionString: server.url({ port: proxy.port }), max: 1 });
    const armed = proxy.arm({ when: { bytes: /COMMIT/ }, fault: 'cut-after' });
    const running = increment(name, {}, fresh).catch((error: unknown) => error);
    await armed.hit;
    proxy.refuse();
    await server.kill9();
    await server.start();
    await server.admin(`insert into ${name} select 1 where false`);
    await server.admin('checkpoint');
    await proxy.accept();
    const error = await running;
    expect(isCommitOutcomeUnknownError(error)).toBe(true);
    expect(String(error)).toContain('checkpoint');
    expect(await value()).toBe(1);
    await fresh.end();
  });

  it('is found out after a backend crashed and took all others along, though the postmaster lived', async () => {
    const { name, value } = await counter();
    const own = new Pool({ connectionString: server.url({ port: proxy.port }), max: 1 });
    await increment(name, {}, own);
    // The time of a checkpoint is told in whole seconds: it has to be a later one than the connection's.
    const connected = await serverSeconds();
    await waitFor(async () => (await serverSeconds()) > connected + 1, {
      what: 'a second to pass',
    });
    const victim = new pg.Client(server.config());
    victim.on('error', () => {});
    await victim.connect();
    const armed = proxy.arm({ when: { bytes: /COMMIT/ }, fault: 'cut-after' });
    const running = increment(name, {}, own);
    await armed.hit;
    proxy.refuse();
    const started = await postmasterStart();
    const { pid } = (await victim.query('select pg_backend_pid() as pid')).rows[0] as {
      pid: number;
    };
    process.kill(pid, 'SIGKILL');
    await waitFor(() => server.ready(1000).then(() => true), { what: 'the server to recover' });
    await proxy.accept();
    expect(await running).toEqual({ runs: 1, value: 'run 1' });
    expect(await postmasterStart()).toBe(started);
    expect(await value()).toBe(2);
    await own.end();
  });

  it('of a server that is gone for good is a CommitOutcomeUnknownError with the driver’s error behind it', async () => {
    const { name, value } = await counter();
    const away = await startProxy({ targetPort: server.port });
    const lonely = new Pool({
      connectionString: server.url({ port: away.port }),
      retry: { waitMs: 300 },
    });
    const armed = away.arm({ when: { bytes: /COMMIT/ }, fault: 'cut-after' });
    const running = increment(name, {}, lonely).catch((error: unknown) => error);
    await armed.hit;
    away.refuse();
    const error = await running;
    expect(isCommitOutcomeUnknownError(error)).toBe(true);
    expect(isOutcomeUnknown(error)).toBe(true);
    expect(retryInfo(error)?.reason).toBe('outcome-unknown');
    expect((error as Error).cause).toMatchObject({ code: 'ECONNRESET' });
    expect(await value()).toBe(1);
    await lonely.end();
    await away.close();
  });

  it('is asked of verifyCommit where the server cannot say', async () => {
    const { name, value } = await counter();
    const options = { trackCommit: false } as const;
    for (const [fault, runs] of [
      ['cut-after', 1],
      ['cut-before', 2],
    ] as const) {
      const before = await value();
      proxy.arm({ when: { bytes: /COMMIT/ }, fault });
      const verifyCommit = async (): Promise<boolean> => (await value()) > before;
      expect((await increment(name, { ...options, verifyCommit })).runs).toBe(runs);
      expect(await value()).toBe(before + 1);
    }
    proxy.arm({ when: { bytes: /COMMIT/ }, fault: 'cut-after' });
    const error = await increment(name, options).catch((e: unknown) => e);
    expect(isCommitOutcomeUnknownError(error)).toBe(true);
    expect(await value()).toBe(3);
  });

  it('of a role without the right to ask is unknown, and costs no error before', async () => {
    const { name, value } = await counter();
    await server.admin('revoke execute on function pg_control_checkpoint() from public');
    try {
      const blind = new Pool({ connectionString: server.url({ port: proxy.port }) });
      expect((await increment(name, {}, blind)).runs).toBe(1);
      proxy.arm({ when: { bytes: /COMMIT/ }, fault: 'cut-after' });
      const error = await increment(name, {}, blind).catch((e: unknown) => e);
      expect(isCommitOutcomeUnknownError(error)).toBe(true);
      expect(await value()).toBe(2);
      await blind.end();
    } finally {
      await server.admin('grant execute on function pg_control_checkpoint() to public');
    }
  });

  it('of a read-only transaction is replayed, and never looked up', async () => {
    const from = (await server.logText()).length;
    const armed = proxy.arm({ when: { bytes: /COMMIT/ }, fault: 'cut-after' });
    let runs = 0;
    const answer = await pool.transaction(
      async (tx) => {
        runs += 1;
        return (await tx.query('select 7 as seven')).rows;
      },
      { readOnly: true },
    );
    expect(answer).toEqual([{ seven: 7 }]);
    expect([armed.fired, runs]).toEqual([1, 2]);
    expect(await server.logText(from)).not.toContain('xact_status');
  });

  it('survives kill -9 with transaction ids handed out again: none false, none doubled', async () => {
    const report = await killSeries(server, 'killed', Number(process.env['OUTLAST_KILLS'] ?? 10));
    console.log('kill series', JSON.stringify(report));
    expect(report).toMatchObject({ falselyCommitted: 0, doubled: 0, denied: 0, counterDrift: 0 });
    expect(report.acknowledged).toBeGreaterThan(100);
    expect(report.resolved + report.unknown).toBeGreaterThan(0);
  }, 900_000);
});
