import { describe, expect, it } from 'vitest';
import { breakerBench, pendingCall } from './breaker-helpers.js';
import { rejection } from './helpers.js';

describe('the rate over the latest calls', () => {
  it('3.42 five of ten at 50 % open it, exactly', async () => {
    const b = breakerBench({ failureRate: 0.5, windowCalls: 10 });
    await b.fail(4);
    for (let i = 0; i < 5; i++) await b.ok();
    expect(b.breaker.state).toBe('closed');
    await b.fail();
    expect(b.changes).toEqual(['closed > open: 5 of 10 calls failed']);
  });

  it('3.42 four of ten at 50 % do not', async () => {
    const b = breakerBench({ failureRate: 0.5, windowCalls: 10 });
    for (let round = 0; round < 5; round++) {
      await b.fail(4);
      for (let i = 0; i < 6; i++) await b.ok();
    }
    expect(b.events).toEqual([]);
  });

  // 0.07 · 100 is 7.000000000000001.
  it.each([
    [0.1, 30, 3],
    [0.07, 100, 7],
    [0.55, 100, 55],
    [0.29, 100, 29],
    [1 / 3, 3, 1],
    [0.7, 10, 7],
    [1, 4, 4],
  ])('3.42 %d of %d calls are %d failures, in spite of rounding', async (rate, size, edge) => {
    const b = breakerBench({ failureRate: rate, windowCalls: size, minimumCalls: size });
    for (let i = edge; i < size; i++) await b.ok();
    await b.fail(edge - 1);
    expect(b.breaker.state).toBe('closed');
    // The window is not full yet; the call that fills it decides.
    await b.fail();
    expect(b.changes).toEqual([`closed > open: ${edge} of ${size} calls failed`]);
    const under = breakerBench({ failureRate: rate, windowCalls: size, minimumCalls: size });
    await under.fail(edge - 1);
    for (let i = edge - 1; i < size; i++) await under.ok();
    expect(under.events).toEqual([]);
  });

  it('looks at nothing below minimumCalls, and then at whatever call is the last', async () => {
    const b = breakerBench({ failureRate: 0.5, minimumCalls: 4 });
    await b.fail(3);
    expect(b.breaker.state).toBe('closed');
    await b.ok();
    expect(b.changes).toEqual(['closed > open: 3 of 4 calls failed']);
  });

  it('the default minimum is ten of a hundred', async () => {
    const b = breakerBench({ failureRate: 1 });
    await b.fail(9);
    expect(b.breaker.state).toBe('closed');
    await b.fail();
    expect(b.changes).toEqual(['closed > open: 10 of 10 calls failed']);
  });

  it('what has left the window does not count', async () => {
    const b = breakerBench({ failureRate: 0.5, windowCalls: 4 });
    await b.fail();
    for (let i = 0; i < 3; i++) await b.ok();
    expect(b.breaker.status().failures).toBe(1);
    await b.ok();
    expect(b.breaker.status().failures).toBe(0);
    await b.fail();
    expect(b.breaker.state).toBe('closed');
    await b.fail();
    expect(b.changes).toEqual(['closed > open: 2 of 4 calls failed']);
  });

  it('switches the consecutive rule off, unless that is given too', async () => {
    const rate = breakerBench({ failureRate: 1, windowCalls: 20, minimumCalls: 20 });
    await rate.ok();
    await rate.fail(30);
    expect(rate.changes).toEqual(['closed > open: 20 of 20 calls failed']);
    const both = breakerBench({ failureRate: 1, minimumCalls: 20, failureThreshold: 3 });
    await both.fail(3);
    expect(both.changes).toEqual(['closed > open: 3 consecutive failures']);
  });

  it('a rate and a row that are reached by one call open it once', async () => {
    const b = breakerBench({ failureRate: 1, minimumCalls: 3, failureThreshold: 3 });
    await b.fail(3);
    expect(b.changes).toEqual(['closed > open: 3 of 3 calls failed']);
    expect(b.breaker.snapshot().trips).toBe(1);
  });

  it('begins with an empty window after each change', async () => {
    const b = breakerBench({ failureRate: 0.5, windowCalls: 4, resetTimeoutMs: 100 });
    await b.fail(4);
    b.pass(100);
    await b.ok();
    expect(b.breaker.state).toBe('closed');
    await b.fail(3);
    expect(b.breaker.state).toBe('closed');
    await b.fail();
    expect(b.breaker.state).toBe('open');
  });

  it('3.34 calls under way are not in the denominator: ten hang, nine of nine failed', async () => {
    const b = breakerBench({ failureRate: 0.5, minimumCalls: 9 });
    for (let i = 0; i < 10; i++) pendingCall(b.breaker);
    await b.fail(9);
    expect(b.changes).toEqual(['closed > open: 9 of 9 calls failed']);
  });

  it('3.34 nor are those that were refused or cancelled', async () => {
    const b = breakerBench({ failureRate: 0.5, minimumCalls: 4 });
    const isolation = b.breaker.isolate();
    for (let i = 0; i < 20; i++) await rejection(b.ok());
    isolation.dispose();
    for (let i = 0; i < 20; i++) b.breaker.acquire().release();
    await b.fail(2);
    await b.ok();
    expect(b.breaker.state).toBe('closed');
    await b.ok();
    expect(b.changes.at(-1)).toBe('closed > open: 2 of 4 calls failed');
  });
});

describe('the rate over a time', () => {
  it('3.33 four failures, an hour of silence, one failure: it stays closed', async () => {
    const b = breakerBench({ failureRate: 0.5, windowMs: 5000, minimumCalls: 5 });
    for (let i = 0; i < 4; i++) {
      await b.fail();
      b.pass(200);
    }
    b.pass(3_600_000);
    await b.fail();
    expect(b.breaker.state).toBe('closed');
    expect(b.breaker.status().failures).toBe(1);
    await b.fail(4);
    expect(b.changes).toEqual(['closed > open: 5 of 5 calls failed']);
  });

  it('3.33 expires when it is read, too', async () => {
    const b = breakerBench({ failureRate: 0.5, windowMs: 1000, minimumCalls: 5 });
    await b.fail(3);
    b.pass(999);
    expect(b.breaker.status().failures).toBe(3);
    b.pass(1);
    expect(b.breaker.status().failures).toBe(0);
  });

  it('slides: what is old enough makes room for a verdict on the rest', async () => {
    const b = breakerBench({ failureRate: 0.5, windowMs: 1000, minimumCalls: 4 });
    for (let i = 0; i < 6; i++) await b.ok();
    b.pass(500);
    await b.fail(4);
    expect(b.breaker.state).toBe('closed');
    b.pass(500);
    await b.fail();
    expect(b.changes).toEqual(['closed > open: 5 of 5 calls failed']);
  });

  it('is idle once its failures have aged', async () => {
    const b = breakerBench({ failureRate: 0.5, windowMs: 1000 });
    await b.fail();
    await b.ok();
    expect(b.breaker.idle).toBe(false);
    b.pass(1000);
    expect(b.breaker.idle).toBe(true);
  });
});

describe('slow calls', () => {
  const options = { slowCallMs: 100, slowCallRate: 0.5, windowCalls: 4 };

  it('open it at their share, inclusive, whatever their end', async () => {
    const b = breakerBench(options);
    await b.ok(100);
    await b.ok(99);
    await b.ok(0);
    expect(b.breaker.state).toBe('closed');
    await b.ok(5000);
    expect(b.changes).toEqual(['closed > open: 2 of 4 calls were slow']);
  });

  it('one less does not, nor do failures as such', async () => {
    const b = breakerBench(options);
    for (let i = 0; i < 5; i++) {
      await b.ok(100);
      await b.fail(3);
    }
    expect(b.events).toEqual([]);
    expect(b.breaker.status().failures).toBe(3);
  });

  it('are looked for beside failures in a row', async () => {
    const b = breakerBench({ ...options, windowCalls: 100 });
    await b.fail(5);
    expect(b.changes).toEqual(['closed > open: 5 consecutive failures']);
  });

  it('a failure that was slow counts as both', async () => {
    const b = breakerBench({ ...options, failureRate: 1 });
    const permits = [1, 2, 3, 4].map(() => b.breaker.acquire());
    b.pass(100);
    permits[0]?.failure(new Error('x'));
    permits[1]?.failure(new Error('x'));
    permits[2]?.success();
    permits[3]?.success();
    expect(b.changes).toEqual(['closed > open: 4 of 4 calls were slow']);
    const slowest = breakerBench({ ...options, failureRate: 0.5 });
    const failed = [1, 2, 3, 4].map(() => slowest.breaker.acquire());
    slowest.pass(100);
    for (const permit of failed) permit.failure(new Error('x'));
    expect(slowest.changes).toEqual(['closed > open: 4 of 4 calls failed']);
  });

  it('are timed from admission to the end of the call', async () => {
    const b = breakerBench({ ...options, windowCalls: 1 });
    const call = pendingCall(b.breaker);
    b.pass(99);
    await call.succeed();
    expect(b.events).toEqual([]);
    const late = pendingCall(b.breaker);
    b.pass(100);
    await late.fail();
    expect(b.changes).toEqual(['closed > open: 1 of 1 calls were slow']);
    const watched = breakerBench({ ...options, windowCalls: 1 });
    const signal = new AbortController().signal;
    const slow = pendingCall(watched.breaker, { signal });
    watched.pass(100);
    await slow.succeed();
    expect(watched.changes).toEqual(['closed > open: 1 of 1 calls were slow']);
    const failed = breakerBench({ ...options, windowCalls: 1 });
    const last = pendingCall(failed.breaker, { signal });
    failed.pass(100);
    await last.fail();
    expect(failed.changes).toEqual(['closed > open: 1 of 1 calls were slow']);
  });

  it('say nothing of a call that had no vote', async () => {
    const b = breakerBench({ ...options, windowCalls: 1 });
    const permit = b.breaker.acquire();
    b.pass(1e6);
    permit.release();
    expect(b.events).toEqual([]);
  });

  it('of zero milliseconds, every call is slow', async () => {
    const b = breakerBench({ ...options, slowCallMs: 0, slowCallRate: 1 });
    for (let i = 0; i < 4; i++) await b.ok();
    expect(b.changes).toEqual(['closed > open: 4 of 4 calls were slow']);
  });
});
