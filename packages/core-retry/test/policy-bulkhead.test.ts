import { getEventListeners } from 'node:events';
import {
  Bulkhead,
  type BulkheadOptions,
  CircuitBreaker,
  isBulkheadFullError,
  isCircuitOpenError,
  isClosedError,
  isDeadlineExceededError,
  type PolicyEvent,
  RetryBudget,
  type RetryOptions,
  RetryPolicy,
  retryInfo,
} from '@outlast/core-retry';
import { failTimes, ManualClock } from '@outlast/core-retry/testing';
import { describe, expect, it, vi } from 'vitest';
import { coded, RESET, rejection, settled, turn } from './helpers.js';

/** A policy with a bulkhead and a breaker on a clock that stands still, and a call that holds a slot. */
function queued(places: BulkheadOptions, options: RetryOptions = {}) {
  const clock = new ManualClock();
  const bulkhead = new Bulkhead(places);
  const breaker = new CircuitBreaker({ clock, jitter: false, failureThreshold: 1 });
  const policy = new RetryPolicy({ clock, jitter: false, bulkhead, breaker, ...options });
  const order: string[] = [];
  /** Runs until `end` is called; says when it began. */
  const hold = (name = 'holder', call = {}) => {
    let end: (error?: unknown) => void = () => {};
    const promise = settled(
      policy.execute(
        () =>
          new Promise<string>((resolve, reject) => {
            order.push(name);
            end = (error) => (error === undefined ? resolve(name) : reject(error));
          }),
        call,
      ),
    );
    return { promise, end: (error?: unknown) => end(error) };
  };
  const free = { running: 0, queued: 0 };
  return { clock, bulkhead, breaker, policy, order, hold, free };
}

describe('a policy with a bulkhead', () => {
  it('runs so many at a time, the rest in the order in which they came', async () => {
    const { bulkhead, order, hold, free } = queued({ maxConcurrent: 2, maxQueued: 3 });
    const calls = ['a', 'b', 'c', 'd', 'e'].map((name) => hold(name));
    await turn();
    expect(order).toEqual(['a', 'b']);
    expect(bulkhead.status()).toMatchObject({ running: 2, queued: 3 });
    for (const call of calls) {
      call.end();
      await turn();
    }
    expect(order).toEqual(['a', 'b', 'c', 'd', 'e']);
    const ends = await Promise.all(calls.map((call) => call.promise));
    expect(ends).toEqual(order.map((value) => ({ ok: true, value })));
    expect(bulkhead.status()).toMatchObject(free);
  });

  it('refuses who finds the queue full: nothing was called, and it says so', async () => {
    const { bulkhead, breaker, clock, policy, hold } = queued(
      { maxConcurrent: 1, maxQueued: 1 },
      { totalTimeoutMs: 1000 },
    );
    const events: PolicyEvent[] = [];
    policy.on('exhausted', (event) => events.push(event));
    const calls = [hold(), hold('next')];
    await turn();
    const work = failTimes(0, 'v');
    const error = await rejection(policy.execute(work, { operation: 'save' }));
    expect(isBulkheadFullError(error)).toBe(true);
    expect(work.calls).toBe(0);
    expect(retryInfo(error)).toEqual({
      operation: 'save',
      attempts: 0,
      elapsedMs: 0,
      delaysMs: [],
      reason: 'permanent',
      outcome: 'not-applied',
      failures: [],
    });
    expect(events).toMatchObject([
      {
        type: 'exhausted',
        operation: 'save',
        attempts: 0,
        reason: 'permanent',
        failure: { category: 'resource-exhausted', code: 'OUTLAST_BULKHEAD_FULL' },
        error,
      },
    ]);
    expect(bulkhead.status()).toMatchObject({ running: 1, queued: 1, refused: 1 });
    for (const call of calls) {
      call.end();
      await turn();
    }
    expect(breaker.idle).toBe(true);
    expect(clock.pending).toBe(1);
  });

  it('a refusal leaves no timer of its deadline', async () => {
    const { bulkhead, clock, policy } = queued({ maxConcurrent: 1 }, { totalTimeoutMs: 1000 });
    await bulkhead.enter();
    await rejection(policy.execute(failTimes(0, 'v')));
    expect(clock.pending).toBe(0);
    await rejection(policy.execute(failTimes(0, 'v'), { totalTimeoutMs: 500 }));
    expect(clock.pending).toBe(0);
  });

  it('3.30 a refusal by it does not vote, not even as a probe', async () => {
    const { bulkhead, breaker, clock, policy, hold, free } = queued({ maxConcurrent: 1 });
    const call = hold();
    breaker.acquire().failure(coded(RESET));
    await clock.advance(60_000);
    for (let i = 0; i < 3; i++) {
      expect(isBulkheadFullError(await rejection(policy.execute(failTimes(0, 'v'))))).toBe(true);
      expect(breaker.status()).toMatchObject({ state: 'half-open', halfOpenCalls: 0 });
    }
    call.end();
    await turn();
    expect(bulkhead.status()).toMatchObject(free);
  });

  it('holds a slot over all attempts and delays of an operation', async () => {
    const { bulkhead, clock, policy } = queued({ maxConcurrent: 1 });
    const end = settled(policy.execute(failTimes(2, 'v')));
    await clock.advance(500);
    expect(bulkhead.status().running).toBe(1);
    expect(isBulkheadFullError(await rejection(policy.execute(failTimes(0, 'v'))))).toBe(true);
    expect(await clock.runUntilSettled(end)).toEqual({ ok: true, value: 'v' });
    expect(bulkhead.status().running).toBe(0);
  });

  it('3.24 counts an operation for the budget when it begins, not when it is refused', async () => {
    const clock = new ManualClock();
    const budget = new RetryBudget({ clock, ratio: 1, minPerSecond: 0 });
    const { policy, hold } = queued({ maxConcurrent: 1, maxQueued: 1 }, { budget, clock });
    const calls = [hold(), hold('next')];
    await turn();
    await rejection(policy.execute(failTimes(0, 'v')));
    expect(budget.status().balance).toBe(1);
    calls[0]?.end();
    await turn();
    expect(budget.status().balance).toBe(2);
    calls[1]?.end();
    await turn();
  });

  it('waiting in the queue is no slow call, but part of the elapsed time', async () => {
    for (const failures of [0, 1]) {
      const clock = new ManualClock();
      const breaker = new CircuitBreaker({
        clock,
        slowCallMs: 100,
        slowCallRate: 1,
        minimumCalls: 1,
      });
      const bulkhead = new Bulkhead({ maxConcurrent: 1, maxQueued: 1 });
      const policy = new RetryPolicy({ clock, breaker, bulkhead, maxAttempts: 1 });
      const elapsed: number[] = [];
      policy.on('success', (event) => elapsed.push(event.elapsedMs));
      policy.on('exhausted', (event) => elapsed.push(event.elapsedMs));
      await bulkhead.enter();
      const end = settled(policy.execute(failTimes([coded('EACCES')].slice(0, failures), 'v')));
      await clock.advance(5000);
      bulkhead.leave();
      await end;
      expect(elapsed).toEqual([5000]);
      expect(breaker.state).toBe('closed');
    }
  });
});

describe('3.27 while queued', () => {
  async function waiting(options: RetryOptions = {}, call: RetryOptions = {}) {
    const all = queued({ maxConcurrent: 1, maxQueued: 2 }, options);
    const holder = all.hold();
    const work = failTimes(0, 'v');
    const end = settled(all.policy.execute(work, call));
    await turn();
    expect(all.bulkhead.status()).toMatchObject({ running: 1, queued: 1 });
    return { ...all, holder, work, end };
  }

  it('3.27 an abort takes it out at once, and whoever waits behind is not starved', async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const { bulkhead, breaker, clock, hold, holder, work, end, order, free } = await waiting(
      {},
      { signal },
    );
    const behind = hold('behind');
    await turn();
    const reason = new Error('gone');
    controller.abort(reason);
    expect(bulkhead.status()).toMatchObject({ running: 1, queued: 1 });
    expect(await end).toEqual({ ok: false, error: reason });
    expect(retryInfo(reason)).toMatchObject({
      reason: 'cancelled',
      attempts: 0,
      outcome: 'not-applied',
    });
    holder.end();
    await turn();
    expect(order).toEqual(['holder', 'behind']);
    behind.end();
    await turn();
    expect(work.calls).toBe(0);
    expect(bulkhead.status()).toMatchObject(free);
    expect(breaker.idle).toBe(true);
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
    expect(clock.pending).toBe(0);
  });

  it('3.27 an abort in the same turn as the slot gives the slot on', async () => {
    const controller = new AbortController();
    const { bulkhead, breaker, holder, work, end, free } = await waiting(
      {},
      { signal: controller.signal },
    );
    holder.end();
    await holder.promise;
    controller.abort(new Error('gone'));
    expect(await end).toMatchObject({ ok: false });
    await turn();
    expect(work.calls).toBe(0);
    expect(bulkhead.status()).toMatchObject(free);
    expect(breaker.idle).toBe(true);
  });

  it('a deadline ends the wait: nothing was called', async () => {
    const events: PolicyEvent[] = [];
    const { policy, bulkhead, breaker, clock, holder, work, end, free } = await waiting(
      {},
      { totalTimeoutMs: 1000 },
    );
    policy.on('exhausted', (event) => events.push(event));
    await clock.advance(1000);
    const { error } = (await end) as { error: unknown };
    expect(isDeadlineExceededError(error)).toBe(true);
    expect(retryInfo(error)).toMatchObject({
      reason: 'deadline',
      attempts: 0,
      elapsedMs: 1000,
      outcome: 'not-applied',
    });
    expect(events).toMatchObject([{ type: 'exhausted', attempts: 0, reason: 'deadline' }]);
    // It never called the service, so it knows nothing of it.
    expect(breaker.state).toBe('closed');
    holder.end();
    await turn();
    expect(work.calls).toBe(0);
    expect(bulkhead.status()).toMatchObject(free);
    expect(clock.pending).toBe(0);
  });

  it('the time that it waited is gone from the deadline', async () => {
    const { clock, holder, policy, end } = await waiting({ totalTimeoutMs: 1000 });
    const remaining: number[] = [];
    const next = settled(
      policy.execute((attempt) => {
        remaining.push(attempt.remainingMs);
        expect(attempt.phase).toBe('sent');
        return 'w';
      }),
    );
    await clock.advance(700);
    holder.end();
    expect(await end).toEqual({ ok: true, value: 'v' });
    expect(await next).toEqual({ ok: true, value: 'w' });
    expect(remaining).toEqual([300]);
  });

  it('close() ends the wait at once, and nothing is called later', async () => {
    const { policy, bulkhead, breaker, holder, work, end, free } = await waiting();
    policy.close();
    const { error } = (await end) as { error: unknown };
    expect(isClosedError(error)).toBe(true);
    expect(retryInfo(error)).toMatchObject({ reason: 'closed', attempts: 0 });
    expect(bulkhead.status()).toMatchObject({ running: 1, queued: 0 });
    holder.end();
    // What was under way may still succeed.
    expect(await holder.promise).toEqual({ ok: true, value: 'holder' });
    await turn();
    expect(work.calls).toBe(0);
    expect(bulkhead.status()).toMatchObject(free);
    expect(breaker.idle).toBe(true);
  });

  it('a close() after it has begun does not touch it', async () => {
    const { policy, holder, hold, end } = await waiting();
    const next = hold('next');
    holder.end();
    await end;
    await turn();
    policy.close();
    next.end();
    expect(await next.promise).toEqual({ ok: true, value: 'next' });
  });

  it('a breaker that opens meanwhile refuses it, and the slot goes on', async () => {
    const { bulkhead, breaker, holder, work, end, free } = await waiting();
    breaker.acquire().failure(coded(RESET));
    holder.end();
    const { error } = (await end) as { error: unknown };
    expect(isCircuitOpenError(error)).toBe(true);
    expect(retryInfo(error)).toMatchObject({ reason: 'circuit-open', attempts: 0 });
    await turn();
    expect(work.calls).toBe(0);
    expect(bulkhead.status()).toMatchObject(free);
    expect(breaker.status().halfOpenCalls).toBe(0);
  });

  it('a fallback answers who was refused, and its throw surfaces', async () => {
    for (const fails of [false, true]) {
      const fallback = vi.fn((error: unknown) => {
        if (fails) throw new Error('fallback failed');
        return isCircuitOpenError(error) ? 'open' : 'full';
      });
      const { breaker, holder, hold, policy, end } = await waiting({ fallback });
      hold('second');
      await turn();
      const full = await settled(policy.execute(failTimes(0, 'v')));
      breaker.acquire().failure(coded(RESET));
      holder.end();
      expect([full, await end]).toMatchObject(
        fails
          ? [{ error: { message: 'fallback failed' } }, { error: { message: 'fallback failed' } }]
          : [{ value: 'full' }, { value: 'open' }],
      );
    }
  });

  it('no fallback for who cancelled or was closed', async () => {
    const fallback = vi.fn(() => 'fallback');
    const controller = new AbortController();
    const one = await waiting({ fallback }, { signal: controller.signal });
    controller.abort(new Error('gone'));
    expect(await one.end).toMatchObject({ ok: false });
    const two = await waiting({ fallback });
    two.policy.close();
    expect(await two.end).toMatchObject({ ok: false });
    expect(fallback).not.toHaveBeenCalled();
    one.holder.end();
    two.holder.end();
    await turn();
  });

  it('a listener that aborts as the first attempt is announced prevents it', async () => {
    const controller = new AbortController();
    const { policy, bulkhead, breaker, holder, work, end, free } = await waiting(
      {},
      { signal: controller.signal },
    );
    policy.on('attempt', () => controller.abort(new Error('gone')));
    holder.end();
    const { error } = (await end) as { error: unknown };
    expect(retryInfo(error)).toMatchObject({
      reason: 'cancelled',
      attempts: 0,
      outcome: 'not-applied',
    });
    await turn();
    expect(work.calls).toBe(0);
    expect(bulkhead.status()).toMatchObject(free);
    expect(breaker.idle).toBe(true);
  });
});
