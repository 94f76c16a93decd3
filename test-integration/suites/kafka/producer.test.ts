import {
  CompressionTypes,
  isOutcomeUnknown,
  KafkaJSProtocolError,
  logLevel,
  messageResults,
  type RetryProducer,
  retryInfo,
} from '@outlast/kafka-retry';
import { describe, expect, it } from 'vitest';
import { failureOf } from '../support/errors.js';
import { openKafkaLab } from '../support/kafka-lab.js';

const lab = await openKafkaLab();

describe.skipIf(lab.reason !== '')(`a producer ${lab.reason}`, () => {
  lab.use();

  async function connected(
    options: Parameters<ReturnType<typeof lab.kafka>['producer']>[0] = {},
    client: Parameters<typeof lab.kafka>[0] = {},
  ): Promise<RetryProducer> {
    const producer = lab.track(lab.kafka(client).producer(options));
    await producer.connect();
    return producer;
  }

  /** kafkajs leaves sockets behind, also after its disconnect(). */
  async function dispose(plain: { disconnect(): Promise<unknown> }): Promise<void> {
    await plain.disconnect();
    lab.resetAll();
  }

  it('tells each caller his own offset, however many share a batch', async () => {
    const topic = await lab.topic({ partitions: 3 });
    const producer = await connected();
    const sent = await Promise.all(
      Array.from({ length: 300 }, async (_, i) => {
        const [metadata] = await producer.send({
          topic,
          messages: [
            { key: `${i % 7}`, value: `${i}` },
            { key: `${i % 7}`, value: `${i}b` },
          ],
        });
        return { value: `${i}`, metadata };
      }),
    );
    const log = await lab.log(topic);
    expect(log).toHaveLength(600);
    const at = new Map(log.map((one) => [`${one.partition}:${one.offset}`, `${one.value}`]));
    for (const { value, metadata } of sent) {
      expect(metadata).toMatchObject({ topicName: topic, errorCode: 0 });
      expect(at.get(`${metadata?.partition}:${metadata?.baseOffset}`)).toBe(value);
      expect(at.get(`${metadata?.partition}:${Number(metadata?.baseOffset) + 1}`)).toBe(
        `${value}b`,
      );
    }
  });

  it('sends a lone message at once, and gathers many while a request is out', async () => {
    const topic = await lab.topic({ partitions: 6 });
    const producer = await connected();
    await producer.send({ topic, messages: [{ value: 'w' }] });
    const requests = lab.watch('produce');
    for (let i = 0; i < 5; i++) await producer.send({ topic, messages: [{ value: 'lone' }] });
    expect(requests()).toBe(5);
    const callers = Array.from({ length: 60 }, async () => {
      for (let i = 0; i < 5; i++) await producer.send({ topic, messages: [{ value: 'x' }] });
    });
    await Promise.all(callers);
    // All partitions have one leader: one request carries a batch of each.
    expect(requests()).toBeLessThan(5 + 60);
    expect(await lab.values(topic)).toHaveLength(1 + 5 + 300);
  });

  it('waits for company if it is told to (lingerMs)', async () => {
    const topic = await lab.topic();
    const producer = await connected({ lingerMs: 150 });
    await producer.send({ topic, messages: [{ value: 'w' }] });
    await new Promise((resolve) => setTimeout(resolve, 200));
    const requests = lab.watch('produce');
    const sends: Promise<unknown>[] = [];
    for (let i = 0; i < 5; i++) {
      sends.push(producer.send({ topic, messages: [{ value: `${i}` }] }));
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await Promise.all(sends);
    expect(requests()).toBe(1);
    expect(await lab.values(topic)).toEqual(['w', '0', '1', '2', '3', '4']);
  });

  it('tells of an outage in kafkajs’ log once', async () => {
    const topic = await lab.topic();
    const lines: string[] = [];
    const producer = await connected(
      {},
      {
        logLevel: logLevel.INFO,
        logCreator: () => (entry) => {
          lines.push(`${entry.label} ${entry.log.message}`);
        },
      },
    );
    lab.refuseAll();
    const sent = producer.send({ topic, messages: [{ value: 'x' }] });
    await new Promise((resolve) => setTimeout(resolve, 700));
    await lab.heal();
    await sent;
    expect(lines).toEqual([
      'WARN No broker can be reached',
      'INFO The brokers can be reached again',
    ]);
  });

  it('writes keys, values, headers and times byte by byte as kafkajs does', async () => {
    const ours = await lab.topic();
    const theirs = await lab.topic();
    const messages = [
      { key: 'k', value: 'wörld', headers: { a: 'x', b: Buffer.from([0, 255]), c: ['1', '2'] } },
      { key: Buffer.from([1, 2, 3]), value: Buffer.alloc(70_000, 7) },
      { key: null, value: null, timestamp: '1700000000000' },
      { value: '', headers: {}, timestamp: '1600000000000' },
    ];
    const producer = await connected();
    await producer.send({ topic: ours, messages });
    await producer.send({ topic: ours, messages, compression: CompressionTypes.GZIP });
    const plain = lab.track(lab.plain().producer());
    await plain.connect();
    await plain.send({ topic: theirs, messages });
    await plain.send({ topic: theirs, messages, compression: CompressionTypes.GZIP });
    const without = (log: Awaited<ReturnType<typeof lab.log>>) =>
      log.map(({ timestamp, ...rest }, i) => ({ ...rest, ...(i % 4 > 1 && { timestamp }) }));
    expect(without(await lab.log(ours))).toEqual(without(await lab.log(theirs)));
  });

  it.each(['cut-before', 'cut-after'] as const)(
    'stores a message once whose wire is cut (%s), and says that it tried again',
    async (fault) => {
      const topic = await lab.topic();
      const producer = await connected();
      await producer.send({ topic, messages: [{ value: 'first' }] });
      const retries: unknown[] = [];
      producer.policy.on('retry', (event) => retries.push(event.failure));
      const armed = lab.proxy.arm({ when: { bytes: lab.request('produce') }, fault, times: 3 });
      const [metadata] = await producer.send({ topic, messages: [{ value: 'once' }] });
      expect(armed.fired).toBe(3);
      expect(metadata?.baseOffset).toBe('1');
      expect(retries).toHaveLength(3);
      expect(retries[0]).toMatchObject({ category: 'network', outcome: 'unknown' });
      expect(await lab.values(topic)).toEqual(['first', 'once']);
    },
  );

  it('keeps the order of a thousand sends that nobody awaits, while replies are lost', async () => {
    const topic = await lab.topic({ partitions: 4 });
    const producer = await connected();
    const swallowing = lab.swallow(3);
    const sends: Promise<unknown>[] = [];
    for (let i = 0; i < 1000; i++) {
      sends.push(producer.send({ topic, messages: [{ key: `k${i % 20}`, value: `${i}` }] }));
      if (i % 25 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await Promise.all(sends);
    swallowing.stop();
    expect(swallowing.swallowed).toBeGreaterThan(2);
    const log = await lab.log(topic);
    expect(log).toHaveLength(1000);
    for (let k = 0; k < 20; k++) {
      const values = log
        .filter(({ key }) => `${key}` === `k${k}`)
        .map(({ value }) => Number(value));
      expect(values).toEqual([...values].sort((a, b) => a - b));
    }
  });

  // The ways in which kafkajs' `idempotent: true` loses what it has acknowledged; kafka-real.md, 3.4.
  describe.each([
    ['ours', true],
    ['kafkajs', false],
  ])('the ways to lose: %s', (_, safe) => {
    async function producerOf() {
      const producer = safe
        ? lab.kafka().producer()
        : lab.plain({ retry: { retries: 5, initialRetryTime: 50 } }).producer({
            idempotent: true,
          });
      lab.track(producer);
      await producer.connect();
      return producer;
    }

    it('a: sends that are not awaited, one reply lost', async () => {
      const topic = await lab.topic();
      const producer = await producerOf();
      await producer.send({ topic, messages: [{ value: 'w' }] });
      lab.proxy.arm({ when: { bytes: lab.request('produce') }, fault: 'cut-after' });
      const values = ['A', 'B', 'C', 'D'];
      await Promise.all(values.map((value) => producer.send({ topic, messages: [{ value }] })));
      await dispose(producer);
      const log = await lab.values(topic);
      if (safe) expect(log).toEqual(['w', ...values]);
      else expect(log).not.toEqual(expect.arrayContaining(['w', ...values]));
    });

    it('c: messages without a key, every tenth reply lost', async () => {
      const topic = await lab.topic({ partitions: 3 });
      const producer = await producerOf();
      await producer.send({ topic, messages: [{ value: 'w' }] });
      const swallowing = lab.swallow(10);
      const values = Array.from({ length: 100 }, (_, i) => `${i}`);
      for (const value of values) await producer.send({ topic, messages: [{ value }] });
      swallowing.stop();
      await dispose(producer);
      const { lost, doubled } = await lab.count(topic, ['w', ...values]);
      if (safe) expect({ lost, doubled }).toEqual({ lost: [], doubled: [] });
      else expect(lost.length).toBeGreaterThan(0);
    });
  });

  it('b: after a send that was given up the next are stored once, and kafkajs loses one', async () => {
    const topic = await lab.topic();
    const producer = await connected();
    await producer.send({ topic, messages: [{ value: 'w' }] });
    const armed = lab.proxy.arm({
      when: { bytes: lab.request('produce') },
      fault: 'cut-after',
      times: 1000,
    });
    const unknowns: unknown[] = [];
    producer.policy.on('outcomeUnknown', (event) => unknowns.push(event.error));
    const error = await failureOf(
      producer.send({ topic, messages: [{ value: 'A' }], totalTimeoutMs: 600 }),
    );
    armed.disarm();
    expect(isOutcomeUnknown(error)).toBe(true);
    expect(unknowns).toEqual([error]);
    expect(retryInfo(error)).toMatchObject({ reason: 'deadline', outcome: 'unknown' });
    expect(retryInfo(error)?.attempts).toBeGreaterThan(1);
    for (const value of ['B', 'C', 'D']) await producer.send({ topic, messages: [{ value }] });
    expect(await lab.values(topic)).toEqual(['w', 'A', 'B', 'C', 'D']);

    const other = await lab.topic();
    const plain = lab.plain({ retry: { retries: 1, initialRetryTime: 50 } });
    const theirs = lab.track(plain.producer({ idempotent: true, retry: { retries: 1 } }));
    await theirs.connect();
    await theirs.send({ topic: other, messages: [{ value: 'w' }] });
    const again = lab.proxy.arm({
      when: { bytes: lab.request('produce') },
      fault: 'cut-after',
      times: 1000,
    });
    await failureOf(theirs.send({ topic: other, messages: [{ value: 'A' }] }));
    again.disarm();
    for (const value of ['B', 'C', 'D']) {
      await theirs.send({ topic: other, messages: [{ value }] });
    }
    await dispose(theirs);
    expect(await lab.values(other)).not.toContain('B');
  });

  it('parts what is too large from the others of its batch, which go through', async () => {
    const topic = await lab.topic({ settings: { 'max.message.bytes': 2000 } });
    const producer = await connected();
    await producer.send({ topic, messages: [{ value: 'w' }] });
    const values = Array.from({ length: 20 }, (_, i) => (i === 7 ? 'x'.repeat(3000) : `${i}`));
    const results = await Promise.allSettled(
      values.map((value) => producer.send({ topic, messages: [{ value }] })),
    );
    const failed = results.flatMap((one, i) =>
      one.status === 'rejected' ? [[i, one.reason]] : [],
    );
    expect(failed).toEqual([[7, expect.any(KafkaJSProtocolError)]]);
    const error = failed[0]?.[1];
    expect(error).toMatchObject({ code: 10, type: 'MESSAGE_TOO_LARGE' });
    expect(retryInfo(error)).toMatchObject({ reason: 'permanent', outcome: 'not-applied' });
    const small = values.filter((_, i) => i !== 7);
    expect(await lab.values(topic)).toEqual(['w', ...small]);
  });

  it('parts what the broker calls invalid, with a result for each message of the send', async () => {
    const topic = await lab.topic({ settings: { 'cleanup.policy': 'compact' } });
    const producer = await connected();
    const messages = [
      { key: 'a', value: '1' },
      { value: 'without a key, in a compacted topic' },
      { key: 'b', value: '2' },
    ];
    const error = await failureOf(producer.send({ topic, messages }));
    expect(error).toMatchObject({ code: 87 });
    expect(messageResults(error)).toMatchObject([
      { topic, partition: 0, outcome: 'applied', offset: '0' },
      { outcome: 'not-applied', error: { code: 87 } },
      { outcome: 'applied', offset: '1' },
    ]);
    expect(isOutcomeUnknown(error)).toBe(false);
    expect(await lab.values(topic)).toEqual(['1', '2']);
  });

  it('cuts a send that is larger than a batch may be into several', async () => {
    const topic = await lab.topic();
    const producer = await connected();
    const messages = Array.from({ length: 40 }, (_, i) => ({
      value: `${i}-`.padEnd(100_000, 'x'),
    }));
    const [metadata] = await producer.send({ topic, messages });
    expect(metadata?.baseOffset).toBe('0');
    const log = await lab.values(topic);
    expect(log.map((value) => Number(value.split('-')[0]))).toEqual(messages.map((_, i) => i));
  });

  it('refuses a partition that does not exist, which kafkajs drops in silence', async () => {
    const topic = await lab.topic({ partitions: 2 });
    const producer = await connected();
    const error = await failureOf(
      producer.send({ topic, messages: [{ value: 'x', partition: 99 }] }),
    );
    expect(error.message).toContain('no partition 99');
    expect(retryInfo(error)).toMatchObject({ reason: 'permanent', outcome: 'not-applied' });
    const plain = lab.track(lab.plain().producer());
    await plain.connect();
    expect(await plain.send({ topic, messages: [{ value: 'x', partition: 99 }] })).toEqual([]);
    expect(await lab.values(topic)).toEqual([]);
  });

  it('sees partitions that were added since it looked', async () => {
    const topic = await lab.topic({ partitions: 1 });
    const producer = await connected();
    await producer.send({ topic, messages: [{ value: '0' }] });
    await lab.cluster.ask((admin) =>
      admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] }),
    );
    await lab.cluster.settled(topic);
    await producer.send({ topic, messages: [{ value: '2', partition: 2 }] });
    expect(await lab.values(topic, 2)).toEqual(['2']);
  });

  it('gives a message an id where a copy could outlive the sequence numbers, and keeps the user’s own', async () => {
    const topic = await lab.topic();
    const ids = async (): Promise<(string | undefined)[]> =>
      (await lab.log(topic)).map(({ headers }) => headers['x-message-id']?.toString());
    const uuid = expect.stringMatching(/^[0-9a-f-]{36}$/);
    const safe = await connected();
    await safe.send({ topic, messages: [{ value: 'numbered' }] });
    await safe.send({ topic, messages: [{ value: 'leader only' }], acks: 1 });
    const asked = await connected({ messageIds: true });
    await asked.send({ topic, messages: [{ value: 'asked for' }] });
    const unsafe = await connected({ idempotent: false });
    await unsafe.send({
      topic,
      messages: [{ value: 'a' }, { value: 'b', headers: { 'x-message-id': 'mine' } }],
    });
    expect(await ids()).toEqual([undefined, uuid, uuid, uuid, 'mine']);
    expect(unsafe.isIdempotent()).toBe(false);
    expect(safe.isIdempotent()).toBe(true);
  });

  it('resolves with nothing for acks 0, as kafkajs does', async () => {
    const topic = await lab.topic();
    const producer = await connected();
    expect(await producer.send({ topic, messages: [{ value: 'x' }], acks: 0 })).toEqual([]);
    await expect.poll(() => lab.values(topic)).toEqual(['x']);
    const strict = await connected({ idempotent: true });
    const error = await failureOf(strict.send({ topic, messages: [{ value: 'x' }], acks: 1 }));
    expect(error.message).toContain('invalidates the idempotent producer');
  });

  it('says at once that a codec is missing, and sends the others', async () => {
    const topic = await lab.topic();
    const producer = await connected();
    const [bad, good] = await Promise.allSettled([
      producer.send({
        topic,
        messages: [{ value: 'x' }],
        compression: CompressionTypes.Snappy,
      }),
      producer.send({ topic, messages: [{ value: 'y' }] }),
    ]);
    expect(bad).toMatchObject({ status: 'rejected', reason: { name: 'KafkaJSNotImplemented' } });
    expect(good.status).toBe('fulfilled');
    expect(await lab.values(topic)).toEqual(['y']);
  });

  it('tells of kafkajs’ events, under kafkajs’ names', async () => {
    const topic = await lab.topic();
    const producer = lab.track(lab.kafka().producer());
    const told: string[] = [];
    producer.on(producer.events.CONNECT, ({ type }) => told.push(type));
    producer.on(producer.events.DISCONNECT, ({ type }) => told.push(type));
    producer.on(producer.events.REQUEST, ({ type, payload }) => {
      if (payload.apiName === 'Produce') told.push(`${type} ${payload.apiName}`);
    });
    expect(() => producer.on('producer.nothing' as never, () => {})).toThrow(/Event name should/);
    await producer.connect();
    await producer.send({ topic, messages: [{ value: 'x' }] });
    await producer.disconnect();
    expect(told).toEqual([
      'producer.connect',
      'producer.network.request Produce',
      'producer.disconnect',
    ]);
  });
});
