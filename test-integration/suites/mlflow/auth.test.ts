import { inspect } from 'node:util';
import { MlflowClient, retryInfo } from '@outlast/mlflow-retry';
import { describe, expect, it } from 'vitest';
import { failureOf } from '../support/errors.js';
import { openMlflowLab } from '../support/mlflow-lab.js';

const lab = await openMlflowLab({ auth: true });
const CANARY = 'c4n4ry-Passw0rd';

describe.skipIf(lab.reason !== '')(`a server that asks who we are ${lab.reason}`, () => {
  lab.use();

  it('is answered by options, by the URL, and by the environment', async () => {
    const client = lab.client();
    const name = lab.name('model');
    await client.createRegisteredModel(name);
    const { username, password } = lab.server.admin ?? { username: '', password: '' };
    const trackingUri = `http://${username}:${password}@127.0.0.1:${lab.proxy.port}`;
    const byUrl = lab.client({ trackingUri });
    expect((await byUrl.getRegisteredModel(name)).name).toBe(name);
    expect(byUrl.trackingUri).toBe(`http://127.0.0.1:${lab.proxy.port}`);
    process.env['MLFLOW_TRACKING_URI'] = `http://127.0.0.1:${lab.proxy.port}`;
    process.env['MLFLOW_TRACKING_USERNAME'] = username;
    process.env['MLFLOW_TRACKING_PASSWORD'] = password;
    try {
      await using byEnvironment = new MlflowClient();
      expect((await byEnvironment.getRegisteredModel(name)).name).toBe(name);
    } finally {
      for (const variable of ['URI', 'USERNAME', 'PASSWORD']) {
        delete process.env[`MLFLOW_TRACKING_${variable}`];
      }
    }
  });

  it('refuses a stranger once, and whoever may only read', async () => {
    const stranger = await failureOf(lab.client({ password: 'wrong' }).getRegisteredModel('x'));
    expect(stranger).toMatchObject({ status: 401 });
    expect(retryInfo(stranger)).toMatchObject({ attempts: 1, reason: 'permanent' });
    const user = { username: 'bob', password: 'bob-password-1234' };
    await lab.server.json('users/create', { method: 'POST', body: user });
    const name = lab.name('of the administrator');
    await lab.client().createRegisteredModel(name);
    const bob = lab.client(user);
    expect((await bob.getRegisteredModel(name)).name).toBe(name);
    const refused = await failureOf(bob.setRegisteredModelAlias(name, 'x', 1));
    expect(refused).toMatchObject({ status: 403, reason: 'Permission denied' });
    expect(retryInfo(refused)?.attempts).toBe(1);
  });

  it('is told nothing more than it must be: no password is printed, whatever happens', async () => {
    const printed: unknown[] = [];
    const log = (line: unknown, more: unknown): void => {
      printed.push(line, more);
    };
    const client = lab.client({
      username: 'admin',
      password: CANARY,
      headers: { 'x-api-key': CANARY },
      retry: { waitMs: 300, logger: { info: log, warn: log, error: log } },
    });
    for (const type of ['attempt', 'retry', 'exhausted', 'down', 'up'] as const) {
      client.policy.on(type, (event) => printed.push(event));
    }
    printed.push(await failureOf(client.getRegisteredModel('x')));
    lab.proxy.refuse();
    lab.proxy.cutAll();
    printed.push(await failureOf(client.createRun('0')));
    printed.push(
      await client.healthCheck(),
      client.trackingUri,
      await client.serverInfo().catch(String),
    );
    const text = inspect(printed, { depth: 12, showHidden: true });
    expect(text).toContain('401');
    expect(text).not.toContain(CANARY);
    expect(text).not.toContain(Buffer.from(`admin:${CANARY}`).toString('base64'));
  });
});
