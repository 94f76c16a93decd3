import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startHttpProxy } from '@outlast/test-integration/faults';
import {
  findMlflow,
  isSkipped,
  type NativeMlflow,
  seedModel,
  takeMlflow,
} from '@outlast/test-integration/servers';
import { Crew } from '../crew.js';
import { type Drill, type LaneKey, NoServerError, type Outcome, type Run } from '../drill.js';
import { quote } from '../quote.js';
import { packageVersion } from '../versions.js';
import type { Client } from './client.js';
import { handWrittenRetry } from './hand-written-retry.js';
import { METHOD } from './method.js';
import { outlastClient } from './ours.js';
import { PROGRAM, pythonClient } from './python.js';
import { playScript, QUOTAS, type Stand } from './script.js';
import { type Registered, Workload } from './workload.js';

const WORKERS = 4;
const BYTES = 3_145_728;
const HOME_MS = 20_000;
const MODEL = 'drill';
const FILE = 'weights.bin';

const LANES: readonly { key: LaneKey; title: string }[] = [
  { key: 'plain', title: 'mlflow (Python)' },
  { key: 'hand', title: 'axios + axios-retry' },
  { key: 'ours', title: '@outlast/mlflow-retry' },
];

export const mlflowDrill: Drill = {
  system: 'mlflow',
  title: 'MLflow',
  quotas: QUOTAS,
  promises: [{ way: 'fetch', mayBeUnknown: false }],
  reads: false,
  transactions: false,
  graceMs: 5_000,

  async run(run: Run): Promise<Outcome> {
    await using server = await ownServer();
    const weights = randomBytes(BYTES);
    await seedModel(server, { name: MODEL, files: { MLmodel: 'flavors: {}\n', [FILE]: weights } });
    const sha256 = createHash('sha256').update(weights).digest('hex');
    const registered: Registered = { model: MODEL, file: FILE, sha256 };
    // Python's client needs Python, which an MLflow that somebody else started does not bring
    const python = findMlflow()?.python;
    const folder = await mkdtemp(join(tmpdir(), 'outlast-drill-'));
    const stands: Stand[] = [];
    const clients: Client[] = [];
    for (const one of LANES) {
      if (one.key === 'plain' && python === undefined) continue;
      const proxy = await startHttpProxy({ targetPort: server.port });
      const lane = run.addLane(one);
      stands.push({ lane, proxy });
      const url = `http://127.0.0.1:${proxy.port}`;
      if (one.key === 'plain') clients.push(pythonClient(url, python as string));
      else if (one.key === 'hand') clients.push(handWrittenRetry(url));
      else clients.push(outlastClient(url, run.canary, (error) => lane.ledger.sample(error)));
    }
    const workloads = stands.map(({ lane }, n) => {
      const client = clients[n] as Client;
      return new Workload(client, lane.ledger, registered, join(folder, lane.key));
    });
    const crews = workloads.map(
      (workload) =>
        new Crew({
          workers: WORKERS,
          seed: run.seed,
          thinkMs: [50, 150],
          work: () => workload.work(),
        }),
    );
    await playScript(server, stands, run.chronicle, run);

    await Promise.all(
      crews.map(async (crew, n) => {
        stands[n]?.lane.ledger.close();
        await crew.home(HOME_MS);
      }),
    );
    for (const [n, { lane }] of stands.entries()) lane.facts = (workloads[n] as Workload).facts;
    for (const client of clients) client.end();
    for (const { proxy } of stands) await proxy.close();
    await rm(folder, { recursive: true, force: true });
    return {
      versions: {
        MLflow: `${server.version} (${server.source})`,
        'mlflow, Python client': server.version,
        axios: packageVersion('axios'),
        'axios-retry': packageVersion('axios-retry'),
        '@outlast/mlflow-retry': packageVersion('@outlast/mlflow-retry'),
      },
      quotes: [
        { title: 'MLflow’s own client', text: PROGRAM },
        quote('axios with axios-retry', 'mlflow/hand-written-retry.ts'),
        quote('Ours, under the same application', 'mlflow/ours.ts'),
      ],
      method: METHOD,
    };
  },
};

async function ownServer(): Promise<NativeMlflow> {
  // the drill kills its server, so that one that somebody else started is none for it
  const server = await takeMlflow({ own: true });
  if (isSkipped(server)) throw new NoServerError(server.skipped);
  return server as NativeMlflow;
}
