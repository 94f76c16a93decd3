import { randomBytes } from 'node:crypto';
import { Chronicle } from './chronicle.js';
import type { Lane, Run } from './drill.js';
import { Ledger } from './ledger.js';

/** A run that begins when its first lane is added. */
export function newRun(seed: number, seconds: number): Run {
  const lanes: Lane[] = [];
  let chronicle: Chronicle | undefined;
  return {
    seed,
    seconds,
    lanes,
    canary: `canary-${randomBytes(12).toString('hex')}`,
    get chronicle() {
      chronicle ??= new Chronicle();
      return chronicle;
    },
    addLane(of, isUnknown) {
      const clock = this.chronicle;
      const lane: Lane = {
        ...of,
        ledger: new Ledger(() => clock.now(), isUnknown),
        hits: new Map(),
      };
      lanes.push(lane);
      return lane;
    },
  };
}
