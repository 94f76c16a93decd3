import { setTimeout as sleep } from 'node:timers/promises';
import type { Chronicle } from './chronicle.js';
import type { Strikes, Struck } from './strikes.js';

/** What every script can get at. */
export interface Stage {
  readonly struck: readonly Struck[];
  readonly strikes: Strikes;
  readonly chronicle: Chronicle;
}

/** The server can answer nobody until `act` is over. */
export function outage(
  { chronicle }: Stage,
  label: string,
  act: () => Promise<void>,
): Promise<void> {
  return chronicle.during('outage', label, async () => {
    await act();
    return undefined;
  });
}

/** Strikes every so many ms until `untilMs` of the run. */
export function randomCuts(
  { strikes, chronicle }: Stage,
  untilMs: number,
  everyMs: number,
): Promise<void> {
  return chronicle.during('storm', 'random cuts', async () => {
    const before = strikes.fired;
    while (chronicle.now() < untilMs) {
      strikes.strike();
      await sleep(everyMs);
    }
    return `${strikes.fired - before} requests hit`;
  });
}

/** Every wire is cut at once. */
export function wiresCut({ struck, chronicle }: Stage): Promise<void> {
  return chronicle.during('blow', 'wires cut', async () => {
    const cut = struck.map(({ proxy }) => proxy.cutAll());
    return `${cut.reduce((sum, n) => sum + n, 0)} connections`;
  });
}
