import { setTimeout as sleep } from 'node:timers/promises';
import type { KafkaBroker } from '@outlast/test-integration/servers';
import { outage, randomCuts, type Stage, wiresCut } from '../script.js';
import type { Probe } from './probe.js';

/** How long the script is when nothing is stretched, s. */
const LENGTH = 55;
const STRIKE_EVERY_MS = 80;
const DOWN_MS = 1_500;
const FROZEN_MS = 3_000;

/** Plays the faults; `seconds` stretches what lies between them, and the storms. */
export async function playScript(
  broker: KafkaBroker,
  probe: Probe,
  stage: Stage,
  seconds: number,
): Promise<void> {
  const { chronicle } = stage;
  const stretch = seconds / LENGTH;
  // as many of them, however short the script
  const everyMs = STRIKE_EVERY_MS * Math.min(1, stretch);
  const at = (second: number): Promise<void> => chronicle.until(second * stretch * 1_000);
  // it is over when the broker stores again: one that answers may still be waiting to be let in
  const down = (label: string, act: () => Promise<unknown>): Promise<void> =>
    outage(stage, label, async () => {
      await act();
      await probe.stored();
    });

  await at(2);
  await down('restart', () => broker.restart());
  await at(7);
  await randomCuts(stage, 21 * stretch * 1_000, everyMs);
  await at(22);
  await down('kill -9', async () => {
    await broker.kill9();
    await broker.start();
  });
  await at(29);
  await down('frozen', async () => {
    await broker.pause();
    await sleep(FROZEN_MS);
    await broker.resume();
  });
  await at(33);
  await randomCuts(stage, 45 * stretch * 1_000, everyMs);
  await at(46);
  await down('broker down', async () => {
    await broker.stop();
    await sleep(DOWN_MS);
    await broker.start();
  });
  for (const second of [52, 52.7, 53.4, 54.1]) {
    await at(second);
    await wiresCut(stage);
  }
  await at(LENGTH);
}
