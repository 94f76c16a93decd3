import { isCircuitOpenError } from '@outlast/core-retry';
import { describe, expect, it } from 'vitest';
import { breakerBench, byFailure, failing, pendingCall } from './breaker-helpers.js';
import { rejection, settled } from './helpers.js';

type Options = NonNullable<Parameters<typeof breakerBench>[0]>;

/** A breaker that has opened, and whose open time is over. */
async function dueBench(options: Options = {}) {
  const b = breakerBench({ failureThreshold: 1, resetTimeoutMs: 1000, ...options });
  await b.fail();
  b.pass(1000);
  b.events.length = 0;
  return b;
}

describe('half-open', () => {
  it('is what an open breaker reads as once its time is over; a change is told with the first probe', async () => {
    const b = breakerBench({ failureThreshold: 1, resetTimeoutMs: 1000 });
    await b.fail();
    b.pass(999);
    expect(b.breaker.state).toBe('open');
    b.pass(1);
    expect(b.breaker.state).toBe('half-open');
    expect(b.changes).toEqual(['closed > open: 1 consecutive failures']);
    const probe = pendingCall(b.breaker);
    expect(b.changes.at(-1)).toBe('open > half-open: the open time is over');
    await probe.succeed();
    expect(b.changes.at(-1)).toBe('half-open > closed: probes succeeded');
    expect(b.breaker.status()).toMatchObject({ state: 'closed', failures: 0, successes: 0 });
  });

  it.each([1, 3])(
    '3.27 admits exactly %d at a time and rejects the rest at once',
    async (halfOpenMaxCalls) => {
      const b = await dueBench({ halfOpenMaxCalls });
      const probes = Array.from({ length: halfOpenMaxCalls }, () => pendingCall(b.breaker));
      expect(b.breaker.status().halfOpenCalls).toBe(halfOpenMaxCalls);
      let called = 0;
      const rest = await Promise.all(
        Array.from({ length: 100 }, () => settled(b.breaker.execute(() => ++called))),
      );
      for (const end of rest) {
        if (end.ok || !isCircuitOpenError(end.error)) throw new Error('it was admitted');
        // Nobody knows when a probe ends.
        expect(end.error.retryAfterMs).toBeUndefined();
      }
      expect(called).toBe(0);
      await probes[0]?.succeed();
      expect(b.breaker.state).toBe('closed');
    },
  );

  it('3.27 a failed probe opens it, longer, and the others have no say any more', async () => {
    const b = await dueBench({ halfOpenMaxCalls: 3 });
    const probes = [1, 2, 3].map(() => pendingCall(b.breaker));
    await probes[0]?.fail();
    expect(b.breaker.status()).toMatchObject({ state: 'open', retryAfterMs: 1500, failures: 2 });
    await probes[1]?.succeed();
    await probes[2]?.fail();
    expect(b.breaker.status()).toMatchObject({ state: 'open', retryAfterMs: 1500, failures: 2 });
    expect(b.changes).toEqual([
      'open > half-open: the open time is over',
      'half-open > open: a probe failed',
    ]);
  });

  it('a probe that fails opens it whatever the threshold', async () => {
    const b = breakerBench({ failureThreshold: 5 });
    await b.fail(5);
    b.pass(60_000);
    await b.fail();
    expect(b.breaker.status()).toMatchObject({ state: 'open', failures: 6 });
  });

  it('closes after successThreshold probes, not one lucky call (cockatiel#73)', async () => {
    const b = await dueBench({ successThreshold: 3 });
    const seen: unknown[] = [];
    for (let i = 0; i < 3; i++) {
      await b.ok();
      seen.push([b.breaker.state, b.breaker.status().successes]);
    }
    expect(seen).toEqual([
      ['half-open', 1],
      ['half-open', 2],
      ['closed', 0],
    ]);
  });

  it('one failure among them starts all over', async () => {
    const b = await dueBench({ successThreshold: 2 });
    await b.ok();
    await b.fail();
    b.pass(1500);
    await b.ok();
    expect(b.breaker.status()).toMatchObject({ state: 'half-open', successes: 1 });
    await b.ok();
    expect(b.breaker.state).toBe('closed');
  });

  it('probes are counted as they succeed, also side by side', async () => {
    const b = await dueBench({ successThreshold: 2, halfOpenMaxCalls: 2 });
    const [first, second] = [pendingCall(b.breaker), pendingCall(b.breaker)];
    await first.succeed();
    expect(b.breaker.status()).toMatchObject({ successes: 1, halfOpenCalls: 1 });
    await second.succeed();
    expect(b.breaker.state).toBe('closed');
  });

  it('slow probes and rates play no part: the window is looked at when it is closed', async () => {
    const b = breakerBench({ slowCallMs: 10, slowCallRate: 0.1, minimumCalls: 1, jitter: false });
    await b.ok(10);
    b.pass(60_000);
    await b.ok(10_000);
    expect(b.breaker.state).toBe('closed');
  });
});

describe('3.28 a probe that says nothing gives its place back', () => {
  it.each<[string, (b: Awaited<ReturnType<typeof dueBench>>) => Promise<unknown> | undefined]>([
    ['is cancelled', (b) => b.fail(1, Object.assign(new Error('x'), { name: 'AbortError' }))],
    ['is a bug of the caller, thrown at once', (b) => b.fail(1, new TypeError('x is undefined'))],
    ['is released by hand', async (b) => b.breaker.acquire().release()],
    [
      'is aborted by its signal',
      async (b) => {
        const controller = new AbortController();
        const { promise } = pendingCall(b.breaker, { signal: controller.signal });
        await Promise.resolve();
        controller.abort();
        await rejection(promise);
      },
    ],
  ])('when it %s', async (_, probe) => {
    const b = await dueBench();
    await probe(b);
    expect(b.breaker.status()).toMatchObject({
      state: 'half-open',
      halfOpenCalls: 0,
      successes: 0,
      failures: 1,
    });
    expect(b.changes).toEqual(['open > half-open: the open time is over']);
    await b.ok();
    expect(b.breaker.state).toBe('closed');
  });
});

describe('3.29 what the answer to a probe means', () => {
  it.each(['auth', 'invalid', 'not-found', 'conflict'] as const)(
    '%s proves health, and closes it',
    async (category) => {
      const b = await dueBench({ classify: byFailure });
      await b.fail(1, failing({ category, transient: false }));
      expect(b.breaker.state).toBe('closed');
    },
  );

  it.each(['network', 'timeout', 'unavailable', 'throttled', 'contention', 'unknown'] as const)(
    '%s opens it',
    async (category) => {
      const b = await dueBench({ classify: byFailure });
      await b.fail(1, failing({ category }));
      expect(b.breaker.state).toBe('open');
    },
  );

  it('cancelled proves nothing', async () => {
    const b = await dueBench({ classify: byFailure });
    await b.fail(1, failing({ category: 'cancelled' }));
    expect(b.breaker.status()).toMatchObject({ state: 'half-open', halfOpenCalls: 0 });
  });
});

describe('3.28 the lease of a probe', () => {
  it('ends after probeLeaseMs, to the millisecond, and the place goes to another', async () => {
    const b = await dueBench({ probeLeaseMs: 50 });
    pendingCall(b.breaker);
    b.pass(49);
    expect(b.breaker.status().halfOpenCalls).toBe(1);
    expect(isCircuitOpenError(await rejection(b.ok()))).toBe(true);
    b.pass(1);
    expect(b.breaker.status().halfOpenCalls).toBe(0);
    await b.ok();
    expect(b.breaker.state).toBe('closed');
  });

  it.each(['succeed', 'fail'] as const)('past it, a probe has no vote: %s', async (end) => {
    const b = await dueBench({ probeLeaseMs: 50 });
    const late = pendingCall(b.breaker);
    b.pass(50);
    await late[end]();
    expect(b.breaker.status()).toMatchObject({ state: 'half-open', successes: 0, failures: 1 });
    const next = pendingCall(b.breaker);
    await next.succeed();
    expect(b.breaker.state).toBe('closed');
  });

  it.each(['succeed', 'fail'] as const)('before it, it has: %s', async (end) => {
    const b = await dueBench({ probeLeaseMs: 50 });
    const probe = pendingCall(b.breaker);
    b.pass(49);
    await probe[end]();
    expect(b.breaker.state).toBe(end === 'succeed' ? 'closed' : 'open');
  });

  it.each(['succeed', 'fail'] as const)(
    'nor when another probe has its place already: %s',
    async (end) => {
      const b = await dueBench({ probeLeaseMs: 50 });
      const late = pendingCall(b.breaker);
      b.pass(60);
      const next = pendingCall(b.breaker);
      await late[end]();
      expect(b.breaker.status()).toMatchObject({ state: 'half-open', halfOpenCalls: 1 });
      await next.fail();
      expect(b.breaker.state).toBe('open');
    },
  );

  it('each probe has its own: the late one leaves the young one its place', async () => {
    const b = await dueBench({ probeLeaseMs: 50, halfOpenMaxCalls: 2 });
    pendingCall(b.breaker);
    b.pass(30);
    pendingCall(b.breaker);
    b.pass(20);
    expect(b.breaker.status().halfOpenCalls).toBe(1);
    pendingCall(b.breaker);
    expect(isCircuitOpenError(await rejection(b.ok()))).toBe(true);
  });

  it('is a minute by default', async () => {
    const b = await dueBench();
    pendingCall(b.breaker);
    b.pass(59_999);
    expect(b.breaker.status().halfOpenCalls).toBe(1);
    b.pass(1);
    expect(b.breaker.status().halfOpenCalls).toBe(0);
  });
});

describe('3.26 results from an earlier life never vote', () => {
  it('a call of before the break that fails while a probe runs: the probe decides', async () => {
    const b = breakerBench({ failureThreshold: 1, resetTimeoutMs: 1000 });
    const stale = pendingCall(b.breaker);
    await b.fail();
    b.pass(1000);
    const probe = pendingCall(b.breaker);
    await stale.fail();
    expect(b.breaker.status()).toMatchObject({ state: 'half-open', halfOpenCalls: 1, failures: 1 });
    await probe.succeed();
    expect(b.breaker.state).toBe('closed');
  });

  it('a call of before the break that succeeds does not close it (opossum)', async () => {
    const b = breakerBench({ failureThreshold: 1, resetTimeoutMs: 1000 });
    const stale = [pendingCall(b.breaker), pendingCall(b.breaker)];
    await b.fail();
    await stale[0]?.succeed();
    expect(b.breaker.state).toBe('open');
    b.pass(1000);
    pendingCall(b.breaker);
    await stale[1]?.succeed();
    expect(b.breaker.status()).toMatchObject({ state: 'half-open', successes: 0 });
  });

  it('nor does it after the breaker has closed again', async () => {
    const b = breakerBench({ failureThreshold: 2, resetTimeoutMs: 1000 });
    const stale = [1, 2, 3].map(() => pendingCall(b.breaker));
    await b.fail(2);
    b.pass(1000);
    await b.ok();
    expect(b.breaker.state).toBe('closed');
    await stale[0]?.fail();
    await stale[1]?.fail();
    expect(b.breaker.status()).toMatchObject({ state: 'closed', failures: 0 });
    await b.fail();
    await stale[2]?.succeed();
    expect(b.breaker.status().failures).toBe(1);
  });

  it('nor do probes of an earlier round', async () => {
    const b = await dueBench({ halfOpenMaxCalls: 3, successThreshold: 2 });
    const [first, second, third] = [1, 2, 3].map(() => pendingCall(b.breaker));
    await first?.fail();
    b.pass(1500);
    const now = pendingCall(b.breaker);
    await second?.succeed();
    await third?.fail();
    expect(b.breaker.status()).toMatchObject({
      state: 'half-open',
      successes: 0,
      halfOpenCalls: 1,
    });
    await now.succeed();
    expect(b.breaker.status()).toMatchObject({ state: 'half-open', successes: 1 });
  });

  it.each(['succeed', 'fail'] as const)('nor do probes after a reset: %s', async (end) => {
    const b = await dueBench();
    const probe = pendingCall(b.breaker);
    b.breaker.reset();
    await probe[end]();
    expect(b.breaker.status()).toMatchObject({ state: 'closed', failures: 0, successes: 0 });
  });

  it('nor do calls of before a reset, also in a window', async () => {
    const b = breakerBench({ failureRate: 0.5, windowCalls: 2 });
    const stale = [1, 2, 3].map(() => pendingCall(b.breaker));
    b.breaker.reset();
    for (const call of stale) await call.fail();
    expect(b.breaker.status()).toMatchObject({ state: 'closed', failures: 0 });
    await b.fail(2);
    expect(b.changes).toEqual(['closed > open: 2 of 2 calls failed']);
  });
});

it('under load it closes and stays closed (opossum#484)', async () => {
  const b = await dueBench();
  const probe = pendingCall(b.breaker);
  const refused = await Promise.all(Array.from({ length: 50 }, () => settled(b.ok())));
  expect(refused.every((end) => !end.ok)).toBe(true);
  await probe.succeed();
  const admitted = await Promise.all(Array.from({ length: 50 }, () => settled(b.ok())));
  expect(admitted.every((end) => end.ok)).toBe(true);
  expect(b.changes).toEqual([
    'open > half-open: the open time is over',
    'half-open > closed: probes succeeded',
  ]);
});

describe('who knows more than the clock', () => {
  it('probeNow makes an open breaker probe at once, and changes no other', async () => {
    const b = breakerBench({ failureThreshold: 1 });
    b.breaker.probeNow();
    expect(b.breaker.state).toBe('closed');
    await b.fail();
    b.pass(10);
    b.breaker.probeNow();
    expect(b.breaker.status()).toMatchObject({ state: 'half-open', retryAfterMs: 0 });
    pendingCall(b.breaker);
    b.breaker.probeNow();
    expect(b.breaker.status().halfOpenCalls).toBe(1);
  });

  it('postpone puts the probe off, from now', async () => {
    const b = await dueBench();
    b.breaker.postpone(300);
    expect(b.breaker.status()).toMatchObject({ state: 'open', retryAfterMs: 300 });
    b.pass(300);
    expect(b.breaker.state).toBe('half-open');
    const probe = pendingCall(b.breaker);
    b.breaker.postpone(300);
    await probe.succeed();
    b.breaker.postpone(300);
    expect(b.breaker.state).toBe('closed');
  });
});
