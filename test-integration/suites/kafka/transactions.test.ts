import { setTimeout as sleep } from 'node:timers/promises';
import {
  isOptionError,
  isOutcomeUnknown,
  type RetryProducer,
  retryInfo,
} from '@outlast/kafka-retry';
import { describe, expect, it } from 'vitest';
import { ending, failureOf } from '../support/errors.js';
import { openKafkaLab } from '../support/kafka-lab.js';

const lab = await openKafkaLab();

describe.skipIf(lab.reason !== '')(`transactions of a producer ${lab.reason}`, () => {
  lab.use();

  type Options = Parameters<ReturnType<typeof lab.kafka>['producer']>[0];

  async function connected(options: Options = {}): Promise<RetryProducer> {
    const producer = lab.track(
      lab.kafka().producer({ transactionalId: lab.name('tx'), ...options }),
    );
    await producer.connect();
    return producer;
  }

  /** A commit is answered before its marks are in the topics: one that follows has waited for them. */
  let beside: Promise<string> | undefined;
  async function settled(producer: RetryProducer): Promise<void> {
    beside ??= lab.topic();
    const topic = await beside;
    await producer.transaction((tx) => tx.send({ topic, messages: [{ value: 'behind it' }] }));
  }

  async function values(producer: RetryProducer, topic: string): Promise<string[]> {
    await settled(producer);
    return lab.values(topic);
  }

  it('are kafkajs’ own without a function: what is committed is kept, what is aborted is not', async () => {
    const topic = await lab.topic();
    const producer = await connected({ idempotent: true, maxInFlightRequests: 1 });
    const committed = await producer.transaction();
    const [metadata] = await committed.send({ topic, messages: [{ value: 'kept' }] });
    expect(metadata).toMatchObject({ topicName: topic, partition: 0, baseOffset: '0' });
    expect(committed.isActive()).toBe(true);
    expect((await failureOf(producer.transaction())).message).toContain('already an ongoing');
    expect((await failureOf(producer.transaction(async () => {}))).message).toContain('ongoing');
    await committed.commit();
    expect(committed.isActive()).toBe(false);
    const late = committed.send({ topic, messages: [{ value: 'late' }] });
    expect((await failureOf(late)).message).toBe('Cannot continue to use transaction once ended');
    const aborted = await producer.transaction();
    await aborted.send({ topic, messages: [{ value: 'not kept' }] });
    await aborted.abort();
    await producer.send({ topic, messages: [{ value: 'beside' }] });
    expect(await values(producer, topic)).toEqual(['kept', 'beside']);
    const without = lab.track(lab.kafka().producer());
    expect((await failureOf(without.transaction())).message).toContain('transactional id');
  });

  it('commit what a function sends, one after the other, and hand on what it returns', async () => {
    const topic = await lab.topic({ partitions: 3 });
    const producer = await connected();
    const results = await Promise.all(
      [1, 2, 3].map((n) =>
        producer.transaction(async (tx, { attempt }) => {
          // Not awaited: what is under way when the function ends is part of it.
          for (let i = 0; i < 5; i++) {
            void tx.send({ topic, messages: [{ value: `${n}-${i}` }] });
          }
          await tx.sendBatch({ topicMessages: [{ topic, messages: [{ value: `${n}-b` }] }] });
          return n * attempt;
        }),
      ),
    );
    expect(results).toEqual([1, 2, 3]);
    await settled(producer);
    const { lost, doubled } = await lab.count(
      topic,
      [1, 2, 3].flatMap((n) => [0, 1, 2, 3, 4, 'b'].map((i) => `${n}-${i}`)),
    );
    expect({ lost, doubled }).toEqual({ lost: [], doubled: [] });
  });

  it('abort when the function throws, and surface what it threw, once', async () => {
    const topic = await lab.topic();
    const producer = await connected();
    let runs = 0;
    const mine = new Error('not today');
    const error = await failureOf(
      producer.transaction(async (tx) => {
        runs += 1;
        await tx.send({ topic, messages: [{ value: 'no' }] });
        throw mine;
      }),
    );
    expect(error).toBe(mine);
    expect(retryInfo(error)).toMatchObject({ reason: 'permanent', outcome: 'not-applied' });
    expect(runs).toBe(1);
    await producer.transaction((tx) => tx.send({ topic, messages: [{ value: 'yes' }] }));
    expect(await values(producer, topic)).toEqual(['yes']);
  });

  it('run the function again when the wire is cut before the commit was sent', async () => {
    const topic = await lab.topic();
    const producer = await connected();
    const attempts: number[] = [];
    const error = new Set<unknown>();
    producer.policy.on('retry', (event) => error.add(event.failure.outcome));
    await producer.transaction(async (tx, { attempt }) => {
      attempts.push(attempt);
      await tx.send({ topic, messages: [{ value: 'a' }] });
      // Longer than what kafkajs gets over by itself.
      if (attempt === 1) {
        lab.refuseAll();
        setTimeout(() => void lab.heal(), 2500);
      }
      await tx.send({ topic, messages: [{ value: 'b' }] });
    });
    expect(attempts).toEqual([1, 2]);
    expect([...error]).toEqual(['not-applied']);
    expect(await values(producer, topic)).toEqual(['a', 'b']);
  });

  it.each(['cut-before', 'cut-after'] as const)(
    'store once what is sent while its wire is cut (%s), and keep the order',
    async (fault) => {
      const topic = await lab.topic({ partitions: 3 });
      const producer = await connected();
      await producer.transaction(async (tx) => {
        await tx.send({ topic, messages: [{ value: 'w' }] });
        const armed = lab.proxy.arm({ when: { bytes: lab.request('produce') }, fault, times: 2 });
        const sends: Promise<unknown>[] = [];
        for (let i = 0; i < 20; i++) {
          sends.push(tx.send({ topic, messages: [{ value: `keyless ${i}` }] }));
          sends.push(tx.send({ topic, messages: [{ key: 'k', value: `${i}` }] }));
        }
        await Promise.all(sends);
        expect(armed.fired).toBe(2);
      });
      await settled(producer);
      const log = await lab.log(topic);
      expect(log).toHaveLength(41);
      expect(new Set(log.map(({ value }) => `${value}`)).size).toBe(41);
      const keyed = log.filter(({ key }) => `${key}` === 'k').map(({ value }) => Number(value));
      expect(keyed).toEqual(Array.from({ length: 20 }, (_, i) => i));
    },
  );

  it('drop a connection that is silent, and store once', async () => {
    const topic = await lab.topic();
    const kafka = lab.kafka({ requestTimeout: 500 });
    const producer = lab.track(kafka.producer({ transactionalId: lab.name('tx') }));
    await producer.connect();
    const armed = lab.proxy.arm({ when: { bytes: lab.request('produce') }, fault: 'silence' });
    const attempts: number[] = [];
    const { ok, ms } = await ending(
      producer.transaction(async (tx, { attempt }) => {
        attempts.push(attempt);
        await tx.send({ topic, messages: [{ value: 'once' }] });
      }),
    );
    expect([ok, armed.fired, attempts]).toEqual([true, 1, [1]]);
    expect(ms).toBeLessThan(3000);
    expect(await values(producer, topic)).toEqual(['once']);
  });

  it('ask for the same commit again when the wire is cut before the broker got it', async () => {
    const topic = await lab.topic();
    const producer = await connected();
    let runs = 0;
    const armed = lab.proxy.arm({ when: { bytes: lab.request('endTxn') }, fault: 'cut-before' });
    await producer.transaction((tx) => {
      runs += 1;
      return tx.send({ topic, messages: [{ value: 'once' }] });
    });
    expect([runs, armed.fired]).toEqual([1, 1]);
    await producer.transaction((tx) => tx.send({ topic, messages: [{ value: 'next' }] }));
    expect(await values(producer, topic)).toEqual(['once', 'next']);
  });

  it('find out that a commit went through whose answer was lost, and do not run it again', async () => {
    const topic = await lab.topic();
    const producer = await connected();
    let runs = 0;
    const armed = lab.proxy.arm({
      when: { bytes: lab.request('endTxn') },
      fault: 'cut-after',
      times: 2,
    });
    await producer.transaction(async (tx) => {
      runs += 1;
      await tx.send({ topic, messages: [{ value: 'once' }] });
    });
    expect([runs, armed.fired]).toEqual([1, 2]);
    const manual = await producer.transaction();
    await manual.send({ topic, messages: [{ value: 'by hand' }] });
    const again = lab.proxy.arm({ when: { bytes: lab.request('endTxn') }, fault: 'cut-after' });
    await manual.commit();
    expect(again.fired).toBe(1);
    await producer.transaction((tx) => tx.send({ topic, messages: [{ value: 'next' }] }));
    expect(await values(producer, topic)).toEqual(['once', 'by hand', 'next']);
  });

  it('say, typed, that a commit is unknown where nobody can be asked, and never run it again', async () => {
    const topic = await lab.topic();
    const producer = await connected();
    let runs = 0;
    const unknowns: unknown[] = [];
    producer.policy.on('outcomeUnknown', (event) => unknowns.push(event.error));
    const hit = lab.proxy.arm({ when: { bytes: lab.request('endTxn') }, fault: 'cut-after' }).hit;
    void hit.then(() => lab.refuseAll());
    const ended = await ending(
      producer.transaction(
        async (tx) => {
          runs += 1;
          await tx.send({ topic, messages: [{ value: 'in doubt' }] });
        },
        { totalTimeoutMs: 2000 },
      ),
    );
    expect(ended.ms).toBeLessThan(4000);
    const error = ended.ok ? undefined : ended.error;
    expect(isOutcomeUnknown(error)).toBe(true);
    expect(unknowns).toEqual([error]);
    expect(runs).toBe(1);
    await lab.heal();
    await producer.transaction((tx) => tx.send({ topic, messages: [{ value: 'next' }] }));
    // This one had been committed.
    expect(await values(producer, topic)).toEqual(['in doubt', 'next']);
  });

  it('get over a broker that is restarted', async () => {
    const topic = await lab.topic();
    const producer = await connected();
    const done: string[] = [];
    let running = true;
    const worker = (async () => {
      for (let i = 0; running || i < 3; i++) {
        await producer.transaction(async (tx) => {
          await tx.send({ topic, messages: [{ value: `${i}a` }] });
          await tx.send({ topic, messages: [{ value: `${i}b` }] });
        });
        done.push(`${i}a`, `${i}b`);
      }
    })();
    await sleep(300);
    await lab.broker.kill9();
    await sleep(300);
    await lab.broker.start();
    const before = done.length;
    await expect.poll(() => done.length, { timeout: 40_000 }).toBeGreaterThan(before + 10);
    running = false;
    await worker;
    expect(await values(producer, topic)).toEqual(done);
  }, 60_000);

  it('commit offsets with what was made of them, or neither', async () => {
    const topic = await lab.topic();
    const groupId = lab.name('group');
    const producer = await connected();
    const committed = async () =>
      (await lab.cluster.ask((admin) => admin.fetchOffsets({ groupId, topics: [topic] })))[0]
        ?.partitions[0]?.offset;
    const offsets = (offset: string) => ({
      consumerGroupId: groupId,
      topics: [{ topic, partitions: [{ partition: 0, offset }] }],
    });
    await producer.transaction(async (tx) => {
      await tx.send({ topic, messages: [{ value: 'made of it' }] });
      await tx.sendOffsets(offsets('7'));
    });
    await expect.poll(committed).toBe('7');
    await failureOf(
      producer.transaction(async (tx) => {
        await tx.sendOffsets(offsets('9'));
        throw new Error('no');
      }),
    );
    await producer.transaction((tx) => tx.send({ topic, messages: [{ value: 'after' }] }));
    expect(await committed()).toBe('7');
    expect(await values(producer, topic)).toEqual(['made of it', 'after']);
  });

  it('are final for who has been fenced off, until it connects again', async () => {
    const topic = await lab.topic();
    const transactionalId = lab.name('tx');
    const zombie = await connected({ transactionalId });
    const owner = await connected({ transactionalId });
    const stale = await zombie.transaction();
    await stale.send({ topic, messages: [{ value: 'of the zombie' }] });
    let runs = 0;
    await owner.transaction((tx) => tx.send({ topic, messages: [{ value: 'of the owner' }] }));
    const refused = await failureOf(stale.commit());
    expect(refused).toMatchObject({ type: 'INVALID_PRODUCER_EPOCH', code: 47 });
    expect(isOutcomeUnknown(refused)).toBe(false);
    const error = await failureOf(
      zombie.transaction(async (tx) => {
        runs += 1;
        await tx.send({ topic, messages: [{ value: 'again' }] });
      }),
    );
    expect([error.code, runs]).toEqual([47, 0]);
    await owner.transaction((tx) => tx.send({ topic, messages: [{ value: 'still the owner' }] }));
    await zombie.connect();
    await zombie.transaction((tx) => tx.send({ topic, messages: [{ value: 'taken back' }] }));
    expect(await values(zombie, topic)).toEqual(['of the owner', 'still the owner', 'taken back']);
  });

  it('fail whole when one of their sends failed, whatever the function makes of it', async () => {
    const topic = await lab.topic({ settings: { 'max.message.bytes': 2000 } });
    const producer = await connected();
    const error = await failureOf(
      producer.transaction(async (tx) => {
        await tx.send({ topic, messages: [{ value: 'small' }] });
        await tx.send({ topic, messages: [{ value: 'x'.repeat(5000) }] }).catch(() => {});
        await tx.send({ topic, messages: [{ value: 'behind it' }] }).catch(() => {});
      }),
    );
    expect(error).toMatchObject({ code: 10 });
    expect(retryInfo(error)).toMatchObject({ reason: 'permanent', outcome: 'not-applied' });
    const manual = await producer.transaction();
    const failed = await failureOf(manual.send({ topic, messages: [{ value: 'x'.repeat(5000) }] }));
    expect(isOutcomeUnknown(failed)).toBe(false);
    expect(await failureOf(manual.commit())).toMatchObject({ code: 10 });
    const wrong = await producer.transaction();
    expect(
      (await failureOf(wrong.send({ topic, messages: [{ value: 'x', partition: 9 }] }))).message,
    ).toContain('no partition 9');
    await wrong.abort();
    await producer.transaction((tx) => tx.send({ topic, messages: [{ value: 'sound' }] }));
    expect(await values(producer, topic)).toEqual(['sound']);
  });

  it('end by their signal and in their time, with nothing applied', async () => {
    const topic = await lab.topic();
    const producer = await connected();
    const controller = new AbortController();
    const cancelled = failureOf(
      producer.transaction(
        async (tx, { signal }) => {
          await tx.send({ topic, messages: [{ value: 'no' }] });
          controller.abort(new Error('enough'));
          expect(signal.aborted).toBe(true);
          await tx.send({ topic, messages: [{ value: 'neither' }] });
        },
        { signal: controller.signal },
      ),
    );
    expect((await cancelled).message).toBe('enough');
    const late = await ending(
      producer.transaction(
        async (tx) => {
          await tx.send({ topic, messages: [{ value: 'late' }] });
          await sleep(1000);
        },
        { totalTimeoutMs: 400 },
      ),
    );
    expect(late.ms).toBeLessThan(900);
    expect(!late.ok && isOutcomeUnknown(late.error)).toBe(false);
    expect(isOptionError(await failureOf(producer.transaction('no' as never)))).toBe(true);
    const bounds = { totalTimeout: 1 } as never;
    expect(isOptionError(await failureOf(producer.transaction(async () => {}, bounds)))).toBe(true);
    await producer.transaction((tx) => tx.send({ topic, messages: [{ value: 'yes' }] }));
    expect(await values(producer, topic)).toEqual(['yes']);
  });

  it('are waited for by disconnect(), and leave no socket', async () => {
    const topic = await lab.topic();
    const producer = await connected();
    const running = producer.transaction(async (tx) => {
      await tx.send({ topic, messages: [{ value: 'a' }] });
      await sleep(200);
      await tx.send({ topic, messages: [{ value: 'b' }] });
    });
    await sleep(100);
    await producer.disconnect();
    await running;
    expect((await failureOf(producer.transaction(async () => {}))).name).toBe('ClosedError');
    await producer.connect();
    const stuck = failureOf(
      producer.transaction(async (tx) => {
        await tx.send({ topic, messages: [{ value: 'c' }] });
        await sleep(30_000, undefined, { ref: false });
      }),
    );
    await sleep(300);
    await producer.disconnect({ graceMs: 100 });
    expect((await stuck).name).toBe('ClosedError');
    expect(isOutcomeUnknown(await stuck)).toBe(false);
    await producer.connect();
    expect(await values(producer, topic)).toEqual(['a', 'b']);
  });
});
