import { AxiosError, AxiosHeaders } from 'axios';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readAnswer } from '../src/answer.js';
import { classifyMlflow, ERROR_CODES, RETRYABLE_ERROR_CODES, TEXTS } from '../src/classify.js';
import { CutAnswerError, MlflowError, SilenceError } from '../src/errors.js';
import recorded from './fixtures/recorded-mlflow.json' with { type: 'json' };

const error = (status: number, body: string, headers: Record<string, string> = {}) =>
  new MlflowError('mlflow.test', readAnswer(status, headers, body));
const coded = (status: number, error_code: string, message = 'x') =>
  error(status, JSON.stringify({ error_code, message }));

const INVALID = { category: 'invalid', transient: false, outcome: 'not-applied' };
const MISSING = { category: 'not-found', transient: false, outcome: 'not-applied' };
const FORBIDDEN = { category: 'auth', transient: false, outcome: 'not-applied' };
const TAKEN = { category: 'conflict', transient: false, outcome: 'not-applied' };
const ILL = { category: 'unavailable', transient: true, outcome: 'unknown' };

/** What each recorded answer means, by its case. */
function expected({ case: name, status, body, type }: (typeof recorded)[number]): object {
  if (/^alias (missing|ok upper case)/.test(name)) return MISSING;
  if (name === 'remote store: missing artifact') return MISSING;
  if (/get-artifact of a proxied run|artifacts\/list of a proxied run/.test(name)) return INVALID;
  if (body.includes('RESOURCE_ALREADY_EXISTS')) return TAKEN;
  if (status === 401 || status === 403) return FORBIDDEN;
  if (status === 404) return type.includes('html') ? INVALID : MISSING;
  if (status === 500) return ILL;
  return INVALID;
}

describe('recorded answers of mlflow 3.17.2', () => {
  it.each(recorded.map((one) => [one.case, one] as const))('recorded: %s', (_, one) => {
    const ours = classifyMlflow(error(one.status, one.body, { 'content-type': one.type }), 'sent');
    expect(ours).toMatchObject(expected(one));
    const theirs = new AxiosError('Request failed', 'ERR_BAD_RESPONSE', undefined, undefined, {
      status: one.status,
      statusText: '',
      headers: { 'content-type': one.type },
      config: { headers: new AxiosHeaders() },
      data: one.body,
    });
    expect(classifyMlflow(theirs, 'sent')).toEqual(ours);
  });
});

/** Those that no test server could be made to answer; `mlflow/exceptions.py` gives their status. */
const BY_SOURCE: readonly [code: string, status: number, object][] = [
  ['TEMPORARILY_UNAVAILABLE', 503, ILL],
  ['WORKSPACE_TEMPORARILY_UNAVAILABLE', 500, ILL],
  ['INTERNAL_ERROR', 500, ILL],
  ['IO_ERROR', 500, ILL],
  ['SERVICE_UNDER_MAINTENANCE', 500, { ...ILL, outcome: 'not-applied' }],
  [
    'REQUEST_LIMIT_EXCEEDED',
    429,
    { category: 'throttled', transient: true, outcome: 'not-applied' },
  ],
  ['RESOURCE_EXHAUSTED', 429, { category: 'resource-exhausted', transient: true }],
  ['DEADLINE_EXCEEDED', 504, { category: 'timeout', transient: true, outcome: 'unknown' }],
  ['ABORTED', 409, { category: 'contention', transient: true, outcome: 'unknown' }],
  ['CANCELLED', 499, { transient: false, outcome: 'unknown' }],
  ['NOT_FOUND', 404, MISSING],
  ['RESOURCE_DOES_NOT_EXIST', 404, MISSING],
  ['RESOURCE_ALREADY_EXISTS', 400, TAKEN],
  ['ALREADY_EXISTS', 409, TAKEN],
  ['RESOURCE_CONFLICT', 409, TAKEN],
  ['ENDPOINT_NOT_FOUND', 404, INVALID],
  ['FEATURE_DISABLED', 500, INVALID],
  ['NOT_IMPLEMENTED', 501, INVALID],
  ['INVALID_PARAMETER_VALUE', 400, INVALID],
  ['BAD_REQUEST', 400, INVALID],
  ['MALFORMED_REQUEST', 400, INVALID],
  ['INVALID_STATE', 500, INVALID],
  ['DATA_LOSS', 500, { category: 'invalid', transient: false, outcome: 'unknown' }],
  ['PERMISSION_DENIED', 403, FORBIDDEN],
  ['UNAUTHENTICATED', 401, FORBIDDEN],
  ['CUSTOMER_UNAUTHORIZED', 401, FORBIDDEN],
];

/** Texts that were measured on the real server and are not among the recorded answers. */
const MEASURED: readonly [text: string, status: number, code: string | undefined, object][] = [
  [
    'QueuePool limit of size 5 overflow 10 reached, connection timed out, timeout 30.00 (Background on this error at: https://sqlalche.me/e/20/3o7r)',
    400,
    'BAD_REQUEST',
    { category: 'unavailable', transient: true, outcome: 'not-applied' },
  ],
  [
    '(sqlite3.IntegrityError) UNIQUE constraint failed: registered_model_aliases.workspace',
    400,
    'BAD_REQUEST',
    { category: 'contention', transient: true, outcome: 'not-applied' },
  ],
  [
    '(sqlite3.OperationalError) database is locked',
    503,
    'TEMPORARILY_UNAVAILABLE',
    { category: 'contention', transient: true, outcome: 'not-applied' },
  ],
  ["[Errno 2] No such file or directory: 'x'", 500, 'INTERNAL_ERROR', MISSING],
  ['Registered model alias nope not found.', 400, 'INVALID_PARAMETER_VALUE', MISSING],
  [
    'Artifact serving is disabled. Run `mlflow server` with `--serve-artifacts` to enable.',
    503,
    undefined,
    INVALID,
  ],
  ['404 Client Error: Not Found for url', 500, 'INTERNAL_ERROR', MISSING],
  ['the tracking URI must be a valid http or https URI', 500, 'INTERNAL_ERROR', INVALID],
  ['Invalid Host header - possible DNS rebinding attack detected', 403, undefined, INVALID],
];

describe('MLflow’s own words', () => {
  it.each(BY_SOURCE)('by the source: %s (%i)', (code, status, meaning) => {
    expect(classifyMlflow(coded(status, code), 'sent')).toMatchObject({ ...meaning, code });
    expect(classifyMlflow(coded(status, code), 'connect').outcome).toBe('not-applied');
  });

  it.each(MEASURED)('measured live: %s', (text, status, code, meaning) => {
    const seen = code === undefined ? error(status, text) : coded(status, code, text);
    expect(classifyMlflow(seen, 'sent')).toMatchObject(meaning);
  });

  it('leave no row without a test', () => {
    expect(BY_SOURCE.map(([code]) => code).sort()).toEqual(Object.keys(ERROR_CODES).sort());
    for (const { text } of TEXTS) {
      expect(MEASURED.filter(([measured]) => text.test(measured)).length).toBeGreaterThan(0);
    }
  });

  it('beat the status, and may be missing, numeric or unknown', () => {
    expect(classifyMlflow(coded(503, 'RESOURCE_DOES_NOT_EXIST'), 'sent')).toMatchObject(MISSING);
    expect(
      classifyMlflow(error(400, '{"error_code": 1000, "message": "x"}'), 'sent'),
    ).toMatchObject(INVALID);
    expect(classifyMlflow(coded(503, 'SOMETHING_NEW'), 'sent')).toMatchObject(ILL);
    expect(
      classifyMlflow(error(502, '<html><title>Bad Gateway</title></html>'), 'sent'),
    ).toMatchObject(ILL);
  });

  it('list what may be repeated', () => {
    expect(RETRYABLE_ERROR_CODES).toContain('TEMPORARILY_UNAVAILABLE');
    expect(RETRYABLE_ERROR_CODES).not.toContain('DATA_LOSS');
  });
});

describe('answers of others', () => {
  it('a page with 200 is a login', () => {
    const page = error(200, '<!doctype html><title>Sign in</title>', {
      'content-type': 'text/html',
    });
    expect(classifyMlflow(page, 'sent')).toMatchObject({ category: 'auth', code: 'HTML' });
    expect(page.message).toContain('Sign in');
  });

  it('Retry-After is read in both forms, against the server’s clock', () => {
    const hint = (value: string, date?: string) =>
      classifyMlflow(error(429, 'slow', { 'retry-after': value, ...(date && { date }) }), 'sent')
        .retryAfterMs;
    expect(hint('7')).toBe(7000);
    expect(hint('Fri, 27 Nov 2020 10:00:30 GMT', 'Fri, 27 Nov 2020 10:00:00 GMT')).toBe(30_000);
    for (const none of ['-5', '1e9', 'soon', '']) expect(hint(none)).toBe(undefined);
    const coming = error(503, JSON.stringify({ error_code: 'TEMPORARILY_UNAVAILABLE' }), {
      'retry-after': '2',
    });
    expect(classifyMlflow(coming, 'sent')).toMatchObject({ transient: true, retryAfterMs: 2000 });
  });

  it.each(['DEPTH_ZERO_SELF_SIGNED_CERT', 'ERR_TLS_CERT_ALTNAME_INVALID', 'CERT_HAS_EXPIRED'])(
    '%s is final, and nothing was sent',
    (code) => {
      const thrown = Object.assign(new Error('certificate'), { code });
      expect(classifyMlflow(thrown, 'connect')).toMatchObject({
        transient: false,
        outcome: 'not-applied',
      });
    },
  );

  it('silence and an answer that was cut may pass', () => {
    expect(classifyMlflow(new SilenceError('mlflow.getRun', 5), 'sent')).toMatchObject({
      category: 'timeout',
      transient: true,
      outcome: 'unknown',
    });
    expect(classifyMlflow(new CutAnswerError('mlflow.getRun'), 'sent')).toMatchObject({
      category: 'network',
      transient: true,
      outcome: 'unknown',
    });
  });

  it('anything that is thrown has an answer', () => {
    const hostile = new Proxy(
      {},
      {
        get() {
          throw new Error('no');
        },
      },
    );
    expect(classifyMlflow(hostile, 'sent').transient).toBeTypeOf('boolean');
    fc.assert(
      fc.property(fc.anything(), (thrown) => {
        expect(classifyMlflow(thrown, 'sent').category).toBeTypeOf('string');
      }),
    );
  });

  it('no more than a sentence of it is kept, without SQL and secrets', () => {
    const long = coded(400, 'BAD_REQUEST', `no ${'x'.repeat(2000)}`);
    expect(long.reason.length).toBeLessThanOrEqual(500);
    const leaky = coded(400, 'BAD_REQUEST', 'failed password=hunter2 [SQL: INSERT INTO x]');
    expect(leaky.message).not.toMatch(/hunter2|INSERT/);
  });
});
