import { inspect } from 'node:util';
import { AxiosError, AxiosHeaders, type InternalAxiosRequestConfig } from 'axios';
import { describe, expect, it } from 'vitest';
import { cleanUrl, hideSecrets, originalConfig } from '../src/secrets.js';

const CANARY = 'c4nary';

const config = (): InternalAxiosRequestConfig =>
  ({
    url: `https://u:${CANARY}@a.example/f?X-Amz-Signature=${CANARY}&page=2`,
    baseURL: `https://${CANARY}@a.example`,
    params: { token: CANARY, page: 2 },
    headers: new AxiosHeaders({
      Authorization: `Bearer ${CANARY}`,
      'x-api-key': CANARY,
      'X-Vault-Token': CANARY,
      Cookie: CANARY,
      'Idempotency-Key': 'order-7',
    }),
    auth: { username: CANARY, password: CANARY },
    proxy: { host: 'p', port: 1, auth: { username: 'u', password: CANARY } },
    data: JSON.stringify({ user: 'ada', password: CANARY }),
    httpAgent: { options: { passphrase: CANARY } },
  }) as never;

describe('what surfaces', () => {
  it('is the same error, without a secret wherever one looks', () => {
    const request = {
      _header: `GET / HTTP/1.1\r\nauthorization: ${CANARY}`,
      method: 'GET',
      host: 'a.example',
    };
    const given = config();
    const response = {
      status: 401,
      statusText: '',
      headers: new AxiosHeaders({ 'set-cookie': CANARY, 'content-type': 'text/plain' }),
      config: given,
      request,
      data: 'no',
    };
    const error = new AxiosError(
      `GET ${given.url} failed`,
      'ERR_BAD_REQUEST',
      given,
      request,
      response,
    );
    Object.assign(error, { cause: new Error(`at ${given.url}`) });
    hideSecrets(error);
    expect(inspect(error, { depth: 12, showHidden: true })).not.toContain(CANARY);
    expect(JSON.stringify(error)).not.toContain(CANARY);
    expect(error).toMatchObject({
      code: 'ERR_BAD_REQUEST',
      response: { status: 401 },
      request: { method: 'GET', host: 'a.example' },
    });
    expect(error.config?.headers.get('authorization')).toBe('***');
    expect(error.config?.headers.get('idempotency-key')).toBe('order-7');
    expect(error.config?.params).toEqual({ token: '***', page: 2 });
    expect(error.response?.config).toBe(error.config);
    expect(error.response?.data).toBe('no');
  });

  it('can be sent again as it was, and the config of the caller is untouched', () => {
    const given = config();
    const error = new AxiosError('no', 'X', given);
    hideSecrets(error);
    expect(originalConfig(error.config as object)).toBe(given);
    expect(given.auth).toEqual({ username: CANARY, password: CANARY });
    expect(originalConfig(given)).toBe(given);
  });

  it('may be frozen, hostile, or no error at all', () => {
    const hostile = new Proxy(new Error('x'), {
      get: () => {
        throw new Error('no');
      },
    });
    for (const it of [
      Object.freeze(new AxiosError('no', 'X', config())),
      'text',
      null,
      undefined,
    ]) {
      expect(() => hideSecrets(it)).not.toThrow();
    }
    expect(() => hideSecrets(hostile)).not.toThrow();
  });
});

it.each([
  ['https://token@a.example/x', 'https://***@a.example/x'],
  ['https://u:p@a.example/x?sig=1&page=2', 'https://***@a.example/x?sig=***&page=2'],
  ['plain text with an @ in it', 'plain text with an @ in it'],
])('cleans %s', (text, clean) => {
  expect(cleanUrl(text)).toBe(clean);
});
