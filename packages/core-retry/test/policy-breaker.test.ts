import {
  BulkheadFullError,
  CircuitBreaker,
  type CircuitBreakerOptions,
  type ExhaustedEvent,
  type Failure,
  isCircuitOpenError,
  type PolicyEvent,
  type RetryOptions,
  RetryPolicy,
  retryInfo,
} from '@outlast/core-retry';
import { failTimes } from '@outlast/core-retry/testing';
import { describe, expect, it, vi } from 'vitest';
import { guarded, reset } from './guarded.js';
import { coded, hanging, RESET, rejection, settled } from './helpers.js';

const PERMANENT = Object.assign(new Error('refused'), { code: 'EACCES' });

describe('votes', () => {
  it('3.31 an operation that exhausted its retries is one vote', async () => {
    const { breaker, run } = guarded({ failureThreshold: 2 });
    await run(reset());
    expect(breaker.status()).toMatchObject({ state: 'closed', failures: 1 });
    await run(reset());
    expect(breaker.state).toBe('open');
  });

  it('3.31 a restart that retries ride out never opens it', async () => {
    const { breaker, run } = guarded({ failureThreshold: 1 });
    for (let i = 0; i < 20; i++) {
      expect(await run(reset(2))).toEqual({ ok: true, value: 'value' });
      expect(breaker.status()).toMatchObject({ state: 'closed', failures: 0 });
    }
  });

  it('3.31 votePer attempt: each attempt is a vote, and an open breaker ends the operation', async () => {
    const { clock, breaker, run } = guarded({ failureThreshold: 3, votePer: 'attempt' });
    const errors = reset(5);
    const end = await run(errors, { maxAttempts: 5 });
    expect(end).toEqual({ ok: false, error: errors[2] });
    expect(breaker.state).toBe('open');
    // The third failure opened it for a minute: nobody sleeps 4 s in order to be refused.
    expect(clock.now()).toBe(3000);
    expect(retryInfo(errors[2])).toMatchObject({
      reason: 'circuit-open',
      attempts: 3,
      delaysMs: [1000, 2000],
      outcome: 'unknown',
      retryAfterMs: 60_000,
    });
  });

  it('3.31 votePer attempt: a success among the attempts clears the count', async () => {
    const { breaker, run } = guarded({ failureThreshold: 3, votePer: 'attempt' });
    for (let i = 0; i < 5; i++) expect(await run(reset(2))).toMatchObject({ ok: true });
    expect(breaker.status()).toMatchObject({ state: 'closed', failures: 0 });
  });

  it('3.31 votePer attempt: a delay longer than the open time makes the retry a probe', async () => {
    const { clock, breaker, run } = guarded({
      failureThreshold: 1,
      votePer: 'attempt',
      resetTimeoutMs: 500,
    });
    const seen: string[] = [];
    breaker.on('breaker', (event) => seen.push(`${event.from} ${event.to}`));
    expect(await run(reset(1))).toEqual({ ok: true, value: 'value' });
    expect(seen).toEqual(['closed open', 'open half-open', 'half-open closed']);
    expect(clock.now()).toBe(1000);
  });

  it('3.31 votePer attempt: so does one that is just as long', async () => {
    const { breaker, run } = guarded({
      failureThreshold: 1,
      votePer: 'attempt',
      resetTimeoutMs: 1000,
    });
    expect(await run(reset(1))).toEqual({ ok: true, value: 'value' });
    expect(breaker.state).toBe('closed');
  });

  it('3.31 votePer attempt: a value that was disposed of is not what a refused retry returns', async () => {
    for (const holds of [false, true]) {
      const { clock, breaker, policy } = guarded({
        failureThreshold: 1,
        votePer: 'attempt',
        resetTimeoutMs: 500,
      });
      const value = holds ? { [Symbol.dispose]: vi.fn() } : {};
      const end = settled(policy.execute(() => value, { retryResult: () => true }));
      await clock.advance(500);
      breaker.acquire();
      await clock.advance(500);
      const refused = { ok: false, error: { code: 'OUTLAST_CIRCUIT_OPEN' } };
      expect(await end).toMatchObject(holds ? refused : { ok: true, value });
    }
  });

  it('3.31 votePer attempt: another probe that is under way refuses the retry', async () => {
    const { clock, breaker, policy } = guarded({
      failureThreshold: 1,
      votePer: 'attempt',
      resetTimeoutMs: 500,
    });
    const error = coded(RESET);
    const end = settled(policy.execute(failTimes([error], 'value')));
    await clock.advance(500);
    const probe = breaker.acquire();
    await clock.advance(500);
    expect(await end).toEqual({ ok: false, error });
    expect(retryInfo(error)).toMatchObject({ reason: 'circuit-open', attempts: 1 });
    probe.success();
    expect(breaker.state).toBe('closed');
  });

  it('a probe is one attempt, and its failure opens it again for longer', async () => {
    const { clock, breaker, run, policy } = guarded({ failureThreshold: 1 });
    await run(reset());
    await clock.advance(60_000);
    const work = failTimes(reset(3), 'value');
    const error = await rejection(policy.execute(work));
    expect(work.calls).toBe(1);
    expect(retryInfo(error)).toMatchObject({ reason: 'exhausted', attempts: 1 });
    expect(breaker.status()).toMatchObject({ state: 'open', openTimeoutMs: 90_000 });
  });

  it('a probe that succeeds closes it, and the next operation has all its attempts', async () => {
    const { clock, breaker, run } = guarded({ failureThreshold: 1 });
    await run(reset());
    await clock.advance(60_000);
    expect(await run(0)).toEqual({ ok: true, value: 'value' });
    expect(breaker.state).toBe('closed');
    expect(await run(reset(2))).toEqual({ ok: true, value: 'value' });
  });

  it.each<[Failure['category'], 'success' | 'failure']>([
    ['auth', 'success'],
    ['invalid', 'success'],
    ['not-found', 'success'],
    ['conflict', 'success'],
    ['network', 'failure'],
    ['timeout', 'failure'],
    ['unavailable', 'failure'],
    ['throttled', 'failure'],
    ['contention', 'failure'],
    ['resource-exhausted', 'failure'],
    ['unknown', 'failure'],
  ])('3.29 an answer of category %s is a %s', async (category, vote) => {
    const classify = () => ({ category, transient: false, outcome: 'not-applied' }) as const;
    const { clock, breaker, run } = guarded({ failureThreshold: 1 }, { classify });
    breaker.acquire().failure(coded(RESET));
    await clock.advance(60_000);
    expect(await run([new Error('answer')])).toMatchObject({ ok: false });
    expect(breaker.state).toBe(vote === 'success' ? 'closed' : 'open');
  });

  it("3.29 a programmer's error in the caller's own function says nothing of the service", async () => {
    const { clock, breaker, run } = guarded({ failureThreshold: 1 });
    breaker.acquire().failure(coded(RESET));
    await clock.advance(60_000);
    await run([new RangeError('bug')]);
    expect(breaker.status()).toMatchObject({ state: 'half-open', halfOpenCalls: 0 });
  });

  it('what resolve found applied is a success', async () => {
    const { breaker, policy, run } = guarded({ failureThreshold: 2 });
    await run([PERMANENT]);
    await run(reset());
    const value = await policy.execute(failTimes(reset(), 'value'), {
      idempotent: false,
      resolve: () => ({ outcome: 'applied', value: 'found' }),
    });
    expect(value).toBe('found');
    expect(breaker.status()).toMatchObject({ state: 'closed', failures: 0 });
  });

  it('an operation whose outcome stays unknown is a failure', async () => {
    const { breaker, run } = guarded({ failureThreshold: 1 });
    await run(reset(), { idempotent: false });
    expect(breaker.state).toBe('open');
  });
});

describe('no vote', () => {
  const closedAndClean = { state: 'closed', failures: 0, halfOpenCalls: 0 };

  it('3.30 a call that was aborted before, during an attempt, or asleep', async () => {
    const { clock, breaker, policy } = guarded({ failureThreshold: 1 });
    await rejection(policy.execute(failTimes(0, 'v'), { signal: AbortSignal.abort() }));
    const controller = new AbortController();
    const running = rejection(policy.execute(hanging().work, { signal: controller.signal }));
    const asleep = rejection(policy.execute(failTimes(1, 'v'), { signal: controller.signal }));
    await clock.advance(10);
    controller.abort();
    await Promise.all([running, asleep]);
    expect(breaker.status()).toMatchObject(closedAndClean);
    expect(breaker.idle).toBe(true);
  });

  it('3.28 3.30 an aborted probe gives its place back', async () => {
    const { clock, breaker, policy, run } = guarded({ failureThreshold: 1 });
    await run(reset());
    await clock.advance(60_000);
    const controller = new AbortController();
    const probe = rejection(policy.execute(hanging().work, { signal: controller.signal }));
    expect(breaker.status()).toMatchObject({ state: 'half-open', halfOpenCalls: 1 });
    expect(isCircuitOpenError(await rejection(policy.execute(failTimes(0, 'v'))))).toBe(true);
    controller.abort();
    await probe;
    expect(breaker.status()).toMatchObject({ state: 'half-open', halfOpenCalls: 0 });
    expect(await run(0)).toEqual({ ok: true, value: 'value' });
    expect(breaker.state).toBe('closed');
  });

  it('3.30 a work that says by itself that it was cancelled', async () => {
    const { breaker, run } = guarded({ failureThreshold: 1 });
    await run([new DOMException('stopped', 'AbortError')]);
    expect(breaker.status()).toMatchObject(closedAndClean);
    expect(breaker.idle).toBe(true);
  });

  it('3.30 a sleeper that close() woke', async () => {
    const { clock, breaker, policy } = guarded({ failureThreshold: 1 });
    const end = rejection(policy.execute(failTimes(1, 'v')));
    await clock.advance(10);
    policy.close();
    expect(retryInfo(await end)).toMatchObject({ reason: 'closed' });
    expect(breaker.status()).toMatchObject(closedAndClean);
    expect(breaker.idle).toBe(true);
  });

  it('3.30 our own refusals from inside: a full bulkhead, another open breaker, a closed policy', async () => {
    const { breaker, run } = guarded({ failureThreshold: 1 });
    const inner = new CircuitBreaker({ name: 'inner' });
    const closed = new RetryPolicy();
    closed.close();
    await run([new BulkheadFullError(1, 0)]);
    await run([inner.refusal()]);
    await run([await rejection(closed.execute(failTimes(0, 'v')))]);
    expect(breaker.status()).toMatchObject(closedAndClean);
    expect(breaker.idle).toBe(true);
  });
});

describe('time', () => {
  it('a deadline votes, with and without an error before it', async () => {
    for (const errors of [0, 1]) {
      const { clock, breaker, policy } = guarded({ failureThreshold: 1 }, { totalTimeoutMs: 5000 });
      let calls = 0;
      const work = (): Promise<never> => {
        calls += 1;
        return calls <= errors ? Promise.reject(coded(RESET)) : new Promise(() => {});
      };
      const error = await clock.runUntilSettled(rejection(policy.execute(work)));
      expect(retryInfo(error)).toMatchObject({ reason: 'deadline', attempts: errors + 1 });
      expect(breaker.state).toBe('open');
    }
  });

  it('attempts that timed out are a failure', async () => {
    const { clock, breaker, policy } = guarded({ failureThreshold: 1 }, { attemptTimeoutMs: 100 });
    await clock.runUntilSettled(rejection(policy.execute(hanging().work)));
    expect(breaker.state).toBe('open');
  });

  const slow: CircuitBreakerOptions = {
    slowCallMs: 100,
    slowCallRate: 1,
    windowCalls: 2,
    minimumCalls: 2,
  };

  it.each([{}, { totalTimeoutMs: 1e6 }])(
    'slow calls are measured by the attempt, not by delays and earlier attempts: %j',
    async (options) => {
      const { clock, breaker, policy } = guarded(slow, options);
      let calls = 0;
      const takes = (...ms: number[]) => {
        calls = 0;
        return clock.runUntilSettled(
          policy.execute(
            () =>
              new Promise<string>((resolve, reject) => {
                const end = ms[calls++] as number;
                const last = calls === ms.length;
                clock.setTimeout(() => (last ? resolve('v') : reject(coded(RESET))), end);
              }),
          ),
        );
      };
      await takes(99);
      await takes(99);
      await takes(150, 99);
      await takes(99, 99, 99);
      expect(breaker.state).toBe('closed');
      await takes(100);
      expect(breaker.state).toBe('closed');
      await takes(1, 100);
      expect(breaker.state).toBe('open');
    },
  );

  it('the clock is not read for it where slow calls do not matter', async () => {
    const { clock, run } = guarded();
    const now = vi.spyOn(clock, 'now');
    await run(0);
    expect(now).toHaveBeenCalledTimes(1);
  });
});

describe('open', () => {
  async function opened(options: RetryOptions = {}) {
    const all = guarded({ failureThreshold: 1 }, options);
    all.breaker.acquire().failure(coded(RESET));
    await all.clock.advance(10_000);
    return all;
  }

  it.each<[string, RetryOptions]>([
    ['at once', {}],
    ['with a deadline', { totalTimeoutMs: 5000 }],
    ['with a signal', { signal: new AbortController().signal }],
  ])('refuses without a call, %s', async (_name, options) => {
    const { clock, policy } = await opened(options);
    const events: PolicyEvent[] = [];
    for (const type of ['attempt', 'retry', 'success', 'exhausted', 'outcomeUnknown'] as const) {
      policy.on(type, (event) => events.push(event));
    }
    const work = failTimes(0, 'v');
    const error = await rejection(policy.execute(work, { operation: 'pg.query' }));
    expect(work.calls).toBe(0);
    expect(error).toMatchObject({
      name: 'CircuitOpenError',
      code: 'OUTLAST_CIRCUIT_OPEN',
      breaker: 'pg',
      retryAfterMs: 50_000,
    });
    const info = {
      operation: 'pg.query',
      attempts: 0,
      elapsedMs: 0,
      delaysMs: [],
      reason: 'circuit-open',
      outcome: 'not-applied',
      failures: [],
      retryAfterMs: 50_000,
    };
    expect(retryInfo(error)).toEqual(info);
    const { reason, attempts, elapsedMs, operation, failures } = info;
    expect(events).toEqual([
      {
        type: 'exhausted',
        at: clock.wallNow(),
        ...{ operation, attempts, elapsedMs, reason, failures, error },
        failure: {
          category: 'unavailable',
          transient: false,
          outcome: 'not-applied',
          code: 'OUTLAST_CIRCUIT_OPEN',
        },
      },
    ]);
    expect(Object.isFrozen(events[0])).toBe(true);
    expect(clock.pending).toBe(0);
  });

  it('3.39 has no stack, and each call an error of its own', async () => {
    const { policy } = await opened();
    const one = (await rejection(policy.execute(failTimes(0, 'v')))) as Error;
    const two = (await rejection(policy.execute(failTimes(0, 'v')))) as Error;
    expect(two).not.toBe(one);
    expect(one.stack).not.toContain('\n');
    expect(Error.stackTraceLimit).toBeGreaterThan(0);
  });

  it('asks no classifier of the caller about it, whatever that would do', async () => {
    const classify = vi.fn((): Failure => {
      throw new Error('classifier');
    });
    const { policy } = await opened({ classify });
    const events: ExhaustedEvent[] = [];
    policy.on('exhausted', (event) => events.push(event));
    expect(isCircuitOpenError(await rejection(policy.execute(failTimes(0, 'v'))))).toBe(true);
    expect(classify).not.toHaveBeenCalled();
    expect(events.map((event) => event.failure.category)).toEqual(['unavailable']);
  });

  it('3.4 who has cancelled hears of that, not of the breaker, and his fallback is not asked', async () => {
    const fallback = vi.fn(() => 'fallback');
    const { policy } = await opened({ fallback });
    const reason = new Error('gone');
    const call = { signal: AbortSignal.abort(reason) };
    expect(await rejection(policy.execute(failTimes(0, 'v'), call))).toBe(reason);
    const whole = await opened({ fallback, signal: AbortSignal.abort('all') });
    expect(await rejection(whole.policy.execute(failTimes(0, 'v')))).toBe('all');
    expect(retryInfo(reason)).toMatchObject({ reason: 'cancelled', attempts: 0 });
    expect(fallback).not.toHaveBeenCalled();
  });

  it('breaker: false goes by it, and has no vote', async () => {
    const { breaker, run } = await opened();
    expect(await run(0, { breaker: false })).toEqual({ ok: true, value: 'value' });
    expect(breaker.state).toBe('open');
    breaker.reset();
    await run(reset(), { breaker: false });
    expect(breaker.status()).toMatchObject({ state: 'closed', failures: 0 });
  });

  it('a call may bring a breaker of its own', async () => {
    const { breaker, clock, run } = await opened();
    const own = new CircuitBreaker({ clock, failureThreshold: 1 });
    await run(reset(), { breaker: own });
    expect([own.state, breaker.state]).toEqual(['open', 'open']);
    own.reset();
    expect(await run(0, { breaker: own })).toEqual({ ok: true, value: 'value' });
  });

  it('an isolated breaker refuses without a time', async () => {
    const { breaker, policy } = guarded();
    const isolation = breaker.isolate();
    const error = await rejection(policy.execute(failTimes(0, 'v')));
    expect(error).toMatchObject({ code: 'OUTLAST_CIRCUIT_OPEN', retryAfterMs: undefined });
    expect(Object.keys(retryInfo(error) ?? {})).not.toContain('retryAfterMs');
    isolation.dispose();
    expect(await policy.execute(failTimes(0, 'v'))).toBe('v');
  });
});
