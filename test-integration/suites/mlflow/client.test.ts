import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isMlflowError, type Run, retryInfo } from '@outlast/mlflow-retry';
import { afterAll, describe, expect, it } from 'vitest';
import { isSkipped, seedModel, takeNginx } from '../../servers/index.js';
import { failureOf } from '../support/errors.js';
import { openMlflowLab } from '../support/mlflow-lab.js';

// With a path before everything, as behind a gateway: nothing may be asked for past it.
const lab = await openMlflowLab({ prefix: '/mlf' });

const NAMES = [
  'with space',
  'a%b',
  'what?',
  '1+1',
  'ünïcödé 模型',
  '%41',
  'a&b=c;d',
  "it's",
  '"x"',
];

const nginx = await takeNginx(
  lab.reason ? '' : `location /ml/ { proxy_pass http://127.0.0.1:${lab.server.port}/mlf/; }`,
);
const noNginx = isSkipped(nginx) ? nginx.skipped : '';
afterAll(() => (isSkipped(nginx) ? undefined : nginx.dispose()));

describe.skipIf(lab.reason !== '')(`MlflowClient ${lab.reason}`, () => {
  lab.use();

  it.each(NAMES)('takes %j for the name of whatever has one', async (name) => {
    const client = lab.client();
    expect((await client.createRegisteredModel(name, { tags: { 'a.tag': name } })).name).toBe(name);
    const version = await client.createModelVersion(name, 's3://bucket/x', { tags: { a: true } });
    await client.setRegisteredModelAlias(name, 'champion', version.version);
    const model = await client.getRegisteredModel(name);
    expect(model.tags).toContainEqual({ key: 'a.tag', value: name });
    expect(model.aliases).toEqual([{ alias: 'champion', version: '1' }]);
    expect((await client.getModelVersionByAlias(name, 'champion')).version).toBe('1');
    expect(await client.getModelVersionDownloadUri(name, 1)).toBe('s3://bucket/x');
    const id = await client.createExperiment(name);
    expect((await client.getExperimentByName(name))?.experiment_id).toBe(id);
    const { info } = await client.createRun(id, { runName: name, tags: { 'a.tag': name } });
    expect(info.run_name).toBe(name);
    await client.deleteRegisteredModelAlias(name, 'champion');
    await client.deleteModelVersion(name, '1');
    await client.deleteRegisteredModel(name);
  });

  it('keeps what a registry keeps', async () => {
    const client = lab.client();
    const name = lab.name('model');
    await client.createRegisteredModel(name, { description: 'first' });
    const one = await client.createModelVersion(name, 's3://bucket/1');
    const two = await client.createModelVersion(name, 's3://bucket/2', { description: 'two' });
    expect([one.version, two.version]).toEqual(['1', '2']);
    expect((await client.updateRegisteredModel(name, { description: 'b' })).description).toBe('b');
    await client.updateModelVersion(name, 2, { description: 'zwei' });
    await client.setModelVersionTag(name, 2, 'checked', true);
    await client.setRegisteredModelTag(name, 'team', 'vision');
    await client.transitionModelVersionStage(name, 1, 'Production');
    const stage = { archiveExistingVersions: true };
    await client.transitionModelVersionStage(name, 2, 'Production', stage);
    const [production] = await client.getLatestVersions(name, { stages: ['Production'] });
    expect(production).toMatchObject({ version: '2', description: 'zwei' });
    expect((await client.getModelVersion(name, 1)).current_stage).toBe('Archived');
    expect(await client.getLatestVersions(name, { stages: ['Staging'] })).toEqual([]);
    await client.deleteModelVersionTag(name, 2, 'checked');
    await client.deleteRegisteredModelTag(name, 'team');
    const left = await client.searchModelVersions({ filter: `name = '${name}'` });
    expect(left.map(({ version }) => version).sort()).toEqual(['1', '2']);
    expect(left.token).toBe(undefined);
    const missing = await failureOf(client.getModelVersionByAlias(name, 'nobody'));
    expect(isMlflowError(missing) && missing.status).toBe(400);
    expect(retryInfo(missing)).toMatchObject({ attempts: 1, reason: 'permanent' });
  });

  it('keeps what a run keeps', async () => {
    const client = lab.client();
    const id = await client.createExperiment(lab.name('experiment'), { tags: { owner: 'me' } });
    await client.setExperimentTag(id, 'a', 1);
    await client.deleteExperimentTag(id, 'a');
    const renamed = lab.name('renamed');
    await client.renameExperiment(id, renamed);
    await client.deleteExperiment(id);
    await client.restoreExperiment(id);
    expect(await client.getExperiment(id)).toMatchObject({
      name: renamed,
      lifecycle_stage: 'active',
    });
    expect(await client.getExperimentByName(lab.name('nobody'))).toBe(undefined);
    const { info } = await client.createRun(id, { startTime: 1234, runName: 'r' });
    expect(info).toMatchObject({ start_time: 1234, status: 'RUNNING' });
    const { run_id } = info;
    await client.logParam(run_id, 'lr', 0.1);
    await client.logMetric(run_id, 'loss', 1, { step: 1, timestamp: 5 });
    await client.logMetric(run_id, 'loss', Number.POSITIVE_INFINITY, { step: 2 });
    await client.logMetric(run_id, 'nan', Number.NaN);
    await client.setTag(run_id, 'team', 'vision');
    await client.logBatch(run_id, {
      metrics: Array.from({ length: 1500 }, (_, step) => ({ key: 'many', value: step, step })),
      params: Object.fromEntries(Array.from({ length: 150 }, (_, n) => [`p${n}`, n])),
    });
    expect((await client.getMetricHistory(run_id, 'many')).length).toBe(1500);
    expect((await client.getMetricHistory(run_id, 'loss')).map(({ value }) => value)).toEqual([
      1,
      Number.MAX_VALUE,
    ]);
    const { data } = await client.getRun(run_id);
    expect(data.params?.length).toBe(151);
    expect(data.metrics?.find(({ key }) => key === 'nan')?.value).toBeNaN();
    await client.updateRun(run_id, { name: 'other' });
    const ended = await client.setTerminated(run_id, { endTime: 99_999 });
    expect(ended).toMatchObject({ status: 'FINISHED', end_time: 99_999, run_name: 'other' });
    await client.deleteRun(run_id);
    expect(await client.searchRuns([id])).toHaveLength(0);
    await client.restoreRun(run_id);
    expect(await client.searchRuns([id])).toHaveLength(1);
  });

  it('finds everything, page by page', async () => {
    const client = lab.client();
    const id = await client.createExperiment(lab.name('pages'));
    const made = await Promise.all(Array.from({ length: 7 }, () => client.createRun(id)));
    const found: Run[] = [];
    for await (const run of client.eachRun([id], { maxResults: 3 })) found.push(run);
    const ids = (runs: readonly Run[]): string[] => runs.map(({ info }) => info.run_id).sort();
    expect(ids(found)).toEqual(ids(made));
    const page = await client.searchRuns([id], {
      maxResults: 3,
      orderBy: ['attributes.start_time'],
    });
    expect([page.length, typeof page.token]).toEqual([3, 'string']);
    const names: string[] = [];
    for await (const { name } of client.eachExperiment({ maxResults: 2 })) names.push(name);
    expect(names).toContain('Default');
  });

  it('keeps files of runs and of logged models', async () => {
    const client = lab.client();
    const folder = await mkdtemp(join(tmpdir(), 'outlast-artifacts-'));
    try {
      await mkdir(join(folder, 'data', 'deep'), { recursive: true });
      await writeFile(join(folder, 'empty.bin'), '');
      for (const name of ['a b.txt', '100%.txt', 'q?m.txt', '1+1.txt', 'ü.txt']) {
        await writeFile(join(folder, 'data', 'deep', name), name);
      }
      const { run_id } = (await client.createRun('0')).info;
      await client.logArtifacts(run_id, folder, { artifactPath: 'model' });
      await client.logText(run_id, 'hello', 'notes/hello.txt');
      await client.logDict(run_id, { a: 1 }, 'notes/a.json');
      const paths = (await client.listArtifacts(run_id, { path: 'model/data/deep' })).map(
        ({ path }) => path.slice('model/data/deep/'.length),
      );
      expect(paths.sort()).toEqual(['1+1.txt', '100%.txt', 'a b.txt', 'q?m.txt', 'ü.txt']);
      expect(await client.listArtifacts(run_id, { path: 'model' })).toEqual([
        { path: 'model/data', is_dir: true, file_size: 0 },
        { path: 'model/empty.bin', is_dir: false, file_size: 0 },
      ]);
      const version = await client
        .createRegisteredModel(lab.name('from run'))
        .then(({ name }) => client.createModelVersion(name, `runs:/${run_id}/model`));
      expect(version).toMatchObject({
        run_id,
        source: expect.stringMatching(/^mlflow-artifacts:/),
      });
      const made = await client.createLoggedModel('0', {
        name: 'logged',
        params: { depth: 3 },
        tags: { a: 'b' },
      });
      const { model_id } = made.info;
      await client.logModelArtifacts(model_id, join(folder, 'data'));
      expect(await client.listLoggedModelArtifacts(model_id, { path: 'deep' })).toHaveLength(5);
      await client.finalizeLoggedModel(model_id, 'LOGGED_MODEL_READY');
      await client.setLoggedModelTags(model_id, { k: 'v' });
      await client.logModelParams(model_id, { width: 2 });
      await client.deleteLoggedModelTag(model_id, 'k');
      const model = await client.getLoggedModel(model_id);
      expect(model.info.status).toBe('LOGGED_MODEL_READY');
      expect(model.data?.params).toContainEqual({ key: 'width', value: '2' });
      await client.deleteLoggedModel(model_id);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('gives the production model, as the seed’s program asks for it', async () => {
    const name = lab.name('football_baseline_model');
    await seedModel(lab.server, { name, files: { MLmodel: 'x' }, stage: 'Production' });
    const client = lab.client();
    const [production] = await client.getLatestVersions(name, { stages: ['Production'] });
    expect(production).toMatchObject({ name, version: '1', current_stage: 'Production' });
    const uri = await client.getModelVersionDownloadUri(name, production?.version ?? '');
    expect(uri).toMatch(/^mlflow-artifacts:\/0\/.+\/artifacts\/model$/);
  });

  it('makes no errors of its own when everybody asks at once', async () => {
    const client = lab.client();
    const id = await client.createExperiment(lab.name('many'));
    await Promise.all(Array.from({ length: 60 }, () => client.createRun(id)));
    expect(await lab.value('select count(*) from runs where experiment_id = ?', id)).toBe(60);
    expect(lab.proxy.counts.connections).toBeLessThanOrEqual(15);
  });

  it('says how the server is', async () => {
    const client = lab.client();
    expect(await client.healthCheck()).toMatchObject({
      ok: true,
      attempts: 1,
      details: { server: true, database: true, running: 0, waiting: 0 },
    });
    expect(await client.serverInfo()).toMatchObject({ store_type: 'SqlStore' });
    lab.proxy.refuse();
    lab.proxy.cutAll();
    const health = await client.healthCheck();
    expect(health).toMatchObject({ ok: false, attempts: 3, details: { server: false } });
    expect(health.error).toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('asks once for a workspace on a server that has none', async () => {
    const client = lab.client({ workspace: 'team' });
    const error = await failureOf(client.getRegisteredModel('x'));
    expect(error).toMatchObject({ status: 500, errorCode: 'FEATURE_DISABLED' });
    expect(retryInfo(error)?.attempts).toBe(1);
  });

  it.skipIf(noNginx !== '')(
    `behind a gateway waits for the server that it has lost ${noNginx}`,
    async () => {
      if (isSkipped(nginx)) return;
      const client = lab.client({
        trackingUri: `${nginx.url}/ml`,
        retry: { maxAttempts: 2, waitMs: 60_000 },
      });
      const told: string[] = [];
      client.policy.on('down', ({ error }) =>
        told.push(`down ${(error as { status?: number }).status}`),
      );
      client.policy.on('up', () => told.push('up'));
      const name = lab.name('behind a gateway, 100% ü?');
      await client.createRegisteredModel(name);
      await lab.server.stop();
      const pending = Promise.all([
        client.getRegisteredModel(name),
        client.createModelVersion(name, 's3://bucket/x'),
        client.setRegisteredModelTag(name, 'a', 'b'),
      ]);
      pending.catch(() => {});
      await expect.poll(() => told).toEqual(['down 502']);
      await lab.server.start();
      expect((await pending)[1].version).toBe('1');
      expect(told).toEqual(['down 502', 'up']);
      expect((await client.getRegisteredModel(name)).tags).toContainEqual({ key: 'a', value: 'b' });
      expect(await lab.value('select count(*) from model_versions where name = ?', name)).toBe(1);
    },
  );
});
