import { classifyError } from '@outlast/core-retry';
import { AxiosError, AxiosHeaders } from 'axios';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { classifyHttp, RETRYABLE_ERROR_CODES, RETRYABLE_STATUSES } from '../src/classify.js';

const refused = (status: number, headers: Record<string, string> = {}): AxiosError =>
  new AxiosError(
    'no',
    status < 500 ? 'ERR_BAD_REQUEST' : 'ERR_BAD_RESPONSE',
    undefined,
    undefined,
    {
      status,
      statusText: '',
      data: '',
      headers: new AxiosHeaders(headers),
      config: { headers: new AxiosHeaders() },
    },
  );

/** As Node puts OpenSSL's words into a message. */
const tls = (code: string, said: string) => ({
  code,
  message: `write ${code} 80CC:error:0A000410:SSL routines:${said}:../deps/openssl/record.c:1601:`,
});

describe('statuses', () => {
  it.each([
    [400, 'invalid', false, 'not-applied'],
    [401, 'auth', false, 'not-applied'],
    [403, 'auth', false, 'not-applied'],
    [404, 'not-found', false, 'not-applied'],
    [408, 'timeout', true, 'unknown'],
    [409, 'conflict', false, 'not-applied'],
    [413, 'invalid', false, 'not-applied'],
    [425, 'unavailable', true, 'unknown'],
    [429, 'throttled', true, 'not-applied'],
    [500, 'unavailable', true, 'unknown'],
    [501, 'invalid', false, 'not-applied'],
    [502, 'unavailable', true, 'unknown'],
    [503, 'unavailable', true, 'unknown'],
    [504, 'timeout', true, 'unknown'],
    [520, 'unavailable', true, 'unknown'],
    [507, 'invalid', false, 'unknown'],
    [303, 'invalid', false, 'unknown'],
  ])('%i is %s, transient: %s, %s', (status, category, transient, outcome) => {
    const failure = classifyHttp(refused(status), 'sent');
    expect(failure).toEqual({ category, transient, outcome, code: String(status) });
  });

  it('reads a status off fetch, undici and got alike', () => {
    for (const error of [{ status: 503 }, { statusCode: 503 }, { response: { statusCode: 503 } }]) {
      expect(classifyHttp(error, 'sent').code).toBe('503');
    }
  });

  it('lists those that may pass', () => {
    for (const status of [408, 425, 429, 500, 502, 503, 504])
      expect(RETRYABLE_STATUSES).toContain(status);
    expect(RETRYABLE_STATUSES).not.toContain(501);
  });
});

describe('Retry-After', () => {
  const DATE = 'Sun, 06 Nov 1994 08:49:37 GMT';

  it.each([
    ['2', 2000],
    ['0.5', 500],
    ['Sun, 06 Nov 1994 08:49:40 GMT', 3000],
    ['Sun, 06 Nov 1994 08:49:00 GMT', 0],
  ])('%s is %i ms, against the clock of the server', (value, ms) => {
    const failure = classifyHttp(refused(429, { 'retry-after': value, date: DATE }), 'sent');
    expect(failure.retryAfterMs).toBe(ms);
  });

  it.each(['-5', '1e9', 'soon', ''])('%s is no hint', (value) => {
    expect(classifyHttp(refused(429, { 'retry-after': value }), 'sent')).not.toHaveProperty(
      'retryAfterMs',
    );
  });

  it('makes a 503 a refusal at the door, and a 413 one that may pass', () => {
    expect(classifyHttp(refused(503, { 'retry-after': '1' }), 'sent').outcome).toBe('not-applied');
    expect(classifyHttp(refused(413, { 'retry-after': '1' }), 'sent').transient).toBe(true);
  });

  it('is read off the headers of fetch and of a plain object', () => {
    const headers = { 'retry-after': '3' };
    expect(
      classifyHttp({ response: { status: 429, headers: new Headers(headers) } }, 'sent')
        .retryAfterMs,
    ).toBe(3000);
    expect(classifyHttp({ statusCode: 429, headers }, 'sent').retryAfterMs).toBe(3000);
  });
});

describe('codes', () => {
  const axiosError = (message: string, code: string) => new AxiosError(message, code);
  const behind = (cause: object) => Object.assign(new TypeError('fetch failed'), { cause });

  it.each([
    ['refused', { code: 'ECONNREFUSED' }, 'network', true, 'not-applied'],
    ['no such host', { code: 'ENOTFOUND' }, 'network', true, 'not-applied'],
    ['reset', axiosError('read ECONNRESET', 'ECONNRESET'), 'network', true, 'unknown'],
    [
      'reset in the handshake',
      axiosError(
        'Client network socket disconnected before secure TLS connection was established',
        'ECONNRESET',
      ),
      'network',
      true,
      'not-applied',
    ],
    [
      'timeout of axios',
      axiosError('timeout of 5ms exceeded', 'ECONNABORTED'),
      'timeout',
      true,
      'unknown',
    ],
    [
      'cut body',
      axiosError('stream has been aborted', 'ERR_BAD_RESPONSE'),
      'network',
      true,
      'unknown',
    ],
    [
      'a cut body, in the words of axios 1.7',
      axiosError('maxContentLength size of -1 exceeded', 'ERR_BAD_RESPONSE'),
      'network',
      true,
      'unknown',
    ],
    [
      'body too long',
      axiosError('maxContentLength size of 1 exceeded', 'ERR_BAD_RESPONSE'),
      'invalid',
      false,
      'unknown',
    ],
    [
      'scheme',
      axiosError('Unsupported protocol s3:', 'ERR_BAD_REQUEST'),
      'invalid',
      false,
      'not-applied',
    ],
    ['redirect loop', { code: 'ERR_FR_TOO_MANY_REDIRECTS' }, 'invalid', false, 'unknown'],
    ['bad header', { code: 'HPE_INVALID_HEADER_TOKEN' }, 'invalid', false, 'unknown'],
    ['self-signed', { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' }, 'invalid', false, 'not-applied'],
    ['expired', { code: 'CERT_HAS_EXPIRED' }, 'invalid', false, 'not-applied'],
    [
      'TLS to a plain port',
      tls('EPROTO', 'ssl3_get_record:wrong version number'),
      'invalid',
      false,
      'not-applied',
    ],
    [
      'TLS: no client certificate, 1.3',
      { code: 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED' },
      'auth',
      false,
      'not-applied',
    ],
    [
      'TLS: no client certificate, 1.2',
      tls('EPROTO', 'ssl3_read_bytes:sslv3 alert handshake failure'),
      'invalid',
      false,
      'not-applied',
    ],
    [
      'TLS: an unknown authority',
      { code: 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA' },
      'auth',
      false,
      'not-applied',
    ],
    [
      'TLS: a bit that flipped',
      { code: 'ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC' },
      'network',
      true,
      'unknown',
    ],
    [
      'TLS: a bit that flipped on the way there',
      { code: 'ERR_SSL_SSLV3_ALERT_BAD_RECORD_MAC' },
      'network',
      true,
      'unknown',
    ],
    [
      'TLS: a bit that flipped, as a write sees it',
      tls('EPROTO', 'ossl_gcm_stream_update:cipher operation failed'),
      'network',
      true,
      'unknown',
    ],
    ['TLS: anything else', { code: 'ERR_SSL_UNEXPECTED_MESSAGE' }, 'invalid', false, 'unknown'],
    ['a key that does not open', { code: 'ERR_OSSL_UNSUPPORTED' }, 'invalid', false, 'not-applied'],
    ['cancelled', { code: 'ERR_CANCELED' }, 'cancelled', false, 'unknown'],
    ['bad gzip', { code: 'Z_DATA_ERROR' }, 'network', true, 'unknown'],
    ['fetch, refused', behind({ code: 'ECONNREFUSED' }), 'network', true, 'not-applied'],
    ['fetch, cut', behind({ code: 'UND_ERR_SOCKET' }), 'network', true, 'unknown'],
    ['fetch, body cut', new TypeError('terminated'), 'network', true, 'unknown'],
    [
      'fetch, headers late',
      behind({ code: 'UND_ERR_HEADERS_TIMEOUT' }),
      'timeout',
      true,
      'unknown',
    ],
    ['AbortSignal.timeout', new DOMException('x', 'TimeoutError'), 'timeout', true, 'unknown'],
    ['AbortController', new DOMException('x', 'AbortError'), 'cancelled', false, 'unknown'],
    ['a bug', new TypeError('x is undefined'), 'invalid', false, 'unknown'],
  ])('%s', (_, error, category, transient, outcome) => {
    expect(classifyHttp(error, 'sent')).toMatchObject({ category, transient, outcome });
  });

  it('takes axios’ fetch adapter through two causes', () => {
    const error = Object.assign(axiosError('Network Error', 'ERR_NETWORK'), {
      cause: behind({ code: 'ECONNREFUSED' }),
    });
    expect(classifyHttp(error, 'sent')).toMatchObject({
      outcome: 'not-applied',
      code: 'ECONNREFUSED',
    });
  });

  it('knows that nothing was applied before anything was sent', () => {
    for (const code of RETRYABLE_ERROR_CODES) {
      expect(classifyHttp({ code, message: 'timeout' }, 'connect')).toMatchObject({
        transient: true,
        outcome: 'not-applied',
      });
    }
  });
});

it('answers for any value, and never throws', () => {
  const hostile = new Proxy(
    {},
    {
      get: () => {
        throw new Error('no');
      },
    },
  );
  for (const value of [null, undefined, 'x', 7, hostile])
    expect(() => classifyHttp(value, 'sent')).not.toThrow();
  fc.assert(
    fc.property(fc.anything(), (value) => {
      expect(typeof classifyHttp(value, 'sent').transient).toBe('boolean');
    }),
  );
});

it('reads what it does not know as a bare policy does', () => {
  const error = new Error('whatever');
  expect(classifyHttp(error, 'sent')).toEqual(classifyError(error, 'sent'));
});
