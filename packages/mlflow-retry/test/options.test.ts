import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isOptionError, type OptionError } from '@outlast/core-retry';
import { afterAll, describe, expect, it } from 'vitest';
import { clientSettings, type MlflowClientOptions } from '../src/options.js';

const home = mkdtempSync(join(tmpdir(), 'outlast-home-'));
mkdirSync(join(home, '.mlflow'));
writeFileSync(
  join(home, '.mlflow', 'credentials'),
  '[other]\nmlflow_tracking_username = x\n[mlflow]\nmlflow_tracking_username = file user\nmlflow_tracking_password = file=pass\n\n[more]\nmlflow_tracking_password = y\n',
);
afterAll(() => rmSync(home, { recursive: true }));

const URI = { MLFLOW_TRACKING_URI: 'http://env:5000' };
const NO_HOME = { HOME: join(home, 'nobody') };
const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;
const authorizationOf = (options: MlflowClientOptions, env: Record<string, string>) =>
  clientSettings(options, { ...URI, ...NO_HOME, ...env }).headers['authorization'];

function refusal(options: object, env: Record<string, string> = {}): OptionError {
  try {
    clientSettings(options as MlflowClientOptions, { ...NO_HOME, ...env });
  } catch (error) {
    if (isOptionError(error)) return error;
    throw error;
  }
  return expect.fail('It was accepted.');
}

describe('where the server is', () => {
  it('is said by code, then by the environment', () => {
    const env = { ...URI, ...NO_HOME };
    expect(clientSettings({}, env).address.origin).toBe('http://env:5000');
    const { address } = clientSettings({ trackingUri: 'https://code/mlf/' }, env);
    expect(address).toMatchObject({ origin: 'https://code', prefix: '/mlf' });
  });

  it.each([
    [{}, 'trackingUri'],
    [{ trackingUri: 'mlruns' }, 'trackingUri'],
    [{ trackingUri: 'sqlite:///x.db' }, 'trackingUri'],
    [{ trackingUri: 'databricks://profile' }, 'trackingUri'],
    [{ trackingUri: 'http://h/?a=1' }, 'trackingUri'],
    [{ trackingUri: 5 }, 'trackingUri'],
  ])('must be a URL: %j', (options, name) => {
    const error = refusal(options);
    expect(error.option).toBe(name);
    expect(error.message).toContain("'http://127.0.0.1:5000'");
  });

  it('shows no password of a bad one', () => {
    const { message } = refusal({ trackingUri: 'ftp://me:hunter2@host/' });
    expect(message).not.toContain('hunter2');
    const ofVariable = refusal({}, { MLFLOW_TRACKING_URI: 'nonsense' });
    expect(ofVariable.option).toBe('MLFLOW_TRACKING_URI');
  });
});

describe('who we are', () => {
  it('code over environment over file; within each, a name wins over a token', () => {
    const named = { MLFLOW_TRACKING_USERNAME: 'env', MLFLOW_TRACKING_PASSWORD: 'pass' };
    const token = { MLFLOW_TRACKING_TOKEN: 'env-token' };
    expect(authorizationOf({}, {})).toBe(undefined);
    expect(authorizationOf({}, { HOME: home })).toBe(basic('file user:file=pass'));
    expect(authorizationOf({}, { HOME: home, ...token })).toBe('Bearer env-token');
    expect(authorizationOf({}, { ...named, ...token })).toBe(basic('env:pass'));
    expect(authorizationOf({ token: 'code' }, { ...named })).toBe('Bearer code');
    const code = { username: 'code', password: 'p', token: 't' };
    expect(authorizationOf(code, named)).toBe(basic('code:p'));
  });

  it('the missing half of a pair is looked for further down', () => {
    expect(authorizationOf({ username: 'me' }, { MLFLOW_TRACKING_PASSWORD: 'p' })).toBe(
      basic('me:p'),
    );
    expect(authorizationOf({}, { MLFLOW_TRACKING_USERNAME: 'me', HOME: home })).toBe(
      basic('me:file=pass'),
    );
    expect(refusal({ ...uri(), username: 'me' }).message).toContain('no password');
  });

  it('a password in code is not forgotten because the name stands elsewhere', () => {
    const named = { MLFLOW_TRACKING_USERNAME: 'env', MLFLOW_TRACKING_PASSWORD: 'pass' };
    expect(authorizationOf({ password: 'code' }, named)).toBe(basic('env:code'));
    expect(authorizationOf({ password: 'code' }, { HOME: home })).toBe(basic('file user:code'));
  });

  it('a name in the URL counts where the URL was given', () => {
    const inCode = { trackingUri: 'http://u%40x:p%2Fw@code' };
    expect(authorizationOf(inCode, { MLFLOW_TRACKING_USERNAME: 'env' })).toBe(basic('u@x:p/w'));
    const inEnv = { MLFLOW_TRACKING_URI: 'http://u:p@env' };
    expect(authorizationOf({}, inEnv)).toBe(basic('u:p'));
    expect(authorizationOf({ token: 't' }, inEnv)).toBe('Bearer t');
  });

  it('no secret is shown of what cannot be sent', () => {
    const { message } = refusal({ ...uri(), token: 'hunter2\nx' });
    expect(message).not.toContain('hunter2');
    expect(refusal({ ...uri(), password: 5 }).option).toBe('password');
  });
});

describe('retries', () => {
  const settingsOf = (env: Record<string, string>, options: MlflowClientOptions = {}) =>
    clientSettings({ ...uri(), ...options }, { ...NO_HOME, ...env });

  it('have the defaults of the seeds', () => {
    expect(settingsOf({}).policy.settings).toMatchObject({
      maxAttempts: 3,
      baseDelayMs: 2000,
      maxDelayMs: 30_000,
      idempotent: false,
    });
    expect(settingsOf({})).toMatchObject({ waitMs: 30_000, timeoutMs: 120_000, maxConcurrent: 15 });
  });

  it('are read from MLFLOW_RETRY_…, as the seed has them', () => {
    const env = {
      MLFLOW_RETRY_MAX_ATTEMPTS: '4',
      MLFLOW_RETRY_BASE_DELAY: '1.5',
      MLFLOW_RETRY_MAX_DELAY: '20',
    };
    const { settings } = settingsOf(env).policy;
    expect(settings).toMatchObject({ maxAttempts: 4, baseDelayMs: 1500, maxDelayMs: 20_000 });
  });

  it('are read from MLflow’s own variables, which ours win over', () => {
    const theirs = {
      MLFLOW_HTTP_REQUEST_MAX_RETRIES: '7',
      MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR: '4',
      MLFLOW_HTTP_REQUEST_BACKOFF_JITTER: '1',
      MLFLOW_HTTP_REQUEST_TIMEOUT: '10',
    };
    const found = settingsOf(theirs);
    expect(found.policy.settings).toMatchObject({
      maxAttempts: 8,
      baseDelayMs: 4000,
      jitter: 0.25,
    });
    expect(found.timeoutMs).toBe(10_000);
    expect(settingsOf({ ...theirs, MLFLOW_RETRY_MAX_ATTEMPTS: '2' }).policy.settings).toMatchObject(
      { maxAttempts: 2 },
    );
    expect(settingsOf({ MLFLOW_HTTP_REQUEST_MAX_RETRIES: '0' })).toMatchObject({ waitMs: 0 });
    const inCode = { retry: { maxAttempts: 5 }, timeoutMs: 7 };
    expect(settingsOf(theirs, inCode).policy.settings.maxAttempts).toBe(5);
    expect(settingsOf(theirs, inCode).timeoutMs).toBe(7);
  });

  it.each([
    ['MLFLOW_HTTP_REQUEST_MAX_RETRIES', '1.5'],
    ['MLFLOW_HTTP_REQUEST_MAX_RETRIES', 'many'],
    ['MLFLOW_HTTP_REQUEST_TIMEOUT', '-1'],
    ['MLFLOW_RETRY_BASE_DELAY', '2s'],
    ['MLFLOW_TRACKING_INSECURE_TLS', 'maybe'],
  ])('%s=%s stops construction', (name, value) => {
    expect(refusal(uri(), { [name]: value }).option).toBe(name);
  });
});

describe('the rest', () => {
  it.each([null, 'http://127.0.0.1:5000', 7])('%j is no object of options', (options) => {
    expect(refusal(options as never).option).toBe('options');
  });

  it.each([
    [{ timeoutMs: 0 }, 'timeoutMs'],
    [{ maxConcurrent: 0 }, 'maxConcurrent'],
    [{ retries: 3 }, 'retries'],
    [{ trackingURI: 'http://x' }, 'trackingURI'],
    [{ headers: { 'a b': 'x' } }, 'headers'],
    [{ headers: { a: 'x\r\ny' } }, 'headers'],
    [{ insecureTls: 'yes' }, 'insecureTls'],
    [{ retry: { maxAttempts: 0 } }, 'retry.maxAttempts'],
  ])('%j is refused, and named', (options, name) => {
    expect(refusal({ ...uri(), ...options }).option).toBe(name);
  });

  it('comes from the environment: TLS, workspace', () => {
    const env = {
      ...URI,
      ...NO_HOME,
      MLFLOW_TRACKING_INSECURE_TLS: 'true',
      MLFLOW_TRACKING_SERVER_CERT_PATH: '/ca.pem',
      MLFLOW_TRACKING_CLIENT_CERT_PATH: '/me.pem',
      MLFLOW_WORKSPACE: 'team',
    };
    expect(clientSettings({}, env)).toMatchObject({
      tls: { insecureTls: true, serverCertPath: '/ca.pem', clientCertPath: '/me.pem' },
      headers: { 'x-mlflow-workspace': 'team' },
    });
  });
});

function uri(): MlflowClientOptions {
  return { trackingUri: 'http://127.0.0.1:1' };
}
