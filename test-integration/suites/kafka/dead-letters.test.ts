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
        value: `${i % 101 === 7 ? 'poison' : 'good'}-${i}`,
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
    const poisons = [0, 0, 0, 0];
    let idleFetches = 0;
    consumer.on(consumer.events.FETCH, ({ payload }) => {
      const begun = seen.calls.length > 0 && seen.handled.length < 990;
      if (begun && payload.duration > 400) idleFetches += 1;
    });
    await consumer.run({
      eachMessage: async ({ message, partition, attempt }) => {
        const value = `${message.value}`;
        seen.calls.push(value);
        if (value.startsWith('poison')) {
          if (attempt === 1) poisons[partition] = (poisons[partition] as number) + 1;
          throw new TypeError(`cannot read ${value}`);
        }
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
    expect(poisons).toEqual([3, 2, 2, 3]);
    // The rest of each partition is handled within its retry windows and a second: two idle fetches of half a second.
    expect(idleFetches).toBeLessThanOrEqual(2);
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

  it('lose nothing while their topic is missing, hold up no other partition, and alert once', async () => {
    const topic = await lab.topic({ partitions: 2 });
    const letters = lab.name('letters');
    const producer = lab.track(lab.kafka().producer());
    await producer.connect();
    await producer.send({
      topic,
      messages: [
        { partition: 0, value: 'poison' },
        { partition: 0, value: 'next' },
      ],
    });
    const groupId = lab.name('group');
    const { consumer, seen } = await consumerOf(topic, {
      groupId,
      deadLetter: { topic: letters },
      retry: { maxAttempts: 1, baseDelayMs: 50 },
    });
    const codes: unknown[] = [];
    const alerts: string[] = [];
    consumer.policy.on('alert', ({ reason }) => alerts.push(reason));
    consumer.policy.on('retry', ({ failure }) => codes.push(failure.code));
    await consumer.run({
      eachMessage: async ({ message }) => {
        if (`${message.value}` === 'poison') throw new Error('poison');
        seen.handled.push(`${message.value}`);
      },
    });
    let calls = 0;
    // The letter waits for its topic, which may just have been made; the other partition does not.
    const feed = setInterval(() => {
      const messages = [{ partition: 1, value: `other-${calls++}` }];
      producer.send({ topic, messages }).catch(() => {});
    }, 200);
    await waitFor(() => codes.includes('3'), { timeoutMs: 30_000, what: 'a refusal' });
    clearInterval(feed);
    await producer.flush();
    await waitFor(() => seen.handled.length === calls, { what: 'the other partition' });
    expect(seen.handled.filter((one) => !one.startsWith('other'))).toEqual([]);
    expect(seen.handled.length).toBeGreaterThan(10);
    seen.handled.length = 0;
    await lab.cluster.createTopic(letters);
    await waitFor(() => seen.handled.length === 1, { timeoutMs: 30_000, what: 'the next' });
    expect((await lab.log(letters)).map(({ value }) => `${value}`)).toEqual(['poison']);
    expect(alerts).toEqual(['dead-letter-refused']);
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

  it('take what a handler of batches rejects, and hand the others out once', async () => {
    const topic = await lab.topic();
    const letters = lab.name('letters');
    const producer = lab.track(lab.kafka().producer());
    await producer.connect();
    const values = Array.from({ length: 10 }, (_, i) => `${i}`);
    await producer.send({ topic, messages: values.map((value) => ({ value })) });
    const groupId = lab.name('group');
    const { consumer, seen } = await consumerOf(topic, {
      groupId,
      deadLetter: { topic: letters, create: true },
    });
    const batches: string[] = [];
    await consumer.run({
      eachBatch: async ({ batch, rejectOffset, attempt }) => {
        batches.push(`${attempt}: ${batch.messages.map(({ value }) => `${value}`).join(' ')}`);
        for (const { offset, value } of batch.messages) {
          // One heals at its second attempt, one never does.
          if (`${value}` === '3' && attempt < 2) rejectOffset(offset, new Error('not yet'));
          if (`${value}` === '6') rejectOffset(offset, new TypeError('never'));
        }
      },
    });
    await waitFor(async () => (await lab.kafka().healthCheck({ groupId })).details.lag === 0, {
      timeoutMs: 20_000,
      what: 'all of them',
    });
    expect(batches).toEqual(['1: 0 1 2 3 4 5 6 7 8 9', '2: 3 6', '3: 6']);
    const log = await lab.log(letters);
    expect(log.map(({ value, headers }) => [`${value}`, `${headers['x-dlt-attempts']}`])).toEqual([
      ['6', '3'],
    ]);
    expect({ joins: seen.joins, crashes: seen.crashes }).toEqual({ joins: 1, crashes: 0 });
  }, 60_000);

  it('find the message that a handler of batches throws at, by handing them out one by one', async () => {
    const topic = await lab.topic();
    const letters = await lab.topic();
    const producer = lab.track(lab.kafka().producer());
    await producer.connect();
    const values = Array.from({ length: 5 }, (_, i) => `${i}`);
    await producer.send({ topic, messages: values.map((value) => ({ value })) });
    const groupId = lab.name('group');
    const { consumer } = await consumerOf(topic, {
      groupId,
      deadLetter: { topic: letters },
      retry: { maxAttempts: 2, baseDelayMs: 50 },
    });
    const batches: string[] = [];
    const rejections: unknown[] = [];
    await consumer.run({
      eachBatch: async ({ batch, rejectOffset }) => {
        const all = batch.messages.map(({ value }) => `${value}`);
        batches.push(all.join(' '));
        try {
          rejectOffset('99', new Error('of no message'));
        } catch (error) {
          rejections.push(error);
        }
        if (all.includes('2')) throw new Error('one of them');
      },
    });
    await waitFor(async () => (await lab.log(letters)).length === 1, {
      timeoutMs: 20_000,
      what: 'the letter',
    });
    await producer.send({ topic, messages: [{ value: '5' }, { value: '6' }] });
    await waitFor(() => batches.at(-1) === '5 6', { timeoutMs: 20_000, what: 'a whole batch' });
    expect(batches).toEqual(['0 1 2 3 4', '0 1 2 3 4', '0', '1', '2', '3', '4', '5 6']);
    expect((await lab.log(letters)).map(({ value }) => `${value}`)).toEqual(['2']);
    expect(String(rejections[0])).toContain('99 is not in this batch');
    await consumer.disconnect();
    expect((await lab.kafka().healthCheck({ groupId })).details.lag).toBe(0);
  }, 60_000);

  it.each([
    ['skip', ['good', 'poison', 'next'], 'message-skipped', 0],
    ['stop', ['good', 'poison'], 'consumer-stopped', 2],
  ] as const)('are not needed where a message is to %s', async (onFailure, calls, reason, lag) => {
    const topic = await lab.topic();
    const producer = lab.track(lab.kafka().producer());
    await producer.connect();
    await producer.send({
      topic,
      messages: ['good', 'poison', 'next'].map((value) => ({ value })),
    });
    const groupId = lab.name('group');
    const { consumer, seen } = await consumerOf(topic, {
      groupId,
      onFailure,
      // Another attempt would be of no use.
      retry: { maxAttempts: 5, neverRetry: [TypeError] },
    });
    const alerts: string[] = [];
    consumer.policy.on('alert', (alert) => alerts.push(`${alert.reason}: ${alert.message}`));
    let stopped = false;
    consumer.on(consumer.events.STOP, () => {
      stopped = true;
    });
    await consumer.run({
      eachMessage: async ({ message }) => {
        seen.calls.push(`${message.value}`);
        if (`${message.value}` === 'poison') throw new TypeError('poison');
      },
    });
    await waitFor(() => (onFailure === 'stop' ? stopped : seen.calls.length === 3), {
      timeoutMs: 20_000,
      what: 'the end',
    });
    await consumer.disconnect();
    expect(seen.calls).toEqual(calls);
    expect(alerts).toHaveLength(1);
    expect(alerts[0]).toContain(`${reason}: The`);
    expect(alerts[0]).toContain(`message 1 of ${topic}, partition 0`);
    expect((await lab.kafka().healthCheck({ groupId })).details.lag).toBe(lag);
  });

  it('need a topic, and are one end of two', async () => {
    const make = (config: object) => () => lab.kafka().consumer({ groupId: 'g', ...config });
    for (const [config, says] of [
      [{ deadLetter: {} }, 'deadLetter.topic must be a text'],
      [{ deadLetter: { topic: '' } }, 'deadLetter.topic must be a text'],
      [{ deadLetter: 'letters' }, 'deadLetter must be an object'],
      [{ deadLetter: { topic: 'x', attempt: 3 } }, 'deadLetter.attempt is not an option'],
      [{ deadletter: { topic: 'x' } }, 'Did you mean deadLetter?'],
      [{ onFailure: 'ignore' }, "onFailure must be 'retry', 'skip' or 'stop'"],
      [{ onFailure: 'skip', deadLetter: { topic: 'x' } }, 'a message has one end'],
    ] as const) {
      let thrown: unknown;
      try {
        make(config)();
      } catch (error) {
        thrown = error;
      }
      expect(isOptionError(thrown)).toBe(true);
      expect(String(thrown)).toContain(says);
    }
    const topic = await lab.topic();
    const consumer = lab.track(lab.kafka().consumer({ groupId: 'g', deadLetter: { topic } }));
    await consumer.connect();
    const error = await failureOf(consumer.subscribe({ topics: ['x', topic] }));
    expect(error.message).toContain(`cannot read ${topic} and write its dead letters there`);
  });
});
