import { type CircuitBreakerOptions, type Jitter, parseRetryAfter } from '@outlast/core-retry';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { breakerBench, byFailure, failing, pendingCall } from './breaker-helpers.js';

/** How long it stays open, each time that its probe fails. */
async function openTimes(rounds: number, options: CircuitBreakerOptions = {}): Promise<number[]> {
  const b = breakerBench({ failureThreshold: 1, ...options });
  const times: number[] = [];
  for (let i = 0; i < rounds; i++) {
    await b.fail();
    const { openTimeoutMs, retryAfterMs } = b.breaker.status();
    expect(retryAfterMs).toBe(openTimeoutMs);
    expect(b.events.at(-1)?.openTimeoutMs).toBe(openTimeoutMs);
    times.push(openTimeoutMs);
    b.pass(openTimeoutMs);
  }
  return times;
}

describe('the open time', () => {
  it('3.41 grows by half each time it opens again, up to five minutes', async () => {
    expect(await openTimes(6)).toEqual([60_000, 90_000, 135_000, 202_500, 300_000, 300_000]);
  });

  it.each<[CircuitBreakerOptions, readonly number[]]>([
    [{ resetTimeoutMs: 100, openTimeoutIncrementFactor: 2 }, [100, 200, 400, 800, 1600]],
    [{ resetTimeoutMs: 100, openTimeoutIncrementFactor: 1 }, [100, 100, 100, 100, 100]],
    [{ resetTimeoutMs: 100, maxOpenTimeoutMs: 100 }, [100, 100, 100, 100, 100]],
    [
      { resetTimeoutMs: 100, openTimeoutIncrementFactor: 3, maxOpenTimeoutMs: 1000 },
      [100, 300, 900, 1000, 1000],
    ],
    [{ resetTimeoutMs: 400_000 }, [400_000, 400_000, 400_000, 400_000, 400_000]],
  ])('3.41 %j', async (options, times) => {
    expect(await openTimes(5, options)).toEqual(times);
  });

  it('3.41 escalation ends when it closes, and with nothing else', async () => {
    const b = breakerBench({
      failureThreshold: 1,
      resetTimeoutMs: 100,
      openTimeoutIncrementFactor: 2,
    });
    await b.fail();
    b.pass(100);
    await b.fail();
    expect(b.breaker.status().openTimeoutMs).toBe(200);
    b.pass(200);
    // A probe that says nothing does not begin it anew.
    b.breaker.acquire().release();
    await b.fail();
    expect(b.breaker.status().openTimeoutMs).toBe(400);
    b.pass(400);
    await b.ok();
    expect(b.breaker.status()).toMatchObject({ state: 'closed', openTimeoutMs: 100 });
    await b.fail();
    expect(b.breaker.status().openTimeoutMs).toBe(100);
  });

  it('stays finite and at its cap after a thousand rounds', async () => {
    const times = await openTimes(1500, { openTimeoutIncrementFactor: 1000 });
    expect(new Set(times.slice(1))).toEqual(new Set([300_000]));
  });

  it('false is exact, whatever the random source says', async () => {
    let drawn = 0;
    const random = () => ++drawn;
    expect(await openTimes(2, { jitter: false, random })).toEqual([60_000, 90_000]);
    expect(drawn).toBe(0);
  });

  it('3.41 is spread by a tenth by default, so that a fleet does not probe as one', async () => {
    const jitter = undefined as never;
    expect(await openTimes(1, { jitter, random: () => 0 })).toEqual([54_000]);
    expect(await openTimes(1, { jitter, random: () => 0.5 })).toEqual([60_000]);
    expect((await openTimes(1, { jitter, random: () => 1 }))[0]).toBeCloseTo(66_000);
  });

  it('3.41 is spread below its cap too', async () => {
    const options = { jitter: 0.5, maxOpenTimeoutMs: 60_000 };
    expect(await openTimes(2, { ...options, random: () => 1 })).toEqual([60_000, 60_000]);
    expect(await openTimes(2, { ...options, random: () => 0 })).toEqual([30_000, 30_000]);
  });

  it.each<[Jitter, number, readonly number[]]>([
    ['full', 0, [1, 1, 1]],
    ['full', 0.5, [50, 100, 200]],
    ['equal', 0, [50, 100, 200]],
    [true, 0, [50, 100, 200]],
    [1, 0, [1, 1, 1]],
    // Between the first time and twice the time before.
    ['decorrelated', 1, [200, 400, 800]],
    ['decorrelated', 0.5, [150, 200, 250]],
    ['decorrelated', 0, [100, 100, 100]],
  ])('jitter %j with random %d', async (jitter, drawn, times) => {
    const options = { resetTimeoutMs: 100, openTimeoutIncrementFactor: 2, jitter };
    expect(await openTimes(3, { ...options, random: () => drawn })).toEqual(times);
  });

  it('is above 0 and within its bound for any options', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.double({ min: 1, max: 1e6, noNaN: true }),
        fc.double({ min: 0, max: 1e6, noNaN: true }),
        fc.double({ min: 1, max: 1000, noNaN: true }),
        fc.constantFrom<Jitter>(false, true, 0, 0.1, 1, 'full', 'equal', 'decorrelated'),
        fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), { minLength: 1 }),
        fc.constantFrom(undefined, 0, -1, Number.NaN, 1e-9, 500, 1e12, Infinity),
        async (resetTimeoutMs, more, openTimeoutIncrementFactor, jitter, randoms, retryAfterMs) => {
          let drawn = 0;
          const b = breakerBench({
            failureThreshold: 1,
            resetTimeoutMs,
            maxOpenTimeoutMs: resetTimeoutMs + more,
            openTimeoutIncrementFactor,
            jitter,
            random: () => randoms[drawn++ % randoms.length] as number,
            classify: byFailure,
          });
          for (let i = 0; i < 4; i++) {
            b.breaker.acquire().failure(failing({ retryAfterMs } as object));
            const { openTimeoutMs } = b.breaker.status();
            expect(openTimeoutMs).toBeGreaterThanOrEqual(1);
            expect(openTimeoutMs).toBeLessThanOrEqual(resetTimeoutMs + more);
            b.pass(openTimeoutMs * 2);
            expect(b.breaker.state).toBe('half-open');
          }
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe("the server's hint (failsafe#180)", () => {
  const bench = (options: CircuitBreakerOptions = {}) =>
    breakerBench({ failureThreshold: 1, classify: byFailure, resetTimeoutMs: 1000, ...options });

  it.each([
    [5000, 5000],
    [1001, 1001],
    [999, 1000],
    [0, 1000],
    [-1, 1000],
    [Number.NaN, 1000],
    [Infinity, 300_000],
    [1e9, 300_000],
  ])('%d ms make the open time %d', async (retryAfterMs, openTimeoutMs) => {
    const b = bench();
    await b.fail(1, failing({ category: 'throttled', retryAfterMs }));
    expect(b.breaker.status()).toMatchObject({ openTimeoutMs, retryAfterMs: openTimeoutMs });
  });

  it('3.11 as a header says it', async () => {
    const b = bench();
    const retryAfterMs = parseRetryAfter('120', b.clock.wallNow()) as number;
    await b.fail(1, failing({ category: 'throttled', retryAfterMs }));
    expect(b.breaker.status().retryAfterMs).toBe(120_000);
  });

  it('counts in every way to open: a row, a rate, a probe', async () => {
    const rate = bench({ failureThreshold: 9, failureRate: 1, minimumCalls: 2 });
    await rate.fail(1, failing());
    await rate.fail(1, failing({ retryAfterMs: 7000 }));
    expect(rate.breaker.status().retryAfterMs).toBe(7000);
    const slow = bench({ slowCallMs: 0, slowCallRate: 1, minimumCalls: 1, failureThreshold: 9 });
    await slow.fail(1, failing({ retryAfterMs: 8000 }));
    expect(slow.changes).toEqual(['closed > open: 1 of 1 calls were slow']);
    expect(slow.breaker.status().retryAfterMs).toBe(8000);
    const probe = bench();
    await probe.fail(1, failing());
    probe.pass(1000);
    await probe.fail(1, failing({ retryAfterMs: 9000 }));
    expect(probe.breaker.status().retryAfterMs).toBe(9000);
  });

  it('is that of the failure which opens it, not of an earlier or later one', async () => {
    const b = bench({ failureThreshold: 2 });
    const late = pendingCall(b.breaker);
    await b.fail(1, failing({ retryAfterMs: 90_000 }));
    await b.fail(1, failing());
    await late.fail(failing({ retryAfterMs: 90_000 }));
    expect(b.breaker.status().retryAfterMs).toBe(1000);
  });

  it('does not lengthen what comes after it', async () => {
    const b = bench({ openTimeoutIncrementFactor: 2 });
    await b.fail(1, failing({ retryAfterMs: 60_000 }));
    b.pass(60_000);
    await b.fail(1, failing());
    expect(b.breaker.status().retryAfterMs).toBe(2000);
  });
});
