import { inspect } from 'node:util';
import { type MlflowClient, type MlflowClientOptions, retryInfo } from '@outlast/mlflow-retry';
import { afterAll, describe, expect, test } from 'vitest';
import { isSkipped, takeNginx } from '../../servers/index.js';
import { failureOf } from '../support/errors.js';
import { expectFiles, expectTidy, modelsIn, openFetchLab, randomFile } from './fetch-lab.js';

// A server that asks who comes, and before it a gateway that adds a path.
const lab = await openFetchLab({ auth: true });
const CANARY = 'c4n4ry-0f-a-fetch';
const noServer = lab.reason;

const nginx = await takeNginx(
  noServer ? '' : `location /team/ml/ { proxy_pass http://127.0.0.1:${lab.server.port}/; }`,
);
const noNginx = isSkipped(nginx) ? nginx.skipped : '';
afterAll(() => (isSkipped(nginx) ? undefined : nginx.dispose()));

const NAMES = ['with space', '100%', 'what? this', '1+1', 'ünïcödé 模型', 'a&b=c;d', "it's"];
// Names of files stand in the path of the URL, where a gateway decodes and encodes them again.
const FILES = {
  MLmodel: 'flavors: {}\n',
  'w.bin': randomFile(2_000_000),
  ...Object.fromEntries(
    NAMES.flatMap((name) => [
      [name, `of ${name}`],
      [`in ${name}/${name}.txt`, `below ${name}`],
    ]),
  ),
};

const ways: [string, string, () => string][] = [
  ['directly', '', () => `http://127.0.0.1:${lab.server.port}`],
  ['behind nginx and a path', noNginx, () => `${isSkipped(nginx) ? '' : nginx.url}/team/ml`],
];

function client(uri: string, options: MlflowClientOptions = {}): MlflowClient {
  return lab.client(0, { trackingUri: uri, ...lab.server.admin, ...options });
}

describe.skipIf(noServer !== '')(`fetchModel where a password is asked ${noServer}`, () => {
  lab.use();

  describe.each(ways)('%s %s', (_, skipped, uri) => {
    const it = test.skipIf(skipped !== '');

    it.each(NAMES)('fetches a model called %j, whole', async (called) => {
      const name = `${called} ${lab.name()}`;
      const { runId } = await lab.seed(FILES, { name, aliases: ['champion'] });
      const cacheDir = lab.folder();
      const ours = client(uri());
      const whole = await ours.fetchModel(`models:/${name}@champion`, { cacheDir });
      expect(whole).toMatchObject({ name, version: '1', stale: false });
      expectFiles(whole.path, FILES);
      const part = await ours.fetchModel(`models:/${name}/1/in ${called}`, { cacheDir });
      expectFiles(part.path, { [`${called}.txt`]: `below ${called}` });
      const file = await ours.fetchModel(`runs:/${runId}/model/${called}`, { cacheDir });
      expect(file.path.endsWith(`/${called}`)).toBe(true);
      expectTidy(cacheDir);
    });

    it('is refused once with a wrong password, and prints none', async () => {
      const { name } = await lab.seed({ 'w.bin': 'w' });
      const cacheDir = lab.folder();
      const seen: unknown[] = [];
      for (const username of ['admin', 'nobody']) {
        const credentials = { username, password: CANARY };
        const stranger = lab.client(0, { trackingUri: uri(), ...credentials });
        for (const type of ['attempt', 'retry', 'exhausted', 'down', 'up'] as const) {
          stranger.policy.on(type, (event) => seen.push(event));
        }
        const error = await failureOf(
          stranger.fetchModel(`models:/${name}/1`, { cacheDir, staleIfError: true }),
        );
        expect(error).toMatchObject({ name: 'MlflowError', status: 401 });
        expect(retryInfo(error)).toMatchObject({ attempts: 1, reason: 'permanent' });
        seen.push(error);
      }
      // Of a token MLflow 3.17 makes an error of its own, which is asked for twice.
      const bearer = lab.client(0, { trackingUri: uri(), token: CANARY });
      const puzzled = await failureOf(bearer.fetchModel(`models:/${name}/1`, { cacheDir }));
      expect([401, 500]).toContain(puzzled.status);
      expect(retryInfo(puzzled)?.attempts).toBeLessThanOrEqual(2);
      seen.push(puzzled);
      expect(modelsIn(cacheDir)).toBe(0);
      const text = inspect(seen, { depth: 12, showHidden: true });
      expect(text).toContain('401');
      for (const secret of [CANARY, `admin:${CANARY}`, `nobody:${CANARY}`]) {
        expect(text).not.toContain(secret);
        expect(text).not.toContain(Buffer.from(secret).toString('base64'));
      }
    });

    it('hands out nothing stale to whom the server refuses', async () => {
      const { name } = await lab.seed({ 'w.bin': 'w' });
      const cacheDir = lab.folder();
      await client(uri()).fetchModel(`models:/${name}/1`, { cacheDir });
      const stranger = client(uri(), { password: CANARY });
      const how = { cacheDir, staleIfError: true };
      const error = await failureOf(stranger.fetchModel(`models:/${name}/1`, how));
      expect(error).toMatchObject({ status: 401 });
    });
  });

  test('asks once for a file that it may not have', async () => {
    const { name } = await lab.seed({ 'w.bin': 'w' });
    const proxy = await lab.proxy();
    const uri = `http://127.0.0.1:${proxy.port}`;
    proxy.answering = (request) => {
      // As if the right had been taken away after the listing.
      if (request.url?.includes('w.bin')) delete request.headers.authorization;
      return false;
    };
    const error = await failureOf(
      client(uri).fetchModel(`models:/${name}/1`, { cacheDir: lab.folder() }),
    );
    expect(error).toMatchObject({ response: { status: 401 } });
    expect(retryInfo(error)).toMatchObject({ attempts: 1, reason: 'permanent' });
    expect(proxy.passed.filter(({ path }) => path.includes('w.bin'))).toHaveLength(1);
    const { username, password } = lab.server.admin ?? { username: '', password: '' };
    const text = inspect(error, { depth: 12, showHidden: true });
    expect(text).not.toContain(password);
    expect(text).not.toContain(Buffer.from(`${username}:${password}`).toString('base64'));
  });
});
