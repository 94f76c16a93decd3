import { CircuitBreaker, isCircuitOpenError } from '@outlast/core-retry';
import { describe, expect, it } from 'vitest';
import { breakerBench, byFailure, failing, pendingCall } from './breaker-helpers.js';
import { rejection } from './helpers.js';

describe('the consecutive rule', () => {
  it.each([1, 2, 5])('opens with failure number %d, inclusive', async (failureThreshold) => {
    const b = breakerBench({ failureThreshold });
    await b.fail(failureThreshold - 1);
    expect(b.breaker.state).toBe('closed');
    expect(b.breaker.status().failures).toBe(failureThreshold - 1);
    await b.fail();
    expect(b.breaker.state).toBe('open');
    expect(b.changes).toEqual([`closed > open: ${failureThreshold} consecutive failures`]);
  });

  it('the default is five', async () => {
    const b = breakerBench();
    await b.fail(4);
    expect(b.breaker.state).toBe('closed');
    await b.fail();
    expect(b.breaker.state).toBe('open');
  });

  it('a success between starts the row anew (Polly#131)', async () => {
    const b = breakerBench({ failureThreshold: 3 });
    await b.fail(2);
    await b.ok();
    expect(b.breaker.status().failures).toBe(0);
    await b.fail(2);
    expect(b.breaker.state).toBe('closed');
    await b.fail();
    expect(b.breaker.state).toBe('open');
  });

  it('time does not end a row', async () => {
    const b = breakerBench({ failureThreshold: 2 });
    await b.fail();
    b.pass(1e9);
    await b.fail();
    expect(b.breaker.state).toBe('open');
  });

  it('no rate is looked at without one, however many calls there are', async () => {
    const b = breakerBench({ failureThreshold: 3 });
    for (let i = 0; i < 50; i++) {
      await b.fail(2);
      await b.ok();
    }
    expect(b.events).toEqual([]);
  });
});

describe('an open breaker', () => {
  it('refuses, calls nothing, and says when to ask again: the true remainder', async () => {
    const b = breakerBench({ failureThreshold: 1, resetTimeoutMs: 1000, name: 'db' });
    await b.fail();
    let called = 0;
    const remainders: unknown[] = [];
    for (const ms of [0, 1, 998, 0.5]) {
      b.pass(ms);
      const error = await rejection(b.breaker.execute(() => ++called));
      if (!isCircuitOpenError(error)) throw error;
      expect(error.breaker).toBe('db');
      expect(error.code).toBe('OUTLAST_CIRCUIT_OPEN');
      expect(error.message).toBe(
        "The circuit breaker 'db' is open, so the operation was not called. Ask again when retryAfterMs is over.",
      );
      remainders.push(error.retryAfterMs);
      expect(b.breaker.status().retryAfterMs).toBe(error.retryAfterMs);
      expect(b.breaker.state).toBe('open');
    }
    expect(remainders).toEqual([1000, 999, 1, 0.5]);
    expect(called).toBe(0);
    b.pass(0.5);
    expect(b.breaker.state).toBe('half-open');
    expect(b.breaker.status().retryAfterMs).toBe(0);
  });

  it('the remainder is that of the jittered time', async () => {
    const b = breakerBench({ failureThreshold: 1, jitter: 0.5, random: () => 0.25 });
    await b.fail();
    const error = await rejection(b.ok());
    expect(isCircuitOpenError(error) && error.retryAfterMs).toBe(45_000);
  });

  it('3.39 its refusals have no stack, and each is an error of its own', async () => {
    const limit = Error.stackTraceLimit;
    const b = breakerBench({ failureThreshold: 1 });
    await b.fail();
    const [first, second] = [await rejection(b.ok()), await rejection(b.ok())] as Error[];
    expect(first).not.toBe(second);
    expect(first?.stack).not.toContain('\n');
    expect(first?.stack).toContain('is open');
    expect(Error.stackTraceLimit).toBe(limit);
    expect(new Error('after').stack).toContain('circuit-breaker.test');
  });

  it('3.40 failures that arrive while it is open neither extend it nor open it again', async () => {
    const b = breakerBench({ failureThreshold: 2, resetTimeoutMs: 1000 });
    const late = [1, 2, 3, 4].map(() => pendingCall(b.breaker));
    await b.fail(2);
    b.pass(400);
    for (const call of late) await call.fail();
    expect(b.changes).toEqual(['closed > open: 2 consecutive failures']);
    expect(b.breaker.status()).toMatchObject({ retryAfterMs: 600, failures: 2 });
    expect(b.breaker.snapshot().trips).toBe(1);
    b.pass(600);
    expect(b.breaker.state).toBe('half-open');
  });

  it('3.40 nor do successes close it (opossum#381)', async () => {
    const b = breakerBench({ failureThreshold: 1 });
    const late = pendingCall(b.breaker);
    await b.fail();
    await late.succeed();
    expect(b.breaker.status()).toMatchObject({ state: 'open', failures: 1 });
    await rejection(b.ok());
  });

  it('3.35 setting the time of day, either way, changes neither its time nor its window', async () => {
    for (const stepMs of [-3_600_000, 3_600_000]) {
      const b = breakerBench({ failureRate: 0.5, windowMs: 5000, minimumCalls: 3 });
      await b.fail(2);
      b.clock.stepMs = stepMs;
      expect(b.breaker.status().failures).toBe(2);
      await b.fail();
      expect(b.breaker.state).toBe('open');
      b.clock.stepMs = -stepMs;
      b.pass(59_999);
      expect(b.breaker.state).toBe('open');
      expect(b.breaker.status().openUntil).toBe(b.clock.wallNow() + 1);
      b.pass(1);
      expect(b.breaker.state).toBe('half-open');
      b.clock.stepMs = 10 * stepMs;
      const probe = pendingCall(b.breaker);
      b.clock.stepMs = 0;
      b.pass(59_999);
      expect(b.breaker.status().halfOpenCalls).toBe(1);
      await probe.succeed();
      expect(b.breaker.state).toBe('closed');
    }
  });

  it('3.37 there is no timer, in any state', async () => {
    const b = breakerBench({ failureThreshold: 1, resetTimeoutMs: 10, probeLeaseMs: 10 });
    const pending: number[] = [];
    const look = () => pending.push(b.clock.pending);
    await b.ok();
    look();
    await b.fail();
    look();
    await rejection(b.ok());
    b.pass(10);
    look();
    pendingCall(b.breaker, { signal: new AbortController().signal });
    look();
    b.breaker.isolate();
    look();
    b.breaker.reset();
    look();
    expect(pending).toEqual([0, 0, 0, 0, 0, 0]);
  });

  it('what it tells is frozen and complete', async () => {
    const b = breakerBench({ failureThreshold: 1, resetTimeoutMs: 100, name: 'db' });
    b.pass(7);
    const at = b.clock.wallNow();
    await b.fail();
    b.pass(100);
    await b.ok();
    const base = { type: 'breaker', operation: 'db' };
    expect(b.events).toEqual([
      {
        ...base,
        at,
        from: 'closed',
        to: 'open',
        reason: '1 consecutive failures',
        openTimeoutMs: 100,
      },
      { ...base, at: at + 100, from: 'open', to: 'half-open', reason: 'the open time is over' },
      { ...base, at: at + 100, from: 'half-open', to: 'closed', reason: 'probes succeeded' },
    ]);
    expect(b.events.every((event) => Object.isFrozen(event))).toBe(true);
  });
});

describe('status', () => {
  it('is plain data in every state', async () => {
    const b = breakerBench({
      failureThreshold: 2,
      resetTimeoutMs: 100,
      halfOpenMaxCalls: 2,
      successThreshold: 2,
    });
    const now = () => b.clock.wallNow();
    const fresh = { failures: 0, successes: 0, openTimeoutMs: 100, halfOpenCalls: 0 };
    expect(b.breaker.status()).toStrictEqual({ ...fresh, state: 'closed' });
    await b.fail();
    const lastFailureAt = now();
    expect(b.breaker.status()).toStrictEqual({
      ...fresh,
      state: 'closed',
      failures: 1,
      lastFailureAt,
    });
    await b.fail();
    b.pass(30);
    expect(b.breaker.status()).toStrictEqual({
      ...fresh,
      state: 'open',
      failures: 2,
      lastFailureAt,
      openUntil: now() + 70,
      retryAfterMs: 70,
    });
    b.pass(70);
    expect(b.breaker.status()).toStrictEqual({
      ...fresh,
      state: 'half-open',
      failures: 2,
      lastFailureAt,
      openUntil: now(),
      retryAfterMs: 0,
    });
    await b.ok();
    pendingCall(b.breaker);
    expect(b.breaker.status()).toStrictEqual({
      ...fresh,
      state: 'half-open',
      failures: 2,
      successes: 1,
      lastFailureAt,
      halfOpenCalls: 1,
    });
    await b.ok();
    expect(b.breaker.status()).toStrictEqual({ ...fresh, state: 'closed', lastFailureAt });
    expect(JSON.parse(JSON.stringify(b.breaker.status()))).toEqual(b.breaker.status());
  });

  it('lastFailureAt is a time of day, of failures only', async () => {
    const b = breakerBench({ classify: byFailure });
    await b.ok();
    expect(b.breaker.status().lastFailureAt).toBeUndefined();
    b.pass(5);
    await b.fail(1, failing());
    b.pass(5);
    await b.fail(1, failing());
    const at = b.clock.wallNow();
    b.pass(5);
    await b.fail(1, failing({ category: 'cancelled' }));
    await b.ok();
    expect(b.breaker.status().lastFailureAt).toBe(at);
  });
});

describe('secrets', () => {
  it('in a name reach neither errors nor events', async () => {
    const b = breakerBench({ failureThreshold: 1, name: 'postgres://app:hunter2@db:5432/shop' });
    await b.fail();
    const error = (await rejection(b.ok())) as Error & { breaker: string };
    const texts = [error.message, error.stack, error.breaker, b.breaker.name];
    texts.push(JSON.stringify(b.events), JSON.stringify(b.breaker.status()));
    texts.push(JSON.stringify(b.breaker.snapshot()));
    expect(texts.join('\n')).not.toContain('hunter2');
    expect(error.breaker).toBe('postgres://app:***@db:5432/shop');
  });

  it('in the message of a failure reach no event', async () => {
    const b = breakerBench({ failureThreshold: 1 });
    await b.fail(1, new Error('password=hunter2'));
    expect(JSON.stringify([b.events, b.breaker.status(), b.breaker.snapshot()])).not.toContain(
      'hunter2',
    );
  });
});

it('3.32 nothing is held over the call: a hundred run at once', async () => {
  const breaker = new CircuitBreaker();
  const calls = Array.from({ length: 100 }, () => pendingCall(breaker));
  expect(breaker.idle).toBe(false);
  for (const call of calls.reverse()) await call.succeed();
  expect(breaker.idle).toBe(true);
});
