import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { Kafka, logLevel } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startProxy } from '../faults/index.js';
import {
  findKafka,
  isFree,
  isSkipped,
  type KafkaCluster,
  missingKafka,
  type NativeKafka,
  startKafka,
  takeKafka,
  waitFor,
} from '../servers/index.js';
import { processState } from '../servers/process-table.js';
import { startChild } from '../suites/support/child.js';

const reason = findKafka().length === 0 ? missingKafka() : '';

describe.skipIf(reason !== '')(`Kafka of our own ${reason}`, () => {
  let cluster: KafkaCluster<NativeKafka>;
  let topics = 0;

  beforeAll(async () => {
    cluster = (await startKafka({ proxies: 2 })) as KafkaCluster<NativeKafka>;
  });
  afterAll(() => cluster.dispose());

  async function newTopic(partitions = 1): Promise<string> {
    const topic = `topic-${++topics}`;
    await cluster.createTopic(topic, { partitions });
    return topic;
  }

  async function send(topic: string, ...values: string[]): Promise<void> {
    const producer = cluster.client().producer();
    await producer.connect();
    await producer.send({ topic, messages: values.map((value) => ({ value })) });
    await producer.disconnect();
  }

  it('stops and comes back with its data, on the same port', async () => {
    const broker = cluster.first;
    const topic = await newTopic();
    await send(topic, 'kept');
    const pid = broker.pid as number;
    await broker.stop();
    expect(processState(pid)).toBeUndefined();
    expect(await isFree(broker.port)).toBe(true);
    await expect(broker.answers()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await broker.start();
    expect((await cluster.log(topic)).map(({ value }) => `${value}`)).toEqual(['kept']);
    expect(broker.pid).not.toBe(pid);
  });

  it('loses nothing acknowledged by kill -9, and is back within seconds', async () => {
    const topic = await newTopic(2);
    await send(topic, ...Array.from({ length: 100 }, (_, n) => `${n}`));
    await cluster.first.kill9();
    await cluster.first.start();
    const held = await cluster.held(topic);
    expect(held).toHaveLength(2);
    expect((held[0] as number) + (held[1] as number)).toBe(100);
    const values = (await cluster.log(topic)).map(({ value }) => Number(`${value}`));
    expect(values.sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, n) => n));
  });

  it('answers nothing while it is paused, and everything afterwards', async () => {
    const topic = await newTopic();
    const producer = cluster.client().producer();
    await producer.connect();
    await cluster.first.pause();
    expect(processState(cluster.first.pid as number)).toBe('T');
    let answered = false;
    const sent = producer.send({ topic, messages: [{ value: 'x' }] }).then(() => {
      answered = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(answered).toBe(false);
    await cluster.first.resume();
    await sent;
    expect(await cluster.held(topic)).toEqual([1]);
    await producer.disconnect();
  });

  it('sends the clients of a proxy back to that proxy, and counts their connections', async () => {
    const topic = await newTopic();
    await using proxy = await startProxy(cluster.first.proxyOptions(1));
    const kafka = new Kafka({
      brokers: cluster.proxiedAddresses(1),
      logLevel: logLevel.NOTHING,
    });
    const producer = kafka.producer();
    await producer.connect();
    await producer.send({ topic, messages: [{ value: 'x' }] });
    expect(proxy.open).toBeGreaterThan(0);
    expect(await cluster.connections()).toBe(proxy.open);
    await producer.disconnect();
    await waitFor(async () => (await cluster.connections()) === 0);
  });

  it('tells messages from the marks of transactions', async () => {
    const topic = await newTopic();
    const producer = cluster.client().producer({ transactionalId: 'one', maxInFlightRequests: 1 });
    await producer.connect();
    for (const end of ['commit', 'abort'] as const) {
      const transaction = await producer.transaction();
      await transaction.send({ topic, messages: [{ key: 'k', value: end, headers: { h: '1' } }] });
      await transaction[end]();
    }
    await producer.disconnect();
    // the mark of an end is written after it was answered
    await waitFor(async () => (await cluster.held(topic))[0] === 4, { what: 'the last mark' });
    const log = await cluster.log(topic);
    expect(log).toMatchObject([{ partition: 0, offset: 0 }]);
    expect([`${log[0]?.key}`, `${log[0]?.value}`, `${log[0]?.headers['h']}`]).toEqual([
      'k',
      'commit',
      '1',
    ]);
  });

  it('ends with a process that is killed, and leaves nothing behind', async () => {
    const child = await startChild(
      `import { startKafka } from '@outlast/test-integration/servers';
      const { first } = await startKafka();
      console.log(JSON.stringify([process.pid, first.pid, first.folder]));
      setInterval(() => {}, 1000);`,
      { HOME: homedir(), OUTLAST_CACHE: process.env['OUTLAST_CACHE'] ?? '' },
      60_000,
    );
    await waitFor(() => child.stdout.endsWith('\n'), { timeoutMs: 60_000, what: 'its broker' });
    const [self, broker, folder] = JSON.parse(child.stdout);
    expect(processState(broker)).toBeDefined();
    process.kill(self, 'SIGKILL');
    await waitFor(() => processState(broker) === undefined, { what: 'the end of the broker' });
    await waitFor(() => !existsSync(folder), { what: 'its folder to go' });
  });

  it('is taken, or KAFKA_URL’s cluster is, which cannot be stopped', async () => {
    const before = process.env['KAFKA_URL'];
    process.env['KAFKA_URL'] = cluster.addresses.join(',');
    try {
      const taken = await takeKafka();
      if (isSkipped(taken)) throw new Error(taken.skipped);
      expect(taken).toMatchObject({ addresses: cluster.addresses, controllable: false });
      await expect(taken.first.stop()).rejects.toThrow('unset KAFKA_URL');
      const topic = await newTopic();
      expect(await taken.held(topic)).toEqual([0]);
    } finally {
      if (before === undefined) delete process.env['KAFKA_URL'];
      else process.env['KAFKA_URL'] = before;
    }
  });
});

describe.skipIf(reason !== '')(`three brokers ${reason}`, () => {
  it('give a partition to another when its leader is killed, and take it back', async () => {
    await using cluster = await startKafka({ brokers: 3 });
    await cluster.createTopic('shared', { partitions: 3 });
    const before = await cluster.partitions('shared');
    expect(new Set(before.map(({ leader }) => leader)).size).toBe(3);
    const leader = await cluster.leaderOf('shared', 1);
    await leader.kill9();
    await waitFor(async () => (await cluster.leaderOf('shared', 1)) !== leader, {
      what: 'another leader',
    });
    const producer = cluster.client().producer();
    await producer.connect();
    await producer.send({ topic: 'shared', messages: [{ value: 'x', partition: 1 }] });
    await producer.disconnect();
    await leader.start();
    await cluster.settled('shared');
    expect(await cluster.held('shared')).toEqual([0, 1, 0]);
  });
});
