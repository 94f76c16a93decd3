import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import {
  isCertificateError,
  isOptionError,
  MlflowClient,
  type MlflowClientOptions,
  retryInfo,
} from '@outlast/mlflow-retry';
import { afterAll, describe, expect, it } from 'vitest';
import { type HttpProxy, startHttpProxy } from '../../faults/index.js';
import { freePort, isSkipped, takeNginx } from '../../servers/index.js';
import { makeCertificate } from '../support/certificate.js';
import { failureOf } from '../support/errors.js';
import { expectFiles, modelsIn, openFetchLab, randomFile } from './fetch-lab.js';

const lab = await openFetchLab();
const FILES = { MLmodel: 'm', 'data/w.bin': randomFile(3_000_000) };

// One certificate for both sides; each is its own authority.
const folder = mkdtempSync(join(tmpdir(), 'outlast-tls-'));
const put = (name: string, text: string): string => {
  const file = join(folder, name);
  writeFileSync(file, text, { mode: 0o600 });
  return file;
};
const certificate = await makeCertificate('127.0.0.1');
const serverCertPath = put('server.pem', certificate.cert);
const key = put('server.key', certificate.key);
const clientCertPath = put('client.pem', `${certificate.cert}\n${certificate.key}\n`);

/** Where a redirect to plain http would lead; nothing may ever arrive there. */
const plain: HttpProxy | undefined = lab.reason
  ? undefined
  : await startHttpProxy({ targetPort: lab.server.port });
const ports = { any: await freePort(), known: await freePort() };
const secured = (port: number, more: string): string => `
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${serverCertPath};
    ssl_certificate_key ${key};
    ${more}
    location /ml/ { proxy_pass http://127.0.0.1:${lab.server.port}/; }`;
const open = await takeNginx(
  plain === undefined
    ? ''
    : secured(
        ports.any,
        `location /away/ { return 302 http://127.0.0.1:${plain.port}$request_uri; }
    location /half/ { proxy_pass http://127.0.0.1:${lab.server.port}/; }
    location /half/api/2.0/mlflow-artifacts/artifacts/ { return 302 http://127.0.0.1:${plain.port}$request_uri; }`,
      ),
);
const strict = await takeNginx(
  plain === undefined
    ? ''
    : secured(ports.known, `ssl_client_certificate ${serverCertPath}; ssl_verify_client on;`),
);
const reason = lab.reason || (isSkipped(open) ? open.skipped : '');

afterAll(async () => {
  for (const gateway of [open, strict]) if (!isSkipped(gateway)) await gateway.dispose();
  await plain?.close();
  rmSync(folder, { recursive: true, force: true });
});

const at = (port: number, path = '/ml'): string => `https://127.0.0.1:${port}${path}`;

function client(trackingUri: string, options: MlflowClientOptions = {}): MlflowClient {
  return lab.client(0, { trackingUri, ...options });
}

/** A client that is told everything by the environment. */
function byEnvironment(variables: Record<string, string>): MlflowClient {
  const before = { ...process.env };
  for (const [name, value] of Object.entries(variables)) {
    process.env[`MLFLOW_TRACKING_${name}`] = value;
  }
  try {
    const made = new MlflowClient();
    lab.later(() => made.close());
    return made;
  } finally {
    for (const name of Object.keys(variables)) {
      delete process.env[`MLFLOW_TRACKING_${name}`];
      const old = before[`MLFLOW_TRACKING_${name}`];
      if (old !== undefined) process.env[`MLFLOW_TRACKING_${name}`] = old;
    }
  }
}

/** Fetches a model that is new, whole, and changes something. */
async function works(ours: MlflowClient): Promise<void> {
  const { name } = await lab.seed(FILES, { aliases: ['champion'] });
  const fetched = await ours.fetchModel(`models:/${name}@champion`, { cacheDir: lab.folder() });
  expectFiles(fetched.path, FILES);
  await ours.setRegisteredModelAlias(name, 'other', 1);
  expect((await ours.getModelVersionByAlias(name, 'other')).version).toBe('1');
  expect(await ours.healthCheck()).toMatchObject({ ok: true });
}

/** Fails to fetch, after one attempt, without anything in the cache. */
async function fails(ours: MlflowClient): Promise<Error & { code?: string; status?: number }> {
  const { name } = await lab.seed({ 'w.bin': 'w' });
  const cacheDir = lab.folder();
  const attempts: unknown[] = [];
  ours.policy.on('attempt', (event) => attempts.push(event));
  const uri = `models:/${name}/1`;
  const error = await failureOf(ours.fetchModel(uri, { cacheDir, staleIfError: true }));
  expect(retryInfo(error)).toMatchObject({ attempts: 1, reason: 'permanent' });
  expect(modelsIn(cacheDir)).toBe(0);
  return error;
}

describe.skipIf(reason !== '')(`MLflow behind https ${reason}`, () => {
  lab.use();

  it('is believed with its authority, by option and by environment', async () => {
    await works(client(at(ports.any), { serverCertPath }));
    await works(byEnvironment({ URI: at(ports.any), SERVER_CERT_PATH: serverCertPath }));
  });

  it('is believed by whoever takes any certificate, by option and by environment', async () => {
    await works(client(at(ports.any), { insecureTls: true }));
    await works(byEnvironment({ URI: at(ports.any), INSECURE_TLS: 'true' }));
  });

  it('is not believed otherwise: one attempt, and the error names the options', async () => {
    const error = await fails(client(at(ports.any)));
    expect(isCertificateError(error)).toBe(true);
    expect(error).toMatchObject({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
    for (const word of [
      `https://127.0.0.1:${ports.any} `,
      'serverCertPath (MLFLOW_TRACKING_SERVER_CERT_PATH)',
      'insecureTls (MLFLOW_TRACKING_INSECURE_TLS)',
    ]) {
      expect(error.message).toContain(word);
    }
    const change = await failureOf(client(at(ports.any)).createRun('0'));
    expect(isCertificateError(change)).toBe(true);
    expect(retryInfo(change)).toMatchObject({ attempts: 1, outcome: 'not-applied' });
    const health = await client(at(ports.any)).healthCheck();
    expect(health).toMatchObject({ ok: false, error: { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' } });
  });

  it('is not believed under a name that its certificate does not bear', async () => {
    const uri = at(ports.any).replace('127.0.0.1', 'localhost');
    const error = await fails(client(uri, { serverCertPath }));
    expect(error).toMatchObject({ code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
    expect(error.message).toContain('trackingUri');
  });

  it('may ask who we are: answered by option and by environment', async () => {
    await works(client(at(ports.known), { serverCertPath, clientCertPath }));
    const variables = { SERVER_CERT_PATH: serverCertPath, CLIENT_CERT_PATH: clientCertPath };
    await works(byEnvironment({ URI: at(ports.known), ...variables }));
  });

  it('refuses whoever does not say who he is: one attempt, and the error names the option', async () => {
    const error = await fails(client(at(ports.known), { serverCertPath }));
    expect(error).toMatchObject({ name: 'MlflowError', status: 400 });
    expect(error.message).toContain('No required SSL certificate was sent');
    expect(error.message).toContain('clientCertPath (MLFLOW_TRACKING_CLIENT_CERT_PATH)');
  });

  it('sends nobody on to plain http, neither calls nor files', async () => {
    const refused = await fails(client(at(ports.any, '/away'), { serverCertPath }));
    expect(refused).toMatchObject({ status: 302 });
    expect(refused.message).toContain('redirected from https to http://127.0.0.1');
    const file = await fails(client(at(ports.any, '/half'), { serverCertPath, token: 'x' }));
    expect(file).toMatchObject({ code: 'OUTLAST_REDIRECT_REFUSED' });
    expect(plain?.passed).toEqual([]);
  });

  it('needs files that hold what they must, and no error shows what they hold', async () => {
    const wrong: [keyof MlflowClientOptions, string][] = [
      ['serverCertPath', join(folder, 'none.pem')],
      ['serverCertPath', folder],
      ['serverCertPath', put('text.pem', 'no certificate')],
      ['serverCertPath', key],
      ['clientCertPath', put('half.pem', certificate.cert)],
      ['clientCertPath', key],
      ['clientCertPath', join(folder, 'text.pem')],
    ];
    for (const [option, path] of wrong) {
      let error: unknown;
      try {
        client(at(ports.any), { [option]: path });
      } catch (thrown) {
        error = thrown;
      }
      expect(isOptionError(error) && error.option, `${option} ${path}`).toBe(option);
      const text = inspect(error, { depth: 12, showHidden: true });
      expect(text).not.toContain(certificate.key.split('\n')[1]);
    }
  });
});
