import { isOutcomeUnknown } from '@outlast/mysql-retry';
import { startProxy } from '@outlast/test-integration/faults';
import { isSkipped, type MysqlServer, takeMysql, waitFor } from '@outlast/test-integration/servers';
import { Crew } from '../crew.js';
import { type Drill, type LaneKey, NoServerError, type Outcome, type Run } from '../drill.js';
import { quote } from '../quote.js';
import { Strikes, type Struck } from '../strikes.js';
import { packageVersion } from '../versions.js';
import { within } from '../within.js';
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
const HOME_MS = 20_000;
const END_MS = 5_000;

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
    const struck: Struck[] = [];
    for (const lane of LANES) {
      const isUnknown = lane.key === 'ours' ? isOutcomeUnknown : undefined;
      const proxy = await startProxy({ targetPort: server.port, targetHost: server.host });
      struck.push({ lane: run.addLane(lane, isUnknown), proxy });
    }
    const clients = struck.map((one) => clientOf(one, server, run.canary));
    const crews = struck.map(({ lane }, n) => {
      const workload = new Workload(clients[n] as Client, lane.ledger, lane.key);
      return new Crew({
        workers: WORKERS,
        seed: run.seed,
        thinkMs: [2, 5],
        work: (worker, random) => workload.work(worker, random),
      });
    });
    const strikes = new Strikes(KINDS, struck, run.seed);
    await playScript(server, { struck, strikes, chronicle: run.chronicle }, run.seconds);

    await Promise.all(
      crews.map(async (crew, n) => {
        struck[n]?.lane.ledger.close();
        await crew.home(HOME_MS);
      }),
    );
    await strikes.settle();
    await within(Promise.all(clients.map((client) => client.end())), END_MS);
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
