import { type PolicyEvent, type PolicyEventType, RetryPolicy } from '@outlast/core-retry';
import { failTimes, ManualClock, recordDelays } from '@outlast/core-retry/testing';
import { describe, expect, it, vi } from 'vitest';
import { EVENT_TYPES } from '../src/events.js';
import { bench, coded, REFUSED, RESET, rejection, settled } from './helpers.js';

/** Everything that the policy reports, in order. */
function record(policy: RetryPolicy): PolicyEvent[] {
  const events: PolicyEvent[] = [];
  for (const type of EVENT_TYPES) policy.on(type, (event) => events.push(event));
  return events;
}

const wall = Date.UTC(2026, 0, 1);

describe('events', () => {
  it.each([{}, { totalTimeoutMs: 1e6 }])(
    '3.15 come in order, frozen, with their fields (%j)',
    async (options) => {
      const { clock, policy } = bench({ operation: 'op', ...options });
      const events = record(policy);
      const error = coded(RESET);
      await clock.runUntilSettled(policy.execute(failTimes([error], 'v')));
      const failure = { category: 'network', transient: true, outcome: 'unknown', code: RESET };
      expect(events).toEqual([
        { type: 'attempt', operation: 'op', at: wall, attempt: 1, maxAttempts: 3 },
        {
          type: 'retry',
          operation: 'op',
          at: wall,
          attempt: 1,
          maxAttempts: 3,
          delayMs: 1000,
          failure,
          error,
        },
        { type: 'attempt', operation: 'op', at: wall + 1000, attempt: 2, maxAttempts: 3 },
        {
          type: 'success',
          operation: 'op',
          at: wall + 1000,
          attempts: 2,
          maxAttempts: 3,
          elapsedMs: 1000,
        },
      ]);
      expect(events.every(Object.isFrozen)).toBe(true);
      expect((events[1] as { error: unknown }).error).toBe(error);
    },
  );

  it('of a failure: exhausted, and outcomeUnknown if it is', async () => {
    for (const [code, unknown] of [
      [RESET, true],
      [REFUSED, false],
    ] as const) {
      const { clock, policy } = bench({ maxAttempts: 2 });
      const events = record(policy);
      const errors = [coded(code), coded(code)];
      await clock.runUntilSettled(settled(policy.execute(failTimes(errors, 'v'))));
      const types = ['attempt', 'retry', 'attempt', 'exhausted'];
      expect(events.map((event) => event.type)).toEqual(
        unknown ? [...types, 'outcomeUnknown'] : types,
      );
      expect(events[3]).toMatchObject({
        attempts: 2,
        elapsedMs: 1000,
        reason: 'exhausted',
        failure: { code },
        error: errors[1],
        failures: [{ attempt: 1, error: errors[0] }],
      });
      if (unknown)
        expect(events[4]).toMatchObject({ attempts: 2, reason: 'exhausted', error: errors[1] });
    }
  });

  it('of a call that is done at once: attempt and success', async () => {
    for (const options of [{}, { totalTimeoutMs: 1e6 }]) {
      const { policy } = bench(options);
      const events = record(policy);
      await policy.execute(async () => 1, { maxAttempts: 7 });
      expect(events).toMatchObject([
        { type: 'attempt', maxAttempts: 7 },
        { type: 'success', attempts: 1, elapsedMs: 0 },
      ]);
    }
  });

  it('the deadline is reported as such, also when nothing had failed', async () => {
    const { clock, policy } = bench({ totalTimeoutMs: 100 });
    const events = record(policy);
    const end = rejection(policy.execute(() => new Promise(() => {})));
    await clock.advance(100);
    const error = await end;
    expect(events.slice(1)).toMatchObject([
      { type: 'exhausted', reason: 'deadline', failure: { category: 'timeout' }, error },
      { type: 'outcomeUnknown', reason: 'deadline', error },
    ]);
  });

  it('are for those who listen, until they stop; the same function may listen twice', async () => {
    const { policy } = bench();
    const listener = vi.fn();
    const offs = [policy.on('success', listener), policy.on('success', listener)];
    await policy.execute(() => 1);
    expect(listener).toHaveBeenCalledTimes(2);
    offs[0]?.();
    offs[0]?.();
    await policy.execute(() => 1);
    expect(listener).toHaveBeenCalledTimes(3);
    offs[1]?.();
    await policy.execute(() => 1);
    expect(listener).toHaveBeenCalledTimes(3);
  });

  it('3.14 a listener that throws or rejects changes nothing, and the others are told', async () => {
    const { clock, policy } = bench();
    const told = vi.fn();
    for (const type of EVENT_TYPES) {
      policy.on(type, () => {
        throw new Error('bug');
      });
      policy.on(type, (() => Promise.reject(new Error('bug'))) as () => void);
      policy.on(type, told);
    }
    expect(await clock.runUntilSettled(policy.execute(failTimes(1, 'v')))).toBe('v');
    expect(told).toHaveBeenCalledTimes(4);
    const error = coded(RESET);
    const work = failTimes([error, error, error], 'v');
    expect(await clock.runUntilSettled(rejection(policy.execute(work)))).toBe(error);
    expect(told).toHaveBeenCalledTimes(4 + 3 + 2 + 2);
  });

  it('3.14 an onRetry that throws or rejects changes nothing; it gets the frozen event', async () => {
    for (const fail of [
      () => {
        throw new Error('x');
      },
      () => Promise.reject(new Error('x')),
    ]) {
      const seen: unknown[] = [];
      const { clock, policy } = bench({
        onRetry: (event) => {
          seen.push(event);
          return fail() as never;
        },
      });
      const events = record(policy);
      expect(await clock.runUntilSettled(policy.execute(failTimes(2, 'v')))).toBe('v');
      expect(seen).toEqual(events.filter((event) => event.type === 'retry'));
      expect(seen).toHaveLength(2);
      expect(seen.every(Object.isFrozen)).toBe(true);
    }
  });

  it('3.14 an onRetry is told where nobody else listens', async () => {
    const clock = new ManualClock();
    const onRetry = vi.fn();
    const policy = new RetryPolicy({ clock, onRetry, jitter: false });
    await clock.runUntilSettled(policy.execute(failTimes(1, 'v')));
    expect(onRetry.mock.calls).toMatchObject([[{ type: 'retry', attempt: 1, delayMs: 1000 }]]);
    expect(Object.isFrozen(onRetry.mock.calls[0]?.[0])).toBe(true);
  });

  it('3.15 a listener that stops listening, or adds one, while it is told disturbs nobody', async () => {
    const { policy } = bench();
    const log: string[] = [];
    const off = policy.on('success', () => {
      log.push('first');
      off();
      policy.on('success', () => log.push('added'));
    });
    policy.on('success', () => log.push('second'));
    await policy.execute(() => 1);
    expect(log).toEqual(['first', 'second']);
    await policy.execute(() => 1);
    expect(log).toEqual(['first', 'second', 'second', 'added']);
  });

  it("reports a connector's own events", () => {
    const { policy } = bench();
    const events = record(policy);
    policy.emit({ type: 'up', operation: 'pg', at: 5, downMs: 7 });
    expect(events).toEqual([{ type: 'up', operation: 'pg', at: 5, downMs: 7 }]);
  });

  it.each([
    ['sucess', () => {}, /'sucess' is not an option\. Did you mean success\?/],
    ['error', () => {}, /Known are: attempt, retry/],
    ['retry', 'not a function', /listener must be a function; got 'not a function'/],
    ['retry', undefined, /listener must be a function; got undefined/],
  ])('on(%s, %s) is refused', (type, listener, says) => {
    const { policy } = bench();
    expect(() => policy.on(type as PolicyEventType, listener as () => void)).toThrow(says);
  });

  it('recordDelays collects what is slept', async () => {
    const { clock, policy } = bench();
    const delays = recordDelays(policy);
    await clock.runUntilSettled(policy.execute(failTimes(2, 'v')));
    expect(delays).toEqual([1000, 2000]);
  });
});

describe('who is told', () => {
  it('a connector can ask, and a logger counts as one who hears, but not of every call', () => {
    const silent = new RetryPolicy();
    expect(EVENT_TYPES.filter((type) => silent.hears(type))).toEqual([]);
    expect(silent.watched).toBe(false);
    const off = silent.on('retry', () => {});
    expect(EVENT_TYPES.filter((type) => silent.hears(type))).toEqual(['retry']);
    expect(silent.watched).toBe(false);
    off();
    expect(silent.hears('retry')).toBe(false);
    silent.on('success', () => {});
    expect([silent.hears('success'), silent.watched]).toEqual([true, true]);
    const logged = new RetryPolicy({ logger: console });
    expect(EVENT_TYPES.filter((type) => !logged.hears(type))).toEqual(['attempt']);
    expect(logged.watched).toBe(false);
  });
});
