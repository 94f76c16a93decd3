import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type FaultProxy, POSTGRES_READY, startProxy, terminateBackends } from '../faults/index.js';
import { type NativePostgres, startPostgres, waitFor } from '../servers/index.js';

let server: NativePostgres;
let proxy: FaultProxy;
let n = 0;
const clients: pg.Client[] = [];

beforeAll(async () => {
  server = await startPostgres();
  await server.admin('create table row (n int); grant all on row to app');
});
afterAll(() => server.dispose());

beforeEach(async () => {
  proxy = await startProxy({ targetPort: server.port });
});
afterEach(async () => {
  await proxy.close();
  for (const client of clients.splice(0)) await client.end().catch(() => {});
});

async function client(): Promise<pg.Client> {
  const one = new pg.Client(server.config({ port: proxy.port }));
  one.on('error', () => {});
  clients.push(one);
  await one.connect();
  return one;
}

async function present(id: number): Promise<boolean> {
  return (await server.admin('select from row where n = $1', [id])).rows.length > 0;
}

async function sessions(): Promise<number> {
  const { rows } = await server.admin(
    `select count(*)::int as n from pg_stat_activity where usename = 'app'`,
  );
  return rows[0].n;
}

describe.each([
  ['simple', (id: number) => ({ text: `insert into row values (${id})` })],
  ['extended', (id: number) => ({ text: 'insert into row values ($1)', values: [id] })],
] as const)('an insert by the %s protocol', (_, insert) => {
  it('is absent after cut-before', async () => {
    const fault = proxy.arm({ when: { bytes: /insert/i }, fault: 'cut-before' });
    const one = await client();
    await expect(one.query(insert(++n))).rejects.toMatchObject({ code: 'ECONNRESET' });
    await fault.hit;
    await waitFor(async () => (await sessions()) === 0);
    expect(await present(n)).toBe(false);
  });

  it('is present after cut-after', async () => {
    const fault = proxy.arm({ when: { bytes: /insert/i }, fault: 'cut-after', how: 'fin' });
    const one = await client();
    await expect(one.query(insert(++n))).rejects.toThrow('Connection terminated unexpectedly');
    expect(await fault.hit).toMatchObject({ delivered: true });
    expect(await present(n)).toBe(true);
  });

  it('is absent when its client is cut by hold, and present later', async () => {
    const fault = proxy.arm({ when: { bytes: /insert/i }, fault: 'hold', holdMs: 400 });
    const one = await client();
    await expect(one.query(insert(++n))).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(await present(n)).toBe(false);
    expect(await sessions()).toBe(1);
    expect(await fault.hit).toMatchObject({ delivered: true });
    expect(await present(n)).toBe(true);
    await waitFor(async () => (await sessions()) === 0);
  });

  it('is present after silence, and its client never hears of it', async () => {
    proxy.arm({ when: { bytes: /insert/i }, fault: 'silence' });
    const one = await client();
    const query = one.query({ ...insert(++n), query_timeout: 300 } as pg.QueryConfig);
    await expect(query).rejects.toThrow('Query read timeout');
    expect(await present(n)).toBe(true);
    expect(proxy.counts).toMatchObject({ silenced: 1, resets: 0 });
    proxy.cutAll();
  });
});

describe('a transaction', () => {
  it.each([
    ['cut-before', false],
    ['cut-after', true],
  ] as const)('whose COMMIT meets %s has its row: %s', async (fault, expected) => {
    const armed = proxy.arm({ when: { bytes: /commit/i }, fault });
    const one = await client();
    await one.query('begin');
    await one.query(`insert into row values (${++n})`);
    await expect(one.query('commit')).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(await armed.hit).toMatchObject({ delivered: expected });
    await waitFor(async () => (await sessions()) === 0);
    expect(await present(n)).toBe(expected);
  });

  it('can be ended while its COMMIT is held', async () => {
    const armed = proxy.arm({ when: { bytes: /commit/i }, fault: 'hold', holdMs: 60_000 });
    const one = await client();
    await one.query('begin');
    await one.query(`insert into row values (${++n})`);
    await expect(one.query('commit')).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(await terminateBackends(server)).toBe(1);
    expect(await armed.hit).toMatchObject({ delivered: false });
    expect(await present(n)).toBe(false);
  });
});

describe('the proxy', () => {
  it('waits for the end of an answer where the server talks before', async () => {
    const fault = proxy.arm({
      when: { bytes: 'insert' },
      fault: 'cut-after',
      answered: POSTGRES_READY,
    });
    const one = await client();
    const text = `do $$ begin raise notice 'early'; perform pg_sleep(0.2); insert into row values (${++n}); end $$`;
    await expect(one.query(text)).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(await fault.hit).toMatchObject({ delivered: true });
    expect(await present(n)).toBe(true);
  });

  it('refuses, accepts, and survives a restart of the server', async () => {
    const one = await client();
    proxy.refuse();
    await expect(client()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await one.query('select 1');
    await proxy.accept();
    await (await client()).query('select 1');
    await server.stop('fast');
    await waitFor(() => proxy.open === 0);
    await expect(client()).rejects.toThrow();
    await server.start();
    await (await client()).query('select 1');
  });

  it('ends some or all sessions of a role', async () => {
    for (let i = 0; i < 3; i++) await client();
    expect(await terminateBackends(server, { n: 1 })).toBe(1);
    await waitFor(async () => (await sessions()) === 2);
    expect(await terminateBackends(server)).toBe(2);
    await waitFor(() => proxy.open === 0);
  });
});
