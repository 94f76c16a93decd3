import { RetryPolicy } from '@outlast/core-retry';
import { ManualClock } from '@outlast/core-retry/testing';
import type { Consumer } from 'kafkajs';
import { describe, expect, it } from 'vitest';
import { Alerts } from '../src/alerts.js';
import {
  KafkaJSConnectionError,
  KafkaJSGroupCoordinatorNotFound,
  KafkaJSNonRetriableError,
} from '../src/driver.js';
import { Outages } from '../src/outages.js';

/** The events of kafkajs' consumer, and what became of them. */
function bench({ asksCaller = false } = {}) {
  const clock = new ManualClock();
  const policy = new RetryPolicy({ clock, baseDelayMs: 100, maxDelayMs: 400, jitter: false });
  const listeners = new Map<string, (event: unknown) => void>();
  const driver = {
    events: { CRASH: 'crash', GROUP_JOIN: 'join' },
    on: (name: string, listener: (event: unknown) => void) => listeners.set(name, listener),
  } as unknown as Consumer;
  const told: string[] = [];
  for (const type of ['down', 'up', 'alert'] as const) policy.on(type, () => told.push(type));
  const outages = new Outages({
    ...{ driver, policy, asksCaller, alerts: new Alerts(policy) },
    restart: async () => void told.push(`restart at ${clock.now() - start}`),
  });
  const start = clock.now();
  outages.begin();
  return {
    ...{ clock, told, outages },
    crash: (error: unknown, restart: boolean) =>
      listeners.get('crash')?.({ payload: { error, restart, groupId: 'g' } }),
    join: () => listeners.get('join')?.({}),
  };
}

/** kafkajs' types leave out what these take. */
type Untyped = new (...args: unknown[]) => Error;
const Final = KafkaJSNonRetriableError as unknown as Untyped;
const bug = new TypeError("Cannot read properties of undefined (reading 'connect')");
const POOL_BUG = new Final(bug, { cause: bug });
const NOT_FOUND = new (KafkaJSGroupCoordinatorNotFound as unknown as Untyped)('no coordinator');
const LOST = new KafkaJSConnectionError('Connection error: read ECONNRESET', {
  code: 'ECONNRESET',
});

describe('outages of a consumer', () => {
  it('are one down and one up, however often kafkajs crashes', () => {
    const { crash, join, told } = bench();
    crash(LOST, true);
    crash(LOST, true);
    join();
    join();
    crash(LOST, true);
    join();
    expect(told).toEqual(['down', 'up', 'down', 'up']);
  });

  it.each([
    ['a coordinator that was not found', NOT_FOUND],
    ['kafkajs’ own pool of brokers', POOL_BUG],
  ])('do not end by %s, which ends kafkajs’ consumer for good', async (_, error) => {
    const { clock, crash, join, told } = bench();
    crash(error, false);
    await clock.advance(100);
    crash(error, false);
    await clock.advance(200);
    crash(error, false);
    await clock.advance(400);
    join();
    crash(error, false);
    await clock.advance(100);
    expect(told).toEqual([
      'down',
      'restart at 100',
      'restart at 300',
      'restart at 700',
      'up',
      'down',
      'restart at 800',
    ]);
  });

  it('that are none end the consumer, with an alert', async () => {
    const { clock, crash, told } = bench();
    crash(new KafkaJSNonRetriableError('Unsupported partition assigner'), false);
    await clock.advance(10_000);
    expect(told).toEqual(['alert']);
  });

  it('are the caller’s to judge where he says so', async () => {
    const { clock, crash, told } = bench({ asksCaller: true });
    crash(NOT_FOUND, false);
    await clock.advance(10_000);
    expect(told).toEqual(['alert']);
  });

  it('are nobody’s any more once the consumer is stopped', async () => {
    const { clock, crash, told, outages } = bench();
    crash(NOT_FOUND, false);
    outages.end();
    await clock.advance(10_000);
    crash(LOST, false);
    expect(told).toEqual(['down']);
  });
});
