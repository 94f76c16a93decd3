import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isOutcomeUnknown, type MlflowClient, retryInfo } from '@outlast/mlflow-retry';
import { describe, expect, it } from 'vitest';
import type { FaultKind } from '../../faults/index.js';
import type { NativeMlflow } from '../../servers/index.js';
import { failureOf } from '../support/errors.js';
import { type MlflowLab, openMlflowLab } from '../support/mlflow-lab.js';

const POST = (path: string): RegExp => new RegExp(`POST /api/2\\.0/mlflow/runs/${path} `);

/** What the server holds of a run, looked at past it. */
interface Held {
  /** Points of a metric. */
  points(runId: string, key: string): Promise<number>;
  param(runId: string, key: string): Promise<unknown>;
  tag(runId: string, key: string): Promise<unknown>;
}

const sqlLab = await openMlflowLab();
const fileLab = await openMlflowLab({ fileStore: true });

const inTables: Held = {
  points: async (run, key) =>
    (await sqlLab.value(
      'select count(*) from metrics where run_uuid = ? and key = ?',
      run,
      key,
    )) as number,
  param: (run, key) =>
    sqlLab.value('select value from params where run_uuid = ? and key = ?', run, key),
  tag: (run, key) =>
    sqlLab.value('select value from tags where run_uuid = ? and key = ?', run, key),
};

/** `<folder>/<experiment>/<run>/metrics/<key>`, a line a point. */
const inFiles: Held = {
  points: async (run, key) => (read('metrics', run, key) ?? '').split('\n').filter(Boolean).length,
  param: async (run, key) => read('params', run, key),
  tag: async (run, key) => read('tags', run, key),
};

function read(kind: string, run: string, key: string): string | undefined {
  const { runs } = fileLab.server as NativeMlflow;
  const experiment = readdirSync(runs).find((one) => existsSync(join(runs, one, run)));
  const file = join(runs, experiment ?? '', run, kind, key);
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}

const LOST: FaultKind[] = ['cut-after', 'cut-before'];

function suite(lab: MlflowLab, held: Held, once: boolean): void {
  lab.use();

  // A store of files that was asked for its models first has no experiment 0.
  const run = async (client: MlflowClient): Promise<string> => {
    const experiment = await client.createExperiment(lab.name('experiment'));
    return (await client.createRun(experiment)).info.run_id;
  };

  it(`keeps a point that is sent twice ${once ? 'once' : 'twice'}`, async () => {
    const runId = await run(lab.client());
    const metric = { key: 'loss', value: 0.5, timestamp: 1_700_000_000_000, step: 3 };
    for (const body of [
      { ...metric, run_id: runId },
      { ...metric, run_id: runId },
    ]) {
      await lab.server.json('runs/log-metric', { method: 'POST', body });
    }
    const batch = { run_id: runId, metrics: [{ ...metric, key: 'acc' }] };
    for (const body of [batch, batch]) {
      await lab.server.json('runs/log-batch', { method: 'POST', body });
    }
    const expected = once ? 1 : 2;
    expect([await held.points(runId, 'loss'), await held.points(runId, 'acc')]).toEqual([
      expected,
      expected,
    ]);
  });

  it.each(LOST)('whose answer to metrics is lost (%s)', async (fault) => {
    const client = lab.client();
    const runId = await run(client);
    const applied = fault === 'cut-after';
    const calls: [string, RegExp, () => Promise<void>][] = [
      ['a', POST('log-metric'), () => client.logMetric(runId, 'a', 1, { step: 1 })],
      [
        'b',
        POST('log-batch'),
        () => client.logBatch(runId, { metrics: [{ key: 'b', value: 1 }], params: { p: fault } }),
      ],
    ];
    for (const [key, bytes, call] of calls) {
      const armed = lab.proxy.arm({ when: { bytes }, fault });
      if (once) {
        await call();
        expect(await held.points(runId, key)).toBe(1);
      } else {
        const error = await failureOf(call());
        expect(isOutcomeUnknown(error)).toBe(true);
        expect(retryInfo(error)).toMatchObject({ attempts: 1, reason: 'outcome-unknown' });
        expect(await held.points(runId, key)).toBe(applied ? 1 : 0);
      }
      expect(await armed.hit).toMatchObject({ delivered: applied });
    }
  });

  it.each(LOST)('whose answer to params and tags is lost (%s) has them once', async (fault) => {
    const client = lab.client();
    const runId = await run(client);
    const lose = (): unknown => lab.proxy.arm({ when: { bytes: POST('log-batch') }, fault });
    lose();
    await client.logBatch(runId, { params: { lr: 0.1, layers: 3 }, tags: { team: 'vision' } });
    lab.proxy.arm({ when: { bytes: POST('log-parameter') }, fault });
    await client.logParam(runId, 'depth', 7);
    lab.proxy.arm({ when: { bytes: POST('set-tag') }, fault });
    await client.setTag(runId, 'stage', 'late');
    for (const [key, value] of Object.entries({ lr: '0.1', layers: '3', depth: '7' })) {
      expect(await held.param(runId, key)).toBe(value);
    }
    expect(await held.tag(runId, 'team')).toBe('vision');
    expect(await held.tag(runId, 'stage')).toBe('late');
  });

  it('that was not reached is asked again, and has everything once', async () => {
    const client = lab.client({ retry: { baseDelayMs: 20 } });
    const runId = await run(client);
    await client.serverInfo();
    lab.proxy.refuse();
    lab.proxy.cutAll();
    // Afterwards no connection is left on which something could be sent in vain.
    expect(await client.healthCheck()).toMatchObject({ ok: false });
    const logging = client.logBatch(runId, {
      metrics: Array.from({ length: 1_500 }, (_, step) => ({ key: 'many', value: step, step })),
    });
    await expect.poll(async () => (await client.healthCheck()).details.waiting).toBe(1);
    await lab.proxy.accept();
    await logging;
    expect(await held.points(runId, 'many')).toBe(1_500);
  });

  it('loses nothing of a batch but what the lost request held', async () => {
    const client = lab.client();
    const runId = await run(client);
    const metrics = Array.from({ length: 1_500 }, (_, step) => ({ key: 'm', value: step, step }));
    lab.proxy.arm({ when: { bytes: POST('log-batch'), nth: 2 }, fault: 'cut-after' });
    const logging = client.logBatch(runId, { metrics });
    if (once) await logging;
    else expect(isOutcomeUnknown(await failureOf(logging))).toBe(true);
    expect(await held.points(runId, 'm')).toBe(1_500);
  });
}

describe.skipIf(sqlLab.reason !== '')(`a server with tables ${sqlLab.reason}`, () => {
  suite(sqlLab, inTables, true);
});

describe.skipIf(fileLab.reason !== '')(`a server with files ${fileLab.reason}`, () => {
  suite(fileLab, inFiles, false);
});
