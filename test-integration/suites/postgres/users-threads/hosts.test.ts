import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { Pool, type RetryPoolConfig, retryInfo } from '@outlast/pg-retry';
import { PrismaPg } from '@prisma/adapter-pg';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { startProxy } from '../../../faults/index.js';
import { type PostgresServer, startStandby, waitFor } from '../../../servers/index.js';
import { ending, failureOf } from '../../support/errors.js';
import { takeServer } from '../../support/postgres-lab.js';

const { server: primary, reason } = await takeServer({ own: true });
const NOBODY = '127.0.0.1:1';

describe.skipIf(reason !== '')(`failover that hung or failed ${reason}`, async () => {
  const standby = reason === '' ? await startStandby(primary) : primary;
  const pools: Pool[] = [];

  const pool = (config: RetryPoolConfig): Pool => {
    const { host: _host, port: _port, ...user } = primary.config();
    const made = new Pool({ ...user, ...config });
    pools.push(made);
    return made;
  };
  const address = ({ host, port }: PostgresServer): string => `${host}:${port}`;
  const portOf = async (on: Pool): Promise<number> =>
    (await on.query('select inet_server_port() as port')).rows[0].port;

  afterEach(async () => {
    await Promise.all(pools.splice(0).map((one) => one.end()));
  });
  afterAll(async () => {
    if (standby !== primary) await standby.dispose();
    await primary.dispose();
  });

  it.each([
    ['prefer-standby', 'refuses', NOBODY],
    ['primary', 'has a name that nobody knows', 'no-such-host.invalid:5432'],
  ] as const)(
    'of target %s, the first of which %s: the next one serves (postgres.js#815)',
    async (target, _, first) => {
      const on = pool({ hosts: [first, address(primary)], target });
      expect(await portOf(on)).toBe(primary.port);
    },
  );

  it('of which the first is silent: the next one serves, and nobody has an error (postgres.js#988)', async () => {
    const silent = createServer(() => {}).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    try {
      const hosts = [`127.0.0.1:${port}`, address(standby), address(primary)];
      const on = pool({ hosts, connectionTimeoutMillis: 3000 });
      expect(await portOf(on)).toBe(primary.port);
    } finally {
      silent.close();
    }
  });

  it.each(['prefer-standby', 'primary', 'any'] as const)(
    'of target %s, all down: an error that names each, and no hanging (postgres.js#1174)',
    async (target) => {
      const on = pool({ hosts: [NOBODY, '127.0.0.1:2'], target, retry: { waitMs: 200 } });
      const error = await failureOf(on.query('select 1'));
      expect(error.message).toMatch(
        /127\.0\.0\.1:1 \(connect ECONNREFUSED.*127\.0\.0\.1:2 \(connect ECONNREFUSED/,
      );
      expect(retryInfo(error)).toMatchObject({ reason: 'exhausted', outcome: 'not-applied' });
    },
  );

  it('behind one address: a client that is on a standby does not stay (lido-keys-api#268)', async () => {
    await primary.admin('create table behind_one_address (id int)');
    await primary.admin('grant all on behind_one_address to app');
    const granted = `select has_table_privilege('app', 'behind_one_address', 'insert') as there`;
    await waitFor(async () => (await standby.admin(granted)).rows[0].there, {
      what: 'the standby to have the table',
    });
    const proxy = await startProxy({ targetPort: standby.port });
    try {
      const url = primary.url({ port: proxy.port });
      const unaware = pool({ connectionString: url, max: 1 });
      const aware = pool({ connectionString: url, max: 1, target: 'primary' });
      const waiting = ending(aware.query('insert into behind_one_address values (2)'));
      // Nothing says that it should be a primary: the refusal surfaces, and costs its connection.
      const refused = await failureOf(unaware.query('insert into behind_one_address values (0)'));
      expect([refused.code, unaware.totalCount]).toEqual(['25006', 0]);
      proxy.retarget(primary.port);
      await unaware.query('insert into behind_one_address values (1)');
      expect((await waiting).ok).toBe(true);
      const { rows } = await primary.admin('select id from behind_one_address order by id');
      expect(rows).toEqual([{ id: 1 }, { id: 2 }]);
    } finally {
      await Promise.all(pools.splice(0).map((one) => one.end()));
      await proxy.close();
    }
  });

  it('for an ORM that takes one address only: its pool knows the others (prisma#13493, prisma#8561)', async () => {
    const on = pool({ hosts: [NOBODY, address(standby), address(primary)] });
    const adapter = await new PrismaPg(on).connect();
    const asked = { sql: 'select inet_server_port() as port', args: [], argTypes: [] };
    expect((await adapter.queryRaw(asked)).rows).toEqual([[primary.port]]);
    await adapter.dispose();
  });
});
