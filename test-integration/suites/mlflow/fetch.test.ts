import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type FetchedModel, isMlflowError, isOptionError } from '@outlast/mlflow-retry';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { expectFiles, expectTidy, modelsIn, openFetchLab, randomFile } from './fetch-lab.js';

const lab = await openFetchLab();
const FILES = {
  MLmodel: 'flavors: {}\n',
  'data/weights.bin': randomFile(300_000),
  'data/deep/er/w': 'w',
  empty: '',
};
// What the reference says is awkward: each goes over the wire encoded once.
const AWKWARD = [
  'a b',
  '100%.txt',
  'q?m.txt',
  'a+b',
  'a&b=c;d',
  'ü–漢字',
  '"quoted"',
  "it's",
  'ab:c',
  '~x',
  '(1)',
];

describe.skipIf(lab.reason !== '')('fetchModel', () => {
  lab.use();

  it('fetches what each kind of URI stands for', async () => {
    const model = await lab.seed(FILES, {
      name: `${lab.name()} 50%?+ü`,
      aliases: ['champion'],
      stage: 'Production',
    });
    const { name, runId, source } = model;
    const client = lab.client(lab.server.port);
    const cacheDir = lab.folder();
    const whole = [
      `models:/${name}/1`,
      `models:/${name}@champion`,
      `models:/${name}/Production`,
      `models:/${name}/latest`,
    ];
    const paths = new Set<string>();
    for (const uri of whole) {
      const fetched = await client.fetchModel(uri, { cacheDir });
      expect(fetched).toEqual({ path: fetched.path, name, version: '1', source, stale: false });
      expectFiles(fetched.path, FILES);
      paths.add(fetched.path);
    }
    expect(paths.size).toBe(1);
    const fromRun = await client.fetchModel(`runs:/${runId}/model`, { cacheDir });
    expect(fromRun).toMatchObject({ name: runId, stale: false });
    expectFiles(fromRun.path, FILES);
    const fromStore = await client.fetchModel(source, { cacheDir });
    expectFiles(fromStore.path, FILES);
    expectTidy(cacheDir);
  });

  it('fetches a sub-path as a folder, and a single file as a file', async () => {
    const { name, runId, source } = await lab.seed(FILES);
    const client = lab.client(lab.server.port);
    const cacheDir = lab.folder();
    for (const root of [`models:/${name}/1`, `runs:/${runId}/model`, source]) {
      const part = await client.fetchModel(`${root}/data/deep`, { cacheDir });
      expectFiles(part.path, { 'er/w': 'w' });
      const file = await client.fetchModel(`${root}/data/weights.bin`, { cacheDir });
      expect(file.path.endsWith(join('data', 'weights.bin'))).toBe(true);
      expectFiles(join(file.path, '..'), { 'weights.bin': FILES['data/weights.bin'] });
      await expect(client.fetchModel(`${root}/data/none`, { cacheDir })).rejects.toMatchObject({
        code: 'OUTLAST_EMPTY_MODEL',
      });
    }
    expectTidy(cacheDir);
  });

  it('fetches a logged model, by its id and as a version of it', async () => {
    const post = (path: string, body: object) => lab.server.json(path, { method: 'POST', body });
    const { run } = await post('runs/create', { experiment_id: '0', start_time: Date.now() });
    const { model } = await post('logged-models', {
      experiment_id: '0',
      name: 'logged',
      source_run_id: run.info.run_id,
    });
    const { model_id: id, artifact_uri } = model.info;
    for (const [path, body] of Object.entries({ MLmodel: 'x', 'data/w': 'yy' })) {
      const at = artifact_uri.replace('mlflow-artifacts:', '/api/2.0/mlflow-artifacts/artifacts');
      await lab.server.ask(`${at}/${path}`, { method: 'PUT', body: Buffer.from(body) });
    }
    const client = lab.client(lab.server.port);
    const cacheDir = lab.folder();
    await expect(client.fetchModel(`models:/${id}`, { cacheDir })).rejects.toMatchObject({
      code: 'OUTLAST_MODEL_NOT_READY',
    });
    await lab.server.json(`logged-models/${id}`, {
      method: 'PATCH',
      body: { model_id: id, status: 'LOGGED_MODEL_READY' },
    });
    const direct = await client.fetchModel(`models:/${id}`, { cacheDir });
    expect(direct).toMatchObject({ name: 'logged', version: id, stale: false });
    expectFiles(direct.path, { MLmodel: 'x', 'data/w': 'yy' });
    expectFiles((await client.fetchModel(`models:/${id}/data`, { cacheDir })).path, { w: 'yy' });
    const name = lab.name();
    await post('registered-models/create', { name });
    await post('model-versions/create', {
      name,
      source: `models:/${id}`,
      model_id: id,
      run_id: run.info.run_id,
    });
    const registered = await client.fetchModel(`models:/${name}/1`, { cacheDir });
    expect(registered).toMatchObject({ name, version: '1', source: `models:/${id}` });
    expectFiles(registered.path, { MLmodel: 'x', 'data/w': 'yy' });
  });

  it('fetches names that must be encoded', async () => {
    const files = Object.fromEntries(
      AWKWARD.flatMap((name) => [
        [name, name],
        [`in ${name}/${name}`, `${name}!`],
      ]),
    );
    const { name } = await lab.seed(files);
    const { path } = await lab
      .client(lab.server.port)
      .fetchModel(`models:/${name}/1`, { cacheDir: lab.folder() });
    expectFiles(path, files);
  });

  it('says of names that MLflow lists and cannot serve that it has not got them', async () => {
    for (const bad of ['what?', '%41.txt']) {
      const { name } = await lab.seed({ MLmodel: 'm', [bad]: 'x' });
      const cacheDir = lab.folder();
      const fetched = lab
        .client(lab.server.port)
        .fetchModel(`models:/${name}/1`, { cacheDir, staleIfError: true });
      await expect(fetched).rejects.toMatchObject({ response: { status: 404 } });
      expect(modelsIn(cacheDir)).toBe(0);
    }
  });

  it('costs one request when the model is there, and none within maxAgeMs', async () => {
    const { name } = await lab.seed(FILES, { aliases: ['champion'] });
    const proxy = await lab.proxy();
    const client = lab.client(proxy.port);
    const cacheDir = lab.folder();
    const first = await client.fetchModel(`models:/${name}@champion`, { cacheDir });
    const before = proxy.passed.length;
    expect(await client.fetchModel(`models:/${name}@champion`, { cacheDir })).toEqual(first);
    expect(proxy.passed.slice(before).map(({ path }) => path.split('?')[0])).toEqual([
      '/api/2.0/mlflow/registered-models/alias',
    ]);
    const young = await client.fetchModel(`models:/${name}@champion`, {
      cacheDir,
      maxAgeMs: 60_000,
      verify: true,
    });
    expect(young).toEqual({ ...first, ageMs: young.ageMs });
    expect(young.ageMs).toBeLessThan(60_000);
    expect(proxy.passed).toHaveLength(before + 1);
    await client.fetchModel(`models:/${name}@champion`, { cacheDir, maxAgeMs: 0 });
    expect(proxy.passed).toHaveLength(before + 2);
  });

  it('follows an alias that moves, and downloads again what the cache has lost', async () => {
    const name = lab.name();
    await lab.seed({ MLmodel: 'one' }, { name, aliases: ['champion'] });
    const client = lab.client(lab.server.port);
    const cacheDir = lab.folder();
    const one = await client.fetchModel(`models:/${name}@champion`, { cacheDir });
    await lab.seed({ MLmodel: 'two' }, { name, aliases: ['champion'] });
    const two = await client.fetchModel(`models:/${name}@champion`, { cacheDir });
    expect([one.version, two.version]).toEqual(['1', '2']);
    expectFiles(one.path, { MLmodel: 'one' });
    expectFiles(two.path, { MLmodel: 'two' });
    writeFileSync(join(two.path, 'MLmodel'), 'tw');
    expectFiles((await client.fetchModel(`models:/${name}@champion`, { cacheDir })).path, {
      MLmodel: 'two',
    });
    writeFileSync(join(two.path, 'MLmodel'), 'TWO');
    expectFiles((await client.fetchModel(`models:/${name}@champion`, { cacheDir })).path, {
      MLmodel: 'TWO',
    });
    expectFiles(
      (await client.fetchModel(`models:/${name}@champion`, { cacheDir, verify: true })).path,
      { MLmodel: 'two' },
    );
    await client.prune({ cacheDir, maxBytes: 0 });
    expect(modelsIn(cacheDir)).toBe(0);
  });

  it('does not take a number that was given again for the same version', async () => {
    const name = lab.name();
    await lab.seed({ MLmodel: 'old' }, { name });
    const client = lab.client(lab.server.port);
    const cacheDir = lab.folder();
    await client.fetchModel(`models:/${name}/1`, { cacheDir });
    await lab.server.json('registered-models/delete', { method: 'DELETE', body: { name } });
    await lab.seed({ MLmodel: 'new' }, { name });
    expectFiles((await client.fetchModel(`models:/${name}/1`, { cacheDir })).path, {
      MLmodel: 'new',
    });
  });

  it('fetches what a run holds now, also after it was written again', async () => {
    const { runId, folder } = await lab.seed({ MLmodel: 'one', gone: 'x' });
    const client = lab.client(lab.server.port);
    const cacheDir = lab.folder();
    const one = await client.fetchModel(`runs:/${runId}/model`, { cacheDir });
    writeFileSync(join(folder, 'MLmodel'), 'two');
    renameSync(join(folder, 'gone'), join(folder, 'come'));
    const two = await client.fetchModel(`runs:/${runId}/model`, { cacheDir });
    expectFiles(one.path, { MLmodel: 'one', gone: 'x' });
    expectFiles(two.path, { MLmodel: 'two', come: 'x' });
    expect(two.version).not.toBe(one.version);
    expect(await client.fetchModel(`runs:/${runId}/model`, { cacheDir })).toEqual(two);
    expectTidy(cacheDir);
  });

  it('says what is not there as the server says it, and never hands out an empty model', async () => {
    const { name, folder, runId } = await lab.seed({ MLmodel: 'x' });
    const client = lab.client(lab.server.port);
    const cacheDir = lab.folder();
    const refused = async (uri: string): Promise<{ status?: number; code?: string }> =>
      client.fetchModel(uri, { cacheDir, staleIfError: true }).then(
        () => expect.unreachable(),
        (error) => error,
      );
    expect(await refused(`models:/${lab.name('none')}/1`)).toMatchObject({ status: 404 });
    expect(await refused(`models:/${name}/99`)).toMatchObject({ status: 404 });
    expect(await refused(`models:/${name}@nobody`)).toMatchObject({
      status: 400,
      errorCode: 'INVALID_PARAMETER_VALUE',
    });
    expect(await refused(`models:/${name}/Staging`)).toMatchObject({
      code: 'OUTLAST_NO_SUCH_VERSION',
    });
    expect(await refused(`runs:/${'f'.repeat(32)}/model`)).toMatchObject({ status: 404 });
    expect(await refused(`runs:/${runId}/none`)).toMatchObject({ code: 'OUTLAST_EMPTY_MODEL' });
    renameSync(folder, `${folder}.away`);
    expect(await refused(`models:/${name}/1`)).toMatchObject({ code: 'OUTLAST_EMPTY_MODEL' });
    expect(modelsIn(cacheDir)).toBe(0);
  });

  it('gives the last model while the server is down, if that is allowed, and says so', async () => {
    const { name } = await lab.seed(FILES, { aliases: ['champion'] });
    const proxy = await lab.proxy();
    const client = lab.client(proxy.port, { retry: { waitMs: 100 } });
    const cacheDir = lab.folder();
    const uri = `models:/${name}@champion`;
    const fresh = await client.fetchModel(uri, { cacheDir });
    await proxy.close();
    await expect(client.fetchModel(uri, { cacheDir })).rejects.toMatchObject({
      code: 'ECONNREFUSED',
    });
    const stale = await client.fetchModel(uri, { cacheDir, staleIfError: true });
    expect(stale).toMatchObject({ ...fresh, stale: true, cause: { code: 'ECONNREFUSED' } });
    expect(stale.ageMs).toBeGreaterThan(0);
    await expect(
      client.fetchModel(`models:/${name}/1`, { cacheDir, staleIfError: true }),
    ).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('gives no stale model where the newer one is refused for what it is', async () => {
    const name = lab.name();
    await lab.seed({ MLmodel: 'one' }, { name, aliases: ['champion'] });
    const proxy = await lab.proxy();
    const client = lab.client(proxy.port, { retry: { maxAttempts: 2 } });
    const cacheDir = lab.folder();
    const uri = `models:/${name}@champion`;
    const one = await client.fetchModel(uri, { cacheDir });
    const { folder } = await lab.seed({ MLmodel: 'two' }, { name, aliases: ['champion'] });
    renameSync(folder, `${folder}.away`);
    const empty = client.fetchModel(uri, { cacheDir, staleIfError: true });
    await expect(empty).rejects.toMatchObject({ code: 'OUTLAST_EMPTY_MODEL' });
    proxy.answering = (_, response) => {
      response.writeHead(503).end();
      return true;
    };
    const stale = await client.fetchModel(uri, { cacheDir, staleIfError: true });
    expect(stale).toMatchObject({ ...one, stale: true, cause: { status: 503 } });
  });

  it('gives no stale model of what the server says is gone, nor to whom it refuses', async () => {
    const { name } = await lab.seed(FILES, { aliases: ['champion', 'other'] });
    const proxy = await lab.proxy();
    const client = lab.client(proxy.port);
    const cacheDir = lab.folder();
    for (const alias of ['champion', 'other'])
      await client.fetchModel(`models:/${name}@${alias}`, { cacheDir });
    await lab.server.json('registered-models/alias', {
      method: 'DELETE',
      body: { name, alias: 'other' },
    });
    const error = await client
      .fetchModel(`models:/${name}@other`, { cacheDir, staleIfError: true })
      .catch((thrown) => thrown);
    expect(isMlflowError(error) && error.status).toBe(400);
    proxy.answering = (_, response) => {
      response.writeHead(403).end('Permission denied');
      return true;
    };
    await expect(
      client.fetchModel(`models:/${name}@champion`, { cacheDir, staleIfError: true }),
    ).rejects.toMatchObject({ status: 403 });
    proxy.answering = undefined;
    await lab.server.json('registered-models/delete', { method: 'DELETE', body: { name } });
    await expect(
      client.fetchModel(`models:/${name}@champion`, { cacheDir, staleIfError: true }),
    ).rejects.toMatchObject({ status: 404 });
    await proxy.close();
    await expect(
      client.fetchModel(`models:/${name}@champion`, {
        cacheDir,
        staleIfError: true,
        maxAgeMs: 60_000,
      }),
    ).rejects.toThrow();
  });

  it('watches an alias: once for each model that it comes to stand for, when that is there', async () => {
    const name = lab.name();
    await lab.seed({ MLmodel: 'one' }, { name, aliases: ['champion'] });
    const proxy = await lab.proxy();
    const client = lab.client(proxy.port);
    const seen: [FetchedModel, FetchedModel | undefined][] = [];
    const errors: unknown[] = [];
    const watch = client.watchModel(
      `models:/${name}@champion`,
      (model, previous) => {
        expectFiles(model.path, { MLmodel: model.version === '1' ? 'one' : 'two' });
        seen.push([model, previous]);
        if (seen.length === 1) throw new Error('of the listener');
      },
      { cacheDir: lab.folder(), intervalMs: 40, onError: (error) => errors.push(error) },
    );
    lab.later(() => watch.close());
    const looks = (): number => proxy.passed.filter(({ path }) => path.includes('alias')).length;
    await waitFor(() => looks() > 4);
    expect(seen).toHaveLength(1);
    await lab.seed({ MLmodel: 'two' }, { name, aliases: ['champion'] });
    await waitFor(() => seen.length === 2);
    expect(seen.map(([model, previous]) => [model.version, previous?.version])).toEqual([
      ['1', undefined],
      ['2', '1'],
    ]);
    expect(errors.map(String)).toEqual(['Error: of the listener']);
    watch.close();
    const looked = looks();
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(looks()).toBe(looked);
    expect(seen).toHaveLength(2);
  });

  it('tells how far it is', async () => {
    const { name } = await lab.seed(FILES);
    const told: { bytes: number; totalBytes: number; filesDone: number }[] = [];
    await lab.client(lab.server.port).fetchModel(`models:/${name}/1`, {
      cacheDir: lab.folder(),
      onProgress: (progress) => {
        told.push(progress);
        throw new Error('of a hook');
      },
    });
    const total = Object.values(FILES).reduce((sum, { length }) => sum + length, 0);
    expect(told.at(-1)).toMatchObject({
      files: 4,
      filesDone: 4,
      bytes: total,
      totalBytes: total,
      receivedBytes: total,
      resumedBytes: 0,
    });
    expect(told.every(({ bytes }, n) => bytes >= (told[n - 1]?.bytes ?? 0))).toBe(true);
  });

  it('ends at once when it is called off, and leaves no model', async () => {
    const { name } = await lab.seed({ w: randomFile(4_000_000) });
    const controller = new AbortController();
    const cacheDir = lab.folder();
    const client = lab.client(lab.server.port);
    const fetched = client.fetchModel(`models:/${name}/1`, {
      cacheDir,
      signal: controller.signal,
      onProgress: () => controller.abort(new Error('enough')),
    });
    await expect(fetched).rejects.toThrow('enough');
    expect(modelsIn(cacheDir)).toBe(0);
    await expect(
      client.fetchModel(`models:/${name}/1`, { signal: AbortSignal.abort('early') }),
    ).rejects.toBe('early');
  });

  it.each<[string, unknown]>([
    ['models:/churn', {}],
    ['models:/churn/1', { cacheDirectory: '/tmp' }],
    ['models:/churn/1', { cacheDir: '' }],
    ['models:/churn/1', { maxAgeMs: -1 }],
    ['models:/churn/1', { maxAgeMs: '1' }],
    ['models:/churn/1', { staleIfError: 1 }],
    ['models:/churn/1', { verify: 'yes' }],
    ['models:/churn/1', { onProgress: 1 }],
    ['models:/churn/1', { signal: {} }],
    ['models:/churn/1', null],
  ])('refuses %s with %j before it asks anybody', async (uri, options) => {
    const error = await lab
      .client(1)
      .fetchModel(uri, options as object)
      .catch((thrown) => thrown);
    expect(isOptionError(error)).toBe(true);
  });
});
