import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  isMlflowError,
  isOutcomeUnknown,
  type MlflowClient,
  retryInfo,
} from '@outlast/mlflow-retry';
import { describe, expect, it } from 'vitest';
import type { Cut, FaultKind } from '../../faults/index.js';
import { failureOf } from '../support/errors.js';
import { openMlflowLab } from '../support/mlflow-lab.js';

const lab = await openMlflowLab();

/** A create: how, what it looks like on the wire, and how many of it the database holds. */
interface Create {
  readonly wire: RegExp;
  make(client: MlflowClient, name: string): Promise<unknown>;
  count(name: string): Promise<unknown>;
}

const post = (path: string): RegExp => new RegExp(`POST /api/2\\.0/mlflow/${path} `);

const CREATES: Readonly<Record<string, Create>> = {
  createRun: {
    wire: post('runs/create'),
    make: async (client, runName) => (await client.createRun('0', { runName })).info.run_name,
    count: (name) => lab.value('select count(*) from runs where name = ?', name),
  },
  createRegisteredModel: {
    wire: post('registered-models/create'),
    make: async (client, name) => (await client.createRegisteredModel(name)).name,
    count: (name) => lab.value('select count(*) from registered_models where name = ?', name),
  },
  createModelVersion: {
    wire: post('model-versions/create'),
    make: async (client, name) => {
      await client.createRegisteredModel(name);
      return (await client.createModelVersion(name, 's3://bucket/model')).name;
    },
    count: (name) => lab.value('select count(*) from model_versions where name = ?', name),
  },
  createExperiment: {
    wire: post('experiments/create'),
    make: async (client, name) =>
      (await client.getExperiment(await client.createExperiment(name))).name,
    count: (name) => lab.value('select count(*) from experiments where name = ?', name),
  },
  createLoggedModel: {
    wire: post('logged-models'),
    make: async (client, name) => (await client.createLoggedModel('0', { name })).info.name,
    count: (name) => lab.value('select count(*) from logged_models where name = ?', name),
  },
};

const LOSSES: [FaultKind, Cut][] = [
  ['cut-after', 'reset'],
  ['cut-after', 'fin'],
  ['cut-before', 'reset'],
];

describe.skipIf(lab.reason !== '')(`an answer that is lost ${lab.reason}`, () => {
  lab.use();

  const cases = Object.entries(CREATES).flatMap(([name, create]) =>
    LOSSES.map(([fault, how]) => [name, fault, how, create] as const),
  );

  it.each(cases)('of %s (%s, %s) leaves one on the server', async (_, fault, how, create) => {
    const client = lab.client();
    const unknown: unknown[] = [];
    client.policy.on('outcomeUnknown', (event) => unknown.push(event));
    const name = lab.name('made').replaceAll(' ', '_');
    const armed = lab.proxy.arm({ when: { bytes: create.wire }, fault, how });
    expect(await create.make(client, name)).toBe(name);
    expect(await armed.hit).toMatchObject({ delivered: fault === 'cut-after' });
    expect(await create.count(name)).toBe(1);
    expect(unknown).toEqual([]);
  });

  it('of a create that arrives late is found by the second look', async () => {
    const client = lab.client();
    const name = lab.name('late');
    const { wire, make, count } = CREATES['createRun'] as Create;
    lab.proxy.arm({ when: { bytes: wire }, fault: 'hold', holdMs: 250 });
    expect(await make(client, name)).toBe(name);
    expect(await count(name)).toBe(1);
  });

  it('of a create surfaces as outcome unknown if nobody can be asked, and is not repeated', async () => {
    const client = lab.client({ retry: { waitMs: 200 } });
    const name = lab.name('unknown');
    await client.serverInfo();
    const { wire, make, count } = CREATES['createRun'] as Create;
    const armed = lab.proxy.arm({ when: { bytes: wire }, fault: 'cut-after' });
    const failing = failureOf(make(client, name));
    await armed.hit;
    lab.proxy.refuse();
    lab.proxy.cutAll();
    const error = await failing;
    expect(error).toMatchObject({ code: 'ECONNRESET' });
    expect(isOutcomeUnknown(error)).toBe(true);
    expect(retryInfo(error)).toMatchObject({ attempts: 1, reason: 'outcome-unknown' });
    expect(await count(name)).toBe(1);
  });

  it('of a create is no other’s: a name that was taken before is an error, after one request', async () => {
    const client = lab.client();
    const name = lab.name('taken');
    await client.createRegisteredModel(name);
    const error = await failureOf(client.createRegisteredModel(name));
    expect(isMlflowError(error) && error.errorCode).toBe('RESOURCE_ALREADY_EXISTS');
    expect(retryInfo(error)).toMatchObject({ attempts: 1, reason: 'permanent' });
    // also where the first answer to us was lost
    lab.proxy.arm({ when: { bytes: post('registered-models/create') }, fault: 'cut-after' });
    const second = await failureOf(client.createRegisteredModel(name));
    expect(isMlflowError(second) && second.errorCode).toBe('RESOURCE_ALREADY_EXISTS');
  });

  it('of metrics and params leaves them there once', async () => {
    const client = lab.client();
    const { run_id } = (await client.createRun('0')).info;
    lab.proxy.arm({ when: { bytes: post('runs/log-metric') }, fault: 'cut-after' });
    await client.logMetric(run_id, 'loss', 0.5, { step: 3 });
    lab.proxy.arm({ when: { bytes: post('runs/log-batch') }, fault: 'cut-after' });
    await client.logBatch(run_id, {
      metrics: [
        { key: 'acc', value: Number.NaN },
        { key: 'acc', value: Infinity, step: 1 },
      ],
      params: { lr: 0.1 },
      tags: { team: 'vision' },
    });
    expect(await lab.value('select count(*) from metrics where run_uuid = ?', run_id)).toBe(3);
    expect(await client.getMetricHistory(run_id, 'loss')).toMatchObject([{ value: 0.5, step: 3 }]);
    const { data } = await client.getRun(run_id);
    expect(data.params).toEqual([{ key: 'lr', value: '0.1' }]);
    expect(data.tags).toContainEqual({ key: 'team', value: 'vision' });
  });

  it('of a name, an alias, a tag, a stage, a deletion leaves it as it was meant', async () => {
    const client = lab.client();
    const [before, after] = [lab.name('before'), lab.name('after')];
    await client.createRegisteredModel(before);
    const { version } = await client.createModelVersion(before, 's3://bucket/model');
    const lose = (bytes: RegExp): void => {
      lab.proxy.arm({ when: { bytes }, fault: 'cut-after' });
    };
    lose(post('registered-models/rename'));
    expect((await client.renameRegisteredModel(before, after)).name).toBe(after);
    lose(post('registered-models/alias'));
    await client.setRegisteredModelAlias(after, 'champion', version);
    expect((await client.getModelVersionByAlias(after, 'champion')).version).toBe(version);
    lose(post('model-versions/transition-stage'));
    const staged = await client.transitionModelVersionStage(after, version, 'Production');
    expect(staged.current_stage).toBe('Production');
    lose(/DELETE \/api\/2\.0\/mlflow\/model-versions\/delete /);
    await client.deleteModelVersion(after, version);
    lose(/DELETE \/api\/2\.0\/mlflow\/registered-models\/delete /);
    await client.deleteRegisteredModel(after);
    const { run_id } = (await client.createRun('0', { tags: { a: 1 } })).info;
    lose(post('runs/delete-tag'));
    await client.deleteTag(run_id, 'a');
    // that it is not there is still an error for whoever did not just delete it
    expect(await failureOf(client.deleteTag(run_id, 'a'))).toMatchObject({ status: 404 });
  });

  it('of an upload leaves the whole file', async () => {
    const client = lab.client();
    const folder = await mkdtemp(join(tmpdir(), 'outlast-upload-'));
    try {
      const file = join(folder, 'big.bin');
      await writeFile(file, Buffer.alloc(3_000_000, 'x'));
      const { run_id } = (await client.createRun('0')).info;
      const put = /PUT \/api\/2\.0\/mlflow-artifacts\//;
      lab.proxy.arm({ when: { bytes: put }, fault: 'cut-before' });
      lab.proxy.arm({ when: { bytes: put, nth: 2 }, fault: 'cut-after' });
      await client.logArtifact(run_id, file, { artifactPath: 'model' });
      const [found] = await client.listArtifacts(run_id, { path: 'model' });
      expect(found).toEqual({ path: 'model/big.bin', is_dir: false, file_size: 3_000_000 });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
