import { setTimeout as sleep } from 'node:timers/promises';
import { bullmq, type Redis } from '@outlast/redis-retry';
import { type Job, Queue, QueueEvents, Worker } from 'bullmq';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { type Down, outage, watchRejections } from '../support/outage.js';
import { openRedisLab } from '../support/redis-lab.js';

const lab = await openRedisLab({ own: true });
const JOBS = 200;

describe.skipIf(lab.reason !== '')(`BullMQ on our client ${lab.reason}`, () => {
  lab.use();

  // What docs/redis.md says to give to BullMQ.
  const connection = (): Redis =>
    lab.redis({ maxRetriesPerRequest: null, retry: { idempotentCommands: bullmq } });

  it.each(['stop', 'kill9'] as Down[])(
    `completes ${JOBS} jobs across an outage of 3 s (%s), none of them twice`,
    { timeout: 120_000 },
    async (down) => {
      const rejections = watchRejections();
      const name = lab.key('queue').replaceAll(':', '-');
      const queue = new Queue(name, { connection: connection() });
      const events = new QueueEvents(name, { connection: connection() });
      const runs = new Map<string, number>();
      const worker = new Worker(
        name,
        async (job: Job) => {
          runs.set(String(job.id), (runs.get(String(job.id)) ?? 0) + 1);
          await sleep(20);
        },
        // a job whose answer was lost on its way to a worker is found by this check
        { connection: connection(), concurrency: 5, lockDuration: 8000, stalledInterval: 2000 },
      );
      const heard: Error[] = [];
      queue.on('error', (error) => heard.push(error));
      events.on('error', (error) => heard.push(error));
      worker.on('error', (error) => heard.push(error));
      const refused: unknown[] = [];
      try {
        await Promise.all([
          queue.waitUntilReady(),
          events.waitUntilReady(),
          worker.waitUntilReady(),
        ]);
        const adding = (async () => {
          for (let n = 0; n < JOBS; n++) {
            await queue.add('work', { n }, { jobId: `job-${n}` }).catch((e) => refused.push(e));
            await sleep(5);
          }
        })();
        await waitFor(() => runs.size >= 50, { what: 'the first jobs' });
        await outage(lab.server, down);
        await adding;
        const completed = (): Promise<number> => queue.getCompletedCount();
        await waitFor(async () => (await completed()) === JOBS, {
          timeoutMs: 40_000,
          everyMs: 100,
          what: 'all jobs to be completed',
        });
        expect(refused).toEqual([]);
        expect(await queue.getJobCounts('failed', 'active', 'wait', 'delayed')).toEqual({
          failed: 0,
          active: 0,
          wait: 0,
          delayed: 0,
        });
        expect([...runs].filter(([, n]) => n !== 1)).toEqual([]);
        expect(runs.size).toBe(JOBS);
      } finally {
        await Promise.all([worker.close(), queue.close(), events.close()]);
      }
      expect(rejections.stop()).toEqual([]);
      // BullMQ tells of lost connections; of anything else it would tell here too
      const strange = heard.filter(
        ({ message }) => !/closed|ECONN|EPIPE|Missing lock for job|-2/.test(message),
      );
      expect(strange).toEqual([]);
    },
  );
});
