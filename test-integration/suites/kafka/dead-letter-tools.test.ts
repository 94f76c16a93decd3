import {
  type DeadLetter,
  isOptionError,
  type LettersOptions,
  listDeadLetters,
  purgeDeadLetters,
  replayDeadLetters,
} from '@outlast/kafka-retry';
import { Kafka as Plain } from 'kafkajs';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { failureOf } from '../support/errors.js';
import { openKafkaLab } from '../support/kafka-lab.js';

const lab = await openKafkaLab();

describe.skipIf(lab.reason !== '')(`tools for dead letters ${lab.reason}`, () => {
  lab.use();

  /** A topic of which every message has become a dead letter; `<partition>-<n>`. */
  const buried = async (partitions: number, each: number) => {
    const topic = await lab.topic({ partitions });
    const letters = await lab.topic({ partitions: 2 });
    const groupId = lab.name('group');
    const producer = lab.track(lab.kafka().producer());
    await producer.connect();
    const messages = Array.from({ length: partitions * each }, (_, i) => ({
      partition: i % partitions,
      key: `key-${i % partitions}`,
      value: `${i % partitions}-${Math.floor(i / partitions)}`,
      headers: { mine: Buffer.from([0, 255]), several: ['a', 'b'] },
    }));
    await producer.send({ topic, messages });
    const consumer = lab.track(
      lab.kafka().consumer({ groupId, retry: { maxAttempts: 1 }, deadLetter: { topic: letters } }),
    );
    let calls = 0;
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({
      eachMessage: async () => {
        calls += 1;
        throw new TypeError(calls % 2 === 0 ? 'even' : 'odd');
      },
    });
    await waitFor(
      async () => (await lab.cluster.held(letters)).reduce((a, b) => a + b) === messages.length,
      {
        timeoutMs: 20_000,
        what: 'the letters',
      },
    );
    await consumer.disconnect();
    return { topic, letters, groupId };
  };

  const listed = async (options: LettersOptions): Promise<DeadLetter[]> => {
    const all: DeadLetter[] = [];
    for await (const letter of listDeadLetters(lab.kafka(), options)) all.push(letter);
    return all;
  };

  it('list them, send them back once, marked, and delete what has been sent', async () => {
    const { topic, letters, groupId } = await buried(2, 10);
    const all = await listed({ topic: letters });
    expect(all.map(({ value }) => `${value}`).sort()).toHaveLength(20);
    const one = all.find(({ value }) => `${value}` === '1-4') as DeadLetter;
    expect(one).toMatchObject({
      topic: letters,
      key: Buffer.from('key-1'),
      original: { topic, partition: 1, offset: '4' },
      group: groupId,
      attempts: 1,
      replays: 0,
    });
    expect(one.error).toMatch(/^TypeError: (even|odd)$/);
    expect(one.headers).toEqual({
      mine: Buffer.from([0, 255]),
      several: [Buffer.from('a'), Buffer.from('b')],
    });
    const odd = all.filter(({ error }) => error.endsWith('odd')).length;

    const kafka = lab.kafka();
    const filter = ({ error }: DeadLetter): boolean => error.endsWith('odd');
    const some = await replayDeadLetters(kafka, { topic: letters, filter });
    expect(some).toEqual({ replayed: odd, skipped: 20 - odd, failed: 0, failures: [] });
    const rest = await replayDeadLetters(kafka, { topic: letters });
    expect(rest).toMatchObject({ replayed: 20 - odd, skipped: odd });
    expect(await replayDeadLetters(kafka, { topic: letters })).toMatchObject({
      replayed: 0,
      skipped: 20,
    });
    const log = await lab.log(topic);
    expect(log).toHaveLength(40);
    for (const { partition, key, value, headers } of log.filter(({ offset }) => offset >= 10)) {
      expect(`${value}`.startsWith(`${partition}-`)).toBe(true);
      expect(`${key}`).toBe(`key-${partition}`);
      const { 'x-dlt-replayed-from': from, ...own } = headers;
      expect(own).toEqual(one.headers);
      expect(`${from}`).toMatch(new RegExp(`^${letters}/[01]/\\d+$`));
    }
    expect((await listed({ topic: letters })).map(({ replays }) => replays)).toEqual(
      Array(20).fill(1),
    );

    expect(await purgeDeadLetters(kafka, { topic: letters, before: new Date(0) })).toBe(0);
    expect(await purgeDeadLetters(kafka, { topic: letters, replayedOnly: true })).toBe(40);
    expect(await listed({ topic: letters })).toEqual([]);
    expect(await purgeDeadLetters(kafka, { topic: letters })).toBe(0);
  }, 60_000);

  it('keep to a rate, end when they are told to, and go on later', async () => {
    const { topic, letters } = await buried(1, 12);
    const calling = new AbortController();
    const kafka = lab.kafka();
    const start = performance.now();
    const first = failureOf(
      replayDeadLetters(kafka, { topic: letters, ratePerSecond: 10, signal: calling.signal }),
    );
    await waitFor(async () => (await lab.cluster.held(topic))[0] === 12 + 4, {
      everyMs: 5,
      what: 'four of them',
    });
    expect(performance.now() - start).toBeGreaterThan(290);
    calling.abort(new Error('enough'));
    expect((await first).message).toBe('enough');
    const sent = (await lab.values(topic)).length - 12;
    expect(sent).toBeLessThan(10);
    expect(await replayDeadLetters(kafka, { topic: letters })).toMatchObject({
      replayed: 12 - sent,
      skipped: sent,
    });
    const values = await lab.values(topic);
    expect(values.slice(12)).toEqual(values.slice(0, 12));
    // Nothing that has not been replayed is deleted by that.
    await replayDeadLetters(kafka, {
      topic: letters,
      again: true,
      filter: ({ value }) => `${value}` === '0-3',
    });
    expect((await listed({ topic: letters }))[3]?.replays).toBe(2);
  }, 60_000);

  it('tell what could not be sent, and leave it unmarked', async () => {
    const { topic, letters } = await buried(1, 3);
    await lab.cluster.ask((admin) => admin.deleteTopics({ topics: [topic] }));
    const result = await replayDeadLetters(lab.kafka(), { topic: letters });
    expect(result).toMatchObject({ replayed: 0, failed: 3 });
    expect(result.failures.map(({ error }) => (error as { code?: number }).code)).toEqual([
      3, 3, 3,
    ]);
    expect(await purgeDeadLetters(lab.kafka(), { topic: letters, replayedOnly: true })).toBe(0);
    expect(await listed({ topic: letters })).toHaveLength(3);
  }, 60_000);

  it('outlast brokers that are away for a moment', async () => {
    const { letters } = await buried(6, 10);
    const seen: DeadLetter[] = [];
    let awayAt = 0;
    for await (const letter of listDeadLetters(lab.kafka(), { topic: letters })) {
      if (seen.push(letter) > 1) continue;
      // The second partition is still to be read.
      awayAt = performance.now();
      lab.refuseAll();
      setTimeout(() => void lab.heal(), 400);
    }
    expect(performance.now() - awayAt).toBeGreaterThan(400);
    expect(seen).toHaveLength(60);
    expect(new Set(seen.map(({ partition }) => partition)).size).toBe(2);
  }, 60_000);

  it('refuse what makes no sense', async () => {
    const kafka = lab.kafka();
    for (const [options, says] of [
      [{}, 'topic must be a text'],
      [{ topic: 'x', fliter: () => true }, 'Did you mean filter?'],
      [{ topic: 'x', ratePerSecond: 0 }, 'ratePerSecond must be a number above 0'],
    ] as const) {
      const error = await failureOf(replayDeadLetters(kafka, options as never));
      expect(isOptionError(error)).toBe(true);
      expect(error.message).toContain(says);
    }
    const plain = new Plain({ brokers: lab.cluster.proxiedAddresses() });
    const error = await failureOf(listDeadLetters(plain as never, { topic: 'x' }).next());
    expect(error.message).toContain('kafka must be a Kafka of @outlast/kafka-retry');
    expect((await failureOf(listed({ topic: lab.name('missing') }))).message).toMatch(/topic/i);
  }, 60_000);
});
