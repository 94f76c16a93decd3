import { getEventListeners } from 'node:events';
import {
  type Failure,
  type Jitter,
  type Outcome,
  RetryBudget,
  RetryPolicy,
  retryInfo,
} from '@outlast/core-retry';
import { ManualClock } from '@outlast/core-retry/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { settled, turn } from './helpers.js';

/** What one attempt does. */
interface Step {
  readonly ends: 'value' | 'failure' | 'never';
  readonly after: number;
  readonly failure: Failure;
  readonly thrown: unknown;
}

const outcome = fc.constantFrom<Outcome>('not-applied', 'unknown');
const step: fc.Arbitrary<Step> = fc.record({
  ends: fc.constantFrom('failure', 'failure', 'failure', 'failure', 'value', 'never'),
  after: fc.constantFrom(0, 0, 1, 50, 5000),
  failure: fc.record(
    {
      category: fc.constantFrom<Failure['category']>(
        'network',
        'contention',
        'throttled',
        'invalid',
      ),
      transient: fc.constantFrom(true, true, true, false),
      outcome,
      retryAfterMs: fc.constantFrom(0, Number.NaN, 10, 700, -1, 1e9),
    },
    { requiredKeys: ['category', 'transient', 'outcome'] },
  ),
  thrown: fc.oneof(
    fc.anything(),
    fc.string().map((text) => new Error(text)),
  ),
});
interface Given {
  readonly maxAttempts: number;
  readonly baseDelayMs: number;
  readonly maxDelayMs: number;
  readonly backoffFactor: number;
  readonly jitter: Jitter;
  readonly attemptTimeoutMs: number;
  readonly totalTimeoutMs: number;
  readonly idempotent: boolean;
  readonly budgeted: boolean;
}

const options: fc.Arbitrary<Given> = fc.record({
  maxAttempts: fc.integer({ min: 1, max: 12 }),
  baseDelayMs: fc.constantFrom(0, 1, 100, 1e6),
  maxDelayMs: fc.constantFrom(0, 50, 1000, 30_000),
  backoffFactor: fc.constantFrom(1, 2, 1000),
  jitter: fc.constantFrom<Jitter>(false, true, 0.3, 'full', 'equal', 'decorrelated'),
  attemptTimeoutMs: fc.constantFrom(Infinity, 20, 1000),
  totalTimeoutMs: fc.constantFrom(Infinity, 10, 3000, 100_000),
  idempotent: fc.boolean(),
  budgeted: fc.boolean(),
});
const script = fc.array(step, { minLength: 1, maxLength: 12 });
const random = fc.array(fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), {
  minLength: 1,
});

/** Runs a script of failures under a policy. Attempts beyond the script succeed. */
function play(steps: readonly Step[], given: Given, randoms: readonly number[]) {
  const clock = new ManualClock();
  const { budgeted, ...rest } = given;
  let drawn = 0;
  const policy = new RetryPolicy({
    ...rest,
    clock,
    random: () => randoms[drawn++ % randoms.length] as number,
    budget: budgeted ? new RetryBudget({ clock, minPerSecond: 0.3, ratio: 0.1 }) : false,
  });
  const delays: number[] = [];
  policy.on('retry', (event) => delays.push(event.delayMs));
  const state = { calls: 0, ended: false };
  const controller = new AbortController();
  let last: Step | undefined;
  const promise = settled(
    policy.execute(
      (attempt) => {
        state.calls += 1;
        const now = steps[attempt.number - 1];
        if (now === undefined) return 'value';
        last = now;
        if (now.ends === 'value') return 'value';
        if (now.ends === 'never') return new Promise<string>(() => {});
        if (now.after === 0) throw now.thrown;
        return new Promise<string>((_, reject) => {
          clock.setTimeout(() => reject(now.thrown), now.after);
        });
      },
      {
        signal: controller.signal,
        classify: () =>
          last?.failure ?? { category: 'unknown', transient: false, outcome: 'unknown' },
      },
    ),
  );
  void promise.then(() => {
    state.ended = true;
  });
  return { clock, controller, promise, delays, state, policy };
}

describe('whatever the options and whatever fails', () => {
  it('calls never exceed attempts, delays stay within bounds, and the end leaves nothing', async () => {
    await fc.assert(
      fc.asyncProperty(script, options, random, async (steps, given, randoms) => {
        const { clock, controller, promise, delays, state } = play(steps, given, randoms);
        await clock.advance(1e9);
        expect(state.calls).toBeLessThanOrEqual(given.maxAttempts);
        expect(delays.length).toBeLessThanOrEqual(given.maxAttempts - 1);
        for (const delay of delays) {
          expect(delay).toBeGreaterThanOrEqual(0);
          expect(delay).toBeLessThanOrEqual(given.maxDelayMs);
        }
        // Only an attempt that never ends, without any bound on it, keeps its caller waiting.
        if (!state.ended) {
          expect([given.attemptTimeoutMs, given.totalTimeoutMs]).toEqual([Infinity, Infinity]);
          expect(steps[state.calls - 1]?.ends).toBe('never');
          controller.abort();
          await turn();
        }
        await promise;
        expect(clock.pending).toBe(0);
        expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
      }),
      { numRuns: 300 },
    );
  });

  it('what surfaces was thrown, or says that time ran out; its mark adds up', async () => {
    await fc.assert(
      fc.asyncProperty(script, options, random, async (steps, given, randoms) => {
        const { clock, controller, promise, delays, state } = play(steps, given, randoms);
        await clock.advance(1e9);
        if (!state.ended) controller.abort();
        const end = await promise;
        if (end.ok) {
          expect(end.value).toBe('value');
          return;
        }
        const info = retryInfo(end.error);
        if (info === undefined) {
          expect(Object(end.error)).not.toBe(end.error);
          return;
        }
        expect(info.attempts).toBe(state.calls);
        expect(info.delaysMs).toEqual(delays);
        expect(info.failures.length).toBeLessThanOrEqual(8);
        expect(info.failures.map((failure) => failure.attempt)).toEqual(
          info.failures.map((failure) => failure.attempt).toSorted((a, b) => a - b),
        );
        const sawUnknown = info.failures.some((failure) => failure.failure.outcome === 'unknown');
        if (sawUnknown) expect(info.outcome).toBe('unknown');
      }),
      { numRuns: 300 },
    );
  });

  it('3.1 an abort at any time settles within one turn, calls nothing more, and leaves no timer and no listener', async () => {
    const at = fc.constantFrom(0, 1, 10, 49, 50, 51, 200, 1000, 5000, 40_000);
    await fc.assert(
      fc.asyncProperty(script, options, random, at, async (steps, given, randoms, when) => {
        const { clock, controller, promise, state } = play(steps, given, randoms);
        await clock.advance(when);
        const { calls, ended } = state;
        const reason = new Error('abort');
        controller.abort(reason);
        await turn();
        expect(state.ended).toBe(true);
        const end = await promise;
        if (!ended) expect(end).toEqual({ ok: false, error: reason });
        expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
        // The work's own timers are the work's affair; that of the deadlines may outlive a success.
        await clock.advance(5000);
        expect(clock.pending).toBeLessThanOrEqual(ended && end.ok ? 1 : 0);
        expect(state.calls).toBe(calls);
      }),
      { numRuns: 300 },
    );
  });

  it('3.21 without a replay that is safe nothing is called again after an unknown outcome', async () => {
    await fc.assert(
      fc.asyncProperty(script, options, random, async (steps, given, randoms) => {
        const { clock, controller, promise, state } = play(
          steps,
          { ...given, idempotent: false },
          randoms,
        );
        await clock.advance(1e9);
        controller.abort();
        await promise;
        for (const earlier of steps.slice(0, state.calls - 1)) {
          // An attempt that was cut off by its timeout is judged by the same classifier.
          expect(earlier.failure.outcome).toBe('not-applied');
          expect(earlier.failure.transient).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('close() at any time leaves nobody asleep', async () => {
    const at = fc.constantFrom(0, 1, 10, 50, 200, 1000, 5000);
    await fc.assert(
      fc.asyncProperty(script, options, random, at, async (steps, given, randoms, when) => {
        const { clock, controller, promise, policy, state } = play(steps, given, randoms);
        await clock.advance(when);
        const { calls } = state;
        policy.close();
        await clock.advance(1e9);
        expect(state.calls).toBe(calls);
        if (!state.ended) controller.abort();
        await promise;
        expect(clock.pending).toBe(0);
      }),
      { numRuns: 200 },
    );
  });
});
