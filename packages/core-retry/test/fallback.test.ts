import {
  Bulkhead,
  CircuitBreaker,
  isBulkheadFullError,
  isCircuitOpenError,
  isDeadlineExceededError,
  RetryBudget,
  type RetryOptions,
  RetryPolicy,
  retryInfo,
} from '@outlast/core-retry';
import { failTimes, ManualClock } from '@outlast/core-retry/testing';
import { describe, expect, it, vi } from 'vitest';
import { bench, coded, hanging, REFUSED, RESET, rejection, settled } from './helpers.js';

const PERMANENT = () => Object.assign(new Error('denied'), { code: 'EACCES' });

/** The same with and without bounds, for these are two paths. */
const BOTH: readonly (readonly [string, RetryOptions])[] = [
  ['plain', {}],
  ['bounded', { signal: new AbortController().signal }],
];

describe.each(BOTH)('fallback (%s)', (_name, bounds) => {
  it('answers with its value when the attempts are used up; it gets the error, with its story', async () => {
    const errors: unknown[] = [];
    const { clock, policy } = bench({
      ...bounds,
      fallback: (error) => {
        errors.push([error, retryInfo(error)?.reason, retryInfo(error)?.attempts]);
        return 'fallback';
      },
    });
    const thrown = [1, 2, 3].map(() => coded(RESET));
    expect(await clock.runUntilSettled(policy.execute(failTimes(thrown, 'v')))).toBe('fallback');
    expect(errors).toEqual([[thrown[2], 'exhausted', 3]]);
  });

  it('is not asked after a success, nor told of errors that are retried', async () => {
    const fallback = vi.fn(() => 'fallback');
    const { clock, policy } = bench({ ...bounds, fallback });
    expect(await clock.runUntilSettled(policy.execute(failTimes(2, 'v')))).toBe('v');
    expect(fallback).not.toHaveBeenCalled();
  });

  it.each<[string, RetryOptions, readonly unknown[]]>([
    ['permanent', {}, [PERMANENT()]],
    ['outcome-unknown', { idempotent: false }, [coded(RESET)]],
    ['budget', {}, [coded(RESET)]],
    ['retry-after', {}, [Object.assign(new Error('later'), { later: true })]],
    ['exhausted', {}, [coded(REFUSED), coded(REFUSED), coded(REFUSED)]],
  ])('answers for the reason %s', async (reason, options, errors) => {
    const reasons: unknown[] = [];
    const clock = new ManualClock();
    const policy = new RetryPolicy({
      ...bounds,
      ...options,
      clock,
      budget: reason === 'budget' ? new RetryBudget({ clock, ratio: 0, minPerSecond: 0 }) : false,
      ...(reason === 'retry-after' && {
        classify: () =>
          ({
            category: 'throttled',
            transient: true,
            outcome: 'not-applied',
            retryAfterMs: 1e9,
          }) as const,
      }),
      fallback: (error) => {
        reasons.push(retryInfo(error)?.reason);
        return 'fallback';
      },
    });
    expect(await clock.runUntilSettled(policy.execute(failTimes(errors, 'v')))).toBe('fallback');
    expect(reasons).toEqual([reason]);
  });

  it('answers for an open circuit and a full bulkhead', async () => {
    const clock = new ManualClock();
    const breaker = new CircuitBreaker({ clock, failureThreshold: 1 });
    const bulkhead = new Bulkhead({ maxConcurrent: 1 });
    const policy = new RetryPolicy({
      ...bounds,
      clock,
      breaker,
      bulkhead,
      fallback: (error) => [isCircuitOpenError(error), isBulkheadFullError(error)],
    });
    await bulkhead.enter();
    expect(await policy.execute<unknown>(failTimes(0, 'v'))).toEqual([false, true]);
    breaker.acquire().failure(coded(RESET));
    expect(await policy.execute<unknown>(failTimes(0, 'v'))).toEqual([true, false]);
  });

  it.each<[string, (() => never) | (() => Promise<never>)]>([
    [
      'throws',
      () => {
        throw new Error('fallback');
      },
    ],
    ['rejects', () => Promise.reject(new Error('fallback'))],
  ])('what it %s surfaces: after a failure, and after a refusal', async (_how, fallback) => {
    const clock = new ManualClock();
    const breaker = new CircuitBreaker({ clock, failureThreshold: 1 });
    const policy = new RetryPolicy({ ...bounds, clock, breaker, fallback });
    const work = failTimes([PERMANENT()], 'v');
    expect(await rejection(policy.execute(work))).toMatchObject({ message: 'fallback' });
    breaker.acquire().failure(coded(RESET));
    expect(await rejection(policy.execute(work))).toMatchObject({ message: 'fallback' });
  });

  it('may be asynchronous', async () => {
    const { policy } = bench({ ...bounds, fallback: async () => 'later' });
    expect(await policy.execute(failTimes([PERMANENT()], 'v'))).toBe('later');
  });

  it('may answer with undefined', async () => {
    const { policy } = bench({ ...bounds, fallback: () => undefined });
    expect(await policy.execute<unknown>(failTimes([PERMANENT()], 'v'))).toBeUndefined();
  });

  it('of a call stands in for that of the policy', async () => {
    const { policy } = bench({ ...bounds, fallback: () => 'of policy' });
    const call = { fallback: () => 'of call' };
    expect(await policy.execute(failTimes([PERMANENT()], 'v'), call)).toBe('of call');
    expect(await policy.execute(failTimes([PERMANENT()], 'v'))).toBe('of policy');
  });

  it('the failure is told and counted all the same', async () => {
    const { policy } = bench({ ...bounds, fallback: () => 'fallback' });
    const events: string[] = [];
    policy.on('exhausted', ({ reason }) => events.push(reason));
    policy.on('success', () => events.push('success'));
    await policy.execute(failTimes([PERMANENT()], 'v'));
    expect(events).toEqual(['permanent']);
  });

  it('does not look at values: the last unwanted one is returned', async () => {
    const fallback = vi.fn(() => 'fallback');
    const { clock, policy } = bench({ ...bounds, fallback, retryResult: () => true });
    expect(await clock.runUntilSettled(policy.execute(failTimes(0, 'v')))).toBe('v');
    expect(fallback).not.toHaveBeenCalled();
  });

  it('runs with the slot of the bulkhead given back', async () => {
    const bulkhead = new Bulkhead({ maxConcurrent: 1 });
    const { policy } = bench({ ...bounds, bulkhead, fallback: () => bulkhead.status().running });
    expect(await policy.execute<unknown>(failTimes([PERMANENT()], 'v'))).toBe(0);
  });
});

describe('fallback, never', () => {
  it('for who cancelled: before, during an attempt, asleep', async () => {
    const fallback = vi.fn(() => 'fallback');
    const { clock, policy } = bench({ fallback });
    const controller = new AbortController();
    const { signal } = controller;
    const ends = [
      settled(policy.execute<unknown>(hanging().work, { signal })),
      settled(policy.execute(failTimes(1, 'v'), { signal })),
      settled(policy.execute(failTimes(0, 'v'), { signal: AbortSignal.abort('early') })),
    ];
    await clock.advance(10);
    controller.abort('gone');
    expect(await Promise.all(ends)).toEqual([
      { ok: false, error: 'gone' },
      { ok: false, error: 'gone' },
      { ok: false, error: 'early' },
    ]);
    expect(fallback).not.toHaveBeenCalled();
  });

  it('for what was closed: asleep, and later', async () => {
    const fallback = vi.fn(() => 'fallback');
    for (const bounds of [{}, { totalTimeoutMs: 1e6 }]) {
      const { clock, policy } = bench({ fallback, ...bounds });
      const asleep = settled(policy.execute(failTimes(1, 'v')));
      await clock.advance(10);
      policy.close();
      expect(await asleep).toMatchObject({ ok: false, error: { code: 'OUTLAST_CLOSED' } });
      expect(await rejection(policy.execute(failTimes(0, 'v')))).toMatchObject({
        code: 'OUTLAST_CLOSED',
      });
    }
    expect(fallback).not.toHaveBeenCalled();
  });
});

describe('fallback and time', () => {
  it('answers when the deadline is over, with an error and without', async () => {
    for (const errors of [0, 1]) {
      const seen: unknown[] = [];
      const error = coded(RESET);
      const { clock, policy } = bench({
        totalTimeoutMs: 2500,
        fallback: (it) => {
          seen.push(errors === 0 ? isDeadlineExceededError(it) : it);
          return 'fallback';
        },
      });
      let calls = 0;
      const work = () => {
        calls += 1;
        return calls <= errors ? Promise.reject(error) : new Promise<string>(() => {});
      };
      expect(await clock.runUntilSettled(policy.execute(work))).toBe('fallback');
      expect(clock.now()).toBe(2500);
      expect(seen).toEqual([errors === 0 ? true : error]);
    }
  });

  it('its own time is its own: no deadline and no abort cuts it', async () => {
    const clock = new ManualClock();
    const controller = new AbortController();
    const policy = new RetryPolicy({
      clock,
      totalTimeoutMs: 100,
      signal: controller.signal,
      fallback: () =>
        new Promise((resolve) => {
          clock.setTimeout(() => resolve('slow'), 5000);
        }),
    });
    const end = settled(policy.execute<unknown>(hanging().work));
    await clock.advance(200);
    controller.abort('gone');
    await clock.advance(5000);
    expect(await end).toEqual({ ok: true, value: 'slow' });
    expect(clock.pending).toBe(0);
  });
});
