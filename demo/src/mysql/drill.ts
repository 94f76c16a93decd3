import { isOutcomeUnknown } from '@outlast/mysql-retry';
import { isSkipped, type MysqlServer, takeMysql, waitFor } from '@outlast/test-integration/servers';
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
  { key: 'plain', title: 'mysql2' },
  { key: 'hand', title: 'mysql2 + p-retry' },
  { key: 'ours', title: '@outlast/mysql-retry' },
];

export const mysqlDrill: Drill = {
  system: 'mysql',
  title: 'MySQL',
  quotas: QUOTAS,
  promises: [
    { way: 'write', mayBeUnknown: true },
    { way: 'resolved write', mayBeUnknown: false },
    { way: 'transaction', mayBeUnknown: false },
  ],

  async run(run: Run): Promise<Outcome> {
    await using server = await ownServer();
    for (const { key } of LANES) await createTables(server, key, WORKERS);
    await server.admin(`alter user 'app'@'%' identified by '${run.canary}'`);
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
    for (const { proxy } of struck) await proxy.close();
    return {
      versions: {
        MySQL: `${server.version} (${server.source})`,
        mysql2: packageVersion('mysql2'),
        'p-retry': packageVersion('p-retry'),
        '@outlast/mysql-retry': packageVersion('@outlast/mysql-retry'),
      },
      quotes: [
        quote('The retry loop written by hand', 'mysql/hand-written-retry.ts'),
        quote('Ours, under the same application', 'mysql/ours.ts'),
      ],
      method: METHOD,
    };
  },
};

async function ownServer(): Promise<MysqlServer> {
  // the drill kills its server, so that one that somebody else started is none for it
  const server = await takeMysql({ own: true, settings: { 'max-connections': 120 } });
  if (isSkipped(server)) throw new NoServerError(server.skipped);
  return server;
}

function clientOf({ lane, proxy }: Struck, server: MysqlServer, canary: string): Client {
  const uri = server.url({ port: proxy.port, password: canary });
  if (lane.key === 'plain') return plainClient(uri);
  if (lane.key === 'hand') return handWrittenRetry(uri);
  return outlastClient(uri, (error) => lane.ledger.sample(error));
}

/** Waits until no session of the lanes is left: then everything that was late has arrived. */
function quiet(server: MysqlServer): Promise<unknown> {
  return waitFor(async () => (await server.sessions()).length === 0, {
    timeoutMs: 15_000,
    everyMs: 100,
    what: 'the last session of the lanes to end',
  });
}
