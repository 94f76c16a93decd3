import kafkajs, * as named from 'kafkajs';
import { describe, expect, it } from 'vitest';
import * as ours from '../src/index.js';

const OWN = [
  'ClosedError',
  'CommitOutcomeUnknownError',
  'OptionError',
  'OutlastError',
  'QueueFullError',
  'SpoolFullError',
  'SpoolLockedError',
  'RETRYABLE_CODES',
  'classifyKafka',
  'isClosedError',
  'isCommitOutcomeUnknownError',
  'isDeadlineExceededError',
  'isOptionError',
  'isOutcomeUnknown',
  'isQueueFullError',
  'isSpoolFullError',
  'isSpoolLockedError',
  'kafkaRetry',
  'listDeadLetters',
  'messageResults',
  'purgeDeadLetters',
  'refusedSends',
  'replayDeadLetters',
  'retryInfo',
  'shutdownOnSignal',
];

describe('the module', () => {
  it('exports everything that kafkajs exports, and our own beside it', () => {
    const keys = Object.keys(ours).filter((key) => !OWN.includes(key));
    expect(keys.sort()).toEqual([...Object.keys(kafkajs), 'default'].sort());
    expect(keys).toEqual(expect.arrayContaining(Object.keys(named)));
    expect(Object.keys(ours)).toEqual(expect.arrayContaining(OWN));
  });

  it('exports the driver’s own things but for its Kafka, by name also where kafkajs cannot', () => {
    const drivers = kafkajs as unknown as Record<string, unknown>;
    for (const [key, value] of Object.entries(ours)) {
      if (OWN.includes(key) || key === 'default') continue;
      if (key === 'Kafka') expect(value).not.toBe(drivers[key]);
      else expect([key, value === drivers[key]]).toEqual([key, true]);
    }
    expect(ours.Kafka.prototype).toBeInstanceOf(kafkajs.Kafka);
    expect(ours.Kafka.name).toBe('Kafka');
  });

  it('has a default export with the same keys, and our Kafka in it', () => {
    expect(Object.keys(ours.default).sort()).toEqual(Object.keys(kafkajs).sort());
    expect(ours.default.Kafka).toBe(ours.Kafka);
    expect(ours.default.logLevel).toBe(kafkajs.logLevel);
  });

  it('gives a producer with everything that kafkajs’ has', () => {
    const config = { brokers: ['127.0.0.1:1'], logLevel: ours.logLevel.NOTHING };
    const theirs = new kafkajs.Kafka(config).producer();
    const producer = new ours.Kafka(config).producer();
    expect(Object.keys(producer)).toEqual(expect.arrayContaining(Object.keys(theirs)));
    expect(producer.events).toEqual(theirs.events);
  });
});
