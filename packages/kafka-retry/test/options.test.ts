import { isOptionError } from '@outlast/core-retry';
import { logLevel } from 'kafkajs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Kafka } from '../src/kafka.js';
import { clientSettings, kafkaRetry, producerSettings } from '../src/options.js';
import { narrowRetry, theirWords, translate } from '../src/vocabulary.js';

afterEach(() => vi.unstubAllEnvs());

const brokers = ['127.0.0.1:1'];

describe('the two vocabularies', () => {
  it('say the same: kafkajs’ words in ours, and ours in kafkajs’', () => {
    const theirs = {
      retries: 4,
      initialRetryTime: 100,
      maxRetryTime: 2000,
      factor: 0.2,
      multiplier: 3,
    };
    const ours = {
      maxAttempts: 5,
      baseDelayMs: 100,
      maxDelayMs: 2000,
      jitter: 0.2,
      backoffFactor: 3,
    };
    expect(translate(theirs)).toEqual({ own: ours, driver: theirs });
    expect(translate(ours)).toEqual({ own: ours, driver: theirs });
  });

  it('may be mixed, but not for one value', () => {
    expect(translate({ retries: 1, baseDelayMs: 50, waitMs: 5 })).toEqual({
      own: { maxAttempts: 2, baseDelayMs: 50, waitMs: 5 },
      driver: { retries: 1, initialRetryTime: 50 },
    });
    for (const both of [
      { retries: 1, maxAttempts: 2 },
      { initialRetryTime: 1, baseDelayMs: 2 },
      { maxRetryTime: 1, maxDelayMs: 2 },
      { factor: 0.1, jitter: 0.1 },
      { multiplier: 2, backoffFactor: 2 },
    ]) {
      expect(() => translate(both)).toThrow(/says the same as/);
    }
  });

  it('may differ between a client and a part of it, which counts', () => {
    expect(
      narrowRetry(
        { retries: 3, baseDelayMs: 5, waitMs: 7 },
        { maxAttempts: 9, initialRetryTime: 6 },
      ),
    ).toEqual({ maxAttempts: 9, baseDelayMs: 6, waitMs: 7 });
    const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING, retry: { retries: 3 } });
    expect(() => kafka.producer({ retry: { maxAttempts: 5 } })).not.toThrow();
  });

  it('are told apart where they mean different things', () => {
    expect(theirWords({ maxAttempts: 1, baseDelayMs: 5, factor: 0.1, retries: 2 })).toEqual({
      factor: 0.1,
      retries: 2,
    });
    expect(theirWords({ maxAttempts: 1 })).toBeUndefined();
  });

  it('keep what only kafkajs understands, and leave out what it does not', () => {
    const restartOnFailure = async () => true;
    expect(translate({ restartOnFailure })).toEqual({ own: {}, driver: { restartOnFailure } });
    expect(translate({ jitter: 'full' })).toEqual({ own: { jitter: 'full' }, driver: undefined });
    expect(translate({ retries: Number.MAX_SAFE_INTEGER }).own.maxAttempts).toBe(
      Number.MAX_SAFE_INTEGER,
    );
    expect(translate(undefined)).toEqual({ own: {}, driver: undefined });
  });

  it.each([
    [{ retries: -1 }, 'retry.retries'],
    [{ retries: 1.5 }, 'retry.retries'],
    [{ initialRetryTime: 'soon' }, 'retry.initialRetryTime'],
    [{ factor: 2 }, 'retry.factor'],
    [{ multiplier: 0 }, 'retry.multiplier'],
    [{ restartOnFailure: true }, 'retry.restartOnFailure'],
    [{ maxAttempt: 3 }, 'retry.maxAttempt'],
  ])('refuse %o by name', (retry, name) => {
    const make = () => new Kafka({ brokers, retry: retry as never });
    expect(make).toThrow(name);
    expect(() => kafkaRetry(retry as never)).toThrow(name);
  });
});

describe('the settings of a client', () => {
  it('have these defaults', () => {
    const { policy, ...rest } = clientSettings(undefined, undefined);
    expect(rest).toEqual({
      waitMs: 30_000,
      patienceMs: Infinity,
      totalTimeoutMs: 120_000,
      once: false,
      requestTimeoutMs: 10_000,
      driver: undefined,
    });
    expect(policy.settings).toMatchObject({
      maxAttempts: 3,
      baseDelayMs: 1000,
      maxDelayMs: 10_000,
      idempotent: false,
    });
  });

  it('take what the environment says, and code over it', () => {
    vi.stubEnv('KAFKA_RETRY_TOTAL_TIMEOUT', '7');
    vi.stubEnv('KAFKA_RETRY_WAIT', '3');
    vi.stubEnv('KAFKA_RETRY_BASE_DELAY', '0.5');
    const { policy, ...rest } = clientSettings({ waitMs: 50 }, 500);
    expect(rest).toMatchObject({
      waitMs: 50,
      patienceMs: 50,
      totalTimeoutMs: 7000,
      requestTimeoutMs: 500,
    });
    expect(policy.settings.baseDelayMs).toBe(500);
  });

  it.each([
    ['KAFKA_RETRY_ENABLED', 'false', {}],
    ['KAFKA_RETRY_MAX_ATTEMPTS', '1', {}],
    ['', '', { maxAttempts: 1 }],
    ['', '', { retries: 0 }],
  ])('mean one attempt and no waiting by %s=%s %o', (name, value, retry) => {
    if (name !== '') vi.stubEnv(name, value);
    expect(clientSettings(retry, undefined)).toMatchObject({
      once: true,
      waitMs: 0,
      patienceMs: 0,
    });
  });

  it('name the variable that is wrong', () => {
    vi.stubEnv('KAFKA_RETRY_MAX_DELAY', 'long');
    expect(() => new Kafka({ brokers })).toThrow(/KAFKA_RETRY_MAX_DELAY/);
  });
});

describe('the options of a producer', () => {
  it('have these defaults', () => {
    expect(producerSettings({})).toEqual({
      idempotent: true,
      messageIds: false,
      lingerMs: 0,
      maxBatchBytes: 1_000_000,
      maxQueueBytes: 32 * 1024 * 1024,
      overflow: 'wait',
    });
    expect(producerSettings({ idempotent: false }).idempotent).toBe(false);
  });

  it.each([
    [{ lingerMs: -1 }, 'lingerMs'],
    [{ maxBatchBytes: 0 }, 'maxBatchBytes'],
    [{ maxQueueBytes: 'many' }, 'maxQueueBytes'],
    [{ overflow: 'drop' }, 'overflow'],
    [{ messageIds: 1 }, 'messageIds'],
    [{ lingerMS: 5 }, 'Did you mean lingerMs?'],
    [{ maxQueueByte: 5 }, 'Did you mean maxQueueBytes?'],
  ])('refuse %o by name', (config, name) => {
    const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING });
    const make = () => kafka.producer(config as never);
    expect(make).toThrow(name);
    try {
      make();
    } catch (error) {
      expect(isOptionError(error)).toBe(true);
    }
  });

  it('leave kafkajs’ own and unknown ones to kafkajs, and the caller’s objects as they are', () => {
    const config = Object.freeze({
      brokers: Object.freeze(['127.0.0.1:1']) as string[],
      logLevel: logLevel.NOTHING,
      sasl: Object.freeze({ mechanism: 'plain', username: 'u', password: 'p' } as const),
      retry: Object.freeze({ retries: 3 }),
    });
    const kafka = new Kafka(config);
    const producer = Object.freeze({ maxInFlightRequests: 1, transactionTimeout: 5, other: 1 });
    expect(() => kafka.producer(producer)).not.toThrow();
    expect(() => kafka.consumer({ groupId: 'g' })).not.toThrow();
    expect(() => kafka.admin()).not.toThrow();
    expect(() => new Kafka({ brokers, retrys: {} } as never)).toThrow(/Did you mean retry/);
  });
});
