import { type FaultProxy, startProxy } from '@outlast/test-integration/faults';
import { Crew } from './crew.js';
import type { Lane, LaneKey, Run } from './drill.js';
import type { Stage } from './script.js';
import { type StrikeKind, Strikes, type Struck } from './strikes.js';
import { within } from './within.js';

const HOME_MS = 20_000;
const END_MS = 5_000;

/** The same application in every lane, each behind a proxy of its own. */
export interface LanePlan<C> {
  readonly lanes: readonly { readonly key: LaneKey; readonly title: string }[];
  /** What ours marks as of unknown outcome; the others mark nothing. */
  readonly isUnknown: (error: unknown) => boolean;
  /** Where the proxy of lane `n` leads. */
  readonly proxy: (n: number) => Parameters<typeof startProxy>[0];
  readonly client: (struck: Struck, n: number) => C;
  readonly workload: (
    client: C,
    lane: Lane,
  ) => { work(worker: number, random: () => number): Promise<unknown> };
  /** Workers a lane. */
  readonly workers: number;
  /** The pause between two operations of a worker, [from, to) ms. */
  readonly thinkMs: readonly [number, number];
  readonly kinds: readonly StrikeKind[];
  /** Breaks things, and resolves when it is over. */
  readonly play: (stage: Stage) => Promise<void>;
  readonly end: (client: C) => unknown;
}

/** @returns the lanes, whose workers are home and whose clients are closed; their proxies still stand */
export async function playLanes<C>(run: Run, plan: LanePlan<C>): Promise<readonly Struck[]> {
  const struck: Struck[] = [];
  for (const [n, lane] of plan.lanes.entries()) {
    const proxy: FaultProxy = await startProxy(plan.proxy(n));
    const isUnknown = lane.key === 'ours' ? plan.isUnknown : undefined;
    struck.push({ lane: run.addLane(lane, isUnknown), proxy });
  }
  const clients = struck.map(plan.client);
  const crews = struck.map(({ lane }, n) => {
    const workload = plan.workload(clients[n] as C, lane);
    return new Crew({
      workers: plan.workers,
      seed: run.seed,
      thinkMs: plan.thinkMs,
      work: (worker, random) => workload.work(worker, random),
    });
  });
  const strikes = new Strikes(plan.kinds, struck, run.seed);
  await plan.play({ struck, strikes, chronicle: run.chronicle });
  await Promise.all(
    crews.map(async (crew, n) => {
      struck[n]?.lane.ledger.close();
      await crew.home(HOME_MS);
    }),
  );
  await strikes.settle();
  await within(Promise.allSettled(clients.map(async (client) => plan.end(client))), END_MS);
  return struck;
}
