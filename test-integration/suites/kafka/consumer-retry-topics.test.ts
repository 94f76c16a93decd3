import { type HandlerExtras, isOptionError, type RetryConsumerConfig } from '@outlast/kafka-retry';
import type { EachMessagePayload } from 'kafkajs';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { failureOf } from '../support/errors.js';
import { openKafkaLab } from '../support/kafka-lab.js';

const lab = await openKafkaLab();

/** One call of a handler. */
interface Call {
  readonly value: string;
  readonly attempt: number;
  readonly at: number;
  readonly from: string;
}

describe.skipIf(lab.reason !== '')(`retry topics ${lab.reason}`, () => {
  lab.use();

  const consumerOf = async (topic: string | RegExp, config: Partial<RetryConsumerConfig>) => {
    const consumer = lab.track(
      lab.kafka().consumer({
        groupId: lab.name('group'),
        retry: { maxAttempts: 1, baseDelayMs: 50, jitter: false },
        ...config,
      }),
    );
    const alerts: string[] = [];
    const seen = { joins: 0, crashes: 0, alerts };
    consumer.on(consumer.events.GROUP_JOIN, () => {
      seen.joins += 1;
    });
    consumer.on(consumer.events.CRASH, () => {
      seen.crashes += 1;
    });
    consumer.policy.on('alert', ({ reason }) => alerts.push(reason));
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    return { consumer, seen };
  };

  /** Notes each call; what begins with `poison` never heals, what begins with `late` does at its third attempt. */
  const handlerOf = (calls: Call[]) => async (payload: EachMessagePayload & HandlerExtras) => {
    const { topic, partition, message, attempt } = payload;
    const value = `${message.value}`;
    const from = `${topic}/${partition}/${message.offset}`;
    calls.push({ value, attempt, at: performance.now(), from });
    if (value.startsWith('poison') || (value.startsWith('late') && attempt < 3)) {
      throw new TypeError(value);
    }
  };

  const lagOf = async (groupId: string): Promise<number | undefined> =>
    (await lab.kafka().healthCheck({ groupId })).details.lag;

  it('take what has failed out of the way of the others, one after the other, then the dead letters', async () => {
    const topic = await lab.topic({ partitions: 2 });
    const letters = await lab.topic();
    const groupId = lab.name('group');
    const producer = lab.track(lab.kafka().producer());
    await producer.connect();
    const { consumer, seen } = await consumerOf(topic, {
      groupId,
      retryTopics: { delaysMs: [300, 900], create: true },
      deadLetter: { topic: letters },
    });
    const calls: Call[] = [];
    const delays: number[] = [];
    consumer.policy.on('retry', ({ delayMs }) => delays.push(delayMs));
    await consumer.run({ eachMessage: handlerOf(calls) });
    const messages = ['poison-0', 'good-0', 'late-1', 'good-1'].map((value) => ({
      partition: Number(value.at(-1)),
      key: `key of ${value}`,
      value,
      headers: { mine: Buffer.from([1, 0, 255]) },
      timestamp: '1700000000000',
    }));
    await producer.send({ topic, messages });
    await waitFor(async () => (await lab.log(letters)).length === 1 && calls.length === 8, {
      timeoutMs: 30_000,
      what: 'both',
    });
    await waitFor(async () => (await lagOf(groupId)) === 0, { what: 'all of it to be committed' });
    const of = (value: string): Call[] => calls.filter((call) => call.value === value);
    for (const value of ['poison-0', 'late-1']) {
      expect(of(value).map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
      // The handler sees it where it was, whichever topic it is read from.
      expect(new Set(of(value).map(({ from }) => from)).size).toBe(1);
      const [first, second, third] = of(value).map(({ at }) => at) as [number, number, number];
      expect(second - first).toBeGreaterThan(295);
      expect(third - second).toBeGreaterThan(895);
      expect(third - first).toBeLessThan(1200 + 1500);
    }
    // What stood behind them did not wait.
    expect(calls.slice(0, 4).map(({ attempt }) => attempt)).toEqual([1, 1, 1, 1]);
    expect(delays.sort((a, b) => a - b)).toEqual([300, 300, 900, 900]);
    expect({ joins: seen.joins, crashes: seen.crashes, alerts: seen.alerts }).toEqual({
      joins: 1,
      crashes: 0,
      alerts: [],
    });
    const [letter] = await lab.log(letters);
    const { mine, 'x-dlt-stack': stack, ...told } = letter?.headers ?? {};
    expect([`${letter?.key}`, `${letter?.value}`]).toEqual(['key of poison-0', 'poison-0']);
    expect(mine).toEqual(Buffer.from([1, 0, 255]));
    expect(`${stack}`).toContain('consumer-retry-topics.test');
    expect(Object.fromEntries(Object.entries(told).map(([k, v]) => [k, `${v}`]))).toEqual({
      'x-dlt-original-topic': topic,
      'x-dlt-original-partition': '0',
      'x-dlt-original-offset': '0',
      'x-dlt-original-timestamp': '1700000000000',
      'x-dlt-group': groupId,
      'x-dlt-error': 'TypeError: poison-0',
      'x-dlt-attempts': '3',
    });
    // What waited is in its topic with when it is due.
    const [waited] = await lab.log(`${topic}.${groupId}.retry.1`);
    const due = Number(`${waited?.headers['x-retry-due']}`);
    expect(Math.abs(due - (waited?.timestamp ?? 0) - 300)).toBeLessThan(1000);
  }, 60_000);

  it('that are missing keep the message, with an alert, and are read once they are there', async () => {
    const topic = await lab.topic();
    const groupId = lab.name('group');
    const producer = lab.track(lab.kafka().producer());
    await producer.connect();
    const { consumer, seen } = await consumerOf(topic, {
      groupId,
      retryTopics: { delaysMs: [0, 0] },
      retry: { maxAttempts: 1, baseDelayMs: 500, maxDelayMs: 500 },
    });
    const calls: Call[] = [];
    await consumer.run({ eachMessage: handlerOf(calls) });
    expect(seen.alerts).toEqual(['retry-topic-missing', 'retry-topic-missing']);
    await producer.send({ topic, messages: [{ value: 'poison' }, { value: 'next' }] });
    await waitFor(() => calls.length >= 3, { timeoutMs: 20_000, what: 'attempts' });
    expect(calls.map(({ value }) => value)).not.toContain('next');
    expect(seen.alerts).toHaveLength(2);
    await lab.cluster.createTopic(`${topic}.${groupId}.retry.1`);
    await lab.cluster.createTopic(`${topic}.${groupId}.retry.2`);
    await waitFor(() => calls.some(({ value }) => value === 'next'), {
      timeoutMs: 20_000,
      what: 'the next',
    });
    // It has nowhere to go from the last: there it stays.
    await waitFor(async () => (await lab.log(`${topic}.${groupId}.retry.2`)).length === 1, {
      timeoutMs: 20_000,
      what: 'the message to be in the last',
    });
    const before = calls.length;
    await waitFor(() => calls.length >= before + 3, { timeoutMs: 20_000, what: 'more attempts' });
    expect(new Set(calls.map(({ from }) => from)).size).toBe(2);
    const attempts = calls.filter(({ value }) => value === 'poison').map((one) => one.attempt);
    expect(attempts).toEqual(attempts.map((_, i) => i + 1));
    expect(seen.crashes).toBe(0);
  }, 90_000);

  it('hold what is due later over another member, and a pattern does not match them', async () => {
    const prefix = lab.name('orders');
    const topic = `${prefix}.new`;
    await lab.cluster.createTopic(topic);
    const groupId = lab.name('group');
    const config = {
      groupId,
      retryTopics: { delaysMs: [2500], create: true },
      deadLetter: { topic: `${prefix}.dlt`, create: true },
    };
    const producer = lab.track(lab.kafka().producer());
    await producer.connect();
    const calls: Call[] = [];
    const first = await consumerOf(new RegExp(`^${prefix}`), config);
    await first.consumer.run({ eachMessage: handlerOf(calls) });
    await producer.send({ topic, messages: [{ value: 'poison' }] });
    await waitFor(async () => (await lab.log(`${topic}.${groupId}.retry.1`)).length === 1, {
      what: 'the message to wait',
    });
    const second = await consumerOf(new RegExp(`^${prefix}`), config);
    await second.consumer.run({ eachMessage: handlerOf(calls) });
    await first.consumer.disconnect();
    await waitFor(async () => (await lab.log(`${prefix}.dlt`)).length === 1, {
      timeoutMs: 30_000,
      what: 'the letter',
    });
    expect(calls.map(({ attempt }) => attempt)).toEqual([1, 2]);
    expect((calls[1] as Call).at - (calls[0] as Call).at).toBeGreaterThan(2400);
    await second.consumer.disconnect();
    expect(await lagOf(groupId)).toBe(0);
    // Had they read their own letters, these would have letters of their own by now.
    expect(await lab.log(`${prefix}.dlt`)).toHaveLength(1);
  }, 90_000);

  it('need delays, names that Kafka takes, single messages and commits', async () => {
    for (const [retryTopics, says] of [
      [{}, 'retryTopics.delaysMs must be a list'],
      [{ delaysMs: [] }, 'retryTopics.delaysMs must be a list'],
      [{ delaysMs: [1, -1] }, 'retryTopics.delaysMs must be a list'],
      [{ delayMs: [1] }, 'Did you mean delaysMs?'],
    ] as const) {
      let thrown: unknown;
      try {
        lab.kafka().consumer({ groupId: 'g', retryTopics: retryTopics as never });
      } catch (error) {
        thrown = error;
      }
      expect(isOptionError(thrown)).toBe(true);
      expect(String(thrown)).toContain(says);
    }
    const topic = await lab.topic();
    const retryTopics = { delaysMs: [1] };
    const odd = lab.track(lab.kafka().consumer({ groupId: 'a/b', retryTopics }));
    await odd.connect();
    expect((await failureOf(odd.subscribe({ topic }))).message).toContain(`${topic}.a/b.retry.1`);
    const consumer = lab.track(lab.kafka().consumer({ groupId: 'g', retryTopics }));
    const eachMessage = async () => {};
    for (const [run, says] of [
      [{ eachBatch: async () => {} }, 'retryTopics needs eachMessage'],
      [{ eachMessage, autoCommit: false }, 'retryTopics needs autoCommit'],
    ] as const) {
      expect((await failureOf(consumer.run(run))).message).toContain(says);
    }
  });
});
