import {
  type BudgetEvent,
  type Failure,
  isOptionError,
  RetryBudget,
  RetryPolicy,
  retryInfo,
} from '@outlast/core-retry';
import { failTimes, ManualClock } from '@outlast/core-retry/testing';
import { describe, expect, it, vi } from 'vitest';
import { bench, coded, REFUSED, RESET, rejection, settled } from './helpers.js';

/** How many retries it grants until it refuses. */
function drain(budget: RetryBudget, limit = 1e6): number {
  let granted = 0;
  while (granted < limit && budget.withdraw()) granted += 1;
  return granted;
}

describe("the budget has Finagle's shape", () => {
  it.each([0, 0.1, 0.2, 0.25, 0.3, 0.5, 0.75, 1, 1.5, 2])(
    '3.24 grants %d of the traffic: 10 000 requests, time standing still',
    (ratio) => {
      const budget = new RetryBudget({ ratio, minPerSecond: 0, clock: new ManualClock() });
      for (let i = 0; i < 10_000; i++) budget.deposit();
      expect(drain(budget)).toBe(10_000 * ratio);
    },
  );

  it.each([0, 0.1, 0.2, 0.25, 0.3, 0.5, 0.75, 0.9, 1])(
    '3.24 with every request failing once, %d of them may be retried, ±1',
    (ratio) => {
      const budget = new RetryBudget({ ratio, minPerSecond: 0, clock: new ManualClock() });
      let granted = 0;
      for (let i = 0; i < 10_000; i++) {
        budget.deposit();
        if (budget.withdraw()) granted += 1;
      }
      expect(Math.abs(granted - 10_000 * ratio)).toBeLessThanOrEqual(1);
    },
  );

  it('3.24 a cold start has a floor: 10 a second over 10 seconds', () => {
    const budget = new RetryBudget({ clock: new ManualClock() });
    expect(budget.status()).toEqual({ balance: 100, denied: 0 });
    expect(drain(budget)).toBe(100);
    expect(budget.status()).toEqual({ balance: 0, denied: 1 });
  });

  it('the defaults are 20 % of the traffic and that floor', () => {
    const budget = new RetryBudget({ clock: new ManualClock() });
    for (let i = 0; i < 1000; i++) budget.deposit();
    expect(drain(budget)).toBe(300);
  });

  it('the floor comes back: what was withdrawn is forgotten after ttlMs', async () => {
    const clock = new ManualClock();
    const budget = new RetryBudget({ clock, ratio: 0, minPerSecond: 5, ttlMs: 2000 });
    expect(drain(budget)).toBe(10);
    await clock.advance(1799);
    expect(drain(budget)).toBe(0);
    await clock.advance(201);
    expect(drain(budget)).toBe(10);
  });

  it('a deposit counts for ttlMs and no longer', async () => {
    const clock = new ManualClock();
    const make = () => {
      const budget = new RetryBudget({ clock, ratio: 1, minPerSecond: 0, ttlMs: 1000 });
      for (let i = 0; i < 7; i++) budget.deposit();
      return budget;
    };
    const early = make();
    const late = make();
    await clock.advance(899);
    expect(early.status().balance).toBe(7);
    await clock.advance(101);
    expect(late.status().balance).toBe(0);
  });

  it.each([1e3, 1e6, 1e12])('is as good as new after %d ms without traffic', async (idle) => {
    const clock = new ManualClock();
    const budget = new RetryBudget({ clock, ratio: 1, minPerSecond: 1, ttlMs: 1000 });
    for (let i = 0; i < 50; i++) budget.deposit();
    await clock.advance(idle);
    expect(budget.status().balance).toBe(1);
    expect(drain(budget)).toBe(1);
  });

  it('goes with the traffic over many windows', async () => {
    const clock = new ManualClock();
    const budget = new RetryBudget({ clock, ratio: 0.2, minPerSecond: 0 });
    let granted = 0;
    for (let second = 0; second < 60; second++) {
      for (let i = 0; i < 100; i++) budget.deposit();
      granted += drain(budget);
      await clock.advance(1000);
    }
    expect(granted).toBe(60 * 20);
  });

  it('counts what it denies', () => {
    const budget = new RetryBudget({ ratio: 0, minPerSecond: 0, clock: new ManualClock() });
    for (let i = 0; i < 3; i++) expect(budget.withdraw()).toBe(false);
    expect(budget.status()).toEqual({ balance: 0, denied: 3 });
  });

  it.each([
    [{ ratio: -1 }, 'ratio', 'a number from 0 to 1000; got -1 (number)'],
    [{ ratio: '0.2' }, 'ratio', "'0.2' (string)"],
    [{ minPerSecond: Number.NaN }, 'minPerSecond', 'got NaN (number)'],
    [{ ttlMs: 0 }, 'ttlMs', 'a number of milliseconds, 1 or more; got 0 (number)'],
    [{ ttl: 5 }, 'ttl', 'is not an option'],
  ])('refuses %j', (options, name, says) => {
    let thrown: unknown;
    try {
      new RetryBudget(options as object);
    } catch (error) {
      thrown = error;
    }
    expect(isOptionError(thrown)).toBe(true);
    expect(String(thrown)).toContain(`RetryBudget.${name}`);
    expect(String(thrown)).toContain(says);
  });
});

describe('a policy with a budget', () => {
  function poor(retries: number, options: ConstructorParameters<typeof RetryPolicy>[0] = {}) {
    const clock = new ManualClock();
    const budget = new RetryBudget({ clock, ratio: 0, minPerSecond: retries / 10 });
    const policy = new RetryPolicy({ clock, jitter: false, budget, ...options });
    const events: BudgetEvent[] = [];
    policy.on('budget', (event) => events.push(event));
    return { clock, budget, policy, events };
  }

  it('3.22 withdraws at the decision, before the sleep', async () => {
    const { clock, budget, policy } = poor(5);
    const end = settled(policy.execute(failTimes(2, 'v')));
    await clock.advance(0);
    expect(budget.status().balance).toBe(4);
    await clock.advance(999);
    expect(budget.status().balance).toBe(4);
    await clock.advance(1);
    expect(budget.status().balance).toBe(3);
    await clock.runUntilSettled(end);
  });

  it('3.22 deposits once an operation, however many attempts it takes', async () => {
    const { clock, budget, policy } = poor(50);
    const deposit = vi.spyOn(budget, 'deposit');
    await clock.runUntilSettled(settled(policy.execute(failTimes(2, 'v'))));
    expect(deposit).toHaveBeenCalledTimes(1);
    await policy.execute(async () => 1);
    await policy.execute(async () => 1, { totalTimeoutMs: 50 });
    expect(deposit).toHaveBeenCalledTimes(3);
  });

  it('3.24 exhausted: the last error at once, reason budget, and an event', async () => {
    const { clock, budget, policy, events } = poor(1);
    const errors = [coded(RESET), coded(RESET)];
    const work = failTimes(errors, 'v');
    const end = rejection(policy.execute(work));
    await clock.advance(1000);
    expect(await end).toBe(errors[1]);
    expect(work.calls).toBe(2);
    expect(clock.pending).toBe(0);
    expect(retryInfo(errors[1])).toMatchObject({ reason: 'budget', attempts: 2, delaysMs: [1000] });
    expect(events).toMatchObject([{ type: 'budget', balance: 0, denied: 1, operation: 'work' }]);
    expect(budget.status().denied).toBe(1);
  });

  it('3.22 first attempts are never refused and never wait', async () => {
    const { clock, policy } = poor(0);
    for (let i = 0; i < 100; i++) await rejection(policy.execute(failTimes([coded(RESET)], 'v')));
    expect(await policy.execute(async () => 'first')).toBe('first');
    expect(clock.pending).toBe(0);
  });

  const free: [string, () => never, Failure['category']][] = [
    [
      'contention (the server rolled back)',
      () => {
        throw coded('40001');
      },
      'contention',
    ],
  ];
  it.each(free)('3.24 %s does not draw', async (_name, work, category) => {
    const { clock, budget, policy, events } = poor(0, {
      classify: () => ({ category, transient: true, outcome: 'not-applied' }),
    });
    const error = await clock.runUntilSettled(rejection(policy.execute(work)));
    expect(retryInfo(error)).toMatchObject({ reason: 'exhausted', attempts: 3 });
    expect([events, budget.status().denied]).toEqual([[], 0]);
  });

  it.each(['acquire', 'connect', 'sent', 'commit'] as const)(
    '3.24 an attempt that ended in phase %s draws only if it was sent',
    async (phase) => {
      const { clock, budget, policy } = poor(10);
      const end = policy.execute((attempt) => {
        attempt.phase = phase;
        throw coded(REFUSED);
      });
      await clock.runUntilSettled(settled(end));
      const sent = phase === 'sent' || phase === 'commit';
      expect(budget.status().balance).toBe(sent ? 8 : 10);
    },
  );

  it('3.24 what is not retried draws nothing: final, exhausted, too late, told not to', async () => {
    const { clock, budget, policy } = poor(10, { totalTimeoutMs: 500 });
    await rejection(policy.execute(failTimes([coded('EACCES')], 'v')));
    await rejection(policy.execute(failTimes([coded(RESET)], 'v'), { maxAttempts: 1 }));
    await rejection(policy.execute(failTimes([coded(RESET)], 'v')));
    const classify = (): Failure => ({
      category: 'throttled',
      transient: true,
      outcome: 'unknown',
      retryAfterMs: -1,
    });
    await rejection(policy.execute(failTimes(1, 'v'), { classify }));
    expect(budget.status()).toEqual({ balance: 10, denied: 0 });
    expect(clock.pending).toBe(0);
  });

  it('3.23 a retry that worked is not given back, and deposits make up for it', async () => {
    const clock = new ManualClock();
    const budget = new RetryBudget({ clock, ratio: 0.5, minPerSecond: 0.1 });
    const policy = new RetryPolicy({ clock, jitter: false, budget, baseDelayMs: 0 });
    // Balance 1.5, 0.5 after the retry; two first attempts later there is one to take again.
    expect(await policy.execute(failTimes([coded(RESET)], 'v'))).toBe('v');
    expect(await policy.execute(failTimes([coded(RESET)], 'v'))).toBe('v');
    expect(retryInfo(await rejection(policy.execute(failTimes([coded(RESET)], 'v'))))?.reason).toBe(
      'budget',
    );
  });

  it('3.24 one budget may serve several policies, and a call may go without', async () => {
    const { clock, budget, policy } = poor(1);
    const other = new RetryPolicy({ clock, budget, jitter: false });
    await clock.runUntilSettled(settled(policy.execute(failTimes([coded(RESET)], 'v'))));
    const refused = await rejection(other.execute(failTimes([coded(RESET)], 'v')));
    expect(retryInfo(refused)?.reason).toBe('budget');
    const work = failTimes([coded(RESET), coded(RESET)], 'v');
    expect(await clock.runUntilSettled(other.execute(work, { budget: false }))).toBe('v');
  });

  it('a bare policy has none', () => {
    expect(bench().policy.settings.budget).toBeUndefined();
  });
});
