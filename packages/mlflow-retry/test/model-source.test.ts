import { describe, expect, it } from 'vitest';
import { type Ask, resolveModel } from '../src/model-source.js';
import { parseModelUri } from '../src/model-uri.js';

const VERSION = {
  name: 'churn',
  version: '12',
  creation_timestamp: 1_700_000_000_000,
  source: 'mlflow-artifacts:/1/r/artifacts/model',
  run_id: 'r',
  status: 'READY',
};

function resolve(uri: string, ...answers: readonly object[]) {
  const asked: [string, object][] = [];
  const ask: Ask = async (path, query) => {
    asked.push([path, query]);
    return (answers[asked.length - 1] ?? {}) as Record<string, unknown>;
  };
  return { asked, source: resolveModel(uri, parseModelUri(uri), ask) };
}

describe('what a URI stands for', () => {
  it('is asked once', async () => {
    const version = resolve('models:/churn/12', { model_version: VERSION });
    expect(await version.source).toEqual({
      kind: 'version',
      name: 'churn',
      version: '12',
      source: VERSION.source,
      identity: ['churn', '12', '1700000000000', VERSION.source],
      subPath: '',
      runId: 'r',
    });
    expect(version.asked).toEqual([
      ['/mlflow/model-versions/get', { name: 'churn', version: '12' }],
    ]);
    const alias = resolve('models:/churn@champion/data', { model_version: VERSION });
    expect(await alias.source).toMatchObject({ version: '12', subPath: 'data' });
    expect(alias.asked).toEqual([
      ['/mlflow/registered-models/alias', { name: 'churn', alias: 'champion' }],
    ]);
  });

  it('is the highest version of a stage, by number and not by text', async () => {
    const versions = ['9', '100', '12'].map((version) => ({ ...VERSION, version }));
    const stage = resolve('models:/churn/production', { model_versions: versions });
    expect(await stage.source).toMatchObject({ version: '100' });
    expect(stage.asked[0]?.[1]).toEqual({ name: 'churn', stages: ['Production'] });
    const latest = resolve('models:/churn/latest', { model_versions: versions });
    expect(await latest.source).toMatchObject({ version: '100' });
    expect(latest.asked[0]?.[1]).toEqual({ name: 'churn', stages: undefined });
    await expect(resolve('models:/churn/Staging', {}).source).rejects.toThrow('has no version');
  });

  it('knows the logged model that a version was made from', async () => {
    const source = 'models:/m-0123456789abcdef0123456789abcdef';
    const version = resolve('models:/churn/12', { model_version: { ...VERSION, source } });
    expect(await version.source).toMatchObject({ modelId: 'm-0123456789abcdef0123456789abcdef' });
  });

  it('is no identity where bytes may change', async () => {
    const run = resolve('runs:/r/model', { run: { info: { artifact_uri: 's3://b/r' } } });
    expect(await run.source).toMatchObject({ identity: undefined, source: 's3://b/r', runId: 'r' });
    const place = resolve('mlflow-artifacts://host:1/a/b');
    expect(await place.source).toMatchObject({
      identity: undefined,
      host: 'host:1',
      subPath: 'a/b',
    });
    expect(place.asked).toEqual([]);
  });

  it.each(['PENDING_REGISTRATION', 'FAILED_REGISTRATION'])('is not ready: %s', async (status) => {
    const version = resolve('models:/churn/12', { model_version: { ...VERSION, status } });
    await expect(version.source).rejects.toThrow(status);
  });

  it.each(['name', 'version', 'creation_timestamp', 'source'])(
    'is not guessed where the answer lacks %s: two models could be taken for one',
    async (field) => {
      for (const value of [undefined, '', null, {}]) {
        const version = { ...VERSION, [field]: value };
        const { source } = resolve('models:/churn/12', { model_version: version });
        await expect(source).rejects.toThrow(`lacks ${field}`);
      }
    },
  );

  it.each([[{}], [{ model_version: 'x' }], [{ model_version: [] }]])(
    'refuses %j',
    async (answer) => {
      await expect(resolve('models:/churn/12', answer).source).rejects.toThrow('lacks');
      await expect(resolve('runs:/r', answer).source).rejects.toThrow('lacks artifact_uri');
      await expect(resolve('models:/m-1', answer).source).rejects.toThrow('lacks artifact_uri');
    },
  );
});
