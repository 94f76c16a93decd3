import { RetryPolicy } from '@outlast/core-retry';
import { ManualClock } from '@outlast/core-retry/testing';
import fc from 'fast-check';
import type { Batch, Consumer, EachBatchPayload, KafkaMessage } from 'kafkajs';
import { describe, expect, it } from 'vitest';
import { Alerts } from '../src/alerts.js';
import type { RetryRunConfig } from '../src/consumer-options.js';
import type { ConsumerParts } from '../src/consumer-parts.js';
import { Destinations } from '../src/destinations.js';
import { eachBatchOf } from '../src/each-batch.js';
import { Failing } from '../src/failing.js';
import { Fate } from '../src/fate.js';
import { Forwarder } from '../src/forwarder.js';
import { Guards } from '../src/guards.js';
import { Pauses } from '../src/pauses.js';
import { Waiting } from '../src/waiting.js';

const MAX_ATTEMPTS = 3;
const NEVER = 99;

/** How a handler tells what has failed. */
type Manner = 'rejects' | 'resolves as it goes' | 'throws';

const arbitrary = fc.record({
  /** Of each message: how often it fails before it goes well. */
  fails: fc.array(fc.constantFrom(0, 0, 0, 0, 1, 2, NEVER), { minLength: 1, maxLength: 12 }),
  /** How many messages kafkajs fetches at a time. */
  fetches: fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 5 }),
  manners: fc.array(fc.constantFrom<Manner>('rejects', 'resolves as it goes', 'throws'), {
    minLength: 1,
    maxLength: 4,
  }),
  ends: fc.boolean(),
});

/** A partition as kafkajs knows it: a position, and whether it is paused. */
function partition(ends: boolean) {
  const clock = new ManualClock();
  const policy = new RetryPolicy({
    ...{ clock, maxAttempts: MAX_ATTEMPTS, baseDelayMs: 10, maxDelayMs: 10, jitter: false },
  });
  const state = { position: 0, paused: false };
  const driver = {
    pause: () => {
      state.paused = true;
    },
    resume: () => {
      state.paused = false;
    },
  } as unknown as Consumer;
  const none = (): never => {
    throw new Error('nobody is asked');
  };
  const alerts = new Alerts(policy);
  const options = { groupId: 'g', retryTopics: undefined, deadLetter: undefined, admin: none };
  const destinations = new Destinations({ ...options, alerts });
  const failing = new Failing(policy);
  const pauses = new Pauses(driver, clock, 0);
  const skipped: string[] = [];
  const fate = new Fate({
    ...{ policy, alerts, destinations, failing, pauses, stop: none, isStopped: () => false },
    forwarder: new Forwarder('g', none),
    onFailure: ends ? 'skip' : 'retry',
  });
  policy.on('exhausted', ({ error }) => skipped.push((error as Error).message));
  const parts: ConsumerParts = {
    ...{ clock, destinations, failing, fate, pauses, maxAttempts: MAX_ATTEMPTS },
    guards: new Guards(1000),
    waiting: new Waiting(pauses, clock, 0),
    heartbeatIntervalMs: 1000,
    rests: new Map(),
    isStopped: () => false,
  };
  return { clock, parts, state, skipped };
}

function payloadOf(offsets: readonly number[], resolve: (offset: string) => void) {
  const messages = offsets.map((offset) => ({ offset: `${offset}` }) as KafkaMessage);
  const last = `${offsets.at(-1)}`;
  const batch = { topic: 't', partition: 0, messages, lastOffset: () => last } as unknown as Batch;
  const live = { isRunning: () => true, isStale: () => false, heartbeat: async () => {} };
  return { ...live, batch, resolveOffset: resolve } as unknown as EachBatchPayload;
}

describe('a batch handler that fails', () => {
  it('gets every message until it is handled or given up, and handles none twice', async () => {
    await fc.assert(
      fc.asyncProperty(arbitrary, async ({ fails, fetches, manners, ends }) => {
        // Without an end what never heals is never passed.
        const heals = fails.map((n) => (ends ? n : Math.min(n, 5)));
        const { clock, parts, state, skipped } = partition(ends);
        const calls = heals.map(() => 0);
        const handled = heals.map(() => 0);
        const alone = new Set<number>();
        let call = 0;
        const handler: RetryRunConfig['eachBatch'] = async (payload) => {
          const manner = manners[call++ % manners.length] as Manner;
          const offsets = payload.batch.messages.map(({ offset }) => Number(offset));
          const failingNow = new Set(
            offsets.filter((n) => (calls[n] as number) < (heals[n] as number)),
          );
          for (const n of offsets) calls[n] = (calls[n] as number) + 1;
          if (offsets.length === 1) alone.add(offsets[0] as number);
          const done = (n: number): void => {
            handled[n] = (handled[n] as number) + 1;
          };
          if (manner === 'throws') {
            const [first] = failingNow;
            if (first !== undefined) throw new Error(`${first}`);
            return offsets.forEach(done);
          }
          for (const n of offsets) {
            if (!failingNow.has(n)) done(n);
            else if (manner === 'rejects') payload.rejectOffset(`${n}`, new Error(`${n}`));
            else throw new Error(`${n}`);
            if (manner === 'resolves as it goes') payload.resolveOffset(`${n}`);
          }
        };
        const run = eachBatchOf(parts, {}, handler);
        for (let fetch = 0; state.position < heals.length; fetch++) {
          expect(fetch).toBeLessThan(500);
          if (state.paused) await clock.advance(10);
          const size = fetches[fetch % fetches.length] as number;
          const offsets = heals.map((_, n) => n).slice(state.position, state.position + size);
          const resolve = (offset: string): void => {
            state.position = Number(offset) + 1;
          };
          await run(payloadOf(offsets, resolve));
          // Whoever takes the partition over gets what is neither handled nor given up.
          for (let n = 0; n < state.position; n++) {
            expect((handled[n] as number) + Number(skipped.includes(`${n}`))).toBe(1);
          }
        }
        expect(handled.every((n) => n <= 1)).toBe(true);
        for (const n of skipped.map(Number)) {
          expect(calls[n]).toBeGreaterThanOrEqual(1);
          expect(calls[n]).toBeLessThanOrEqual(heals[n] as number);
          expect((calls[n] as number) >= MAX_ATTEMPTS || alone.has(n)).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });
});
