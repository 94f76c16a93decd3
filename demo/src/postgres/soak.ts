import { setTimeout as sleep } from 'node:timers/promises';
import { isOutcomeUnknown } from '@outlast/pg-retry';
import { type FaultProxy, startProxy, terminateBackends } from '@outlast/test-integration/faults';
import {
  isSkipped,
  type PostgresServer,
  takePostgres,
  waitFor,
} from '@outlast/test-integration/servers';
import { type Audit, audit } from '../audit.js';
import { Crew } from '../crew.js';
import { NoServerError } from '../drill.js';
import { seeded } from '../random.js';
import { newRun } from '../run.js';
import { randomCuts, type Stage } from '../script.js';
import type { Soak, Stint } from '../soak-report.js';
import { Strikes } from '../strikes.js';
import type { Client } from './client.js';
import { KINDS } from './kinds.js';
import { outlastClient } from './ours.js';
import { countRows, createTables } from './schema.js';
import { Workload } from './workload.js';

const WORKERS = 50;
/** A stint is counted and forgotten, so that the ledger's own memory is no leak. */
const STINT_MS = 60_000;
const HOME_MS = 60_000;
const STRIKE_EVERY_MS = 100;

/** One random fault of a kind. */
type Act = (server: PostgresServer, proxy: FaultProxy, stage: Stage) => Promise<void>;

const ACTS: Readonly<Record<string, Act>> = {
  restart: (server) => server.restart('fast'),
  crash: (server) => server.restart('immediate'),
  'kill -9': async (server) => {
    await server.kill9();
    await server.start();
  },
  down: async (server) => {
    await server.stop('fast');
    await sleep(1500);
    await server.start();
  },
  frozen: async (server) => {
    await server.pause();
    await sleep(3000);
    await server.resume();
  },
  'sessions terminated': async (server) => {
    await terminateBackends(server, { n: 5 });
  },
  'wires cut': async (_, proxy) => {
    proxy.cutAll();
  },
  refused: async (_, proxy) => {
    proxy.refuse();
    proxy.cutAll();
    await sleep(1000);
    await proxy.accept();
  },
  silence: async (_, proxy) => {
    proxy.silence('drop');
    await sleep(2000);
    proxy.cutAll();
    proxy.speak();
  },
  slow: async (_, proxy) => {
    proxy.delay(40);
    await sleep(2000);
    proxy.delay(0);
  },
  'random cuts': (_server, _proxy, stage) =>
    randomCuts(stage, stage.chronicle.now() + 5000, STRIKE_EVERY_MS),
};

/** Fifty workers on one pool under random faults of every kind, stint after stint. */
export const soakPostgres: Soak = async (minutes, seed, tell) => {
  delete process.env['PG_URL'];
  const server = await takePostgres({ settings: { max_connections: 100 } });
  if (isSkipped(server)) throw new NoServerError(server.skipped);
  const proxy = await startProxy({ targetPort: server.port, targetHost: server.host });
  const client = outlastClient(server.url({ port: proxy.port }), () => {});
  const random = seeded(seed);
  try {
    for (let n = 0; n < minutes; n++) {
      tell(await stint({ server, proxy, client, random, seed: seed + n }));
    }
    await client.end();
  } finally {
    await proxy.close();
    await server.dispose();
  }
};

interface StintOptions {
  readonly server: PostgresServer;
  readonly proxy: FaultProxy;
  readonly client: Client;
  readonly random: () => number;
  readonly seed: number;
}

async function stint({ server, proxy, client, random, seed }: StintOptions): Promise<Stint> {
  await server.admin('drop schema if exists ours cascade');
  await createTables(server, 'ours', WORKERS);
  const run = newRun(seed, STINT_MS / 1000);
  const lane = run.addLane({ key: 'ours', title: '@outlast/pg-retry' }, isOutcomeUnknown);
  const struck = [{ lane, proxy }];
  const strikes = new Strikes(KINDS, struck, seed);
  const stage = { struck, strikes, chronicle: run.chronicle };
  const workload = new Workload(client, lane.ledger, 'ours');
  const crew = new Crew({
    workers: WORKERS,
    seed,
    thinkMs: [5, 15],
    work: (worker, drawn) => workload.work(worker, drawn),
  });
  const faults: Record<string, number> = {};
  const names = Object.keys(ACTS);
  while (run.chronicle.now() < STINT_MS) {
    const name = names[Math.floor(random() * names.length)] as string;
    faults[name] = (faults[name] ?? 0) + 1;
    await (ACTS[name] as Act)(server, proxy, stage);
    await sleep(500 + 2500 * random());
  }
  const home = await crew.home(HOME_MS);
  await strikes.settle();
  await proxy.heal();
  await quiet(server);
  const counted: Audit = audit(lane.ledger, await countRows(server, 'ours'));
  return {
    faults,
    requestsHit: strikes.fired,
    home,
    reads: { ...lane.ledger.reads },
    writes: counted.total,
    ways: counted.ways,
    torn: counted.torn,
    addsUp: counted.addsUp && counted.strangers === 0,
    longestGapMs: Math.round(lane.ledger.longestGap.ms),
    errors: Object.fromEntries(lane.ledger.errors),
  };
}

/** Nothing of the stint is still being done: what was late has arrived. */
function quiet(server: PostgresServer): Promise<unknown> {
  const busy = `select count(*)::int as n from pg_stat_activity where usename = 'app' and state <> 'idle'`;
  return waitFor(async () => (await server.admin(busy)).rows[0].n === 0, {
    timeoutMs: 30_000,
    everyMs: 100,
    what: 'the last statement of the stint to end',
  });
}
