import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { isOutcomeUnknown, Pool, type RetryPoolConfig, retryInfo } from '@outlast/pg-retry';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import {
  type NativePostgres,
  type PostgresServer,
  startStandby,
  waitFor,
} from '../../servers/index.js';
import { failureOf } from '../support/errors.js';
import { takeServer } from '../support/postgres-lab.js';

const WORKERS = 20;

const { server: taken, reason } = await takeServer({ own: true });

describe.skipIf(reason !== '')(`several hosts ${reason}`, async () => {
  // Each test finds the pair as the one before has left it: first a primary and its standby.
  const a = taken as NativePostgres;
  const b = reason === '' ? await startStandby(a) : a;
  const pools: Pool[] = [];

  const pool = (config: RetryPoolConfig, ...servers: PostgresServer[]): Pool => {
    const { host: _host, port: _port, ...user } = a.config();
    const hosts = servers.map(({ host, port }) => ({ host, port }));
    const made = new Pool({ ...user, hosts, ...config });
    pools.push(made);
    return made;
  };
  const portOf = async (on: Pool): Promise<number> =>
    (await on.query('select inet_server_port() as port')).rows[0].port;

  afterEach(async () => {
    await Promise.all(pools.splice(0).map((one) => one.ended || one.end()));
  });
  afterAll(async () => {
    if (b !== a) await b.dispose();
    await a.dispose();
  });

  it.each([
    [undefined, 'a'],
    ['primary', 'a'],
    ['read-write', 'a'],
    ['standby', 'b'],
    ['read-only', 'b'],
    ['prefer-standby', 'b'],
    ['any', 'first'],
  ] as const)(
    'of target %s: the first that is one, in whatever order',
    async (target, expected) => {
      const options = target === undefined ? {} : { target };
      for (const servers of [
        [a, b],
        [b, a],
      ] as [PostgresServer, PostgresServer][]) {
        const wanted = expected === 'first' ? servers[0] : expected === 'a' ? a : b;
        const on = pool(options, ...servers);
        expect(await portOf(on)).toBe(wanted.port);
        // Those of the wrong kind have left no connection behind.
        expect(on.totalCount).toBe(1);
      }
    },
  );

  it('come from a URL of libpq’s too', async () => {
    const url = a.url().replace(`:${a.port}`, `:${b.port},${a.host}:${a.port}`);
    const on = new Pool({ connectionString: `${url}?target_session_attrs=read-write` });
    pools.push(on);
    expect(await portOf(on)).toBe(a.port);
  });

  it('fall back to anybody where no standby is there to prefer', async () => {
    const on = pool({ target: 'prefer-standby' }, a);
    expect(await portOf(on)).toBe(a.port);
  });

  it('end in one clear error that lists each and why, once patience is over', async () => {
    const { host: _host, port: _port, ...user } = a.config();
    const on = new Pool({
      ...user,
      hosts: ['127.0.0.1:1', { host: b.host, port: b.port }],
      retry: { waitMs: 0 },
    });
    pools.push(on);
    const error = await failureOf(on.query('select 1'));
    expect(error.message).toBe(
      `No host serves as 'primary': 127.0.0.1:1 (connect ECONNREFUSED 127.0.0.1:1), ` +
        `${b.host}:${b.port} (server is in hot standby mode).`,
    );
    expect(error.code).toBe('ECONNREFUSED');
    expect(retryInfo(error)).toMatchObject({ reason: 'exhausted', outcome: 'not-applied' });
  });

  it('say no at once to a user who is none, whatever the other hosts are', async () => {
    const on = pool({ user: 'nobody_at_all', retry: { waitMs: 20_000 } }, a, b);
    const error = await failureOf(on.query('select 1'));
    expect(error.code).toBe('28000');
    expect(retryInfo(error)?.attempts).toBe(1);
  });

  it('that are silent hold up nobody: the next one is tried beside them', async () => {
    const silent = createServer(() => {}).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    try {
      const { host: _host, port: _port, ...user } = a.config();
      const hosts = [`127.0.0.1:${port}`, { host: a.host, port: a.port }];
      // Sooner than the silent one could have been given up.
      const on = new Pool({ ...user, hosts, connectionTimeoutMillis: 60_000 });
      pools.push(on);
      expect(await portOf(on)).toBe(a.port);
      // The dial of the silent one has been given up, and ends nothing late.
      await waitFor(() => on.totalCount === 1);
      await on.end();
    } finally {
      silent.close();
    }
  });

  it('fail over under load: no error but unknown, no acknowledged row lost, none doubled, a short gap', async () => {
    await a.admin('create table ledger (id int)');
    await a.admin('grant all on ledger to app');
    // Acknowledged only once the standby has it: what a primary alone acknowledges may die with it.
    await a.admin(`alter system set synchronous_standby_names = '*'`);
    await a.admin('select pg_reload_conf()');
    await waitFor(
      async () =>
        (await a.admin(`select 1 from pg_stat_replication where sync_state = 'sync'`)).rowCount ===
        1,
      { what: 'the standby to be synchronous' },
    );
    const on = pool({ max: 10 }, a, b);
    const acknowledged: number[] = [];
    const unknown: number[] = [];
    const others: unknown[] = [];
    let next = 0;
    let stopped = false;
    let lastOk = performance.now();
    let longestGapMs = 0;
    const worker = async (): Promise<void> => {
      while (!stopped) {
        const id = next++;
        try {
          if (id % 2 === 0) await on.query('insert into ledger values ($1)', [id]);
          else await on.transaction((tx) => tx.query('insert into ledger values ($1)', [id]));
          acknowledged.push(id);
          longestGapMs = Math.max(longestGapMs, performance.now() - lastOk);
          lastOk = performance.now();
        } catch (error) {
          (isOutcomeUnknown(error) ? unknown : others).push(isOutcomeUnknown(error) ? id : error);
        }
      }
    };
    const working = Array.from({ length: WORKERS }, worker);
    await waitFor(() => acknowledged.length > 100, { what: 'the load to run' });
    const start = performance.now();
    await a.kill9();
    await b.promote();
    const promotedMs = performance.now() - start;
    const before = acknowledged.length;
    await waitFor(() => acknowledged.length > before + 100, { what: 'the load to go on' });
    stopped = true;
    await Promise.all(working);
    expect(others).toEqual([]);
    const { rows } = await b.admin('select id, count(*)::int as n from ledger group by id');
    expect(rows.filter(({ n }) => n > 1)).toEqual([]);
    const present = new Set(rows.map(({ id }) => id));
    expect(acknowledged.filter((id) => !present.has(id))).toEqual([]);
    const accounted = new Set([...acknowledged, ...unknown]);
    expect([...present].filter((id) => !accounted.has(id))).toEqual([]);
    expect(longestGapMs).toBeLessThan(promotedMs + 2000);
    expect(await portOf(on)).toBe(b.port);
  });

  it('stay with the new primary when the old one comes back as its standby', async () => {
    await a.follow(b);
    await a.start();
    const on = pool({}, a, b);
    await on.query('insert into ledger values (-1)');
    expect(await portOf(on)).toBe(b.port);
  });

  it('change where the one that serves becomes read-only: what was refused runs on the next, once', async () => {
    await a.admin(`alter system set synchronous_standby_names = ''`);
    await a.promote();
    const on = pool({ target: 'read-write', max: 3 }, a, b);
    const retries: unknown[] = [];
    on.policy.on('retry', ({ failure }) => retries.push(failure.code));
    await Promise.all([1, 2, 3].map(() => on.query('select pg_sleep(0.05)')));
    expect(await portOf(on)).toBe(a.port);
    await setReadOnly(a, true);
    await on.query('insert into ledger values (-2)');
    expect(retries).toEqual(['25006']);
    expect(await portOf(on)).toBe(b.port);
    await setReadOnly(a, false);
    await setReadOnly(b, true);
    await on.transaction((tx) => tx.query('insert into ledger values (-3)'));
    expect(retries).toEqual(['25006', '25006']);
    await setReadOnly(b, false);
    const counts = async (server: PostgresServer) =>
      (await server.admin('select id from ledger where id in (-2, -3)')).rows.map(({ id }) => id);
    expect([await counts(a), await counts(b)]).toEqual([[-3], [-2]]);
  });

  it('leave to the application what it asked to be read-only', async () => {
    const on = pool({}, a, b);
    const attempts: number[] = [];
    const error = await failureOf(
      on.transaction(
        (tx, { attempt }) => {
          attempts.push(attempt);
          return tx.query('insert into ledger values (-4)');
        },
        { readOnly: true },
      ),
    );
    expect(error.code).toBe('25006');
    await on.query('set default_transaction_read_only = on');
    const own = await failureOf(on.query('insert into ledger values (-4)'));
    expect(own.code).toBe('25006');
    expect([attempts, retryInfo(own)?.attempts]).toEqual([[1], 1]);
  });

  async function setReadOnly(server: PostgresServer, on: boolean): Promise<void> {
    await server.admin(`alter system set default_transaction_read_only = ${on ? 'on' : 'off'}`);
    await server.admin('select pg_reload_conf()');
    const value = async () =>
      (await server.admin('show default_transaction_read_only')).rows[0]
        .default_transaction_read_only;
    await waitFor(async () => (await value()) === (on ? 'on' : 'off'), {
      what: 'the new default to hold',
    });
  }
});
