import { isOutcomeUnknown } from '@outlast/pg-retry';
import {
  isSkipped,
  type PostgresServer,
  takePostgres,
  waitFor,
} from '@outlast/test-integration/servers';
import { type Drill, type LaneKey, NoServerError, type Outcome, type Run } from '../drill.js';
import { playLanes } from '../lanes.js';
import { quote } from '../quote.js';
import type { Struck } from '../strikes.js';
import { packageVersion } from '../versions.js';
import type { Client } from './client.js';
import { handWrittenRetry } from './hand-written-retry.js';
import { KINDS, QUOTAS } from './kinds.js';
import { METHOD } from './method.js';
import { outlastClient } from './ours.js';
import { plainClient } from './plain.js';
import { countRows, createTables } from './schema.js';
import { playScript } from './script.js';
import { Workload } from './workload.js';

const WORKERS = 20;

const LANES: readonly { key: LaneKey; title: string }[] = [
  { key: 'plain', title: 'pg.Pool' },
  { key: 'hand', title: 'pg.Pool + p-retry' },
  { key: 'ours', title: '@outlast/pg-retry' },
];

export const postgresDrill: Drill = {
  system: 'postgres',
  title: 'PostgreSQL',
  quotas: QUOTAS,
  promises: [
    { way: 'write', mayBeUnknown: true },
    { way: 'resolved write', mayBeUnknown: false },
    { way: 'transaction', mayBeUnknown: false },
  ],

  async run(run: Run): Promise<Outcome> {
    await using server = await ownServer();
    for (const { key } of LANES) await createTables(server, key, WORKERS);
    const struck = await playLanes(run, {
      lanes: LANES,
      isUnknown: isOutcomeUnknown,
      proxy: () => ({ targetPort: server.port, targetHost: server.host }),
      client: (one) => clientOf(one, server, run.canary),
      workload: (client, lane) => new Workload(client, lane.ledger, lane.key),
      workers: WORKERS,
      thinkMs: [2, 5],
      kinds: KINDS,
      play: (stage) => playScript(server, stage, run.seconds),
      end: (client) => client.end(),
    });
    await quiet(server);
    for (const { lane } of struck) lane.facts = await countRows(server, lane.key);
    const { rows } = await server.admin('show server_version');
    for (const { proxy } of struck) await proxy.close();
    return {
      versions: {
        PostgreSQL: `${rows[0].server_version} (${server.source})`,
        pg: packageVersion('pg'),
        'p-retry': packageVersion('p-retry'),
        '@outlast/pg-retry': packageVersion('@outlast/pg-retry'),
      },
      quotes: [
        quote('The retry loop written by hand', 'postgres/hand-written-retry.ts'),
        quote('Ours, under the same application', 'postgres/ours.ts'),
      ],
      method: METHOD,
    };
  },
};

async function ownServer(): Promise<PostgresServer> {
  // the drill kills its server, so that one that somebody else started is none for it
  delete process.env['PG_URL'];
  const server = await takePostgres({ settings: { max_connections: 100 } });
  if (isSkipped(server)) throw new NoServerError(server.skipped);
  return server;
}

function clientOf({ lane, proxy }: Struck, server: PostgresServer, canary: string): Client {
  const { port } = proxy;
  if (lane.key === 'plain') return plainClient(server.url({ port }));
  if (lane.key === 'hand') return handWrittenRetry(server.url({ port }));
  // the server trusts everybody on this machine: the password is there to be looked for
  const url = server.url({ port, password: canary });
  return outlastClient(url, (error) => lane.ledger.sample(error));
}

/** Waits until no session of the lanes is left: then everything that was late has arrived. */
function quiet(server: PostgresServer): Promise<unknown> {
  const sessions = `select count(*)::int as n from pg_stat_activity where usename = 'app'`;
  return waitFor(async () => (await server.admin(sessions)).rows[0].n === 0, {
    timeoutMs: 15_000,
    everyMs: 100,
    what: 'the last session of the lanes to end',
  });
}
