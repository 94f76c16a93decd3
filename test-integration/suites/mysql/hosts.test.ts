import { createPool, type Pool, type RowDataPacket, retryInfo } from '@outlast/mysql-retry';
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
});
