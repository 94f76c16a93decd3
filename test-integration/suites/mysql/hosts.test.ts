import { type AddressInfo, createServer, type Socket } from 'node:net';
import {
  createPool,
  isOutcomeUnknown,
  type Pool,
  type RowDataPacket,
  retryInfo,
} from '@outlast/mysql-retry';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import {
  findMariadb,
  missingMysql,
  type NativeMariadb,
  startMariadb,
  waitFor,
} from '../../servers/index.js';
import { failureOf } from '../support/errors.js';

// Docker cannot take part: the servers find one another by the ports of this machine.
const reason = findMariadb().length === 0 ? missingMysql() : '';
const servers: NativeMariadb[] = [];
if (reason === '') {
  servers.push(
    await startMariadb({ settings: { 'server-id': 1, 'log-bin': 'bin' } }),
    await startMariadb({ settings: { 'server-id': 2, 'log-bin': 'bin' } }),
  );
}

describe.skipIf(reason !== '')(`several hosts ${reason}`, () => {
  const [one, two] = servers as [NativeMariadb, NativeMariadb];
  const pools: Pool[] = [];
  const pool = (options: object = {}): Pool => {
    const { host: _, port: __, ...account } = one.config();
    const hosts = [`127.0.0.1:${one.port}`, { host: '127.0.0.1', port: two.port }];
    const made = createPool({ ...account, hosts, ...options });
    pools.push(made);
    return made;
  };
  const portOf = async (of: Pool): Promise<number> => {
    const [[row]] = await of.query<RowDataPacket[]>('select @@port as port');
    return row?.['port'];
  };

  afterEach(async () => {
    for (const made of pools.splice(0)) await made.end();
  });

  afterAll(async () => {
    for (const server of servers) await server.dispose();
  });

  it('are asked who takes writes: the first that does is used', async () => {
    await one.admin('set global read_only = 1');
    expect(await portOf(pool())).toBe(two.port);
    expect(await portOf(pool({ target: 'replica' }))).toBe(one.port);
    expect(await portOf(pool({ target: 'any' }))).toBe(one.port);
    await one.admin('set global read_only = 0');
    expect(await portOf(pool())).toBe(one.port);
  });

  it('are changed for one another when read_only is switched under a pool, writes and transactions included', async () => {
    for (const server of [one, two]) {
      await server.admin('create table if not exists moved (id int)');
    }
    const ours = pool({ connectionLimit: 3 });
    await Promise.all([1, 2, 3].map((id) => ours.query('insert into moved values (?)', [id])));
    await one.admin('set global read_only = 1');
    await two.admin('set global read_only = 0');
    await Promise.all([
      ours.query('insert into moved values (4)'),
      ours.transaction((tx) => tx.query('insert into moved values (5)')),
      ours.query('insert into moved values (6)'),
    ]);
    expect(await two.admin('select id from moved order by id')).toEqual(
      [4, 5, 6].map((id) => ({ id })),
    );
    await one.admin('set global read_only = 0');
  });

  it('leave nobody with a server that was found to take no writes any more: those at work come back no more', async () => {
    const ours = pool({ connectionLimit: 3 });
    const retries: unknown[] = [];
    ours.policy.on('retry', (event) => retries.push(event));
    const slow = ours.query<RowDataPacket[]>('select sleep(1), @@port as port');
    await waitFor(async () => (await one.sessions()).some(({ info }) => info?.includes('sleep')), {
      what: 'the slow one to be at work',
    });
    await one.admin('set global read_only = 1');
    expect(await portOf(ours)).toBe(two.port);
    expect((await slow)[0][0]?.['port']).toBe(one.port);
    const ports = await Promise.all([1, 2, 3].map(() => portOf(ours)));
    await one.admin('set global read_only = 0');
    expect([new Set(ports), retries]).toEqual([new Set([two.port]), []]);
  });

  it('are left one by one when they go down, and waited for when none is there', async () => {
    const ours = pool({ connectionLimit: 2, retry: { waitMs: 400 } });
    expect(await portOf(ours)).toBe(one.port);
    await one.stop();
    expect(await portOf(ours)).toBe(two.port);
    await two.admin('set global read_only = 1');
    const error = await failureOf(ours.query('insert into moved values (7)'));
    expect(retryInfo(error)).toMatchObject({ outcome: 'not-applied' });
    await one.start();
    expect(await portOf(ours)).toBe(one.port);
    await two.admin('set global read_only = 0');
  });

  it('may be a primary and its replica: reads of the one, writes of the other, and a failover', async () => {
    await using replica = await startMariadb({ settings: { 'server-id': 3 } });
    await replica.follow(one);
    await one.admin('create table copied (id int)');
    const { host: _, port: __, ...account } = one.config();
    const hosts = [`127.0.0.1:${replica.port}`, `127.0.0.1:${one.port}`];
    const writing = createPool({ ...account, hosts });
    const reading = createPool({ ...account, hosts, target: 'replica' });
    pools.push(writing, reading);
    await writing.query('insert into copied values (1)');
    await waitFor(
      async () =>
        ((await reading.query<RowDataPacket[]>('select * from copied'))[0].length ?? 0) === 1,
      { what: 'the replica to have it' },
    );
    expect([await portOf(writing), await portOf(reading)]).toEqual([one.port, replica.port]);
    const refused = await failureOf(reading.query('insert into copied values (9)'));
    expect(refused).toMatchObject({ errno: 1290 });
    expect(retryInfo(refused)).toMatchObject({ attempts: 1, reason: 'permanent' });
    await one.stop();
    await replica.admin('stop slave');
    await replica.admin('set global read_only = 0');
    await writing.query('insert into copied values (2)');
    expect(await replica.admin('select id from copied order by id')).toEqual([
      { id: 1 },
      { id: 2 },
    ]);
    await one.start();
  }, 60_000);

  it('end in one clear error that lists each and why, once patience is over', async () => {
    const { host: _, port: __, ...account } = one.config();
    await two.admin('set global read_only = 1');
    const nobody = createPool({
      ...account,
      hosts: ['127.0.0.1:1', `127.0.0.1:${two.port}`],
      retry: { waitMs: 0 },
    });
    pools.push(nobody);
    const error = await failureOf(nobody.query('select 1'));
    await two.admin('set global read_only = 0');
    expect(error.message).toBe(
      `No host will do as 'primary': 127.0.0.1:1 (connect ECONNREFUSED 127.0.0.1:1), ` +
        `127.0.0.1:${two.port} (The server 127.0.0.1:${two.port} is read-only, and a primary is wanted.).`,
    );
    expect(error.code).toBe('ECONNREFUSED');
    expect(retryInfo(error)).toMatchObject({ reason: 'exhausted', outcome: 'not-applied' });
    expect(await portOf(nobody)).toBe(two.port);
  });

  it('say no at once to a user who is none, whatever the other hosts are', async () => {
    const { host: _, port: __, ...account } = one.config();
    for (const hosts of [
      ['127.0.0.1:1', `127.0.0.1:${one.port}`],
      [`127.0.0.1:${one.port}`, '127.0.0.1:1'],
    ]) {
      const made = createPool({ ...account, password: 'wrong', hosts });
      pools.push(made);
      const error = await failureOf(made.query('select 1'));
      expect(error).toMatchObject({ errno: 1045 });
      expect(retryInfo(error)).toMatchObject({ attempts: 1, reason: 'permanent' });
    }
  });

  it('that are silent hold up nobody, and are not waited for: the next one is tried beside them', async () => {
    const silent = createServer(() => {});
    const open = new Set<Socket>();
    silent.on('connection', (socket) => {
      open.add(socket);
      socket.on('error', () => {}).on('close', () => open.delete(socket));
    });
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as AddressInfo;
    const { host: _, port: __, ...account } = one.config();
    const hosts = ['127.0.0.1:1', `127.0.0.1:${port}`, `127.0.0.1:${one.port}`];
    const made = createPool({ ...account, hosts });
    pools.push(made);
    expect(await portOf(made)).toBe(one.port);
    await waitFor(() => open.size === 0, { what: 'the silent host to be given up' });
    silent.close();
  });

  it('outlast a switchover by an operator, and the way back: reads without an error, no write lost or doubled', async () => {
    const log = { 'log-bin': 'bin', 'log-slave-updates': 1 };
    await using primary = await startMariadb({ settings: { 'server-id': 4, ...log } });
    await using replica = await startMariadb({ settings: { 'server-id': 5, ...log } });
    await replica.follow(primary);
    await primary.admin('create table kept (id varchar(20) not null) engine = InnoDB');
    const { host: _, port: __, ...account } = primary.config();
    const hosts = [`127.0.0.1:${primary.port}`, `127.0.0.1:${replica.port}`];
    const ours = createPool({ ...account, hosts, connectionLimit: 5 });
    pools.push(ours);
    const kept = async (on: NativeMariadb): Promise<string[]> =>
      (await on.admin('select id from kept order by id')).map(({ id }: { id: string }) => id);
    await waitFor(() => kept(replica), { what: 'the table to arrive at the replica' });
    const told = { ok: new Set<string>(), unknown: new Set<string>() };
    const errors: unknown[] = [];
    let running = true;
    let ids = 0;
    const worker = async (): Promise<void> => {
      while (running) {
        await ours.query('select count(*) from kept').catch((error: unknown) => errors.push(error));
        ids += 1;
        const id = `${ids}`;
        await ours.query('insert into kept values (?)', [id]).then(
          () => told.ok.add(id),
          (error: unknown) => {
            if (isOutcomeUnknown(error)) told.unknown.add(id);
            else errors.push(error);
          },
        );
      }
    };
    const workers = Promise.all(Array.from({ length: 10 }, worker));
    const more = async (): Promise<void> => {
      const before = told.ok.size;
      await waitFor(() => told.ok.size > before + 100, { what: 'the work to go on' });
    };
    await more();
    for (const [from, to] of [
      [primary, replica],
      [replica, primary],
    ] as const) {
      await switchOver(from, to);
      await more();
    }
    running = false;
    await workers;
    expect(errors).toEqual([]);
    const there = await kept(primary);
    expect(new Set(there).size).toBe(there.length);
    expect(there.filter((id) => !told.ok.has(id) && !told.unknown.has(id))).toEqual([]);
    expect([...told.ok].filter((id) => !there.includes(id))).toEqual([]);
  }, 60_000);
});

/** As an operator does it: no writes, wait for the replica, promote it, follow it. */
async function switchOver(from: NativeMariadb, to: NativeMariadb): Promise<void> {
  await from.admin('set global read_only = 1');
  const [{ at }] = await from.admin('select @@gtid_binlog_pos as at');
  const [{ late }] = await to.admin(`select master_gtid_wait('${at}', 10) as late`);
  expect(late).toBe(0);
  await to.admin('stop slave');
  await to.admin('reset slave all');
  await to.admin('set global read_only = 0');
  await from.admin(`set global gtid_slave_pos = '${at}'`);
  await from.follow(to);
}
