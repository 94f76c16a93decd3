import { inspect } from 'node:util';
import {
  OptionError,
  type PolicyEvent,
  RetryPolicy,
  retryInfo,
  retryOptionsFromEnv,
  retryOptionsFromObject,
} from '@outlast/core-retry';
import { redact } from '@outlast/core-retry/connector';
import { failTimes, ManualClock } from '@outlast/core-retry/testing';
import { describe, expect, it } from 'vitest';
import { rejection } from './helpers.js';

const CANARY = 'c4n4ry-S3cr3t';

describe('what redact takes out', () => {
  it.each([
    ['a URL', `postgres://user:${CANARY}@host:5432/db`, 'postgres://user:***@host:5432/db'],
    ['a URL without user', `redis://:${CANARY}@host/0`, 'redis://:***@host/0'],
    ['a URL whose password holds @ : /', `mysql://u:a@b:c/${CANARY}@h/db`, 'mysql://u:***@h/db'],
    [
      'a URL in a sentence',
      `Cannot reach amqp+ssl://u:${CANARY}@h.`,
      'Cannot reach amqp+ssl://u:***@h.',
    ],
    [
      'a URL whose user holds @',
      `postgres://u@server:${CANARY}@h/db`,
      'postgres://u@server:***@h/db',
    ],
    ['a URL after dots', `see ...redis://:${CANARY}@h`, 'see ...redis://:***@h'],
    ['two URLs', `a://u:${CANARY}@h b://v:${CANARY}@i`, 'a://u:***@h b://v:***@i'],
    ['a query', `https://h/p?X-Amz-Signature=${CANARY}&a=1`, 'https://h/p?X-Amz-Signature=***&a=1'],
    ['a token in a query', `/p?a=1&access_token=${CANARY}#x`, '/p?a=1&access_token=***#x'],
    ['a SAS', `https://h/c?sv=1&sig=${CANARY}`, 'https://h/c?sv=1&sig=***'],
    ['an API key', `/p?api_key=${CANARY}`, '/p?api_key=***'],
    ['a header', `Authorization: Bearer ${CANARY}`, 'Authorization: ***'],
    ['a header in JSON', `{"authorization":"Basic ${CANARY}"}`, '{"authorization":"***"}'],
    ['a cookie', `cookie: session=${CANARY}; b=2`, 'cookie: ***'],
    ['a bearer by itself', `sent Bearer ${CANARY} in vain`, 'sent Bearer *** in vain'],
    ['a DSN', `host=h password=${CANARY} user=u`, 'host=h password=*** user=u'],
    ['a quoted DSN', `password='${CANARY} with spaces' x`, 'password=*** x'],
    ['JSON', `{"password": "${CANARY}", "a": 1}`, '{"password": ***, "a": 1}'],
    ['SQL', `ALTER USER u PASSWORD '${CANARY}'`, "ALTER USER u PASSWORD '***'"],
    ['SQL with a quote', `PASSWORD 'a''${CANARY}'`, "PASSWORD '***'"],
  ])('%s', (_name, text, clean) => {
    expect(redact(text)).toBe(clean);
    expect(redact(text)).not.toContain(CANARY);
  });

  it.each([
    'connect ECONNREFUSED 127.0.0.1:5432',
    'https://example.com:8080/path?page=2',
    'postgres://host/db and user@example.com',
    'pg.query did not finish within its totalTimeoutMs of 500 ms.',
    'relation "tokens" does not exist',
    '',
  ])('it leaves %s as it is', (text) => {
    expect(redact(text)).toBe(text);
  });

  it.each([
    ['one long word', `${'a'.repeat(1e5)}://${':'.repeat(1e5)}`],
    ['URLs without end', 'x://u:'.repeat(3e4)],
    ['URLs without end, after one', `x://u:p@${'x://u:'.repeat(3e4)}`],
    ['signatures', `?${'sig'.repeat(5e4)}`],
    ['parameters', '?key'.repeat(5e4)],
    ['passwords', 'password '.repeat(2e4)],
    ['quotes', `password '${"''".repeat(1e5)}`],
    ['spaces', `authorization${' '.repeat(1e5)}x`],
  ])('is linear: %s', (_name, text) => {
    // A quadratic pattern takes many seconds here, and the test runs into its time limit.
    for (let i = 0; i < 5; i++) redact(text);
    expect(redact(text).length).toBeLessThan(text.length + 10);
  });
});

describe('one canary password', () => {
  const url = `postgres://app:${CANARY}@db.internal/prod`;

  function thrownBy(make: () => unknown): unknown {
    try {
      make();
    } catch (error) {
      return error;
    }
    throw new Error('expected it to throw');
  }

  const refusals: [string, () => unknown][] = [
    ['an option', () => new RetryPolicy({ operation: 5, jitter: url } as object)],
    ['a variable', () => retryOptionsFromEnv(['PG_RETRY'], { PG_RETRY_MAX_ATTEMPTS: url })],
    ['a configuration', () => retryOptionsFromObject({ base_delay: `password=${CANARY}` })],
    ['the name of an option', () => new RetryPolicy({ [url]: 1 } as object)],
    [
      'a message of our own',
      () => {
        throw new OptionError('connectionString', `is ${url}`);
      },
    ],
  ];
  it.each(refusals)('in %s does not reach our error', (_name, make) => {
    const error = thrownBy(make);
    const text = inspect(error, { depth: 12, showHidden: true });
    expect(text).toContain('OptionError');
    expect(text).not.toContain(CANARY);
  });

  it('in the name of an operation does not reach messages', async () => {
    const clock = new ManualClock();
    const policy = new RetryPolicy({ clock, totalTimeoutMs: 10, operation: url });
    const end = rejection(policy.execute(() => new Promise(() => {})));
    await clock.advance(10);
    expect(inspect(await end, { depth: 12, showHidden: true })).not.toContain(CANARY);
  });

  it('in an error stays where it was: marks and events add no text', async () => {
    const clock = new ManualClock();
    const policy = new RetryPolicy({ clock });
    const events: PolicyEvent[] = [];
    for (const type of ['attempt', 'retry', 'exhausted', 'outcomeUnknown'] as const) {
      policy.on(type, (event) => events.push(event));
    }
    const errors = [1, 2, 3].map(() =>
      Object.assign(new Error('lost'), { code: 'ECONNRESET', url }),
    );
    const error = await clock.runUntilSettled(rejection(policy.execute(failTimes(errors, 'v'))));
    const info = retryInfo(error);
    expect(
      inspect({ ...info, failures: info?.failures.map((f) => f.failure) }, { depth: 12 }),
    ).not.toContain(CANARY);
    const told = events.map((event) => ({ ...event, error: undefined, failures: undefined }));
    expect(told).toHaveLength(7);
    expect(inspect(told, { depth: 12, showHidden: true })).not.toContain(CANARY);
  });
});
