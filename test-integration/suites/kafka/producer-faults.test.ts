import { setTimeout as sleep } from 'node:timers/promises';
import type { RetryProducer } from '@outlast/kafka-retry';
import type { Producer } from 'kafkajs';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { openKafkaLab } from '../support/kafka-lab.js';
import { disorder, startMixed, summary, type Told } from './load.js';

const lab = await openKafkaLab();
const PARTITIONS = 3;

interface Run {
  readonly told: Told;
  readonly lost: number;
  readonly doubled: number;
  readonly disorder: number;
}

/** Sixty callers while something breaks; then what they were told is held against the log. */
async function run(producer: RetryProducer | Producer, faults: () => Promise<void>): Promise<Run> {
  const topic = await lab.topic({ partitions: PARTITIONS });
  await producer.connect();
  const load = startMixed(producer, topic, PARTITIONS);
  await waitFor(() => load.told().acknowledged.size > 200, { what: 'the load to run' });
  await faults();
  const before = load.told().acknowledged.size;
  await waitFor(() => load.told().acknowledged.size > before + 200, {
    timeoutMs: 60_000,
    what: 'the load to run again',
  });
  const told = await load.stop();
  const { lost, doubled, messages } = await lab.count(topic, told.acknowledged, told.unknown);
  const run = {
    told,
    lost: lost.length,
    doubled: doubled.length,
    disorder: disorder(messages).length,
  };
  console.log(
    `${summary(told)}: lost ${run.lost}, doubled ${run.doubled}, out of order ${run.disorder}`,
  );
  return run;
}

function expectPerfect({ told, ...counts }: Run): void {
  expect(told.errors).toEqual([]);
  expect(told.unknown.size + told.failed.size).toBe(0);
  expect(counts).toEqual({ lost: 0, doubled: 0, disorder: 0 });
}

describe.skipIf(lab.reason !== '')(`a producer whose broker breaks ${lab.reason}`, () => {
  lab.use();

  const ours = () => lab.track(lab.kafka().producer());

  const swallow = (times: number) => async () => {
    const swallowing = lab.swallow(5);
    await waitFor(() => swallowing.swallowed >= times, { timeoutMs: 90_000, what: 'the replies' });
    swallowing.stop();
  };

  it('loses and doubles nothing while every fifth reply is swallowed, a hundred times', async () => {
    expectPerfect(await run(ours(), swallow(100)));
  }, 150_000);

  it('outlasts five kill -9', async () => {
    const { broker } = lab;
    expectPerfect(
      await run(ours(), async () => {
        for (let i = 0; i < 5; i++) {
          await broker.kill9();
          await broker.start();
          await sleep(500);
        }
      }),
    );
  }, 150_000);

  it('outlasts an outage of 20 s', async () => {
    const { broker } = lab;
    expectPerfect(
      await run(ours(), async () => {
        await broker.kill9();
        await sleep(20_000);
        await broker.start();
      }),
    );
  }, 150_000);

  it('outlasts a broker that freezes for 10 s', async () => {
    const { broker } = lab;
    expectPerfect(
      await run(ours(), async () => {
        await broker.pause();
        await sleep(10_000);
        await broker.resume();
      }),
    );
  }, 150_000);

  it('outlasts thirty resets of everything', async () => {
    expectPerfect(
      await run(ours(), async () => {
        for (let i = 0; i < 30; i++) {
          lab.resetAll();
          await sleep(300);
        }
      }),
    );
  }, 150_000);

  it('outlasts all of it at once', async () => {
    const { broker } = lab;
    expectPerfect(
      await run(ours(), async () => {
        const swallowing = lab.swallow(5);
        for (let i = 0; i < 3; i++) {
          await broker.pause();
          await sleep(2500);
          lab.resetAll();
          await broker.resume();
          await sleep(500);
          await broker.kill9();
          await sleep(1000);
          await broker.start();
          await sleep(500);
        }
        swallowing.stop();
      }),
    );
  }, 150_000);

  // What it is measured against, in the same run and by the same count.
  it.each([
    ['as it comes', {}],
    ['with idempotent: true', { idempotent: true, maxInFlightRequests: 5 }],
  ])(
    'kafkajs, %s, does not',
    async (_, options) => {
      const plain = lab.track(lab.plain().producer(options));
      const { told, ...counts } = await run(plain, swallow(100));
      await plain.disconnect();
      // It leaves sockets behind, also after its disconnect().
      lab.resetAll();
      const wrong = counts.lost + counts.doubled + counts.disorder + told.failed.size;
      expect(wrong).toBeGreaterThan(0);
    },
    150_000,
  );
});
