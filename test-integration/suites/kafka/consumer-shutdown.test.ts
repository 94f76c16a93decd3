import { setTimeout as sleep } from 'node:timers/promises';
import { isOptionError } from '@outlast/kafka-retry';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { startChild } from '../support/child.js';
import { failureOf } from '../support/errors.js';
import { openKafkaLab } from '../support/kafka-lab.js';

const lab = await openKafkaLab();

describe.skipIf(lab.reason !== '')(`shutdown ${lab.reason}`, () => {
  lab.use();

  const filled = async (): Promise<string> => {
    const topic = await lab.topic();
    const producer = lab.track(lab.kafka().producer());
    await producer.connect();
    await producer.send({ topic, messages: ['0', '1', '2'].map((value) => ({ value })) });
    return topic;
  };

  const committed = async (groupId: string, topic: string): Promise<string | undefined> =>
    lab.cluster.ask(async (admin) => {
      const [found] = await admin.fetchOffsets({ groupId, topics: [topic] });
      return found?.partitions[0]?.offset;
    });

  it('lets a handler end, commits it, takes nothing more, and then the producers', async () => {
    const topic = await filled();
    const out = await lab.topic();
    const groupId = lab.name('group');
    const kafka = lab.kafka();
    const producer = kafka.producer();
    const consumer = kafka.consumer({ groupId });
    const calls: string[] = [];
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    let aborted = false;
    await consumer.run({
      eachMessage: async ({ message, signal }) => {
        calls.push(`${message.value}`);
        await sleep(700);
        aborted ||= signal.aborted;
        await producer.send({ topic: out, messages: [{ value: message.value }] });
      },
    });
    await waitFor(() => calls.length === 2, { timeoutMs: 20_000, what: 'the second message' });
    const start = performance.now();
    await kafka.shutdown({ graceMs: 5000 });
    expect(performance.now() - start).toBeLessThan(3000);
    expect(calls).toEqual(['0', '1']);
    expect(aborted).toBe(false);
    expect(await committed(groupId, topic)).toBe('2');
    expect(await lab.values(out)).toEqual(['0', '1']);
    expect(
      (await failureOf(producer.send({ topic: out, messages: [{ value: 'x' }] }))).message,
    ).toBe('The producer is disconnected');
  }, 60_000);

  it.each([
    ['heeds its signal', true],
    ['does not', false],
  ])(
    'tells a handler that takes too long; one that %s is not committed',
    async (_, heeds) => {
      const topic = await filled();
      const groupId = lab.name('group');
      const consumer = lab.track(lab.kafka().consumer({ groupId }));
      const calls: string[] = [];
      let abortedAt = 0;
      await consumer.connect();
      await consumer.subscribe({ topic, fromBeginning: true });
      await consumer.run({
        eachMessage: async ({ message, signal }) => {
          calls.push(`${message.value}`);
          if (calls.length < 2) return;
          await new Promise((_, reject) => {
            signal.addEventListener('abort', () => {
              abortedAt = performance.now();
              if (heeds) reject(signal.reason);
            });
          });
        },
      });
      await waitFor(() => calls.length === 2, { timeoutMs: 20_000, what: 'the second message' });
      const start = performance.now();
      await consumer.shutdown({ graceMs: 400 });
      expect(abortedAt - start).toBeGreaterThan(390);
      expect(performance.now() - start).toBeLessThan(heeds ? 1300 : 3000);
      expect(calls).toEqual(['0', '1']);
      expect(await committed(groupId, topic)).toBe('1');
      // It has left the group: the next need not wait for its session to end.
      const next = lab.track(lab.kafka().consumer({ groupId }));
      await next.connect();
      await next.subscribe({ topic, fromBeginning: true });
      await next.run({
        eachMessage: async ({ message }) => {
          calls.push(`${message.value}`);
        },
      });
      await waitFor(() => calls.length === 4, { timeoutMs: 5000, what: 'the next member' });
      expect(calls.slice(2)).toEqual(['1', '2']);
    },
    60_000,
  );

  it('comes at a signal, ends the process as the signal would, and refuses what is no time', async () => {
    const topic = await filled();
    const groupId = lab.name('group');
    const child = await startChild(
      `import { Kafka, logLevel, shutdownOnSignal } from '@outlast/kafka-retry';
       const kafka = new Kafka({ brokers: [process.env.BROKER], logLevel: logLevel.NOTHING });
       const consumer = kafka.consumer({ groupId: process.env.GROUP });
       const producer = kafka.producer();
       await producer.connect();
       await consumer.connect();
       await consumer.subscribe({ topic: process.env.TOPIC, fromBeginning: true });
       shutdownOnSignal(kafka, { graceMs: 5000 });
       setInterval(() => {}, 1000);
       await consumer.run({ eachMessage: async ({ message }) => {
         console.log('begin ' + message.value);
         if (String(message.value) === '1') process.kill(process.pid, 'SIGTERM');
         await new Promise((resolve) => setTimeout(resolve, 500));
         console.log('end ' + message.value);
       } });`,
      { BROKER: lab.cluster.proxiedAddresses()[0] as string, TOPIC: topic, GROUP: groupId },
      20_000,
    );
    const { code, stdout, ms } = await child.end;
    expect(stdout).toBe('begin 0\nend 0\nbegin 1\nend 1\n');
    // By the signal, not by itself; and not by the test's patience.
    expect(code).toBeNull();
    expect(ms).toBeLessThan(15_000);
    expect(await committed(groupId, topic)).toBe('2');
    const error = await failureOf(lab.kafka().shutdown({ graceMs: -1 }));
    expect(isOptionError(error)).toBe(true);
    expect(error.message).toContain('graceMs');
  }, 60_000);
});
