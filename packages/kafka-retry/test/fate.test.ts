import { RetryPolicy } from '@outlast/core-retry';
import { ManualClock } from '@outlast/core-retry/testing';
import type { Consumer, EachBatchPayload, KafkaMessage } from 'kafkajs';
import { describe, expect, it } from 'vitest';
import { Alerts } from '../src/alerts.js';
import type { ConsumerParts } from '../src/consumer-parts.js';
import { Destinations } from '../src/destinations.js';
import { eachMessageOf } from '../src/each-message.js';
import { Failing } from '../src/failing.js';
import { Fate } from '../src/fate.js';
import { Forwarder } from '../src/forwarder.js';
import { Guards } from '../src/guards.js';
import { Pauses } from '../src/pauses.js';
import type { RetryProducer } from '../src/producer.js';
import { Waiting } from '../src/waiting.js';

/** A write to another topic, whose end is in the test's hands. */
interface Write {
  readonly topic: string;
  resolve(): void;
  reject(error: unknown): void;
}

/** A partition with one message that always fails, and one behind it. */
function bench() {
  const clock = new ManualClock();
  const policy = new RetryPolicy({ clock, maxAttempts: 1, baseDelayMs: 100, jitter: false });
  const told: string[] = [];
  policy.on('alert', ({ reason }) => told.push(reason));
  policy.on('exhausted', () => told.push('exhausted'));
  const state = { paused: false, position: 0 };
  const driver = {
    pause: () => {
      state.paused = true;
    },
    resume: () => {
      state.paused = false;
    },
  } as unknown as Consumer;
  const writes: Write[] = [];
  const producer = {
    send: ({ topic }: { topic: string }) =>
      new Promise<void>((resolve, reject) => writes.push({ topic, resolve, reject })),
  } as unknown as RetryProducer;
  const alerts = new Alerts(policy);
  const none = (): never => {
    throw new Error('nobody is asked');
  };
  const destinations = new Destinations({
    ...{ groupId: 'g', retryTopics: undefined, deadLetter: { topic: 'letters' } },
    ...{ admin: none, alerts },
  });
  const failing = new Failing(policy);
  const pauses = new Pauses(driver, clock, 0);
  const fate = new Fate({
    ...{ policy, alerts, destinations, failing, pauses, stop: none, isStopped: () => false },
    ...{ forwarder: new Forwarder('g', () => producer), onFailure: 'retry' },
  });
  const parts: ConsumerParts = {
    ...{ clock, destinations, failing, fate, pauses, maxAttempts: 1, rests: new Map() },
    ...{ heartbeatIntervalMs: 1000, isStopped: () => false },
    guards: new Guards(1000),
    waiting: new Waiting(pauses, clock, 0),
  };
  const run = eachMessageOf(parts, {}, async ({ message }) => {
    told.push(`handled ${message.offset}`);
    if (message.offset === '0') throw new Error('poison');
  });
  /** What kafkajs does when the partition is not paused. */
  const fetch = (): Promise<void> => {
    const messages = [0, 1]
      .filter((offset) => offset >= state.position)
      .map((offset) => ({ offset: `${offset}`, headers: {} }) as unknown as KafkaMessage);
    return run({
      batch: { topic: 't', partition: 0, messages },
      ...{ isRunning: () => true, isStale: () => false, heartbeat: async () => {} },
      resolveOffset: (offset: string) => {
        state.position = Number(offset) + 1;
      },
    } as unknown as EachBatchPayload);
  };
  return { clock, told, state, writes, fetch, fate };
}

describe('a message on its way to the dead letters', () => {
  it('lets its partition go when that takes long, and is not handled again', async () => {
    const { clock, told, state, writes, fetch } = bench();
    const first = fetch();
    await clock.advance(1000);
    await first;
    expect([state.paused, state.position]).toEqual([true, 0]);
    // A fetch that was under way.
    await fetch();
    expect(state.position).toBe(0);
    writes[0]?.resolve();
    await clock.advance(0);
    expect(state.paused).toBe(false);
    await fetch();
    expect(state.position).toBe(2);
    expect(told).toEqual(['handled 0', 'exhausted', 'handled 1']);
    expect(writes.map(({ topic }) => topic)).toEqual(['letters']);
  });

  it('stays when they refuse it, with one alert until they take one', async () => {
    const { clock, told, state, writes, fetch } = bench();
    for (let n = 0; n < 3; n++) {
      const one = fetch();
      await clock.advance(n === 0 ? 0 : 1000);
      writes[n]?.reject(new Error('full'));
      await clock.advance(0);
      await one;
      expect([state.paused, state.position]).toEqual([true, 0]);
      await clock.advance(10_000);
      expect(state.paused).toBe(false);
    }
    const last = fetch();
    await clock.advance(0);
    writes[3]?.resolve();
    await last;
    expect(state.position).toBe(2);
    expect(told).toEqual([
      ...['handled 0', 'dead-letter-refused', 'handled 0', 'handled 0', 'handled 0'],
      ...['exhausted', 'handled 1'],
    ]);
  });

  it('is handled again if the group has changed after it had arrived', async () => {
    const { clock, told, writes, fetch, fate } = bench();
    const first = fetch();
    await clock.advance(1000);
    await first;
    writes[0]?.resolve();
    await clock.advance(0);
    fate.rejoined();
    const second = fetch();
    await clock.advance(0);
    writes[1]?.resolve();
    await second;
    expect(told).toEqual(['handled 0', 'exhausted', 'handled 0', 'exhausted', 'handled 1']);
  });
});
