import { setTimeout as sleep } from 'node:timers/promises';
import { terminateBackends } from '@outlast/test-integration/faults';
import type { PostgresServer } from '@outlast/test-integration/servers';
import type { Chronicle } from '../chronicle.js';
import type { Strikes, Struck } from './strikes.js';

/** What the script can get at. */
export interface Stage {
  readonly server: PostgresServer;
  readonly struck: readonly Struck[];
  readonly strikes: Strikes;
  readonly chronicle: Chronicle;
}

/** How long the script is when nothing is stretched, s. */
const LENGTH = 50;
const STRIKE_EVERY_MS = 100;
const TERMINATE_EVERY_MS = 100;
const DOWN_MS = 1_500;

/** Plays the faults; `seconds` stretches what lies between them, and the storms. */
export async function playScript(stage: Stage, seconds: number): Promise<void> {
  const { server, chronicle } = stage;
  const stretch = seconds / LENGTH;
  const at = (second: number): Promise<void> => chronicle.until(second * stretch * 1_000);
  const outage = (label: string, act: () => Promise<void>): Promise<void> =>
    chronicle.during('outage', label, async () => {
      await act();
      return undefined;
    });

  await at(3);
  await outage('restart', () => server.restart('fast'));
  await at(7);
  await randomCuts(stage, 19 * stretch * 1_000, stretch);
  await at(20.5);
  await outage('server down', async () => {
    await server.stop('fast');
    await sleep(DOWN_MS);
    await server.start();
  });
  await at(26);
  await sessionsTerminated(stage, 29.5 * stretch * 1_000);
  await at(31);
  await randomCuts(stage, 42 * stretch * 1_000, stretch);
  await at(43);
  await outage('kill -9', async () => {
    await server.kill9();
    await server.start();
  });
  for (const second of [46, 46.7, 47.4, 48.1]) {
    await at(second);
    await wiresCut(stage);
  }
  await at(LENGTH);
}

function randomCuts(
  { strikes, chronicle }: Stage,
  untilMs: number,
  stretch: number,
): Promise<void> {
  return chronicle.during('storm', 'random cuts', async () => {
    const before = strikes.fired;
    while (chronicle.now() < untilMs) {
      strikes.strike();
      await sleep(STRIKE_EVERY_MS * Math.min(1, stretch));
    }
    return `${strikes.fired - before} requests hit`;
  });
}

function sessionsTerminated({ server, chronicle }: Stage, untilMs: number): Promise<void> {
  return chronicle.during('storm', 'sessions terminated', async () => {
    let ended = 0;
    while (chronicle.now() < untilMs) {
      const next = chronicle.now() + TERMINATE_EVERY_MS;
      ended += await terminateBackends(server);
      await chronicle.until(next);
    }
    return `${ended} sessions`;
  });
}

function wiresCut({ struck, chronicle }: Stage): Promise<void> {
  return chronicle.during('blow', 'wires cut', async () => {
    const cut = struck.map(({ proxy }) => proxy.cutAll());
    return `${cut.reduce((sum, n) => sum + n, 0)} connections`;
  });
}
