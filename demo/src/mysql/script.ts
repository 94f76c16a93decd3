import { setTimeout as sleep } from 'node:timers/promises';
import type { MysqlServer } from '@outlast/test-integration/servers';
import { outage, randomCuts, type Stage, wiresCut } from '../script.js';
import { QUOTAS } from './kinds.js';

/** How long the script is when nothing is stretched, s. */
const LENGTH = 50;
const KILL_EVERY_MS = 100;
const STRIKE_EVERY_MS = 100;
/**
 * So many operations of the slowest lane lie between two strikes, at the least. On a machine that gets little
 * through, as many strikes would hit the same transaction again and again, until its attempts are used up.
 */
const OPERATIONS_BETWEEN = 20;
const DOWN_MS = 1_500;

/** Plays the faults; `seconds` stretches what lies between them, and the storms. */
export async function playScript(
  server: MysqlServer,
  stage: Stage,
  seconds: number,
): Promise<void> {
  const { chronicle } = stage;
  const stretch = seconds / LENGTH;
  // as many of them, however short the script
  const everyMs = (): number =>
    Math.max(STRIKE_EVERY_MS * Math.min(1, stretch), OPERATIONS_BETWEEN / slowest(stage));
  const at = (second: number): Promise<void> => chronicle.until(second * stretch * 1_000);

  await at(3);
  await outage(stage, 'restart', () => server.restart());
  await at(7);
  await randomCuts(stage, 19 * stretch * 1_000, everyMs());
  await at(20.5);
  await outage(stage, 'server down', async () => {
    await server.stop();
    await sleep(DOWN_MS);
    await server.start();
  });
  await at(25.5);
  await sessionsKilled(server, stage, 27.5 * stretch * 1_000);
  // whoever was killed twice makes his last attempts some seconds later, in peace
  await at(32);
  // a busy machine gets through less in the same time
  await randomCuts(stage, 42 * stretch * 1_000, everyMs(), () => !stage.strikes.enough(QUOTAS));
  await at(43);
  await outage(stage, 'kill -9', async () => {
    await server.kill9();
    await server.start();
  });
  for (const second of [46, 46.7, 47.4, 48.1]) {
    await at(second);
    await wiresCut(stage);
  }
  await at(LENGTH);
}

/** Operations that the slowest lane has got through so far, a ms. */
function slowest({ struck, chronicle }: Stage): number {
  return Math.min(...struck.map(({ lane }) => lane.ledger.totals.ok)) / chronicle.now();
}

function sessionsKilled(server: MysqlServer, { chronicle }: Stage, untilMs: number): Promise<void> {
  return chronicle.during('storm', 'sessions killed', async () => {
    let ended = 0;
    while (chronicle.now() < untilMs) {
      const next = chronicle.now() + KILL_EVERY_MS;
      ended += await server.killSessions();
      await chronicle.until(next);
    }
    return `${ended} sessions`;
  });
}
