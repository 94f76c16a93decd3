import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isSkipped, type MlflowServer, seedModel, takeMlflow } from '../servers/index.js';

const taken = await takeMlflow({ own: true });
const reason = isSkipped(taken) ? taken.skipped : '';

describe.skipIf(reason !== '')(`an MLflow server ${reason}`, () => {
  const server = taken as MlflowServer;
  afterAll(() => server.dispose());

  it('serves what is put into its folder, and shows its database', async () => {
    const model = await seedModel(server, {
      name: 'seeded',
      files: { MLmodel: 'flavors: {}\n', 'data/w.bin': Buffer.alloc(100_000, 7) },
      aliases: ['champion'],
    });
    expect(model.version).toBe('1');
    const path = model.source.replace('mlflow-artifacts:', '');
    const file = await server.ask(`/api/2.0/mlflow-artifacts/artifacts${path}/data/w.bin`);
    expect((await file.arrayBuffer()).byteLength).toBe(100_000);
    expect(
      await server.rows('select name from registered_models where name = ?', 'seeded'),
    ).toEqual([['seeded']]);
  });

  it('keeps its data and its port over stop, kill -9 and a pause', async () => {
    await server.stop();
    expect(server.pid).toBeUndefined();
    await server.start();
    await server.kill9();
    await expect(server.ask('/health')).rejects.toThrow();
    await server.start();
    const { registered_model } = await server.json('registered-models/get', {
      query: { name: 'seeded' },
    });
    expect(registered_model.name).toBe('seeded');
    await server.pause();
    const waiting = server.ask('/health');
    await server.resume();
    expect((await waiting).status).toBe(200);
  });
});

describe.skipIf(reason !== '')(`other ways to run MLflow ${reason}`, () => {
  let remote: MlflowServer;
  const store = takeMlflow({ own: true, gunicorn: true, prefix: '/mlf' });
  const other = async () => (await store) as MlflowServer & { artifactsUrl: string };

  beforeAll(async () => {
    const { artifactsUrl } = await other();
    remote = (await takeMlflow({ auth: true, artifactsAt: artifactsUrl })) as MlflowServer;
  });
  afterAll(async () => {
    await remote.dispose();
    await (await other()).dispose();
  });

  it('by gunicorn, under a path, as the store of another that asks for a password', async () => {
    const model = await seedModel(
      remote,
      { name: 'kept elsewhere', files: { 'a.bin': Buffer.alloc(70_000, 1) } },
      await other(),
    );
    const path = `${model.source.replace('mlflow-artifacts:', '')}/a.bin`;
    const artifacts = '/api/2.0/mlflow-artifacts/artifacts';
    const here = await remote.ask(`${artifacts}${path}`);
    expect((await here.arrayBuffer()).byteLength).toBe(70_000);
    expect([here.headers.get('etag'), here.headers.get('content-length')]).toEqual([null, null]);
    const there = await (await other()).ask(`${artifacts}${path}`);
    expect(there.headers.get('etag')).not.toBeNull();
    expect(there.headers.get('content-length')).toBe('70000');
    expect((await fetch(`${remote.url()}/version`)).status).toBe(401);
  });
});
