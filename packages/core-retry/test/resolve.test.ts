import {
  type CallOptions,
  type Failure,
  isOutcomeUnknown,
  type PolicyEvent,
  type Resolution,
  retryInfo,
} from '@outlast/core-retry';
import { failTimes } from '@outlast/core-retry/testing';
import { describe, expect, it, vi } from 'vitest';
import { bench, coded, REFUSED, RESET, rejection, settled, turn } from './helpers.js';

const unsafe = { idempotent: false } as const;
const lost: Failure = { category: 'network', transient: true, outcome: 'unknown', code: RESET };

function answers(...list: Resolution<string>[]) {
  let asked = 0;
  return vi.fn<NonNullable<CallOptions<string>['resolve']>>(
    () => list[Math.min(asked++, list.length - 1)] as Resolution<string>,
  );
}

describe('resolving an unknown outcome', () => {
  it('applied ends the operation with its value, without another call', async () => {
    const { policy, delays } = bench(unsafe);
    const work = failTimes([coded(RESET)], 'again');
    const resolve = answers({ outcome: 'applied', value: 'found' });
    expect(await policy.execute(work, { resolve })).toBe('found');
    expect(work.calls).toBe(1);
    expect(delays).toEqual([]);
    expect(resolve).toHaveBeenCalledTimes(1);
    expect(resolve.mock.calls[0]?.[0]).toEqual(lost);
    expect(resolve.mock.calls[0]?.[1].number).toBe(1);
  });

  it('applied is a success to listeners', async () => {
    const { policy } = bench(unsafe);
    const events: PolicyEvent[] = [];
    for (const type of ['success', 'exhausted', 'outcomeUnknown'] as const) {
      policy.on(type, (event) => events.push(event));
    }
    for (const totalTimeoutMs of [Infinity, 1000]) {
      const resolve = answers({ outcome: 'applied', value: 'found' });
      await policy.execute(failTimes([coded(RESET)], ''), { resolve, totalTimeoutMs });
    }
    expect(events).toMatchObject([
      { type: 'success', attempts: 1 },
      { type: 'success', attempts: 1 },
    ]);
  });

  it('not-applied makes it retryable, after the usual delay', async () => {
    const { clock, policy, delays } = bench(unsafe);
    const work = failTimes([coded(RESET), coded(RESET)], 'done');
    const resolve = answers({ outcome: 'not-applied' });
    expect(await clock.runUntilSettled(policy.execute(work, { resolve }))).toBe('done');
    expect(work.calls).toBe(3);
    expect(delays).toEqual([1000, 2000]);
    expect(resolve).toHaveBeenCalledTimes(2);
  });

  it('after not-applied the fold forgets that attempt', async () => {
    const { clock, policy } = bench(unsafe);
    const errors = [coded(RESET), coded(REFUSED), coded(REFUSED)];
    const resolve = answers({ outcome: 'not-applied' });
    const end = policy.execute(failTimes(errors, ''), { resolve });
    const error = await clock.runUntilSettled(rejection(end));
    expect(error).toBe(errors[2]);
    expect(isOutcomeUnknown(error)).toBe(false);
    expect(retryInfo(error)).toMatchObject({
      reason: 'exhausted',
      outcome: 'not-applied',
      failures: [
        { attempt: 1, error: errors[0], failure: { ...lost, outcome: 'not-applied' } },
        { attempt: 2, error: errors[1] },
      ],
    });
  });

  it('after not-applied the fold still knows of an earlier attempt', async () => {
    // The word on replay is read after each failure: here it is taken back after the first.
    const { clock, policy } = bench();
    const errors = [coded(RESET), coded(RESET), coded(REFUSED)];
    const resolve = answers({ outcome: 'not-applied' });
    let calls = 0;
    const options = { resolve, idempotent: true };
    const end = policy.execute(() => {
      options.idempotent = calls === 0;
      throw errors[calls++];
    }, options);
    const error = await clock.runUntilSettled(rejection(end));
    expect(calls).toBe(3);
    expect(resolve).toHaveBeenCalledTimes(1);
    expect(retryInfo(error)).toMatchObject({ reason: 'exhausted', outcome: 'unknown' });
  });

  it('not-applied at the last attempt: exhausted, and known not to be applied', async () => {
    const { policy } = bench({ ...unsafe, maxAttempts: 1 });
    const resolve = answers({ outcome: 'not-applied' });
    const error = await rejection(policy.execute(failTimes(1, ''), { resolve }));
    expect(resolve).toHaveBeenCalledTimes(1);
    expect(retryInfo(error)).toMatchObject({ reason: 'exhausted', outcome: 'not-applied' });
  });

  const silent: [string, () => unknown][] = [
    ['answers unknown', () => ({ outcome: 'unknown' })],
    [
      'throws',
      () => {
        throw new Error('no connection');
      },
    ],
    ['rejects', () => Promise.reject(new Error('no connection'))],
    ['answers nothing', () => undefined],
    ['answers nonsense', () => ({ outcome: 'perhaps' })],
  ];
  it.each(silent)(
    'if it %s the original error surfaces, as of unknown outcome',
    async (_name, resolve) => {
      const { policy, delays } = bench(unsafe);
      const error = coded(RESET);
      const work = failTimes([error], 'again');
      const options = { resolve } as CallOptions<string>;
      expect(await rejection(policy.execute(work, options))).toBe(error);
      expect(work.calls).toBe(1);
      expect(delays).toEqual([]);
      expect(retryInfo(error)).toMatchObject({ reason: 'outcome-unknown', outcome: 'unknown' });
    },
  );

  const unasked: [string, Error, object][] = [
    ['it may be replayed', coded(RESET), { idempotent: true }],
    ['it was not applied', coded(REFUSED), unsafe],
    ['the failure is final', coded('ENOSPC'), unsafe],
  ];
  it.each(unasked)('is not asked where %s', async (_name, error, options) => {
    const { clock, policy } = bench(options);
    const resolve = answers({ outcome: 'applied', value: 'found' });
    await clock.runUntilSettled(settled(policy.execute(failTimes([error], 'again'), { resolve })));
    expect(resolve).not.toHaveBeenCalled();
  });

  it('is asked before anything is slept', async () => {
    const { clock, policy } = bench(unsafe);
    const pending: number[] = [];
    const resolve = () => {
      pending.push(clock.pending);
      return { outcome: 'not-applied' } as const;
    };
    await clock.runUntilSettled(policy.execute(failTimes(1, 'v'), { resolve }));
    expect(pending).toEqual([0]);
  });

  it('runs under the deadline of the operation, which surfaces the original error', async () => {
    const { clock, policy } = bench({ ...unsafe, totalTimeoutMs: 5000 });
    const error = coded(RESET);
    const end = rejection(
      policy.execute(failTimes([error], ''), { resolve: () => new Promise(() => {}) }),
    );
    let known = false;
    void end.then(() => {
      known = true;
    });
    await clock.advance(4999);
    expect(known).toBe(false);
    await clock.advance(1);
    expect(known).toBe(true);
    expect(await end).toBe(error);
    expect(retryInfo(error)).toMatchObject({ reason: 'deadline', outcome: 'unknown', attempts: 1 });
    expect(clock.pending).toBe(0);
  });

  it('an answer after the deadline changes nothing any more', async () => {
    const { clock, policy, delays } = bench({ ...unsafe, totalTimeoutMs: 5000 });
    let answer: (resolution: Resolution<string>) => void = () => {};
    const resolve = () =>
      new Promise<Resolution<string>>((done) => {
        answer = done;
      });
    const work = failTimes([coded(RESET)], 'again');
    const successes = vi.fn();
    policy.on('success', successes);
    const end = rejection(policy.execute(work, { resolve }));
    await clock.advance(5000);
    expect(retryInfo(await end)?.reason).toBe('deadline');
    answer({ outcome: 'not-applied' });
    await turn();
    expect([work.calls, delays, clock.pending]).toEqual([1, [], 0]);
    const other = rejection(policy.execute(failTimes([coded(RESET)], ''), { resolve }));
    await clock.advance(5000);
    await other;
    answer({ outcome: 'applied', value: 'late' });
    await turn();
    expect(successes).not.toHaveBeenCalled();
  });

  it('is told the attempt, whose remaining time it may use', async () => {
    const { clock, policy } = bench({ ...unsafe, totalTimeoutMs: 5000 });
    const remaining: number[] = [];
    const end = policy.execute(
      async () => {
        await clock.advance(1500);
        throw coded(RESET);
      },
      {
        resolve: (_failure, attempt) => {
          remaining.push(attempt.remainingMs);
          return { outcome: 'unknown' };
        },
      },
    );
    await rejection(end);
    expect(remaining).toEqual([3500]);
  });
});
