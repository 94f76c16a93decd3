import type { HttpProxy } from '@outlast/test-integration/faults';
import type { NativeMlflow } from '@outlast/test-integration/servers';
import type { Chronicle } from '../chronicle.js';
import type { Lane, Quota } from '../drill.js';
import { seeded } from '../random.js';

/** How long the script is when nothing is stretched, s. */
const LENGTH = 45;
const MORE_MS = 40_000;
const MB = 1_048_576;
/** A lane that is slow on a busy machine makes the storm longer. */
const ENOUGH = 12;

const RESET = 'bodies cut by a reset';
const ENDED = 'bodies cut in good order';

/** How many of each a lane must have met. */
export const QUOTAS: readonly Quota[] = [
  { name: RESET, least: 8 },
  { name: ENDED, least: 8 },
];

/** A lane with the proxy that stands before its server. */
export interface Stand {
  readonly lane: Lane;
  readonly proxy: HttpProxy;
}

/** Plays the faults; `seconds` stretches what lies between them, and the storms. */
export async function playScript(
  server: NativeMlflow,
  stands: readonly Stand[],
  chronicle: Chronicle,
  run: { readonly seconds: number; readonly seed: number },
): Promise<void> {
  const stretch = run.seconds / LENGTH;
  const at = (second: number): Promise<void> => chronicle.until(second * stretch * 1_000);
  const storm = async (how: 'reset' | 'end', name: string, until: number): Promise<void> => {
    const label = how === 'reset' ? 'bodies reset' : 'bodies ended early';
    await chronicle.during('storm', label, async () => {
      const before = stands.map(({ proxy }) => proxy.cuts);
      for (const [n, { proxy }] of stands.entries()) {
        const random = seeded(run.seed + n);
        // four of five, somewhere in the first half
        const after = (): number =>
          random() < 0.8 ? Math.round((0.1 + random() * 1.4) * MB) : Infinity;
        proxy.cutting = { how, after, match: (path) => path.includes('weights.bin') };
      }
      await at(until);
      const met = (n: number): number => (stands[n]?.proxy.cuts ?? 0) - (before[n] ?? 0);
      const late = chronicle.now() + MORE_MS;
      while (stands.some((_, n) => met(n) < ENOUGH) && chronicle.now() < late) {
        await chronicle.until(chronicle.now() + 100);
      }
      for (const { proxy } of stands) proxy.cutting = undefined;
      for (const [n, { lane }] of stands.entries()) lane.hits.set(name, met(n));
      return `${stands.reduce((sum, _, n) => sum + met(n), 0)} bodies cut`;
    });
  };

  await at(8);
  await storm('reset', RESET, 20);
  await at(22);
  await chronicle.during('outage', 'kill -9', async () => {
    await server.kill9();
    await server.start();
    return undefined;
  });
  await at(32);
  await storm('end', ENDED, 42);
  await at(LENGTH);
}
