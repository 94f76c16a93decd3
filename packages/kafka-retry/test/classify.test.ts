import kafkajs from 'kafkajs';
import { describe, expect, it } from 'vitest';
import { classifyKafka, RETRYABLE_CODES } from '../src/classify.js';
import { protocolError } from '../src/errors.js';
import recorded from './fixtures/recorded-errors.json' with { type: 'json' };

const drivers = kafkajs as unknown as Record<string, new (...args: unknown[]) => Error>;

interface Recorded {
  readonly case: string;
  readonly name: string;
  readonly message: string;
  readonly code?: unknown;
  readonly type?: string;
  readonly retriable?: boolean;
  readonly causeChain?: readonly Recorded[];
}

/** An error as it was recorded, causes and all. */
function revive(one: Recorded): Error {
  const [outer, ...inner] = [one, ...(one.causeChain ?? [])].map((link) => {
    const error = link.name === 'TypeError' ? new TypeError(link.message) : new Error(link.message);
    const { code, type, retriable } = link;
    Object.defineProperty(error, 'name', { value: link.name, configurable: true });
    return Object.assign(error, { code, type, retriable });
  }) as unknown as [Error, ...Error[]];
  let last = outer;
  for (const cause of inner) {
    Object.assign(last, { cause });
    last = cause;
  }
  return outer;
}

describe('recorded errors', () => {
  it.each((recorded as Recorded[]).map((one) => [`${one.case}: ${one.message.slice(0, 60)}`, one]))(
    '%s',
    (_, one) => {
      const failure = classifyKafka(revive(one), 'sent');
      const deepest = one.causeChain?.at(-1) ?? one;
      const { message, code } = deepest;
      if (/ECONNREFUSED|ENOTFOUND|Connection timeout/.test(message)) {
        expect(failure).toMatchObject({ transient: true, outcome: 'not-applied' });
      } else if (/read ECONNRESET|Closed connection|timed out|reading 'connect'/.test(message)) {
        expect(failure).toMatchObject({ transient: true, outcome: 'unknown' });
      } else if (typeof code === 'string' && code.startsWith('ERR_SSL')) {
        expect(failure).toMatchObject({ category: 'auth', transient: false });
      } else if (typeof code === 'number') {
        expect(failure).toMatchObject({
          code: `${code}`,
          transient: RETRYABLE_CODES.includes(code),
        });
      } else {
        expect(failure.category).not.toBe(undefined);
      }
      expect(classifyKafka(revive(one), 'connect').outcome).toBe('not-applied');
    },
  );
});

describe('codes of brokers', () => {
  it.each([3, 5, 6, 7, 9, 13, 20, 56, 72, 74, 75])('%i may come after an append', (code) => {
    expect(classifyKafka(protocolError(code), 'sent')).toMatchObject({
      transient: true,
      outcome: 'unknown',
      code: `${code}`,
    });
  });

  it.each([14, 15, 16, 19, 41, 89])('%i is transient, and nothing was done', (code) => {
    expect(classifyKafka({ name: 'KafkaJSProtocolError', code }, 'sent')).toMatchObject({
      transient: true,
      outcome: 'not-applied',
    });
  });

  it.each([10, 17, 18, 29, 30, 31, 53, 58, 87])('%i is final, and nothing was done', (code) => {
    expect(classifyKafka(protocolError(code), 'sent')).toMatchObject({
      transient: false,
      outcome: 'not-applied',
    });
  });

  it.each([45, 47, 59])('%i is final, and nobody knows', (code) => {
    expect(classifyKafka(protocolError(code), 'sent')).toMatchObject({
      transient: false,
      outcome: 'unknown',
    });
  });

  it('agree with kafkajs on what may be retried, where it knows them', () => {
    const theirs = (code: number) => (protocolError(code) as { retriable?: boolean }).retriable;
    for (const code of RETRYABLE_CODES) {
      const known = protocolError(code).type !== 'KAFKAJS_UNKNOWN_ERROR_CODE';
      // -1 and 8 and 11 are transient whatever kafkajs says; 22, 25 and 27 mean to join again; 51 waits.
      if (known && ![-1, 8, 11, 22, 25, 27, 51].includes(code)) {
        expect([code, theirs(code)]).toEqual([code, true]);
      }
    }
  });

  it('are read from the text where kafkajs does not know them', () => {
    expect(classifyKafka(protocolError(89), 'sent')).toMatchObject({ category: 'throttled' });
    const unknown = Object.assign(new Error('Unknown error code 89'), {
      name: 'KafkaJSProtocolError',
      code: -99,
    });
    expect(classifyKafka(unknown, 'sent')).toMatchObject({ category: 'throttled', code: '89' });
  });
});

describe('kafkajs’ own errors', () => {
  it.each([
    ['KafkaJSSASLAuthenticationError', false],
    ['KafkaJSNotImplemented', false],
    ['KafkaJSNonRetriableError', false],
    ['KafkaJSNoBrokerAvailableError', true],
    ['KafkaJSBrokerNotFound', true],
    ['KafkaJSGroupCoordinatorNotFound', true],
    ['KafkaJSLockTimeout', true],
    ['KafkaJSMetadataNotLoaded', true],
    ['KafkaJSConnectionClosedError', true],
    ['KafkaJSError', true],
  ])('%s: transient %s', (name, transient) => {
    const error = new (drivers[name] as (typeof drivers)[string])('x', {});
    expect(classifyKafka(error, 'sent').transient).toBe(transient);
  });

  it.each([
    ['SASL PLAIN authentication failed: Connection error: read ECONNRESET', 'network', true],
    ['SASL PLAIN authentication failed: Connection error: write ECONNRESET', 'network', true],
    ['SASL SCRAM SHA256 authentication failed: Closed connection', 'network', true],
    [
      'SASL PLAIN authentication failed: Authentication failed: Invalid username or password',
      'auth',
      false,
    ],
  ])(
    'a connection that is lost while it authenticates is no refusal: %s',
    (text, category, transient) => {
      const error = new (drivers['KafkaJSSASLAuthenticationError'] as (typeof drivers)[string])(
        text,
        {},
      );
      expect(classifyKafka(error, 'sent')).toMatchObject({
        category,
        transient,
        outcome: 'not-applied',
      });
    },
  );

  it('that hold several are as good as the worst of them', () => {
    const fatal = protocolError(38);
    const soft = protocolError(7);
    const of = (...errors: Error[]) =>
      classifyKafka(
        new (drivers['KafkaJSAggregateError'] as (typeof drivers)[string])('x', errors),
        'sent',
      );
    expect(of(soft).transient).toBe(true);
    expect(of(soft, fatal)).toMatchObject({ transient: false, outcome: 'unknown' });
  });

  it('and anything else that may be thrown have an answer', () => {
    const hostile = new Proxy(
      {},
      {
        get: () => {
          throw new Error('no');
        },
      },
    );
    for (const thrown of [undefined, null, 0, 'x', Symbol('x'), {}, [], () => {}, hostile]) {
      expect(classifyKafka(thrown, 'sent').category).toBeTypeOf('string');
    }
    expect(classifyKafka(new RangeError('x'), 'sent')).toMatchObject({ transient: false });
    const circle = Object.assign(new Error('x'), { name: 'KafkaJSError' });
    Object.assign(circle, { cause: circle });
    expect(classifyKafka(circle, 'sent').category).toBeTypeOf('string');
  });
});
