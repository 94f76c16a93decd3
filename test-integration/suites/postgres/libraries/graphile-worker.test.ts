import { Logger, makeWorkerUtils, type Runner, run, type TaskSpec } from 'graphile-worker';
import { describe, it } from 'vitest';
import { waitFor } from '../../../servers/index.js';
import { idsIn, op, outlast } from '../../support/library-workload.js';
import { openLab } from '../../support/postgres-lab.js';

const lab = await openLab({ own: true });

describe.skipIf(lab.reason)(`graphile-worker ${lab.reason}`, () => {
  lab.use();

  it('outlasts two restarts on our pool: no acknowledged job is lost, and its runner goes on', async () => {
    await lab.server.admin('grant create on database app to app');
    const pool = lab.pool({ max: 10 });
    const done = new Set<string>();
    const logger = new Logger(() => () => {});
    const utils = await makeWorkerUtils({ pgPool: pool, logger });
    const start = () =>
      run({
        pgPool: pool,
        logger,
        concurrency: 3,
        pollInterval: 200,
        noHandleSignals: true,
        // without it a job that cannot be completed is a rejection that nobody handles, with any pool
        preset: { worker: { completeJobBatchDelay: 0, failJobBatchDelay: 0 } },
        taskList: {
          task: (payload) => {
            done.add((payload as { id: string }).id);
          },
          spare: () => {},
        },
      });
    let runner: Runner | undefined;
    let stopping = false;
    let stopped: () => void = () => {};
    const over = new Promise<void>((resolve) => {
      stopped = resolve;
    });
    // It stops when the answer to a worker's question is lost, with any pool: whoever runs it starts it again.
    const ended = ({ promise, events }: Runner) =>
      Promise.race([
        promise.catch(() => {}),
        // on its way out it may wait for ever for a worker that has died, so that its promise never settles
        new Promise((resolve) => events.once('worker:fatalError', resolve)),
        new Promise((resolve) => events.once('pool:gracefulShutdown', resolve)),
      ]);
    const supervised = (async () => {
      while (!stopping) {
        runner = await start().catch(() => undefined);
        if (stopping) await runner?.stop();
        if (runner !== undefined) await Promise.race([ended(runner), over]);
      }
    })();
    const add = (name: string, spec: TaskSpec | ((id: string) => TaskSpec) = {}) =>
      op('insert', name, (id) =>
        utils.addJob('task', { id }, typeof spec === 'function' ? spec(id) : spec),
      );
    const jobs = '"graphile_worker"._private_jobs';
    const ask = (name: string, text: string) => op('read', name, () => pool.query(text));
    const later = { runAt: new Date(Date.now() + 3_600_000) };
    const idOf = async (): Promise<string> => (await utils.addJob('spare', {}, later)).id;
    try {
      await outlast(
        lab,
        'graphile-worker',
        [
          add('addJob'),
          add('addJob in a queue', { queueName: 'one' }),
          add('addJob in its own queue', (id) => ({ queueName: id })),
          add('addJob with priority', { priority: -3 }),
          add('addJob with attempts', { maxAttempts: 3 }),
          add('addJob now', () => ({ runAt: new Date() })),
          add('addJob soon', () => ({ runAt: new Date(Date.now() + 100) })),
          add('addJob with key', (id) => ({ jobKey: id })),
          add('addJob with key, replace', (id) => ({ jobKey: id, jobKeyMode: 'replace' })),
          add('addJob with key, preserve', (id) => ({ jobKey: id, jobKeyMode: 'preserve_run_at' })),
          add('addJob with key, dedupe', (id) => ({ jobKey: id, jobKeyMode: 'unsafe_dedupe' })),
          add('addJob with flags', { flags: ['slow'] }),
          add('addJob with everything', (id) => ({
            jobKey: id,
            queueName: 'two',
            priority: 1,
            maxAttempts: 5,
          })),
          op('insert', 'addJobs', (id) => utils.addJobs([{ identifier: 'task', payload: { id } }])),
          op('insert', 'addJobs in a queue', (id) =>
            utils.addJobs([{ identifier: 'task', payload: { id }, queueName: 'three' }]),
          ),
          op('insert', 'add_job in SQL', (id) =>
            pool.query(
              `select graphile_worker.add_job('task', json_build_object('id', $1::text))`,
              [id],
            ),
          ),
          op('insert', 'withPgClient', (id) =>
            utils.withPgClient((client) =>
              client.query(
                `select graphile_worker.add_job('task', json_build_object('id', $1::text))`,
                [id],
              ),
            ),
          ),
          op('other', 'add later', () => utils.addJob('spare', {}, later)),
          op('other', 'replace later', () =>
            utils.addJob('spare', {}, { jobKey: 'spare', ...later }),
          ),
          op('other', 'remove_job', () => pool.query(`select graphile_worker.remove_job('spare')`)),
          op('other', 'completeJobs', async () => utils.completeJobs([await idOf()])),
          op('other', 'permanentlyFailJobs', async () =>
            utils.permanentlyFailJobs([await idOf()], 'no'),
          ),
          op('other', 'rescheduleJobs', async () =>
            utils.rescheduleJobs([await idOf()], { priority: 7 }),
          ),
          op('other', 'cleanup', () => utils.cleanup({ tasks: ['GC_JOB_QUEUES'] })),
          op('other', 'migrate', () => utils.migrate()),
          ask('jobs', 'select * from graphile_worker.jobs limit 5'),
          ask('count', `select count(*) from ${jobs}`),
          ask('by task', 'select task_identifier, count(*) from graphile_worker.jobs group by 1'),
          ask('queues', 'select * from "graphile_worker"._private_job_queues limit 5'),
          ask('tasks', 'select * from "graphile_worker"._private_tasks'),
        ],
        {
          // run, or still there: locked by a worker whose word was lost, for the library's four hours
          present: async (ok) => {
            let left: string[] = [];
            const accounted = async (): Promise<boolean> => {
              left = await idsIn(lab, `select payload->>'id' from ${jobs}`);
              return ok.every((id) => done.has(id) || left.includes(id));
            };
            await waitFor(accounted, { what: 'every acknowledged job to be run or there' });
            return [...done, ...left];
          },
        },
      );
      await utils.addJob('task', { id: 'afterwards' });
      await waitFor(() => done.has('afterwards'), { what: 'the runner to go on' });
    } finally {
      stopping = true;
      await runner?.stop().catch(() => {});
      stopped();
      await supervised;
      await utils.release();
    }
  });
});
