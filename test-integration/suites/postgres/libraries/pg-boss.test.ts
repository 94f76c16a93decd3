import PgBoss from 'pg-boss';
import { describe, expect, it } from 'vitest';
import { idsIn, op, outlast } from '../../support/library-workload.js';
import { openLab } from '../../support/postgres-lab.js';

const lab = await openLab({ own: true });

describe.skipIf(lab.reason)(`pg-boss ${lab.reason}`, () => {
  lab.use();

  it('outlasts two restarts on pool.query: its reads have no error, its jobs are neither lost nor doubled', async () => {
    await lab.server.admin('grant create on database app to app');
    const pool = lab.pool({ max: 5 });
    const boss = new PgBoss({
      db: { executeSql: (text, values) => pool.query(text, values) },
      // what it does by itself is the same as what is called below
      supervise: false,
      schedule: false,
    });
    boss.on('error', () => {});
    await boss.start();
    for (const queue of ['jobs', 'work', 'spare']) await boss.createQueue(queue);
    await boss.subscribe('event', 'spare');
    const some = (await boss.send('jobs', { id: 'first' })) as string;
    const taken = async (): Promise<string> => {
      const [job] = await boss.fetch('work');
      return job?.id ?? some;
    };
    try {
      await outlast(
        lab,
        'pg-boss',
        [
          op('read', 'getQueue', () => boss.getQueue('jobs')),
          op('read', 'getQueue that is not there', () => boss.getQueue('none')),
          op('read', 'getQueues', () => boss.getQueues()),
          op('read', 'getQueueSize', () => boss.getQueueSize('jobs')),
          op('read', 'getQueueSize before', () => boss.getQueueSize('jobs', { before: 'failed' })),
          op('read', 'getJobById', async () => {
            expect((await boss.getJobById('jobs', some))?.id).toBe(some);
          }),
          op('read', 'getJobById that is not there', () =>
            boss.getJobById('jobs', '00000000-0000-0000-0000-000000000000'),
          ),
          op('read', 'getSchedules', () => boss.getSchedules()),
          op('read', 'isInstalled', () => boss.isInstalled()),
          op('read', 'schemaVersion', () => boss.schemaVersion()),
          op('insert', 'send', (id) => boss.send('jobs', { id })),
          op('insert', 'send a request', (id) => boss.send({ name: 'jobs', data: { id } })),
          op('insert', 'send with priority', (id) => boss.send('jobs', { id }, { priority: 3 })),
          op('insert', 'send with retries', (id) =>
            boss.send('jobs', { id }, { retryLimit: 2, retryBackoff: true }),
          ),
          op('insert', 'send with expiry', (id) =>
            boss.send('jobs', { id }, { expireInMinutes: 5 }),
          ),
          op('insert', 'send with retention', (id) =>
            boss.send('jobs', { id }, { retentionDays: 3 }),
          ),
          op('insert', 'send later', (id) => boss.send('jobs', { id }, { startAfter: 60 })),
          op('insert', 'send once', (id) => boss.send('jobs', { id }, { singletonKey: id })),
          op('insert', 'sendAfter', (id) => boss.sendAfter('jobs', { id }, {}, 60)),
          op('insert', 'sendThrottled', (id) => boss.sendThrottled('jobs', { id }, {}, 60, id)),
          op('insert', 'sendDebounced', (id) => boss.sendDebounced('jobs', { id }, {}, 60, id)),
          op('insert', 'insert', (id) => boss.insert([{ name: 'jobs', data: { id } }])),
          op('other', 'publish', () => boss.publish('event', { some })),
          op('other', 'subscribe', () => boss.subscribe('event', 'spare')),
          op('other', 'fetch', () => boss.fetch('work')),
          op('other', 'fetch many', () => boss.fetch('work', { batchSize: 2 })),
          op('other', 'send and complete', async () => {
            await boss.send('work', {});
            await boss.complete('work', await taken());
          }),
          op('other', 'send and fail', async () => {
            await boss.send('work', {});
            await boss.fail('work', await taken());
          }),
          op('other', 'cancel', async () => boss.cancel('work', await taken())),
          op('other', 'resume', async () => boss.resume('work', await taken())),
          op('other', 'retry', async () => boss.retry('work', await taken())),
          op('other', 'deleteJob', async () => boss.deleteJob('work', await taken())),
          op('other', 'createQueue', () => boss.createQueue('spare')),
          op('other', 'updateQueue', () =>
            boss.updateQueue('spare', { name: 'spare', retryLimit: 3 }),
          ),
          op('other', 'purgeQueue', () => boss.purgeQueue('spare')),
          op('other', 'schedule', () => boss.schedule('spare', '0 0 1 1 *')),
          op('other', 'unschedule', () => boss.unschedule('spare')),
        ],
        { present: () => idsIn(lab, `select data->>'id' from pgboss.job where name = 'jobs'`) },
      );
      expect(
        await lab.value(
          `select count(*) - count(distinct data->>'id') from pgboss.job where name = 'jobs'`,
        ),
      ).toBe('0');
    } finally {
      await boss.stop({ graceful: false, wait: true });
    }
  });
});
