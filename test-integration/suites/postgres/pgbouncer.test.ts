import { setTimeout as sleep } from 'node:timers/promises';
import { type Pool, type RetryPoolConfig, retryInfo } from '@outlast/pg-retry';
import { describe, expect, it } from 'vitest';
import { type FaultProxy, startProxy } from '../../faults/index.js';
import {
  isSkipped,
  type PgBouncer,
  type PgBouncerSettings,
  takePgBouncer,
  waitFor,
} from '../../servers/index.js';
import { ending } from '../support/errors.js';
import { openLab } from '../support/postgres-lab.js';

const lab = await openLab({ own: true });
const probe = lab.reason ? undefined : await takePgBouncer(lab.server);
const missing = probe !== undefined && isSkipped(probe) ? probe.skipped : '';
if (probe !== undefined && !isSkipped(probe)) await probe.dispose();

const PASSED_ON = /terminating connection due to administrator command/g;

describe.skipIf(lab.reason || missing)(
  `behind PgBouncer in transaction mode ${lab.reason || missing}`,
  () => {
    lab.use();

    /** Pools → `lab.proxy` → PgBouncer → `back` → the server. */
    interface Chain extends AsyncDisposable {
      readonly bouncer: PgBouncer;
      readonly back: FaultProxy;
      pool(config?: RetryPoolConfig): Pool;
    }

    async function chain(settings: PgBouncerSettings = {}): Promise<Chain> {
      const back = await startProxy({ targetPort: lab.server.port });
      const bouncer = await takePgBouncer({ host: '127.0.0.1', port: back.port }, settings);
      if (isSkipped(bouncer)) throw new Error(bouncer.skipped);
      lab.proxy.retarget(bouncer.port);
      const pools: Pool[] = [];
      return {
        bouncer,
        back,
        pool(config) {
          const pool = lab.pool(config);
          pools.push(pool);
          return pool;
        },
        async [Symbol.asyncDispose]() {
          await back.heal();
          await lab.proxy.heal();
          await Promise.all(pools.map((pool) => pool.ended || pool.end()));
          await bouncer.dispose();
          await back.close();
        },
      };
    }

    it('runs queries, transactions and named statements of eight clients on four sessions', async () => {
      await using behind = await chain();
      const table = await lab.table('n int');
      const pools = [behind.pool({ max: 4 }), behind.pool({ max: 4 })];
      let retries = 0;
      for (const pool of pools) pool.policy.on('retry', () => (retries += 1));
      const named = (n: number) => ({
        name: `named ${n % 3}`,
        text: `select $1::int * ${(n % 3) + 1} as n`,
        values: [n],
      });
      for (const round of [1, 2, 3]) {
        const answers = await Promise.all(
          Array.from({ length: 60 }, (_, n) => pools[n % 2]?.query(named(n))),
        );
        expect(answers.map((one) => one?.rows[0].n)).toEqual(
          Array.from({ length: 60 }, (_, n) => n * ((n % 3) + 1)),
        );
        await Promise.all(
          pools.flatMap((pool) =>
            Array.from({ length: 10 }, (_, n) =>
              pool.transaction(async (tx) => {
                const pids = [];
                await tx.query(`insert into ${table} values ($1)`, [n]);
                for (const _ of [1, 2]) {
                  const { rows } = await tx.query('select pg_backend_pid() as pid');
                  pids.push(rows[0].pid);
                  await tx.query(named(n));
                }
                expect(new Set(pids).size).toBe(1);
              }),
            ),
          ),
        );
        expect(await lab.count(table)).toBe(round * 20);
      }
      // without the healing each of these is an error of the application: 26000 and 42P05
      expect(retries).toBeGreaterThan(0);
      expect((await behind.bouncer.ask('SHOW SERVERS')).length).toBeLessThanOrEqual(4);
    });

    it.each(['cut-before', 'cut-after', 'hold'] as const)(
      'finds out what became of a COMMIT that was lost before it (%s), and ends nobody else’s backend',
      async (fault) => {
        // a session for each of the bystanders, for the transaction, and for who asks about it
        await using behind = await chain({ default_pool_size: 8 });
        const table = await lab.table('who text');
        const pool = behind.pool();
        const others = behind.pool();
        const log = await lab.logMark();
        let finish: () => void = () => {};
        const gate = new Promise<void>((resolve) => {
          finish = resolve;
        });
        let inside = 0;
        const bystanders = [others, others, pool].map((one, n) =>
          one.transaction(
            async (tx) => {
              await tx.query(`insert into ${table} values ('bystander ${n}')`);
              inside += 1;
              await gate;
              await tx.query(`insert into ${table} values ('bystander ${n}')`);
            },
            { maxAttempts: 1 },
          ),
        );
        await waitFor(() => inside === 3, { what: 'the bystanders to be in their transactions' });
        const armed = lab.proxy.arm({ when: { bytes: 'COMMIT' }, fault, holdMs: 500 });
        let runs = 0;
        try {
          await pool.transaction(async (tx) => {
            runs += 1;
            await tx.query(`insert into ${table} values ('run ${runs}')`);
          });
          if (fault === 'hold') await armed.hit;
        } finally {
          finish();
        }
        expect(armed.fired).toBe(1);
        expect(runs).toBe(fault === 'cut-after' ? 1 : 2);
        await Promise.all(bystanders);
        expect(await lab.count(table, `who like 'bystander%'`)).toBe(6);
        expect(await lab.count(table, `who like 'run%'`)).toBe(1);
        expect(((await log()).match(PASSED_ON) ?? []).length).toBeLessThanOrEqual(1);
      },
    );

    it.each(['cut-before', 'cut-after'] as const)(
      'finds out what became of a COMMIT that PgBouncer itself lost (%s)',
      async (fault) => {
        await using behind = await chain();
        const table = await lab.table('run int');
        const pool = behind.pool();
        await pool.query('select 1');
        const armed = behind.back.arm({ when: { bytes: 'COMMIT' }, fault });
        let runs = 0;
        const value = await pool.transaction(async (tx) => {
          runs += 1;
          await tx.query(`insert into ${table} values ($1)`, [runs]);
          return runs;
        });
        expect(armed.fired).toBe(1);
        expect((await lab.server.admin(`select run from ${table}`)).rows).toEqual([{ run: value }]);
        expect(runs).toBe(fault === 'cut-after' ? 1 : 2);
      },
    );

    it('of a write whose answer PgBouncer lost says that it is unknown, and resolves it where asked to', async () => {
      await using behind = await chain();
      const table = await lab.table('n int');
      const pool = behind.pool();
      await pool.query('select 1');
      behind.back.arm({ when: { bytes: `into ${table}` }, fault: 'cut-after' });
      const end = await ending(pool.query(`insert into ${table} values (1)`));
      expect(!end.ok && retryInfo(end.error)).toMatchObject({ outcome: 'unknown', attempts: 1 });
      expect(await lab.count(table)).toBe(1);
      behind.back.arm({ when: { bytes: 'COMMIT' }, fault: 'cut-after' });
      await pool.query({ text: `insert into ${table} values (2)`, resolveWrites: true });
      expect(await lab.count(table, 'n = 2')).toBe(1);
    });

    it.each(['server', 'PgBouncer'] as const)(
      'outlasts a restart of the %s: reads have no error, transactions are neither lost nor doubled',
      async (which) => {
        await using behind = await chain();
        const table = await lab.table('id text primary key');
        const pool = behind.pool({ max: 6 });
        let stop = false;
        let reads = 0;
        const done: string[] = [];
        const unknown: string[] = [];
        const readers = [1, 2, 3].map(async () => {
          while (!stop) {
            expect((await pool.query('select 7 as n')).rows).toEqual([{ n: 7 }]);
            reads += 1;
            await sleep(2);
          }
        });
        const writers = [1, 2, 3].map(async (writer) => {
          for (let n = 0; !stop; n++) {
            const id = `${writer}-${n}`;
            const end = await ending(
              pool.transaction((tx) => tx.query(`insert into ${table} values ($1)`, [id])),
            );
            if (end.ok) done.push(id);
            else if (retryInfo(end.error)?.outcome === 'unknown') unknown.push(id);
            else throw end.error;
            await sleep(2);
          }
        });
        const all = Promise.all([...readers, ...writers]);
        await sleep(150);
        if (which === 'server') {
          await lab.server.stop('fast');
          await sleep(300);
          await lab.server.start();
        } else {
          await behind.bouncer.kill();
          await sleep(300);
          await behind.bouncer.startAgain();
        }
        const before = reads;
        await waitFor(() => reads > before + 20, { what: 'reads after the outage' });
        stop = true;
        await all;
        const { rows } = await lab.server.admin(`select id from ${table}`);
        const present = new Set(rows.map(({ id }) => id));
        expect(done.filter((id) => !present.has(id))).toEqual([]);
        expect([...present].filter((id) => !done.includes(id) && !unknown.includes(id))).toEqual(
          [],
        );
        expect(unknown).toEqual([]);
      },
    );
  },
);
