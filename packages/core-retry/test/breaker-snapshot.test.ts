import {
  type BreakerSnapshot,
  CircuitBreaker,
  type CircuitBreakerOptions,
} from '@outlast/core-retry';
import { describe, expect, it } from 'vitest';
import { breakerBench, pendingCall, SteppedClock } from './breaker-helpers.js';
import { rejection } from './helpers.js';

const NOON = Date.UTC(2026, 0, 1, 12);

const open: BreakerSnapshot = {
  version: 1,
  state: 'open',
  failures: 5,
  trips: 3,
  openTimeoutMs: 1000,
  openUntil: NOON + 600,
  lastFailureAt: NOON - 400,
  savedAt: NOON,
};

/** A breaker of another process, whose clocks have nothing in common with the first one's. */
function restored(snapshot: unknown, wallMs = NOON, options: CircuitBreakerOptions = {}) {
  const clock = new SteppedClock(77, wallMs);
  const given = { ...options, clock, jitter: false, snapshot: snapshot as BreakerSnapshot };
  const breaker = new CircuitBreaker(given);
  return { clock, breaker };
}

/** Through the text that a store keeps. */
const kept = (breaker: CircuitBreaker): BreakerSnapshot =>
  JSON.parse(JSON.stringify(breaker.snapshot()));

describe('a snapshot', () => {
  it('is plain data, of an open breaker', async () => {
    const b = breakerBench({ failureThreshold: 2, resetTimeoutMs: 1000 });
    await b.fail(2);
    const lastFailureAt = b.clock.wallNow();
    b.pass(300);
    expect(b.breaker.snapshot()).toStrictEqual({
      version: 1,
      state: 'open',
      failures: 2,
      trips: 1,
      openTimeoutMs: 1000,
      openUntil: lastFailureAt + 1000,
      lastFailureAt,
      savedAt: lastFailureAt + 300,
    });
    expect(kept(b.breaker)).toStrictEqual(b.breaker.snapshot());
  });

  it('of a closed one holds no time to wait for', async () => {
    const b = breakerBench();
    const savedAt = b.clock.wallNow();
    const closed = { version: 1, state: 'closed', trips: 0, openTimeoutMs: 60_000, savedAt };
    expect(b.breaker.snapshot()).toStrictEqual({ ...closed, failures: 0 });
    await b.fail();
    expect(b.breaker.snapshot()).toStrictEqual({ ...closed, failures: 1, lastFailureAt: savedAt });
  });

  it('3.36 of a half-open one is open and elapsed', async () => {
    const b = breakerBench({ failureThreshold: 1, resetTimeoutMs: 1000 });
    await b.fail();
    b.pass(1500);
    const elapsed = { state: 'open', openUntil: b.clock.wallNow(), trips: 1 };
    expect(b.breaker.snapshot()).toMatchObject(elapsed);
    pendingCall(b.breaker);
    expect(b.breaker.snapshot()).toMatchObject(elapsed);
    b.pass(500);
    expect(b.breaker.snapshot().openUntil).toBe(b.clock.wallNow());
  });

  it('3.36 holds no isolation: no handle of it would survive', () => {
    const { breaker } = breakerBench();
    breaker.isolate();
    expect(kept(breaker).state).toBe('closed');
    expect(restored(kept(breaker)).breaker.state).toBe('closed');
  });
});

describe('a breaker made from a snapshot', () => {
  it('goes on where it was: state, remainder, escalation, failures', async () => {
    const { clock, breaker } = restored(open);
    expect(breaker.status()).toEqual({
      state: 'open',
      failures: 5,
      successes: 0,
      lastFailureAt: NOON - 400,
      openUntil: NOON + 600,
      openTimeoutMs: 1000,
      halfOpenCalls: 0,
      retryAfterMs: 600,
    });
    clock.sleepSync(599);
    expect(breaker.state).toBe('open');
    clock.sleepSync(1);
    expect(breaker.state).toBe('half-open');
    breaker.acquire().failure(new Error('x'));
    // The fourth time.
    expect(breaker.status()).toMatchObject({ failures: 6, openTimeoutMs: 60_000 * 1.5 ** 3 });
  });

  it('makes the same snapshot again, at once', () => {
    const closed = { ...open, state: 'closed', trips: 0, failures: 3, openTimeoutMs: 60_000 };
    const { openUntil: _, ...plain } = closed;
    for (const snapshot of [open, plain]) {
      expect(restored(snapshot).breaker.snapshot()).toStrictEqual(snapshot);
    }
  });

  it('that was half-open probes at once', async () => {
    const b = breakerBench({ failureThreshold: 1, resetTimeoutMs: 1000 });
    await b.fail();
    b.pass(1000);
    pendingCall(b.breaker);
    const { breaker } = restored(kept(b.breaker), b.clock.wallNow());
    expect(breaker.state).toBe('half-open');
    breaker.acquire().success();
    expect(breaker.state).toBe('closed');
  });

  it('that was closed counts on', async () => {
    const { breaker } = restored({ ...open, state: 'closed', failures: 3 });
    expect(breaker.status()).toMatchObject({ state: 'closed', failures: 3, openTimeoutMs: 60_000 });
    breaker.acquire().failure(new Error('x'));
    expect(breaker.state).toBe('closed');
    breaker.acquire().failure(new Error('x'));
    expect(breaker.status()).toMatchObject({ state: 'open', openTimeoutMs: 60_000 });
  });

  it('that was closed is not opened by it, whatever it claims', () => {
    const { breaker } = restored({ ...open, state: 'closed', failures: 1e6 });
    expect(breaker.status()).toMatchObject({ state: 'closed', failures: 4 });
    breaker.acquire().success();
    expect(breaker.status().failures).toBe(0);
  });

  it('with a window begins with an empty one', () => {
    const { breaker } = restored({ ...open, state: 'closed', failures: 50 }, NOON, {
      failureRate: 0.5,
      minimumCalls: 2,
    });
    breaker.acquire().failure(new Error('x'));
    expect(breaker.state).toBe('closed');
  });

  it('that knows no failure has none', () => {
    const { lastFailureAt: _, ...never } = open;
    expect(restored(never).breaker.status()).not.toHaveProperty('lastFailureAt');
  });

  it('has no timer and has told nobody', () => {
    const { clock, breaker } = restored(open);
    expect(breaker.state).toBe('open');
    expect(clock.pending).toBe(0);
  });
});

describe('3.35 a clock that jumped between the two', () => {
  it.each([
    ['as it was', 0, 600],
    ['a little ahead', 100, 500],
    ['to the very end', 600, 0],
    ['an hour ahead: half-open now', 3_600_000, 0],
    ['a little back', -100, 700],
    ['back by all of it', -400, 1000],
    ['an hour back: no longer than the open time', -3_600_000, 1000],
  ])('%s', (_, jump, left) => {
    const { breaker } = restored(open, NOON + jump);
    expect(breaker.status().retryAfterMs).toBe(left);
    expect(breaker.state).toBe(left === 0 ? 'half-open' : 'open');
  });

  it('back: no failure lies in the future', () => {
    const { breaker } = restored(open, NOON - 3_600_000);
    expect(breaker.status().lastFailureAt).toBe(NOON - 3_600_000);
  });

  it('within one process, snapshot and status go by the clock of the day that there is', async () => {
    const b = breakerBench({ failureThreshold: 1, resetTimeoutMs: 1000 });
    await b.fail();
    b.clock.stepMs = -3_600_000;
    const { openUntil, savedAt } = b.breaker.snapshot();
    expect((openUntil as number) - savedAt).toBe(1000);
    expect(restored(kept(b.breaker), b.clock.wallNow()).breaker.status().retryAfterMs).toBe(1000);
  });
});

describe('what a snapshot claims is clamped to the options of the breaker', () => {
  it.each<[object, CircuitBreakerOptions, object]>([
    [
      { openTimeoutMs: 1e9, openUntil: 1e15 },
      {},
      { openTimeoutMs: 300_000, retryAfterMs: 300_000 },
    ],
    [{}, { resetTimeoutMs: 10, maxOpenTimeoutMs: 50 }, { openTimeoutMs: 50, retryAfterMs: 50 }],
    [{ openTimeoutMs: 0 }, {}, { openTimeoutMs: 1, retryAfterMs: 1 }],
    [{ openUntil: 0 }, {}, { openTimeoutMs: 1000, retryAfterMs: 0 }],
  ])('%j with %j', (change, options, status) => {
    expect(restored({ ...open, ...change }, NOON, options).breaker.status()).toMatchObject(status);
  });

  it('an open one has opened at least once', () => {
    const { clock, breaker } = restored({ ...open, trips: 0 });
    clock.sleepSync(600);
    breaker.acquire().failure(new Error('x'));
    expect(breaker.status().openTimeoutMs).toBe(90_000);
  });

  it('trips without end do not overflow', () => {
    const { clock, breaker } = restored({ ...open, trips: Number.MAX_SAFE_INTEGER });
    clock.sleepSync(600);
    breaker.acquire().failure(new Error('x'));
    expect(breaker.status().openTimeoutMs).toBe(300_000);
  });
});

describe('adopt: what a store holds', () => {
  it.each<[string, Partial<BreakerSnapshot>, readonly string[], string]>([
    ['an open one', {}, ['closed > open: as the store had it'], 'open'],
    [
      'one whose time is over',
      { openUntil: 0 },
      ['closed > open: as the store had it'],
      'half-open',
    ],
    ['a closed one', { state: 'closed' }, [], 'closed'],
  ])('%s is taken over by a closed one', (_, change, changes, state) => {
    const b = breakerBench();
    b.breaker.adopt({ ...open, ...change }, 'as the store had it');
    expect(b.breaker.state).toBe(state);
    expect(b.changes).toEqual(changes);
  });

  it('what was under way has no vote in it', async () => {
    const b = breakerBench({ failureThreshold: 1, resetTimeoutMs: 1000 });
    const stale = pendingCall(b.breaker);
    b.breaker.adopt({ ...open, state: 'closed', failures: 0 }, 'x');
    await stale.fail();
    expect(b.breaker.state).toBe('closed');
    await b.fail();
    b.pass(1000);
    const probe = pendingCall(b.breaker);
    b.breaker.adopt({ ...open, openUntil: b.clock.wallNow() + 500 }, 'x');
    expect(b.breaker.status()).toMatchObject({ state: 'open', retryAfterMs: 500 });
    await probe.succeed();
    expect(b.breaker.state).toBe('open');
    expect(b.changes.at(-1)).toBe('half-open > open: x');
  });

  it('below an isolation it is not told', async () => {
    const b = breakerBench();
    const isolation = b.breaker.isolate();
    b.breaker.adopt(open, 'x');
    expect(b.changes).toEqual(['closed > isolated: isolated by hand']);
    isolation.dispose();
    expect(b.changes.at(-1)).toBe('isolated > open: no longer isolated');
  });

  it('each change is given to the store, and nothing else is', async () => {
    const b = breakerBench({ failureThreshold: 2, resetTimeoutMs: 1000 });
    const saved: string[] = [];
    let failing = 0;
    b.breaker.connect(
      {
        before: () => undefined,
        failing: () => {
          failing += 1;
        },
        changed: (snapshot) => saved.push(`${snapshot.state} ${snapshot.trips}`),
      },
      [],
    );
    await b.ok();
    await b.fail();
    expect([failing, saved]).toEqual([1, []]);
    await b.fail();
    expect([failing, saved]).toEqual([1, ['open 1']]);
    await rejection(b.ok());
    b.pass(1000);
    await b.fail();
    b.pass(1500);
    await b.ok();
    b.breaker.isolate().dispose();
    b.breaker.adopt(open, 'x');
    b.breaker.reset();
    expect([failing, saved]).toEqual([1, ['open 1', 'open 2', 'closed 0', 'closed 0']]);
  });
});
