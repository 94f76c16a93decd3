import { createServer } from 'node:http';
import { createServer as createTcp, type Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import {
  isClosedError,
  isDeadlineExceededError,
  isOptionError,
  isOutcomeUnknown,
  isQueueFullError,
  Kafka,
  logLevel,
  type RetryProducer,
  retryInfo,
} from '@outlast/kafka-retry';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { startChild } from '../support/child.js';
import { ending, failureOf } from '../support/errors.js';
import { openKafkaLab } from '../support/kafka-lab.js';

const lab = await openKafkaLab();

/** A server of any kind on a free port, closed afterwards. */
async function withServer(server: Server, use: (port: number) => Promise<void>): Promise<void> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    await use((server.address() as { port: number }).port);
  } finally {
    server.close();
  }
}

describe.skipIf(lab.reason !== '')(`bounds of a producer ${lab.reason}`, () => {
  lab.use();

  type Options = Parameters<ReturnType<typeof lab.kafka>['producer']>[0];

  async function connected(options: Options = {}): Promise<RetryProducer> {
    const producer = lab.track(lab.kafka().producer(options));
    await producer.connect();
    return producer;
  }

  /** No broker, and the client has seen that its connections are gone: what it sends now, it does not send. */
  async function away(): Promise<void> {
    lab.refuseAll();
    await sleep(50);
  }

  it('gives up what was never sent as not applied, and stores what comes next', async () => {
    const topic = await lab.topic();
    const producer = await connected();
    await producer.send({ topic, messages: [{ value: 'w' }] });
    await away();
    const ended = await ending(
      producer.send({ topic, messages: [{ value: 'never' }], totalTimeoutMs: 700 }),
    );
    expect(ended.ok).toBe(false);
    expect(ended.ms).toBeGreaterThanOrEqual(690);
    expect(ended.ms).toBeLessThan(1500);
    const error = ended.ok ? undefined : ended.error;
    expect(error).toMatchObject({ name: 'KafkaJSConnectionError', code: 'ECONNREFUSED' });
    expect(retryInfo(error)).toMatchObject({ reason: 'deadline', outcome: 'not-applied' });
    await lab.heal();
    await producer.send({ topic, messages: [{ value: 'next' }] });
    expect(await lab.values(topic)).toEqual(['w', 'next']);
  });

  it('ends by its signal, with the reason of the signal, and says whether it was sent', async () => {
    const topic = await lab.topic();
    const producer = await connected();
    await producer.send({ topic, messages: [{ value: 'w' }] });
    lab.proxy.arm({ when: { bytes: lab.request('produce') }, fault: 'silence' });
    const controller = new AbortController();
    const { signal } = controller;
    const sent = failureOf(producer.send({ topic, messages: [{ value: 'sent' }], signal }));
    await expect.poll(async () => (await lab.cluster.held(topic))[0]).toBe(2);
    const queued = failureOf(producer.send({ topic, messages: [{ value: 'queued' }], signal }));
    await sleep(20);
    controller.abort(new Error('enough'));
    expect(await sent).toMatchObject({ message: 'enough' });
    expect(isOutcomeUnknown(await sent)).toBe(true);
    await queued;
    await producer.send({ topic, messages: [{ value: 'after' }] });
    expect(await lab.values(topic)).toEqual(['w', 'sent', 'after']);
    const late = AbortSignal.abort(new Error('too late'));
    expect(
      await failureOf(producer.send({ topic, messages: [{ value: 'x' }], signal: late })),
    ).toMatchObject({ message: 'too late' });
  });

  it('rejects, typed, what its queue has no room for, and holds the rest until the broker is back', async () => {
    const topic = await lab.topic();
    const producer = await connected({ maxQueueBytes: 100_000, overflow: 'reject' });
    await producer.send({ topic, messages: [{ value: 'w' }] });
    lab.refuseAll();
    const value = 'x'.repeat(1000);
    const sends = Array.from({ length: 1000 }, () =>
      ending(producer.send({ topic, messages: [{ value }] })),
    );
    await sleep(300);
    const { queuedBytes } = (await producer.healthCheck()).details;
    expect(queuedBytes).toBeGreaterThan(90_000);
    expect(queuedBytes).toBeLessThanOrEqual(100_000);
    await lab.heal();
    const ended = await Promise.all(sends);
    const refused = ended.flatMap((one) => (one.ok ? [] : [one.error]));
    expect(refused.length).toBeGreaterThan(940);
    expect(refused.every(isQueueFullError)).toBe(true);
    expect(retryInfo(refused[0])).toMatchObject({ outcome: 'not-applied' });
    expect(await lab.cluster.held(topic)).toEqual([1 + ended.length - refused.length]);
  });

  it('lets send() wait for room, in order, and loses none', async () => {
    const topic = await lab.topic();
    const producer = await connected({ maxQueueBytes: 20_000 });
    lab.refuseAll();
    const sends = Array.from({ length: 300 }, (_, i) =>
      producer.send({ topic, messages: [{ value: `${i}`.padEnd(1000, ' ') }] }),
    );
    const flushed = producer.flush();
    await sleep(200);
    await lab.heal();
    await Promise.all(sends);
    await flushed;
    const values = (await lab.values(topic)).map(Number);
    expect(values).toEqual(Array.from({ length: 300 }, (_, i) => i));
  });

  it('keeps its memory within maxQueueBytes while a million messages are offered and the broker is away', async () => {
    const topic = await lab.topic();
    const producer = await connected({ maxQueueBytes: 4_000_000, overflow: 'reject' });
    await producer.send({ topic, messages: [{ value: 'w' }] });
    lab.refuseAll();
    setFlagsFromString('--expose-gc');
    const gc = runInNewContext('gc') as () => void;
    gc();
    const before = process.memoryUsage().heapUsed;
    let refused = 0;
    let stored = 0;
    let open = 0;
    for (let i = 0; i < 1_000_000; i++) {
      open += 1;
      producer.send({ topic, messages: [{ value: `message ${i}` }] }).then(
        () => {
          stored += 1;
          open -= 1;
        },
        () => {
          refused += 1;
          open -= 1;
        },
      );
      if (i % 1000 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await sleep(50);
    gc();
    const grown = process.memoryUsage().heapUsed - before;
    console.log(`heap grown by ${Math.round(grown / 1e6)} MB, ${open} messages held`);
    // What the harness itself keeps is some of it.
    expect(grown).toBeLessThan(12_000_000);
    const held = open;
    expect(held).toBeGreaterThan(3000);
    expect(refused).toBe(1_000_000 - held);
    await lab.heal();
    await producer.flush();
    await waitFor(() => open === 0, { what: 'all to end' });
    expect(await lab.cluster.held(topic)).toEqual([1 + stored]);
  }, 120_000);

  it('disconnects when all that is under way has ended: a thousand, none lost', async () => {
    const topic = await lab.topic({ partitions: 3 });
    const producer = await connected();
    const sends = Array.from({ length: 1000 }, (_, i) =>
      producer.send({ topic, messages: [{ value: `${i}` }] }),
    );
    const done = producer.disconnect();
    expect(await failureOf(producer.send({ topic, messages: [{ value: 'late' }] }))).toMatchObject({
      message: expect.stringContaining('disconnecting'),
    });
    await done;
    const ended = await Promise.all(sends);
    expect(ended).toHaveLength(1000);
    const { lost, doubled } = await lab.count(
      topic,
      ended.map((_, i) => `${i}`),
    );
    expect({ lost, doubled }).toEqual({ lost: [], doubled: [] });
    expect(await failureOf(producer.send({ topic, messages: [{ value: 'x' }] }))).toMatchObject({
      message: 'The producer is disconnected',
    });
    await producer.connect();
    await producer.send({ topic, messages: [{ value: 'again' }] });
  });

  it('rejects what is left when the grace is over, typed, and opens no socket any more', async () => {
    const topic = await lab.topic();
    const producer = await connected();
    await producer.send({ topic, messages: [{ value: 'w' }] });
    lab.refuseAll();
    const sends = Array.from({ length: 5 }, (_, i) =>
      ending(producer.send({ topic, messages: [{ value: `${i}` }] })),
    );
    await sleep(300);
    const start = performance.now();
    await producer.disconnect({ graceMs: 200 });
    expect(performance.now() - start).toBeLessThan(700);
    for (const one of await Promise.all(sends)) {
      expect(!one.ok && isClosedError(one.error)).toBe(true);
    }
    await lab.heal();
    const { connections } = lab.proxy.counts;
    await sleep(500);
    expect(lab.proxy.counts.connections).toBe(connections);
    expect(await lab.values(topic)).toEqual(['w']);
  });

  it.each([
    ['with a thousand sends under way', 'accept'],
    ['with sends that are being retried', 'refuse'],
  ])('lets its process exit by itself after disconnect, %s', async (_, how) => {
    const topic = await lab.topic();
    const child = await startChild(
      `import { Kafka, logLevel } from '@outlast/kafka-retry';
       const kafka = new Kafka({ brokers: [process.env.BROKER], logLevel: logLevel.NOTHING });
       const producer = kafka.producer();
       await producer.connect();
       console.log('connected');
       if (process.env.HOW === 'refuse') await new Promise((resolve) => setTimeout(resolve, 800));
       let ended = 0;
       for (let i = 0; i < 1000; i++) {
         producer.send({ topic: process.env.TOPIC, messages: [{ value: String(i) }] })
           .then(() => ended++, () => ended++);
       }
       await new Promise((resolve) => setTimeout(resolve, process.env.HOW === 'refuse' ? 500 : 0));
       await producer.disconnect(process.env.HOW === 'refuse' ? { graceMs: 300 } : {});
       await new Promise((resolve) => setImmediate(resolve));
       console.log('ended', ended);`,
      { BROKER: lab.cluster.proxiedAddresses()[0] as string, TOPIC: topic, HOW: how },
    );
    await waitFor(() => child.stdout.includes('connected'), { what: 'the program' });
    if (how === 'refuse') lab.refuseAll();
    const { code, stdout, stderr } = await child.end;
    expect(stderr).toBe('');
    expect(stdout).toContain('ended 1000');
    expect(code).toBe(0);
    if (how === 'accept') expect(await lab.cluster.held(topic)).toEqual([1000]);
  });

  it('connects when a broker comes up while it waits, and reports one outage', async () => {
    lab.refuseAll();
    const kafka = lab.kafka();
    const producer = lab.track(kafka.producer());
    const told: string[] = [];
    kafka.policy.on('down', () => told.push('down'));
    kafka.policy.on('up', () => told.push('up'));
    const connecting = producer.connect();
    await sleep(1000);
    expect(told).toEqual(['down']);
    await lab.heal();
    await connecting;
    expect(told).toEqual(['down', 'up']);
    expect(await producer.healthCheck()).toMatchObject({
      ok: true,
      details: { brokers: [{ nodeId: 1 }], controller: 1 },
    });
  });

  it.each([
    ['none', [], 'brokers array is empty'],
    ['no address', ['nonsense'], 'must be written as host:port'],
    ['a URL', ['kafka://127.0.0.1:9092'], 'must be written as host:port'],
    ['no text', [7], 'is invalid "number"'],
  ])('rejects at once where the brokers are %s', async (_, brokers, message) => {
    const producer = new Kafka({
      brokers: brokers as string[],
      logLevel: logLevel.NOTHING,
    }).producer();
    const ended = await ending(producer.connect());
    expect(!ended.ok && ended.error.message).toContain(message);
    expect(ended.ms).toBeLessThan(200);
    const sent = await failureOf(producer.send({ topic: 't', messages: [{ value: 'x' }] }));
    expect(sent.message).toContain(message);
    expect(retryInfo(sent)).toMatchObject({ reason: 'permanent', outcome: 'not-applied' });
    await producer.disconnect();
  });

  it('rejects connect() at its deadline where nobody answers as a broker does', async () => {
    const fails = async (brokers: string[], ssl = false): Promise<Error> => {
      const kafka = new Kafka({
        brokers,
        ssl,
        logLevel: logLevel.NOTHING,
        retry: { waitMs: 700 },
      });
      const producer = kafka.producer();
      const ended = await ending(producer.connect());
      const check = await producer.healthCheck();
      await producer.disconnect();
      expect(ended.ok).toBe(false);
      expect(ended.ms).toBeLessThan(4500);
      expect(check).toMatchObject({ ok: false });
      return ended.ok ? new Error('It connected.') : ended.error;
    };
    expect(await fails(['127.0.0.1:1'])).toMatchObject({ code: 'ECONNREFUSED' });
    expect(await fails(['no-such-host.invalid:9092'])).toMatchObject({
      code: expect.stringMatching(/ENOTFOUND|EAI_AGAIN/),
    });
    const address = lab.cluster.proxiedAddresses()[0] as string;
    expect((await fails([address], true)).name).toMatch(/^KafkaJSConnection/);
    await withServer(createServer(), async (port) => {
      expect((await fails([`127.0.0.1:${port}`])).name).toMatch(/^KafkaJS/);
    });
    const sockets: { destroy(): void }[] = [];
    await withServer(
      createTcp((socket) => {
        sockets.push(socket.on('error', () => {}));
      }),
      async (port) => {
        expect((await fails([`127.0.0.1:${port}`])).name).toMatch(/^KafkaJS/);
        for (const socket of sockets) socket.destroy();
      },
    );
  }, 60_000);

  it('rejects what is no message before anything is sent', async () => {
    const topic = await lab.topic();
    const producer = await connected();
    const send = (messages: unknown, name: unknown = topic) =>
      failureOf(
        producer.send({
          topic: name as string,
          messages: messages as { value: string }[],
        }),
      );
    expect((await send([{ value: 5 }])).message).toContain('its value must be a string');
    expect((await send([{ value: {} }])).message).toContain('its value must be a string');
    expect((await send([{ key: 5, value: 'x' }])).message).toContain('its key must be a string');
    expect((await send([{ value: 'x', headers: { a: 5 } }])).message).toContain('header "a"');
    expect((await send([{ value: 'x', timestamp: 'soon' }])).message).toContain('timestamp');
    expect((await send([{ key: 'only' }])).message).toContain('without value');
    expect((await send([{ value: 'good' }, null])).message).toContain('no message');
    expect((await send(undefined)).message).toContain('Invalid messages array');
    expect((await send([{ value: 'x' }], '')).message).toBe('Invalid topic');
    expect((await send([{ value: 'x' }], 'not a topic!')).message).toContain('not a topic!');
    expect(await producer.send({ topic, messages: [] })).toEqual([]);
    const bounds = await failureOf(
      producer.send({ topic, messages: [{ value: 'x' }], totalTimeoutMs: -1 }),
    );
    expect(isOptionError(bounds)).toBe(true);
    expect(await lab.values(topic)).toEqual([]);
  });

  it('says of a topic that is not there that it is not, within seconds, to all who wait', async () => {
    const producer = await connected();
    const topic = lab.name('missing');
    const ended = await Promise.all(
      [1, 2, 3].map((i) => ending(producer.send({ topic, messages: [{ value: `${i}` }] }))),
    );
    for (const one of ended) {
      expect(!one.ok && one.error).toMatchObject({ code: 3, type: 'UNKNOWN_TOPIC_OR_PARTITION' });
      expect(!one.ok && retryInfo(one.error)?.outcome).toBe('not-applied');
      expect(one.ms).toBeGreaterThan(4500);
      expect(one.ms).toBeLessThan(8000);
    }
  });

  it('sends once and waits for nothing with retries: 0', async () => {
    const topic = await lab.topic();
    const producer = lab.track(lab.kafka({ retry: { retries: 0 } }).producer());
    await producer.connect();
    await producer.send({ topic, messages: [{ value: 'w' }] });
    lab.proxy.arm({ when: { bytes: lab.request('produce') }, fault: 'cut-after' });
    const error = await failureOf(producer.send({ topic, messages: [{ value: 'once' }] }));
    expect(retryInfo(error)).toMatchObject({ attempts: 1, outcome: 'unknown' });
    await producer.send({ topic, messages: [{ value: 'next' }] });
    await away();
    const refused = await ending(producer.send({ topic, messages: [{ value: 'never' }] }));
    expect(refused.ms).toBeLessThan(500);
    expect(!refused.ok && isOutcomeUnknown(refused.error)).toBe(false);
    await lab.heal();
    expect(await lab.values(topic)).toEqual(['w', 'once', 'next']);
  });

  it('refuses what its breaker does not admit, and admits again when the broker is back', async () => {
    const topic = await lab.topic();
    const breaker = { failureThreshold: 2, resetTimeoutMs: 300, jitter: false };
    const kafka = lab.kafka({ retry: { breaker, totalTimeoutMs: 250 } });
    const producer = lab.track(kafka.producer());
    await producer.connect();
    await producer.send({ topic, messages: [{ value: 'w' }] });
    await away();
    const send = () => ending(producer.send({ topic, messages: [{ value: 'x' }] }));
    await send();
    await send();
    const refused = await send();
    expect(!refused.ok && refused.error.code).toBe('OUTLAST_CIRCUIT_OPEN');
    expect(refused.ms).toBeLessThan(100);
    await lab.heal();
    await sleep(400);
    expect(await send()).toMatchObject({ ok: true });
    expect(await lab.values(topic)).toEqual(['w', 'x']);
  });

  it('shows no password in what it throws and tells', async () => {
    const password = 'canary-7f3a9c';
    const seen: string[] = [];
    const kafka = lab.kafka({
      sasl: { mechanism: 'plain', username: 'user', password },
      retry: { waitMs: 300 },
      logLevel: logLevel.DEBUG,
      logCreator: () => (entry) => {
        seen.push(inspect(entry, { depth: 12, showHidden: true }));
      },
    });
    kafka.policy.on('down', (event) => seen.push(inspect(event, { depth: 12, showHidden: true })));
    kafka.policy.on('exhausted', (event) => seen.push(inspect(event, { depth: 12 })));
    const producer = lab.track(kafka.producer());
    const errors = [
      await failureOf(producer.connect()),
      await failureOf(producer.send({ topic: 't', messages: [{ value: 'x' }] })),
      await producer.healthCheck(),
    ];
    for (const error of errors) seen.push(inspect(error, { depth: 12, showHidden: true }));
    expect(seen.length).toBeGreaterThan(3);
    expect(seen.filter((text) => text.includes(password))).toEqual([]);
  }, 30_000);

  it('knows a deadline without any failure for what it is', async () => {
    const topic = await lab.topic();
    const producer = await connected();
    await producer.send({ topic, messages: [{ value: 'w' }] });
    lab.proxy.silence();
    const error = await failureOf(
      producer.send({ topic, messages: [{ value: 'x' }], totalTimeoutMs: 300 }),
    );
    expect(isDeadlineExceededError(error)).toBe(true);
    expect(isOutcomeUnknown(error)).toBe(true);
    lab.proxy.speak();
  });
});
