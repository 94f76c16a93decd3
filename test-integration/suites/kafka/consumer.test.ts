import { setTimeout as sleep } from 'node:timers/promises';
import { isClosedError, type RetryConsumer, type RetryConsumerConfig } from '@outlast/kafka-retry';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { startChild } from '../support/child.js';
import { failureOf } from '../support/errors.js';
import { openKafkaLab } from '../support/kafka-lab.js';

const lab = await openKafkaLab();

/** What a consumer of a test has seen. */
interface Seen {
  readonly calls: string[];
  readonly handled: string[];
  joins: number;
  crashes: number;
}

describe.skipIf(lab.reason !== '')(`a consumer ${lab.reason}`, () => {
  lab.use();

  async function filled(partitions: number, messages: number): Promise<string> {
    const topic = await lab.topic({ partitions });
    const producer = lab.track(lab.kafka().producer());
    await producer.connect();
    await producer.send({
      topic,
      messages: Array.from({ length: partitions * messages }, (_, i) => ({
        partition: i % partitions,
        value: `p${i % partitions}-${Math.floor(i / partitions)}`,
      })),
    });
    return topic;
  }

  async function consumerOf(
    topic: string,
    options: Partial<RetryConsumerConfig> = {},
  ): Promise<{ consumer: RetryConsumer; seen: Seen }> {
    const consumer = lab.track(
      lab.kafka().consumer({
        groupId: lab.name('group'),
        retry: { baseDelayMs: 200, maxDelayMs: 3000, jitter: false },
        ...options,
      }),
    );
    const seen: Seen = { calls: [], handled: [], joins: 0, crashes: 0 };
    consumer.on(consumer.events.GROUP_JOIN, () => {
      seen.joins += 1;
    });
    consumer.on(consumer.events.CRASH, () => {
      seen.crashes += 1;
    });
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    return { consumer, seen };
  }

  const committed = async (groupId: string, topic: string): Promise<number[]> =>
    lab.cluster.ask(async (admin) => {
      const [found] = await admin.fetchOffsets({ groupId, topics: [topic] });
      return (found?.partitions ?? [])
        .sort((a, b) => a.partition - b.partition)
        .map(({ offset }) => Number(offset));
    });

  it('hands a message that fails out again, and blocks nothing but its partition', async () => {
    const topic = await filled(4, 50);
    const groupId = lab.name('group');
    const { consumer, seen } = await consumerOf(topic, { groupId });
    const attempts: number[] = [];
    const retries: number[] = [];
    consumer.policy.on('retry', ({ operation, delayMs }) => {
      if (operation === 'kafka.consume') retries.push(delayMs);
    });
    let othersDone = 0;
    const start = performance.now();
    await consumer.run({
      eachMessage: async ({ message, attempt }) => {
        const value = `${message.value}`;
        seen.calls.push(value);
        if (value === 'p0-5') {
          attempts.push(attempt);
          if (attempt <= 6) throw new TypeError('a bug of the handler');
        }
        seen.handled.push(value);
        if (seen.handled.filter((one) => !one.startsWith('p0')).length === 150) {
          othersDone ||= performance.now() - start;
        }
      },
    });
    await waitFor(() => seen.handled.length === 200, { timeoutMs: 40_000, what: 'all messages' });
    expect(attempts).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(retries).toEqual([200, 400, 800, 1600, 3000, 3000]);
    expect(othersDone).toBeLessThan(5000);
    expect(seen.calls.length).toBe(206);
    for (let p = 0; p < 4; p++) {
      const order = seen.handled.filter((one) => one.startsWith(`p${p}-`));
      expect(order).toEqual(Array.from({ length: 50 }, (_, i) => `p${p}-${i}`));
    }
    expect({ joins: seen.joins, crashes: seen.crashes }).toEqual({ joins: 1, crashes: 0 });
    await consumer.disconnect();
    expect(await committed(groupId, topic)).toEqual([50, 50, 50, 50]);
  }, 60_000);

  it('runs a handler once that takes twice its session', async () => {
    const topic = await filled(1, 3);
    const { consumer, seen } = await consumerOf(topic, {
      sessionTimeout: 3000,
      heartbeatInterval: 500,
    });
    await consumer.run({
      eachMessage: async ({ message }) => {
        seen.calls.push(`${message.value}`);
        if (`${message.value}` === 'p0-1') await sleep(6000);
      },
    });
    await waitFor(() => seen.calls.length >= 3, { timeoutMs: 20_000, what: 'three messages' });
    await sleep(500);
    expect(seen.calls).toEqual(['p0-0', 'p0-1', 'p0-2']);
    expect({ joins: seen.joins, crashes: seen.crashes }).toEqual({ joins: 1, crashes: 0 });
  }, 60_000);

  it('begins a batch again at the first message that its handler has not resolved', async () => {
    const topic = await filled(1, 10);
    const groupId = lab.name('group');
    const { consumer, seen } = await consumerOf(topic, { groupId });
    const attempts: number[] = [];
    let failures = 0;
    await consumer.run({
      eachBatch: async ({ batch, resolveOffset, attempt }) => {
        attempts.push(attempt);
        for (const message of batch.messages) {
          seen.calls.push(`${message.value}`);
          if (`${message.value}` === 'p0-4' && failures++ < 2) throw new Error('not yet');
          resolveOffset(message.offset);
          seen.handled.push(`${message.value}`);
        }
      },
    });
    await waitFor(() => seen.handled.length === 10, { timeoutMs: 20_000, what: 'ten messages' });
    expect(seen.handled).toEqual(Array.from({ length: 10 }, (_, i) => `p0-${i}`));
    expect(seen.calls.filter((one) => one === 'p0-4')).toHaveLength(3);
    expect(attempts).toEqual([1, 2, 3]);
    expect(seen.crashes).toBe(0);
    await consumer.disconnect();
    expect(await committed(groupId, topic)).toEqual([10]);
  }, 60_000);

  it('does nothing twice when another member joins while a message waits', async () => {
    const topic = await filled(4, 25);
    const groupId = lab.name('group');
    const first = await consumerOf(topic, { groupId });
    let healed = false;
    const handlerOf =
      (seen: Seen) =>
      async ({ message }: { message: { value: Buffer | null } }): Promise<void> => {
        const value = `${message.value}`;
        seen.calls.push(value);
        if (value === 'p1-10' && !healed) throw new Error('poison');
        seen.handled.push(value);
      };
    await first.consumer.run({ eachMessage: handlerOf(first.seen) });
    await waitFor(() => first.seen.handled.length === 85, { what: 'all but what waits' });
    const second = await consumerOf(topic, { groupId });
    await second.consumer.run({ eachMessage: handlerOf(second.seen) });
    await waitFor(() => second.seen.joins === 1 && first.seen.joins === 2, {
      timeoutMs: 20_000,
      what: 'the second member',
    });
    await sleep(1000);
    healed = true;
    const all = () => [...first.seen.handled, ...second.seen.handled];
    await waitFor(() => all().length >= 100, { timeoutMs: 20_000, what: 'the rest' });
    await sleep(500);
    expect(all().length).toBe(100);
    expect(new Set(all()).size).toBe(100);
    expect(first.seen.crashes + second.seen.crashes).toBe(0);
    await Promise.all([first.consumer.disconnect(), second.consumer.disconnect()]);
    expect(await committed(groupId, topic)).toEqual([25, 25, 25, 25]);
  }, 90_000);

  it('tells a handler that it is being stopped, and does not commit what it broke off', async () => {
    const topic = await filled(1, 3);
    const groupId = lab.name('group');
    const { consumer, seen } = await consumerOf(topic, { groupId });
    await consumer.run({
      eachMessage: async ({ message, signal }) => {
        seen.calls.push(`${message.value}`);
        if (`${message.value}` === 'p0-1') {
          await new Promise((_, reject) => {
            signal.addEventListener('abort', () => reject(signal.reason), { once: true });
          });
        }
      },
    });
    await waitFor(() => seen.calls.length === 2, { timeoutMs: 20_000, what: 'two messages' });
    const start = performance.now();
    await consumer.disconnect();
    expect(performance.now() - start).toBeLessThan(3000);
    expect(await committed(groupId, topic)).toEqual([1]);
  }, 60_000);

  it('leaves the caller’s own pauses alone', async () => {
    const topic = await filled(2, 5);
    const { consumer, seen } = await consumerOf(topic);
    let resume: (() => void) | undefined;
    await consumer.run({
      eachMessage: async ({ message, partition, pause, attempt }) => {
        const value = `${message.value}`;
        if (value === 'p0-2' && attempt === 1) {
          resume = pause();
          throw new Error('fails, and is paused');
        }
        seen.handled.push(value);
        if (partition === 1 && value === 'p1-2') pause();
      },
    });
    await waitFor(() => seen.handled.length === 5, { timeoutMs: 20_000, what: 'what may run' });
    await sleep(1500);
    expect([...seen.handled].sort()).toEqual(['p0-0', 'p0-1', 'p1-0', 'p1-1', 'p1-2']);
    resume?.();
    consumer.resume([{ topic, partitions: [1] }]);
    await waitFor(() => seen.handled.length === 10, { timeoutMs: 20_000, what: 'the rest' });
    expect(new Set(seen.handled).size).toBe(10);
  }, 60_000);

  it.each([
    ['is killed', 'kill'],
    ['disconnects, and exits by itself', 'exit'],
  ])(
    'leaves a failing message to the next member when its process %s',
    async (_, how) => {
      const topic = await filled(1, 6);
      const groupId = lab.name('group');
      const child = await startChild(
        `import { Kafka, logLevel } from '@outlast/kafka-retry';
         const kafka = new Kafka({ brokers: [process.env.BROKER], logLevel: logLevel.NOTHING });
         const consumer = kafka.consumer({ groupId: process.env.GROUP, sessionTimeout: 3000, heartbeatInterval: 500 });
         await consumer.connect();
         await consumer.subscribe({ topic: process.env.TOPIC, fromBeginning: true });
         consumer.on(consumer.events.COMMIT_OFFSETS, ({ payload }) => {
           if (payload.topics[0].partitions[0].offset === '3') console.log('committed');
         });
         await consumer.run({ eachMessage: async ({ message }) => {
           if (String(message.value) === 'p0-3') throw new TypeError('poison');
         } });
         while (process.env.HOW === 'kill') await new Promise((resolve) => setTimeout(resolve, 100));
         await new Promise((resolve) => setTimeout(resolve, 2000));
         await consumer.disconnect();
         console.log('disconnected');`,
        {
          BROKER: lab.cluster.proxiedAddresses()[0] as string,
          TOPIC: topic,
          GROUP: groupId,
          HOW: how,
        },
        how === 'kill' ? 4000 : 20_000,
      );
      const { code, stdout } = await child.end;
      expect(stdout).toContain('committed');
      if (how === 'exit')
        expect({ code, done: stdout.includes('disconnected') }).toEqual({ code: 0, done: true });
      const { consumer, seen } = await consumerOf(topic, { groupId });
      await consumer.run({
        eachMessage: async ({ message }) => {
          seen.handled.push(`${message.value}`);
        },
      });
      await waitFor(() => seen.handled.length >= 3, { timeoutMs: 20_000, what: 'the rest' });
      expect(seen.handled).toEqual(['p0-3', 'p0-4', 'p0-5']);
    },
    60_000,
  );

  it('waits for a topic that has only just been made, and for its brokers until it is told not to', async () => {
    const topic = lab.name();
    const consumer = lab.track(lab.kafka().consumer({ groupId: lab.name('group') }));
    await consumer.connect();
    const subscribed = consumer.subscribe({ topic, fromBeginning: true });
    await sleep(600);
    await lab.cluster.createTopic(topic);
    await subscribed;
    await consumer.disconnect();
    lab.refuseAll();
    const other = lab.kafka().consumer({ groupId: lab.name('group') });
    const connected = failureOf(other.connect());
    await sleep(300);
    await other.disconnect();
    expect(isClosedError(await connected)).toBe(true);
    await lab.heal();
    // What kafkajs had begun ends by itself, and leaves no connection.
    await sleep(1500);
  }, 60_000);

  it('outlasts a broker that is away for 5 s, as one outage', async () => {
    const topic = await filled(2, 3);
    const groupId = lab.name('group');
    // A member that comes back waits for its former self to be given up.
    const session = { sessionTimeout: 3000, heartbeatInterval: 500 };
    const { consumer, seen } = await consumerOf(topic, { groupId, ...session });
    const told: string[] = [];
    consumer.policy.on('down', () => told.push('down'));
    consumer.policy.on('up', () => told.push('up'));
    let healed = false;
    await consumer.run({
      eachMessage: async ({ message }) => {
        // Its delays end while kafkajs has no group.
        if (`${message.value}` === 'p1-0' && !healed) throw new Error('not yet');
        seen.handled.push(`${message.value}`);
      },
    });
    await waitFor(async () => (await committed(groupId, topic))[0] === 3, {
      timeoutMs: 20_000,
      what: 'three messages',
    });
    await lab.broker.kill9();
    await sleep(5000);
    healed = true;
    await lab.broker.start();
    const producer = lab.track(lab.kafka().producer());
    await producer.connect();
    await producer.send({ topic, messages: [{ partition: 0, value: 'after' }] });
    const all = ['after', 'p0-0', 'p0-1', 'p0-2', 'p1-0', 'p1-1', 'p1-2'];
    await waitFor(() => seen.handled.length >= all.length, { timeoutMs: 40_000, what: 'the rest' });
    expect([...seen.handled].sort()).toEqual(all);
    expect(told).toEqual(['down', 'up']);
    await consumer.disconnect();
    // kafkajs' own consumer may leave a socket behind that it opened while its broker was away.
    lab.resetAll();
  }, 90_000);
});
