import {
  AttemptTimeoutError,
  DeadlineExceededError,
  isAttemptTimeoutError,
  isDeadlineExceededError,
  RetryPolicy,
  retryInfo,
} from '@outlast/core-retry';
import { failTimes, ManualClock } from '@outlast/core-retry/testing';
import { describe, expect, it, vi } from 'vitest';
import { DeadlineQueue, type Expiring } from '../src/deadline.js';
import { bench, coded, hanging, REFUSED, RESET, rejection, settled, turn } from './helpers.js';

/** Whether the promise has settled by now. */
function watch(promise: PromiseLike<unknown>): { settled: boolean } {
  const state = { settled: false };
  const done = () => {
    state.settled = true;
  };
  promise.then(done, done);
  return state;
}

describe('totalTimeoutMs', () => {
  it.each([
    [1000, []],
    [1001, [1000]],
    [3000, [1000]],
    [3001, [1000, 2000]],
  ])('3.10 of %d: a delay that would reach it is not slept', async (totalTimeoutMs, slept) => {
    const { clock, policy, delays } = bench({ totalTimeoutMs, maxAttempts: 10 });
    const errors = Array.from({ length: 10 }, () => coded(REFUSED));
    const work = failTimes(errors, 'v');
    const end = rejection(policy.execute(work));
    await clock.advance(slept.reduce((sum, ms) => sum + ms, 0));
    const error = await end;
    expect(delays).toEqual(slept);
    expect(work.calls).toBe(slept.length + 1);
    expect(error).toBe(errors[slept.length]);
    expect(retryInfo(error)).toMatchObject({ reason: 'deadline', attempts: slept.length + 1 });
    expect(clock.pending).toBe(0);
  });

  it('DeadlineExceededError only if nothing ever failed; it names the operation and the time', async () => {
    const { clock, policy } = bench({ totalTimeoutMs: 5000, operation: 'pg.query' });
    const end = rejection(policy.execute(hanging().work));
    const state = watch(end);
    await clock.advance(4999);
    expect(state.settled).toBe(false);
    await clock.advance(1);
    expect(state.settled).toBe(true);
    const error = await end;
    expect(error).toBeInstanceOf(DeadlineExceededError);
    expect(isDeadlineExceededError(error)).toBe(true);
    expect(String(error)).toMatch(/pg\.query .* 5000 ms/);
    expect(retryInfo(error)).toMatchObject({
      reason: 'deadline',
      attempts: 1,
      elapsedMs: 5000,
      outcome: 'unknown',
      failures: [],
    });
    expect(clock.pending).toBe(0);
  });

  it('an attempt that hangs after a failure is given up with that failure', async () => {
    const { clock, policy } = bench({ totalTimeoutMs: 5000 });
    const first = coded(REFUSED);
    let calls = 0;
    const { work, signals } = hanging();
    const end = rejection(
      policy.execute((attempt) => {
        calls += 1;
        if (calls === 1) throw first;
        return work(attempt);
      }),
    );
    await clock.advance(5000);
    expect(await end).toBe(first);
    expect(retryInfo(first)).toMatchObject({
      reason: 'deadline',
      attempts: 2,
      outcome: 'unknown',
      delaysMs: [1000],
    });
    expect(signals[0]?.aborted).toBe(true);
    expect(isDeadlineExceededError(signals[0]?.reason)).toBe(true);
    expect(calls).toBe(2);
  });

  it.each([
    ['acquire', 'not-applied'],
    ['connect', 'not-applied'],
    ['sent', 'unknown'],
    ['commit', 'unknown'],
  ] as const)('an attempt given up in phase %s is %s', async (phase, outcome) => {
    const { clock, policy } = bench({ totalTimeoutMs: 10 });
    const end = rejection(
      policy.execute((attempt) => {
        attempt.phase = phase;
        return new Promise(() => {});
      }),
    );
    await clock.advance(10);
    expect(retryInfo(await end)?.outcome).toBe(outcome);
  });

  it.each([
    [1000, 200, 200],
    [200, 1000, 200],
  ])(
    'of the policy (%d) and the call (%d) the shorter counts',
    async (ofPolicy, ofCall, shorter) => {
      for (const narrowed of [{}, { baseDelayMs: 5 }]) {
        const { clock, policy } = bench({ totalTimeoutMs: ofPolicy });
        const end = rejection(
          policy.execute(hanging().work, { totalTimeoutMs: ofCall, ...narrowed }),
        );
        const state = watch(end);
        await clock.advance(shorter - 1);
        expect(state.settled).toBe(false);
        await clock.advance(1);
        expect(String(await end)).toContain(`${shorter} ms`);
        expect(clock.pending).toBe(0);
      }
    },
  );

  it('of a call bounds a policy without one', async () => {
    const { clock, policy } = bench();
    const end = rejection(policy.execute(hanging().work, { totalTimeoutMs: 30 }));
    await clock.advance(30);
    expect(isDeadlineExceededError(await end)).toBe(true);
  });

  it('a result in time is not waited for any longer, and one too late is dropped', async () => {
    const { clock, policy } = bench({ totalTimeoutMs: 100 });
    let answer: (value: string) => void = () => {};
    const work = () =>
      new Promise<string>((resolve) => {
        answer = resolve;
      });
    const inTime = policy.execute(work);
    await clock.advance(99);
    answer('in time');
    expect(await inTime).toBe('in time');
    const late = settled(policy.execute(work));
    await clock.advance(100);
    answer('late');
    await turn();
    expect((await late).ok).toBe(false);
  });

  it('3.17 a rejection after the deadline is nobody’s', async () => {
    const { clock, policy } = bench({ totalTimeoutMs: 100 });
    let refuse: (error: Error) => void = () => {};
    let calls = 0;
    const work = () => {
      calls += 1;
      return new Promise<string>((_, reject) => {
        refuse = reject;
      });
    };
    const end = rejection(policy.execute(work));
    await clock.advance(100);
    await end;
    // An unhandled rejection would fail the test run.
    refuse(new Error('late'));
    await turn();
    await clock.advance(100_000);
    expect(calls).toBe(1);
  });

  it('time that the work itself spends is counted, also if it blocks', async () => {
    const { clock, policy, delays } = bench({ totalTimeoutMs: 2000, baseDelayMs: 0 });
    let now = 0;
    vi.spyOn(clock, 'now').mockImplementation(() => now);
    const error = await rejection(
      policy.execute(() => {
        now += 1000;
        throw coded(REFUSED);
      }),
    );
    expect(retryInfo(error)).toMatchObject({ attempts: 2, reason: 'deadline' });
    expect(delays).toEqual([0]);
  });

  it('3.10 remainingMs counts down, and stops at 0', async () => {
    const { clock, policy } = bench({ totalTimeoutMs: 5000 });
    const attempts: { readonly remainingMs: number }[] = [];
    const end = settled(
      policy.execute((attempt) => {
        attempts.push(attempt);
        if (attempt.number === 1) throw coded(REFUSED);
        return new Promise(() => {});
      }),
    );
    const remaining = () => attempts.map((attempt) => attempt.remainingMs);
    expect(remaining()).toEqual([5000]);
    await clock.advance(1500);
    expect(remaining()).toEqual([3500, 3500]);
    await clock.advance(100_000);
    await end;
    expect(remaining()).toEqual([0, 0]);
  });

  it('3.10 reads the time left of a call of its own too', async () => {
    const { policy } = bench({ totalTimeoutMs: 5000 });
    expect(await policy.execute((attempt) => attempt.remainingMs, { totalTimeoutMs: 70 })).toBe(70);
    expect(await policy.execute((attempt) => attempt.remainingMs)).toBe(5000);
  });
});

describe('thousands of deadlines', () => {
  it('3.20 share one timer, which does not keep the process alive', async () => {
    const clock = new ManualClock();
    const set = vi.spyOn(clock, 'setTimeout');
    const policy = new RetryPolicy({ clock, totalTimeoutMs: 1000 });
    const ends = Array.from({ length: 5000 }, () => rejection(policy.execute(hanging().work)));
    expect(set).toHaveBeenCalledTimes(1);
    expect(set.mock.calls[0]?.slice(1)).toEqual([1000, { unref: true }]);
    expect(clock.pending).toBe(1);
    await clock.advance(1000);
    const errors = await Promise.all(ends);
    expect(errors.every(isDeadlineExceededError)).toBe(true);
    expect(new Set(errors).size).toBe(5000);
    expect(clock.pending).toBe(0);
    expect(set).toHaveBeenCalledTimes(1);
  });

  it('each ends at its own time, though others ended before', async () => {
    const { clock, policy } = bench({ totalTimeoutMs: 1000 });
    const ended: [number, number][] = [];
    for (let i = 0; i < 10; i++) {
      const slow = i % 2 === 0;
      policy
        .execute(() => (slow ? new Promise(() => {}) : Promise.resolve()))
        .then(
          () => {},
          () => ended.push([i, clock.now()]),
        );
      await clock.advance(10);
    }
    await clock.advance(5000);
    expect(ended).toEqual([0, 2, 4, 6, 8].map((i) => [i, 1000 + 10 * i]));
    expect(clock.pending).toBe(0);
  });

  it('3.20 after the last success at most one timer stays, and goes with the time or with close()', async () => {
    const { clock, policy } = bench({ totalTimeoutMs: 1000 });
    for (let i = 0; i < 100; i++) await policy.execute(async () => i);
    expect(clock.pending).toBeLessThanOrEqual(1);
    await clock.advance(1000);
    expect(clock.pending).toBe(0);
    await policy.execute(async () => 1);
    policy.close();
    expect(clock.pending).toBe(0);
  });

  it('of a length of its own leave no timer', async () => {
    const { clock, policy } = bench({ totalTimeoutMs: 1000 });
    await policy.execute(async () => 1, { totalTimeoutMs: 500 });
    await clock.advance(1000);
    expect(await policy.execute(failTimes(0, 'v'), { totalTimeoutMs: 500 })).toBe('v');
    expect(clock.pending).toBeLessThanOrEqual(1);
  });
});

describe('the queue of deadlines', () => {
  function item(deadlineAt: number, log: number[]): Expiring {
    return {
      deadlineAt,
      previous: undefined,
      next: undefined,
      expire: () => log.push(deadlineAt),
    };
  }

  it.each([
    [[0], [2, 3]],
    [[1], [1, 3]],
    [[2], [1, 2]],
    [[0, 1], [3]],
    [[2, 1], [1]],
    [[0, 1, 2], []],
    [
      [1, 1],
      [1, 3],
    ],
  ])('without the items %j expires the rest, in order', async (removed, left) => {
    const clock = new ManualClock();
    const queue = new DeadlineQueue(clock);
    const log: number[] = [];
    const items = [1, 2, 3].map((at) => item(at, log));
    for (const each of items) queue.add(each);
    for (const index of removed) queue.remove(items[index] as Expiring);
    await clock.advance(10);
    expect(log).toEqual(left);
    expect(clock.pending).toBe(0);
  });

  it('goes on after it has been empty', async () => {
    const clock = new ManualClock();
    const queue = new DeadlineQueue(clock);
    const log: number[] = [];
    const first = item(5, log);
    queue.add(first);
    queue.remove(first);
    queue.add(item(7, log));
    await clock.advance(10);
    queue.add(item(15, log));
    await clock.advance(10);
    expect(log).toEqual([7, 15]);
  });

  it('settle disarms only if nothing waits', async () => {
    const clock = new ManualClock();
    const queue = new DeadlineQueue(clock);
    const log: number[] = [];
    const first = item(5, log);
    queue.add(first);
    queue.settle();
    expect(clock.pending).toBe(1);
    queue.remove(first);
    queue.settle();
    expect(clock.pending).toBe(0);
  });

  it('a timer that fires early is armed again', async () => {
    const clock = new ManualClock();
    const queue = new DeadlineQueue(clock);
    const log: number[] = [];
    queue.add(item(10, log));
    // A timer of Node may fire up to a millisecond before its time.
    const early = vi.spyOn(clock, 'now').mockReturnValue(9.5);
    await clock.advance(10);
    early.mockRestore();
    expect(log).toEqual([]);
    expect(clock.pending).toBe(1);
    await clock.advance(1);
    expect(log).toEqual([10]);
  });
});

describe('attemptTimeoutMs', () => {
  it('gives up an attempt, aborts its signal and retries; the last AttemptTimeoutError surfaces', async () => {
    const { clock, policy, delays } = bench({ attemptTimeoutMs: 100, operation: 'op' });
    const { work, signals } = hanging();
    const end = rejection(policy.execute(work));
    await clock.advance(99);
    expect(signals.map((signal) => signal.aborted)).toEqual([false]);
    await clock.advance(1);
    expect(signals.map((signal) => signal.aborted)).toEqual([true]);
    const error = await clock.runUntilSettled(end);
    expect(error).toBeInstanceOf(AttemptTimeoutError);
    expect(isAttemptTimeoutError(error)).toBe(true);
    expect(String(error)).toMatch(/Attempt 3 of op .* 100 ms/);
    expect(delays).toEqual([1000, 2000]);
    expect(signals.map((signal) => signal.aborted)).toEqual([true, true, true]);
    expect(signals[2]?.reason).toBe(error);
    expect(retryInfo(error)).toMatchObject({
      reason: 'exhausted',
      outcome: 'unknown',
      attempts: 3,
    });
    expect(clock.pending).toBe(0);
  });

  it('3.4 a timeout of one attempt is no cancellation: unsafe work that may be applied surfaces', async () => {
    const { clock, policy } = bench({ attemptTimeoutMs: 100, idempotent: false });
    const end = rejection(policy.execute(hanging().work));
    await clock.advance(100);
    expect(retryInfo(await end)).toMatchObject({ reason: 'outcome-unknown', outcome: 'unknown' });
  });

  it('in phase connect it was not applied, and is retried', async () => {
    const { clock, policy } = bench({ attemptTimeoutMs: 100, idempotent: false });
    let calls = 0;
    const end = policy.execute((attempt) => {
      attempt.phase = 'connect';
      calls += 1;
      return calls < 3 ? new Promise<string>(() => {}) : 'v';
    });
    expect(await clock.runUntilSettled(end)).toBe('v');
  });

  it('of a call goes before that of the policy', async () => {
    const { clock, policy } = bench({ attemptTimeoutMs: 100, maxAttempts: 1 });
    const end = rejection(policy.execute(hanging().work, { attemptTimeoutMs: 20 }));
    await clock.advance(20);
    expect(String(await end)).toContain('20 ms');
    const { clock: other, policy: bare } = bench({ maxAttempts: 1 });
    const second = rejection(bare.execute(hanging().work, { attemptTimeoutMs: 20 }));
    await other.advance(20);
    expect(isAttemptTimeoutError(await second)).toBe(true);
  });

  it('3.17 a success or a rejection after it is dropped, and its timer goes with the attempt', async () => {
    const { clock, policy } = bench({ attemptTimeoutMs: 100 });
    const settlers: [(value: string) => void, (error: Error) => void][] = [];
    const work = () =>
      new Promise<string>((resolve, reject) => {
        settlers.push([resolve, reject]);
      });
    const end = policy.execute(work);
    await clock.advance(100);
    settlers[0]?.[1](new Error('late, and would be unhandled'));
    await clock.advance(1100);
    settlers[1]?.[0]('late');
    await clock.advance(2000);
    settlers[2]?.[0]('third');
    expect(await end).toBe('third');
    expect(clock.pending).toBe(0);
  });

  it('3.17 its timer goes when the attempt fails by itself', async () => {
    const { clock, policy } = bench({ attemptTimeoutMs: 100, maxAttempts: 2 });
    const end = settled(policy.execute(failTimes(5, 'v')));
    await turn();
    expect(clock.pending).toBe(1);
    await clock.advance(1000);
    await end;
    expect(clock.pending).toBe(0);
  });

  it('the signal that is first read after the timeout is aborted already', async () => {
    const { clock, policy } = bench({ attemptTimeoutMs: 100, maxAttempts: 1 });
    let late: { readonly signal: AbortSignal } | undefined;
    const end = rejection(
      policy.execute((attempt) => {
        late = attempt;
        return new Promise(() => {});
      }),
    );
    await clock.advance(100);
    const error = await end;
    expect(late?.signal.aborted).toBe(true);
    expect(late?.signal.reason).toBe(error);
  });

  it('`stop` is awaited before the next attempt', async () => {
    const { clock, policy, delays } = bench({ attemptTimeoutMs: 100 });
    const log: string[] = [];
    let stopped: () => void = () => {};
    let calls = 0;
    const end = policy.execute(
      () => {
        calls += 1;
        log.push(`attempt ${calls}`);
        return calls === 1 ? new Promise<string>(() => {}) : 'v';
      },
      {
        stop: (attempt) => {
          log.push(`stop ${attempt.number}`);
          return new Promise<void>((resolve) => {
            stopped = resolve;
          });
        },
      },
    );
    await clock.advance(50_000);
    expect(log).toEqual(['attempt 1', 'stop 1']);
    expect(delays).toEqual([]);
    stopped();
    expect(await clock.runUntilSettled(end)).toBe('v');
    expect(log).toEqual(['attempt 1', 'stop 1', 'attempt 2']);
  });

  it('3.14 a `stop` that throws or rejects changes nothing', async () => {
    for (const stop of [
      () => {
        throw new Error('x');
      },
      () => Promise.reject(new Error('x')),
    ]) {
      const { clock, policy } = bench({ attemptTimeoutMs: 100 });
      let calls = 0;
      const work = () => (++calls === 1 ? new Promise<string>(() => {}) : 'v');
      expect(await clock.runUntilSettled(policy.execute(work, { stop }))).toBe('v');
    }
  });

  it('`stop` is not asked about an attempt that failed by itself, though it was with such an error', async () => {
    const { clock, policy } = bench({ attemptTimeoutMs: 100 });
    const stop = vi.fn();
    const work = failTimes([new AttemptTimeoutError('inner', 1, 5), coded(RESET)], 'v');
    expect(await clock.runUntilSettled(policy.execute(work, { stop }))).toBe('v');
    expect(stop).not.toHaveBeenCalled();
  });

  it('a deadline during `stop` settles, and nothing more is tried or slept', async () => {
    const { clock, policy, delays } = bench({ attemptTimeoutMs: 100, totalTimeoutMs: 500 });
    let stopped: () => void = () => {};
    const stop = () =>
      new Promise<void>((resolve) => {
        stopped = resolve;
      });
    const { work, signals } = hanging();
    const end = rejection(policy.execute(work, { stop }));
    await clock.advance(500);
    const error = await end;
    expect(isAttemptTimeoutError(error)).toBe(true);
    expect(retryInfo(error)?.reason).toBe('deadline');
    stopped();
    await turn();
    expect([signals.length, delays, clock.pending]).toEqual([1, [], 0]);
  });
});
