import { describe, expect, it } from 'vitest';
import { isUnlistableStoreError } from '../src/fetch-model-errors.js';
import { placeOf } from '../src/model-place.js';
import type { ModelServer } from '../src/model-server.js';
import type { ModelSource } from '../src/model-source.js';

/** A server that answers by path, and what it was asked. */
function server(answers: Record<string, object | ((query: object) => object)>) {
  const asked: [string, object][] = [];
  const foreign: string[] = [];
  const it = {
    address: 'http://tracking',
    ask: async (path: string, query: object) => {
      asked.push([path, query]);
      const answer = answers[path] ?? {};
      return typeof answer === 'function' ? answer(query) : answer;
    },
    at: (address: string) => {
      if (address === it.address) return it;
      foreign.push(address);
      return { ...it, address };
    },
    onHost: (host: string) => (host === '' ? it : it.at(`http://${host}`)),
  };
  return { server: it as unknown as ModelServer, asked, foreign };
}

const version: ModelSource = {
  kind: 'version',
  name: 'a b',
  version: '3',
  source: 'x',
  identity: ['x'],
  subPath: '',
  runId: 'r',
};

const pinnedAt = (artifact_uri: string) => ({
  '/mlflow/model-versions/get-download-uri': { artifact_uri },
});

describe('where the files of a model are', () => {
  it('is where get-download-uri says, whatever the source is', async () => {
    const { server: one, asked } = server({
      ...pinnedAt('mlflow-artifacts:/1/r/artifacts/model'),
      '/mlflow-artifacts/artifacts': { files: [{ path: 'w' }, 'junk', null] },
    });
    const place = await placeOf('u', version, one);
    expect(await place.list('data')).toEqual([{ path: 'w' }]);
    expect(asked).toEqual([
      ['/mlflow/model-versions/get-download-uri', { name: 'a b', version: '3' }],
      ['/mlflow-artifacts/artifacts', { path: '1/r/artifacts/model/data' }],
    ]);
    expect(place.file('data/a %?#')).toEqual({
      path: '/api/2.0/mlflow-artifacts/artifacts/1/r/artifacts/model/data/a%20%25%3F%23',
      resume: 'validator',
    });
    expect(place.again?.('data/a b&')).toEqual({
      path: '/model-versions/get-artifact?name=a+b&version=3&path=data%2Fa+b%26',
      resume: 'size',
    });
  });

  it.each([
    ['mlflow-artifacts://other:9/1/m', 'http://other:9'],
    ['https://other/api/2.0/mlflow-artifacts/artifacts/1/m', 'https://other'],
    ['https://other/pre/ajax-api/2.0/mlflow-artifacts/artifacts/1/m/', 'https://other/pre'],
  ])(
    'may be another server: %s, and then the tracking server has no other route to it',
    async (uri, address) => {
      const { server: one, foreign } = server(pinnedAt(uri));
      const place = await placeOf('u', version, one);
      expect(foreign).toEqual([address]);
      expect(place.server.address).toBe(address);
      expect(place.file('w').path).toBe('/api/2.0/mlflow-artifacts/artifacts/1/m/w');
      expect(place.again).toBe(undefined);
    },
  );

  it('is below a run, for a store that the server does not serve', async () => {
    const { server: one, asked } = server({
      ...pinnedAt('s3://bucket/1/r/artifacts/model'),
      '/mlflow/runs/get': { run: { info: { artifact_uri: 's3://bucket/1/r/artifacts/' } } },
      '/mlflow/artifacts/list': { files: [{ path: 'model/data/w', file_size: 1 }] },
    });
    const place = await placeOf('u', version, one);
    const [entry] = await place.list('data');
    expect(place.nameOf('data', entry?.path)).toBe('w');
    expect(asked.at(-1)).toEqual([
      '/mlflow/artifacts/list',
      { run_id: 'r', path: 'model/data', page_token: undefined },
    ]);
    expect(place.file('data/w')).toMatchObject({
      path: '/model-versions/get-artifact?name=a+b&version=3&path=data%2Fw',
      resume: 'size',
    });
  });

  it('is nowhere if it lies outside of its run, or has none', async () => {
    const run = { '/mlflow/runs/get': { run: { info: { artifact_uri: 's3://bucket/1/r' } } } };
    for (const uri of ['s3://bucket/1/rest/model', 's3://other/model', '/tmp/model']) {
      const error = await placeOf('u', version, server({ ...pinnedAt(uri), ...run }).server).catch(
        (thrown) => thrown,
      );
      expect(isUnlistableStoreError(error)).toBe(true);
    }
    const { runId: _, ...runless } = version;
    await expect(placeOf('u', runless, server(pinnedAt('s3://b/m')).server)).rejects.toThrow(
      'cannot be listed',
    );
    await expect(placeOf('u', version, server({}).server)).rejects.toThrow('lacks artifact_uri');
  });

  it('is the folder of a logged model', async () => {
    const { server: one, asked } = server(pinnedAt('s3://b/1/models/m-7/artifacts'));
    const place = await placeOf('u', version, one);
    await place.list('data');
    expect(asked.at(-1)?.[0]).toBe('/mlflow/logged-models/m-7/artifacts/directories');
    const logged = {
      ...version,
      kind: 'logged-model' as const,
      version: 'm-7',
      modelId: 'm-7',
      source: 's3://b/1/models/m-7/artifacts',
    };
    const direct = await placeOf('u', logged, server({}).server);
    expect(direct.file('a b')).toEqual({
      path: '/ajax-api/2.0/mlflow/logged-models/m-7/artifacts/files?artifact_file_path=a+b',
      resume: 'size',
    });
  });

  it('is listed page by page, and ends when a page is empty or a token comes again', async () => {
    const pages: Record<string, object> = {
      '': { files: [{ path: 'a' }], next_page_token: 't1' },
      t1: { files: [{ path: 'b' }], next_page_token: 't1' },
    };
    const list = (query: object): object =>
      pages[(query as { page_token?: string }).page_token ?? ''] ?? {};
    const run: ModelSource = { ...version, kind: 'run', source: 's3://b/r', name: 'r' };
    const place = await placeOf('u', run, server({ '/mlflow/artifacts/list': list }).server);
    expect(await place.list('')).toEqual([{ path: 'a' }, { path: 'b' }]);
    pages['t1'] = { next_page_token: 't2' };
    expect(await place.list('')).toEqual([{ path: 'a' }]);
  });
});
