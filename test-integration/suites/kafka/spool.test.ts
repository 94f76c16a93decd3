import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  isOutcomeUnknown,
  isSpoolFullError,
  isSpoolLockedError,
  type RetryProducer,
  refusedSends,
} from '@outlast/kafka-retry';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { startChild } from '../support/child.js';
import { ending, failureOf } from '../support/errors.js';
import { openKafkaLab } from '../support/kafka-lab.js';

const lab = await openKafkaLab();

describe.skipIf(lab.reason !== '')(`the spool of a producer ${lab.reason}`, () => {
  lab.use();

  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'outlast-spool-'));
  });
  afterEach(async () => {
    rmSync(directory, { recursive: true, force: true });
  });

  type Options = NonNullable<Parameters<ReturnType<typeof lab.kafka>['producer']>[0]>;

  async function connected(spool: object = {}, options: Options = {}): Promise<RetryProducer> {
    const producer = lab.track(
      lab.kafka().producer({ ...options, spool: { directory, fsync: false, ...spool } }),
    );
    await producer.connect();
    return producer;
  }

  /** The first time that each value stands in the log of a partition, in order; copies have its message id. */
  async function firsts(topic: string): Promise<{ values: string[]; copies: number }> {
    const ids = new Map<string, string>();
    let copies = 0;
    for (const { value, headers } of await lab.log(topic)) {
      const id = `${headers['x-message-id']}`;
      const before = ids.get(`${value}`);
      if (before === undefined) ids.set(`${value}`, id);
      else {
        copies += 1;
        expect(id).toBe(before);
      }
    }
    return { values: [...ids.keys()], copies };
  }

  const segments = (): string[] => readdirSync(directory).filter((name) => name.endsWith('.spool'));

  it('keeps ten thousand messages over kill -9 of their process, and of the next: all arrive, in order', async () => {
    const topic = await lab.topic({ partitions: 3 });
    const env = {
      BROKER: lab.cluster.proxiedAddresses()[0] as string,
      TOPIC: topic,
      DIRECTORY: directory,
    };
    const client = `import { Kafka, logLevel } from '@outlast/kafka-retry';
       const kafka = new Kafka({ brokers: [process.env.BROKER], logLevel: logLevel.NOTHING });
       const spool = { directory: process.env.DIRECTORY };
       const producer = kafka.producer({ spool });
       const topic = process.env.TOPIC;`;
    lab.refuseAll();
    const first = await startChild(
      `${client}
       let durable = 0;
       for (let i = 0; i < 10_000; i += 100) {
         await Promise.all(Array.from({ length: 100 }, async (_, n) => {
           const messages = [{ key: 'k' + ((i + n) % 30), value: String(i + n) }];
           await producer.send({ topic, messages });
           durable += 1;
         }));
       }
       console.log('durable', durable);
       process.kill(process.pid, 'SIGKILL');`,
      env,
      40_000,
    );
    expect(await first.end).toMatchObject({ code: null, stdout: 'durable 10000\n' });
    await lab.heal();
    const killedAgain = await startChild(
      `${client}
       await producer.connect();
       let stored = 0;
       producer.policy.on('success', () => {
         if (++stored === 4000) process.kill(process.pid, 'SIGKILL');
       });
       await producer.flush();`,
      env,
    );
    expect((await killedAgain.end).code).toBe(null);
    const last = await startChild(
      `${client}
       await producer.connect();
       await producer.send({ topic, messages: [{ key: 'k0', value: '10000' }] });
       await producer.flush();
       await producer.disconnect();
       console.log('flushed');`,
      env,
      40_000,
    );
    expect(await last.end).toMatchObject({ code: 0, stdout: 'flushed\n', stderr: '' });
    expect(segments()).toEqual([]);
    const { values, copies } = await firsts(topic);
    console.log(`${values.length} messages arrived, ${copies} copies with the same id`);
    expect(values).toHaveLength(10_001);
    // What had been acknowledged some time before the second death is not published again.
    expect(copies).toBeLessThan(9000);
    for (let key = 0; key < 30; key++) {
      const ofKey = values.map(Number).filter((value) => value % 30 === key && value < 10_000);
      expect(ofKey).toEqual([...ofKey].sort((a, b) => a - b));
    }
    expect(values.indexOf('10000')).toBeGreaterThan(values.indexOf('9990'));
  }, 100_000);

  it('takes what is sent during an outage, and what was under way; none is lost, doubled or out of order', async () => {
    const topic = await lab.topic();
    const producer = await connected();
    const [direct] = await producer.send({ topic, messages: [{ value: '0' }] });
    expect(direct).toMatchObject({ partition: 0, baseOffset: '0' });
    // Stored, and the answer lost: it must not be stored again.
    lab.proxy.arm({ when: { bytes: lab.request('produce') }, fault: 'cut-after' });
    const sends = Array.from({ length: 200 }, (_, i) =>
      producer.send({ topic, messages: [{ value: `${i + 1}` }] }),
    );
    await expect.poll(async () => (await lab.cluster.held(topic))[0]).toBeGreaterThan(1);
    lab.refuseAll();
    const spooled = await Promise.all(sends);
    expect(spooled.at(-1)).toEqual([{ topicName: topic, partition: -1, errorCode: 0 }]);
    for (let i = 201; i < 400; i++) {
      await producer.send({ topic, messages: [{ value: `${i}` }] });
    }
    const before = await ending(producer.disconnect({ graceMs: 1 }).then(() => producer.connect));
    expect(before.ok).toBe(true);
    await lab.heal();
    await producer.connect();
    await producer.send({ topic, messages: [{ value: '400' }] });
    await producer.flush();
    expect((await firsts(topic)).values.map(Number)).toEqual(
      Array.from({ length: 401 }, (_, i) => i),
    );
  });

  it('goes straight to the broker again when it has been read, with nothing doubled in one process', async () => {
    const topic = await lab.topic();
    const producer = await connected();
    await producer.send({ topic, messages: [{ value: '0' }] });
    for (let round = 0; round < 3; round++) {
      const swallowing = lab.swallow(3);
      const sends: Promise<unknown>[] = [];
      for (let i = 1; i <= 50; i++) {
        sends.push(producer.send({ topic, messages: [{ value: `${round * 50 + i}` }] }));
        if (i === 25) lab.refuseAll();
        if (i % 5 === 0) await sleep(20);
      }
      await Promise.all(sends);
      swallowing.stop();
      await lab.heal();
      await producer.flush();
    }
    await waitFor(
      async () => {
        const [metadata] = await producer.send({ topic, messages: [{ value: 'x' }] });
        return metadata?.baseOffset !== undefined;
      },
      { what: 'a send that has an offset' },
    );
    const values = (await lab.values(topic)).filter((value) => value !== 'x').map(Number);
    expect(values).toEqual(Array.from({ length: 151 }, (_, i) => i));
  });

  it('keeps a message whose time is over instead of rejecting it', async () => {
    const topic = await lab.topic();
    const producer = await connected();
    await producer.send({ topic, messages: [{ value: 'w' }] });
    lab.proxy.silence();
    const ended = await ending(
      producer.send({ topic, messages: [{ value: 'patient' }], totalTimeoutMs: 300 }),
    );
    expect(ended).toMatchObject({ ok: true });
    expect(ended.ms).toBeLessThan(1500);
    lab.proxy.speak();
    await producer.flush();
    expect(await lab.values(topic)).toEqual(['w', 'patient']);
  });

  it('waits for room, or rejects, typed, where its bytes are used up', async () => {
    const topic = await lab.topic();
    lab.refuseAll();
    const strict = lab.track(
      lab.kafka().producer({
        overflow: 'reject',
        spool: { directory, maxBytes: 100_000, fsync: false },
      }),
    );
    const value = 'x'.repeat(1000);
    // Until it is known that nobody is there, messages are the engine's.
    await strict.send({ topic, messages: [{ value }] });
    const all = await Promise.all(
      Array.from({ length: 200 }, () => ending(strict.send({ topic, messages: [{ value }] }))),
    );
    const refused = all.flatMap((one) => (one.ok ? [] : [one.error]));
    expect(refused.length).toBeGreaterThan(90);
    expect(refused.every(isSpoolFullError)).toBe(true);
    expect(isOutcomeUnknown(refused[0])).toBe(false);
    await strict.disconnect();
    await lab.heal();

    const patient = await connected({ maxBytes: 100_000 });
    const sends = Array.from({ length: 300 }, () => patient.send({ topic, messages: [{ value }] }));
    await Promise.all(sends);
    await patient.flush();
    expect(await lab.cluster.held(topic)).toEqual([501 - refused.length]);
  });

  it('puts aside what the broker refuses, and goes on with the rest', async () => {
    const topic = await lab.topic({ settings: { 'max.message.bytes': 2000 } });
    const producer = await connected();
    await producer.send({ topic, messages: [{ value: 'w' }] });
    lab.refuseAll();
    await sleep(100);
    const values = ['a', 'x'.repeat(3000), 'b'];
    for (const value of values) await producer.send({ topic, messages: [{ value }] });
    await lab.heal();
    await producer.flush();
    expect(await lab.values(topic)).toEqual(['w', 'a', 'b']);
    const [refused, ...others] = await refusedSends(directory);
    expect(others).toEqual([]);
    expect(refused?.topicMessages[0]?.topic).toBe(topic);
    expect(`${refused?.topicMessages[0]?.messages[0]?.value}`).toBe(values[1]);
  });

  it('belongs to one producer at a time', async () => {
    const producer = await connected();
    const second = lab.kafka().producer({ spool: { directory } });
    const error = await failureOf(second.connect());
    expect(isSpoolLockedError(error)).toBe(true);
    expect(
      isSpoolLockedError(await failureOf(second.send({ topic: 't', messages: [{ value: 'x' }] }))),
    ).toBe(true);
    await producer.disconnect();
    await second.connect();
    await second.disconnect();
    expect(() => lab.kafka().producer({ spool: { directory: '' } })).toThrow(/spool.directory/);
    expect(() => lab.kafka().producer({ spool: { directory, maxBites: 1 } as never })).toThrow(
      /spool.maxBites is not an option/,
    );
  });

  it('is closed at once while no broker is there, and its process exits by itself', async () => {
    const topic = await lab.topic();
    lab.refuseAll();
    const child = await startChild(
      `import { Kafka, logLevel } from '@outlast/kafka-retry';
       const kafka = new Kafka({ brokers: [process.env.BROKER], logLevel: logLevel.NOTHING });
       const producer = kafka.producer({ spool: { directory: process.env.DIRECTORY } });
       await producer.send({ topic: process.env.TOPIC, messages: [{ value: 'kept' }] });
       const start = performance.now();
       await producer.disconnect();
       console.log(performance.now() - start < 1000 ? 'soon' : 'late');`,
      {
        BROKER: lab.cluster.proxiedAddresses()[0] as string,
        TOPIC: topic,
        DIRECTORY: directory,
      },
    );
    expect(await child.end).toMatchObject({ code: 0, stdout: 'soon\n', stderr: '' });
    await lab.heal();
    const producer = await connected();
    await producer.flush();
    expect(await lab.values(topic)).toEqual(['kept']);
  });
});
