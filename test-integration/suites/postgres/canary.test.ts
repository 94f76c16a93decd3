import { inspect } from 'node:util';
import { Pool, type RetryPoolConfig } from '@outlast/pg-retry';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { terminateBackends } from '../../faults/index.js';
import { waitFor } from '../../servers/index.js';
import { runChild } from '../support/child.js';
import { failureOf } from '../support/errors.js';
import { openLab } from '../support/postgres-lab.js';
import { createScramRole } from '../support/scram.js';

const lab = await openLab({ own: true });
const CANARY = 'canary-Zx81-never-to-be-seen';

describe.skipIf(lab.reason)(`the password ${lab.reason}`, () => {
  lab.use();
  beforeAll(async () => {
    await createScramRole(lab.server, 'singer', CANARY);
    await lab.server.admin('grant app to singer');
  });

  const base = () => {
    const { host, database } = lab.server.config();
    return { host, database, port: lab.proxy.port, user: 'singer', password: CANARY };
  };

  /** Everything that a pool says while everything goes wrong that can. */
  async function everythingSaid(config: RetryPoolConfig): Promise<[string, unknown][]> {
    const said: [string, unknown][] = [];
    const say = (what: string, value: unknown): void => {
      said.push([what, value]);
    };
    const pool = lab.pool({ max: 2, ...config, retry: { waitMs: 150, baseDelayMs: 10 } });
    pool.on('error', (error) => say('error event', error));
    const types = [
      'attempt',
      'retry',
      'success',
      'exhausted',
      'outcomeUnknown',
      'down',
      'up',
    ] as const;
    for (const type of types) pool.policy.on(type, (event) => say(`${type} event`, event));
    const table = await lab.table();
    await lab.server.admin(`grant all on ${table} to singer`);

    say('SQL error', await failureOf(pool.query('selekt 1')));
    say(
      'SQL error in a transaction',
      await failureOf(pool.transaction((tx) => tx.query('selekt'))),
    );
    lab.proxy.arm({ when: { bytes: /select 'again'/ }, fault: 'cut-after' });
    await pool.query(`select 'again'`);
    lab.proxy.arm({ when: { bytes: /insert/ }, fault: 'cut-after' });
    say('lost write', await failureOf(pool.query(`insert into ${table} values ('a')`)));
    lab.proxy.arm({ when: { bytes: /COMMIT/ }, fault: 'cut-after' });
    const lost = pool.transaction((tx) => tx.query(`insert into ${table} values ('a')`), {
      trackCommit: false,
    });
    say('lost COMMIT', await failureOf(lost));
    say(
      'deadline',
      await failureOf(pool.query({ text: 'select pg_sleep(9)', totalTimeoutMs: 100 })),
    );
    const client = await pool.connect();
    await pool.query('select 1');
    await terminateBackends(lab.server, { user: 'singer' });
    await waitFor(() => said.some(([what]) => what === 'error event'), { what: 'the error event' });
    say('dead client', await failureOf(client.query('select 1')));
    client.release();
    say(
      'unknown option',
      await failureOf(pool.query({ text: 'select 1', totalTimeoutMS: 1 } as never)),
    );
    lab.proxy.refuse();
    lab.proxy.cutAll();
    await waitFor(() => pool.totalCount === 0, { what: 'the pool to notice' });
    say('refused', await failureOf(pool.query('select 1')));
    await lab.proxy.accept();
    await pool.query('select 1');
    await pool.end();
    say('ended', await failureOf(pool.query('select 1')));
    return said;
  }

  function expectUnseen(said: readonly [string, unknown][]): void {
    for (const [what, value] of said) {
      const text = inspect(value, { depth: 12, showHidden: true });
      expect(text.includes(CANARY) ? `${what}: ${text}` : what).toBe(what);
      if (value instanceof Error) {
        expect(`${value.message} ${value.stack}`).not.toContain(CANARY);
        expect(JSON.stringify({ ...value })).not.toContain(CANARY);
      }
    }
  }

  it.each([
    ['in the options', () => base()],
    [
      'in the URL',
      () => ({
        connectionString: `postgres://singer:${CANARY}@127.0.0.1:${lab.proxy.port}/${base().database}`,
      }),
    ],
    ['from a function', () => ({ ...base(), password: async () => CANARY })],
  ])('%s is said by no error and no event', async (_, config) => {
    const said = await everythingSaid(config());
    const kinds = new Set(said.map(([what]) => what));
    for (const kind of [
      'error event',
      'retry event',
      'exhausted event',
      'down event',
      'up event',
      'outcomeUnknown event',
    ]) {
      expect(kinds).toContain(kind);
    }
    expectUnseen(said);
  });

  it('from the environment is said by no error and no event', async () => {
    vi.stubEnv('PGPASSWORD', CANARY);
    const { password: _, ...config } = base();
    // Our helper adds the password of the role app, unless there is one.
    const said = await everythingSaid({ ...config, password: undefined as never });
    vi.unstubAllEnvs();
    expectUnseen(said);
  });

  it('that is wrong is not said either, and neither is one that is where it does not belong', async () => {
    const said: [string, unknown][] = [];
    const wrong = lab.pool({ ...base(), user: 'locked', password: CANARY });
    await lab.server.admin('create role locked');
    said.push(['no login', await failureOf(wrong.query('select 1'))]);
    const other = lab.pool({ ...base(), password: `${CANARY}-wrong` });
    said.push(['wrong password', await failureOf(other.query('select 1'))]);
    const broken = new Pool({ connectionString: `postgres://singer:${CANARY}@:port/app` });
    said.push(['broken URL', await failureOf((async () => broken.query('select 1'))())]);
    await broken.end();
    const url = `postgres://singer:${CANARY}@db/app`;
    const misplaced: [string, unknown][] = [
      ['retry', { retry: url }],
      ['retry.waitMs', { retry: { waitMs: url } }],
      ['retry.jitter', { retry: { jitter: `password=${CANARY}` } }],
      ['resolveWrites', { resolveWrites: url }],
    ];
    for (const [what, config] of misplaced) {
      said.push([what, await failureOf((async () => new Pool(config as never))())]);
    }
    vi.stubEnv('PG_RETRY_MAX_ATTEMPTS', url);
    said.push(['variable', await failureOf((async () => new Pool())())]);
    vi.unstubAllEnvs();
    expectUnseen(said);
  });

  it('is not in what healthCheck() reports', async () => {
    const pool = lab.pool(base());
    const said: [string, unknown][] = [['up', await pool.healthCheck()]];
    lab.proxy.refuse();
    lab.proxy.cutAll();
    said.push(['down', await pool.healthCheck()]);
    expectUnseen(said);
  });

  it('is not in what a process prints that ends with any of those errors', async () => {
    const { code, stdout, stderr } = await runChild(
      `import { Pool } from '@outlast/pg-retry';
       const pool = new Pool({ connectionString: process.env.URL, retry: { waitMs: 100 } });
       await pool.query('select 1');
       console.log(await pool.query('selekt').catch((error) => error));
       const client = await pool.connect();
       pool.on('error', (error) => console.error('idle', error));
       await client.query('select pg_terminate_backend(pg_backend_pid())').catch(console.log);
       client.release();
       throw await pool.query('select * from no_such_table').catch((error) => error);`,
      { URL: `postgres://singer:${CANARY}@127.0.0.1:${lab.proxy.port}/app` },
    );
    expect(code).toBe(1);
    expect(stdout).toContain('syntax error');
    expect(stderr).toContain('no_such_table');
    expect(stdout + stderr).not.toContain(CANARY);
  });
});
