import { setTimeout as sleep } from 'node:timers/promises';
import { type Lock, Redlock } from '@sesamecare-oss/redlock';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { type Down, outage, watchRejections } from '../support/outage.js';
import { openRedisLab } from '../support/redis-lab.js';

const lab = await openRedisLab({ own: true });
const WORKERS = 5;
const LOCK_MS = 2000;

describe.skipIf(lab.reason !== '')(`redlock on our client ${lab.reason}`, () => {
  lab.use();

  it.each(['stop', 'kill9'] as Down[])(
    'never lets two in at once across an outage of 3 s (%s), and goes on after it',
    async (down) => {
      const rejections = watchRejections();
      const resource = lab.key('lock');
      const redlock = new Redlock([lab.redis()], {
        retryCount: -1,
        retryDelay: 20,
        retryJitter: 10,
      });
      // it tells of every vote against, a lock that is held included
      redlock.on('error', () => {});
      let inside = 0;
      let most = 0;
      let entered = 0;
      const refused: unknown[] = [];
      let running = true;
      const workers = Array.from({ length: WORKERS }, async () => {
        while (running) {
          let lock: Lock;
          try {
            lock = await redlock.acquire([resource], LOCK_MS);
          } catch (error) {
            refused.push(error);
            continue;
          }
          // a lock that took longer to get than it lasts is none
          if (lock.expiration > Date.now() + 100) {
            inside += 1;
            most = Math.max(most, inside);
            entered += 1;
            await sleep(2);
            inside -= 1;
          }
          // once is enough: a lock whose release is lost is free already, or expires by itself
          await redlock.release(lock, { retryCount: 0 }).catch(() => {});
          await sleep(1);
        }
      });
      await waitFor(() => entered >= 30, { what: 'the workers to take turns' });
      await outage(lab.server, down);
      const before = entered;
      await waitFor(() => entered >= before + 30, { what: 'the workers to go on' });
      running = false;
      await Promise.all(workers);
      expect(most).toBe(1);
      expect(refused).toEqual([]);
      expect(rejections.stop()).toEqual([]);
    },
  );
});
