import { setTimeout as sleep } from 'node:timers/promises';
import type { RedisServer } from '@outlast/test-integration/servers';
import { outage, randomCuts, type Stage, wiresCut } from '../script.js';

/** How long the script is when nothing is stretched, s. */
const LENGTH = 50;
const STRIKE_EVERY_MS = 100;
const DOWN_MS = 1_500;

/** Plays the faults; `seconds` stretches what lies between them, and the storms. */
export async function playScript(
  server: RedisServer,
  stage: Stage,
  seconds: number,
): Promise<void> {
  const { chronicle } = stage;
  const stretch = seconds / LENGTH;
  // as many of them, however short the script
  const everyMs = STRIKE_EVERY_MS * Math.min(1, stretch);
  const at = (second: number): Promise<void> => chronicle.until(second * stretch * 1_000);
  const killed = (): Promise<void> =>
    outage(stage, 'kill -9', async () => {
      await server.kill9();
      await server.start();
    });

  await at(3);
  await outage(stage, 'restart', () => server.restart());
  await at(6);
  await randomCuts(stage, 20 * stretch * 1_000, everyMs);
  await at(21);
  await killed();
  await at(25);
  await outage(stage, 'server down', async () => {
    await server.stop();
    await sleep(DOWN_MS);
    await server.start();
  });
  await at(29);
  await randomCuts(stage, 42 * stretch * 1_000, everyMs);
  await at(43);
  await killed();
  for (const second of [46, 46.7, 47.4, 48.1]) {
    await at(second);
    await wiresCut(stage);
  }
  await at(LENGTH);
}
