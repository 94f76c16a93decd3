import {
  Bulkhead,
  CircuitBreaker,
  isBulkheadFullError,
  isCircuitOpenError,
  isOutcomeUnknown,
  RetryBudget,
  retryInfo,
} from '@outlast/core-retry';
import { recordDelays } from '@outlast/core-retry/testing';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Scripted } from './scripted.js';

afterEach(() => vi.unstubAllEnvs());

/** What a promise rejects with; fails the test if it resolves. */
// biome-ignore lint/suspicious/noExplicitAny: whatever was thrown is what a test wants to look into
async function failureOf(promise: Promise<unknown>): Promise<any> {
  const end = await promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
  if (!('error' in end)) throw new Error(`It resolved with ${String(end.value)}.`);
  return end.error;
}

describe('a breaker', () => {
  const breaker = { failureThreshold: 2, resetTimeoutMs: 1000, jitter: false };

  it('opens after failed operations, refuses without a request, and lets one through in time', async () => {
    const service = new Scripted({ breaker, maxAttempts: 2 });
    const told: string[] = [];
    service.client.policy.on('breaker', ({ to }) => told.push(to));
    service.play(503);
    for (let n = 0; n < 2; n++) {
      expect(
        (await failureOf(service.clock.runUntilSettled(service.client.get('/a')))).response.status,
      ).toBe(503);
    }
    expect(service.asked.length).toBe(4);
    const refused = await failureOf(service.client.get('/a'));
    expect([isCircuitOpenError(refused), isOutcomeUnknown(refused)]).toEqual([true, false]);
    expect(retryInfo(refused)).toMatchObject({ reason: 'circuit-open', attempts: 0 });
    expect(service.asked.length).toBe(4);
    await service.clock.advance(1000);
    service.play(200);
    await service.client.get('/a');
    expect(told).toEqual(['open', 'half-open', 'closed']);
  });

  it('takes refusals for health, and a POST whose answer was lost for illness', async () => {
    const service = new Scripted({ breaker });
    service.play(401, 404, 409, 422);
    for (let n = 0; n < 4; n++) await failureOf(service.client.get('/a'));
    service.play('ECONNRESET');
    for (let n = 0; n < 2; n++) {
      expect(isOutcomeUnknown(await failureOf(service.client.post('/a')))).toBe(true);
    }
    expect(isCircuitOpenError(await failureOf(service.client.post('/a')))).toBe(true);
    expect(service.asked.length).toBe(2);
  });

  it('may be shared by clients, be asked for by the environment, and be left out for one request', async () => {
    const shared = new CircuitBreaker(breaker);
    const [one, two] = [new Scripted({ breaker: shared }), new Scripted({ breaker: shared })];
    one.play(400);
    shared.isolate();
    expect(isCircuitOpenError(await failureOf(two.client.get('/a')))).toBe(true);
    expect((await two.client.get('/a', { retry: { breaker: false } })).status).toBe(200);
    vi.stubEnv('HTTP_BREAKER_FAILURE_THRESHOLD', '1');
    const service = new Scripted({ maxAttempts: 1 });
    service.play(500);
    await failureOf(service.client.get('/a'));
    expect(isCircuitOpenError(await failureOf(service.client.get('/a')))).toBe(true);
  });
});

describe('a bulkhead', () => {
  it('lets so many requests run, so many wait, and refuses the next', async () => {
    const bulkhead = new Bulkhead({ maxConcurrent: 1, maxQueued: 1 });
    const service = new Scripted({ bulkhead });
    service.play(503, 200);
    const first = service.client.get('/1');
    const second = service.client.get('/2');
    const third = await failureOf(service.client.post('/3', 'x'));
    expect([isBulkheadFullError(third), isOutcomeUnknown(third)]).toEqual([true, false]);
    // The slot is held over the delay: nobody else asks meanwhile.
    await service.clock.advance(1999);
    expect(service.asked.map(({ url }) => url)).toEqual(['/1']);
    await service.clock.advance(1);
    await Promise.all([first, second]);
    expect(service.asked.map(({ url }) => url)).toEqual(['/1', '/1', '/2']);
    expect(bulkhead.status()).toMatchObject({ running: 0, queued: 0, refused: 1 });
  });

  it('is left by whoever waits for it and is cancelled', async () => {
    const bulkhead = new Bulkhead({ maxConcurrent: 1, maxQueued: 5 });
    const service = new Scripted({ bulkhead });
    service.play('silence');
    const controller = new AbortController();
    const { signal } = controller;
    const both = [service.client.get('/1', { signal }), service.client.get('/2', { signal })].map(
      failureOf,
    );
    controller.abort();
    for (const error of await Promise.all(both)) expect(error.code).toBe('ERR_CANCELED');
    expect(service.asked.map(({ url }) => url)).toEqual(['/1']);
    expect(bulkhead.status()).toMatchObject({ running: 0, queued: 0 });
  });
});

describe('a budget', () => {
  it('bounds the retries of all requests together', async () => {
    const budget = new RetryBudget({ ratio: 0, minPerSecond: 0.3, ttlMs: 10_000 });
    const service = new Scripted({ budget, maxAttempts: 3 });
    service.play(503);
    const reasons: (string | undefined)[] = [];
    for (let n = 0; n < 3; n++) {
      const error = await failureOf(service.clock.runUntilSettled(service.client.get('/a')));
      reasons.push(retryInfo(error)?.reason);
    }
    expect(reasons).toEqual(['exhausted', 'budget', 'budget']);
    expect([service.asked.length, budget.status().denied]).toEqual([6, 2]);
  });

  it('is there by default, and can be left out', async () => {
    expect(new Scripted().client.policy.settings.budget).toBeInstanceOf(RetryBudget);
    const service = new Scripted({
      budget: false,
      maxAttempts: 200,
      baseDelayMs: 1,
      maxDelayMs: 1,
    });
    service.play(503);
    await failureOf(service.clock.runUntilSettled(service.client.get('/a')));
    expect(service.asked.length).toBe(200);
  });
});

describe('time', () => {
  it('totalTimeoutMs ends the retries that it would outlast, with the error that was last', async () => {
    const service = new Scripted({ totalTimeoutMs: 7000, maxAttempts: 9 });
    const delays = recordDelays(service.client.policy);
    service.play(503);
    const error = await failureOf(service.clock.runUntilSettled(service.client.get('/a')));
    expect([error.response.status, retryInfo(error)?.reason]).toEqual([503, 'deadline']);
    expect([delays, service.asked.length]).toEqual([[2000, 4000], 3]);
  });

  it('totalTimeoutMs ends a request that is silent, also of one request, and the shorter counts', async () => {
    for (const [options, narrowing] of [
      [{ totalTimeoutMs: 500 }, {}],
      [{ totalTimeoutMs: 9000 }, { totalTimeoutMs: 500 }],
      [{}, { totalTimeoutMs: 500 }],
    ]) {
      const service = new Scripted(options);
      service.play('silence');
      const failing = failureOf(service.client.get('/a', { retry: narrowing as object }));
      await service.clock.advance(499);
      expect(service.asked[0]?.signal?.aborted).toBe(false);
      await service.clock.advance(1);
      expect((await failing).code).toBe('OUTLAST_DEADLINE_EXCEEDED');
      expect(service.asked[0]?.signal?.aborted).toBe(true);
      expect(service.clock.pending).toBe(0);
    }
  });

  it('attemptTimeoutMs ends an attempt, and the next has its own', async () => {
    const service = new Scripted({ attemptTimeoutMs: 500 });
    service.play('silence', 'silence', 200);
    await service.clock.runUntilSettled(service.client.get('/a'));
    expect([service.asked.length, service.clock.now()]).toEqual([3, 500 + 2000 + 500 + 4000]);
    service.play('silence');
    const lost = await failureOf(service.clock.runUntilSettled(service.client.post('/a', 'x')));
    expect([lost.code, isOutcomeUnknown(lost), service.asked.length]).toEqual([
      'OUTLAST_ATTEMPT_TIMEOUT',
      true,
      1,
    ]);
  });
});

describe('the other options of a policy', () => {
  it('reach it: retryIf, retryCategories, delayMs, retryResult, fallback, operation, onRetry', async () => {
    const names: string[] = [];
    const service = new Scripted({
      operation: 'billing',
      onRetry: ({ operation }) => names.push(operation),
    });
    service.play(404, 200);
    await service.clock.runUntilSettled(
      service.client.get('/a', { retry: { retryIf: () => true } }),
    );
    service.play(429, 503);
    const retryCategories = ['throttled'] as const;
    const fails = service.client.get('/a', { retry: { retryCategories } });
    expect((await failureOf(service.clock.runUntilSettled(fails))).response.status).toBe(503);
    service.play(503, 200);
    const before = service.clock.now();
    await service.clock.runUntilSettled(service.client.get('/a', { retry: { delayMs: () => 7 } }));
    expect(service.clock.now() - before).toBe(7);
    service.play(202, 200);
    const retryResult = (answer: { status: number }) => answer.status === 202;
    const polled = service.client.get('/a', { retry: { retryResult } });
    expect((await service.clock.runUntilSettled(polled)).status).toBe(200);
    service.play(404);
    const fallback = () => ({ data: 'old' }) as never;
    expect((await service.client.get('/a', { retry: { fallback } })).data).toBe('old');
    expect(new Set(names)).toEqual(new Set(['billing']));
  });
});
