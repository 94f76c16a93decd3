import { setTimeout as sleep } from 'node:timers/promises';
import { isOptionError, type RetryConsumerConfig } from '@outlast/kafka-retry';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { failureOf } from '../support/errors.js';
import { openKafkaLab } from '../support/kafka-lab.js';

const lab = await openKafkaLab();

describe.skipIf(lab.reason !== '')(`dead letters ${lab.reason}`, () => {
  lab.use();

  const consumerOf = async (topic: string, config: Partial<RetryConsumerConfig>) => {
    const consumer = lab.track(
      lab.kafka().consumer({
        groupId: lab.name('group'),
        retry: { maxAttempts: 3, baseDelayMs: 50, jitter: false },
        ...config,
      }),
    );
    const seen = { joins: 0, crashes: 0, calls: [] as string[], handled: [] as string[] };
    consumer.on(consumer.events.GROUP_JOIN, () => {
      seen.joins += 1;
    });
    consumer.on(consumer.events.CRASH, () => {
      seen.crashes += 1;
    });
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    return { consumer, seen };
  };

  it('take ten poison messages among a thousand, with where they came from, and the others go on', async () => {
    const topic = await lab.topic({ partitions: 4 });
    const letters = await lab.topic();
    const producer = lab.track(lab.kafka().producer());
    await producer.connect();
    await producer.send({
      topic,
      messages: Array.from({ length: 1000 }, (_, i) => ({
        partition: i % 4,
        key: Buffer.from([0, i % 256, 255]),
        value: `${i % 100 === 7 ? 'poison' : 'good'}-${i}`,
        headers: { mine: Buffer.from([1, 2, 0]) },
        timestamp: `${1_700_000_000_000 + i}`,
      })),
    });
    const groupId = lab.name('group');
    const { consumer, seen } = await consumerOf(topic, { groupId, deadLetter: { topic: letters } });
    const exhausted: number[] = [];
    consumer.policy.on('exhausted', ({ operation, attempts }) => {
      if (operation === 'kafka.consume') exhausted.push(attempts);
    });
    await consumer.run({
      eachMessage: async ({ message }) => {
        const value = `${message.value}`;
        seen.calls.push(value);
        if (value.startsWith('poison')) throw new TypeError(`cannot read ${value}`);
        seen.handled.push(value);
      },
    });
    await waitFor(() => seen.handled.length === 990 && exhausted.length === 10, {
      timeoutMs: 60_000,
      what: 'all of them',
    });
    await consumer.disconnect();
    expect(new Set(seen.handled).size).toBe(990);
    expect(seen.calls).toHaveLength(990 + 30);
    expect(exhausted).toEqual(Array(10).fill(3));
    expect({ joins: seen.joins, crashes: seen.crashes }).toEqual({ joins: 1, crashes: 0 });
    const log = await lab.log(letters);
    expect(log).toHaveLength(10);
    const text = (header: unknown): string => `${header}`;
    for (const { key, value, headers } of log) {
      const i = Number(`${value}`.split('-')[1]);
      expect(key).toEqual(Buffer.from([0, i % 256, 255]));
      expect(headers['mine']).toEqual(Buffer.from([1, 2, 0]));
      expect({
        topic: text(headers['x-dlt-original-topic']),
        partition: text(headers['x-dlt-original-partition']),
        offset: text(headers['x-dlt-original-offset']),
        timestamp: text(headers['x-dlt-original-timestamp']),
        group: text(headers['x-dlt-group']),
        error: text(headers['x-dlt-error']),
        attempts: text(headers['x-dlt-attempts']),
      }).toEqual({
        topic,
        partition: `${i % 4}`,
        offset: `${Math.floor(i / 4)}`,
        timestamp: `${1_700_000_000_000 + i}`,
        group: groupId,
        error: `TypeError: cannot read poison-${i}`,
        attempts: '3',
      });
    }
    const left = await lab.kafka().healthCheck({ groupId });
    expect(left.details.lag).toBe(0);
  }, 90_000);

  it('lose nothing while their topic is missing', async () => {
    const topic = await lab.topic();
    const letters = lab.name('letters');
    const producer = lab.track(lab.kafka().producer());
    await producer.connect();
    await producer.send({ topic, messages: [{ value: 'poison' }, { value: 'next' }] });
    const groupId = lab.name('group');
    const { consumer, seen } = await consumerOf(topic, {
      groupId,
      deadLetter: { topic: letters },
      retry: { maxAttempts: 1, baseDelayMs: 50 },
    });
    const codes: unknown[] = [];
    consumer.policy.on('retry', ({ failure }) => codes.push(failure.code));
    await consumer.run({
      eachMessage: async ({ message }) => {
        if (`${message.value}` === 'poison') throw new Error('poison');
        seen.handled.push(`${message.value}`);
      },
    });
    await waitFor(() => codes.includes('3'), { timeoutMs: 30_000, what: 'a refusal' });
    await sleep(200);
    expect(seen.handled).toEqual([]);
    await lab.cluster.createTopic(letters);
    await waitFor(() => seen.handled.length === 1, { timeoutMs: 30_000, what: 'the next' });
    expect((await lab.log(letters)).map(({ value }) => `${value}`)).toEqual(['poison']);
    expect(seen.crashes).toBe(0);
  }, 90_000);

  it('fit, also if the message only just did', async () => {
    const settings = { 'max.message.bytes': 3000 };
    const topic = await lab.topic({ settings });
    const letters = await lab.topic({ settings });
    const producer = lab.track(lab.kafka().producer());
    await producer.connect();
    await producer.send({ topic, messages: [{ value: 'x'.repeat(2400) }, { value: 'next' }] });
    const { consumer, seen } = await consumerOf(topic, {
      deadLetter: { topic: letters },
      retry: { maxAttempts: 1, baseDelayMs: 50 },
    });
    await consumer.run({
      eachMessage: async ({ message }) => {
        if (`${message.value}` !== 'next') throw new Error('long '.repeat(1000));
        seen.handled.push('next');
      },
    });
    await waitFor(() => seen.handled.length === 1, { timeoutMs: 30_000, what: 'the next' });
    expect((await lab.log(letters)).map(({ value }) => value?.length)).toEqual([2400]);
  }, 60_000);

  it('need a topic, and a handler of single messages', async () => {
    const make = (deadLetter: unknown) => () =>
      lab.kafka().consumer({ groupId: 'g', deadLetter: deadLetter as { topic: string } });
    for (const wrong of [{}, { topic: '' }, 'letters', { topic: 'x', attempt: 3 }]) {
      let thrown: unknown;
      try {
        make(wrong)();
      } catch (error) {
        thrown = error;
      }
      expect(isOptionError(thrown)).toBe(true);
    }
    const consumer = lab.kafka().consumer({ groupId: 'g', deadLetter: { topic: 'letters' } });
    const error = await failureOf(consumer.run({ eachBatch: async () => {} }));
    expect(error.message).toContain('deadLetter needs eachMessage');
  });
});
