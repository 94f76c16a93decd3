import { getEventListeners } from 'node:events';
import {
  Bulkhead,
  CircuitBreaker,
  type CircuitBreakerOptions,
  type Failure,
  isOptionError,
  RetryBudget,
  RetryPolicy,
  retryInfo,
} from '@outlast/core-retry';
import { ManualClock } from '@outlast/core-retry/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { settled, turn } from './helpers.js';
import { hostileErrors } from './hostile.js';

/** What one attempt does. */
interface Step {
  readonly ends: 'value' | 'unwanted' | 'failure' | 'never';
  readonly after: number;
  readonly failure: Failure;
}

interface Call {
  readonly at: number;
  readonly steps: readonly Step[];
  /** When it is aborted, after its start; Infinity for never. */
  readonly abortAfter: number;
  readonly idempotent: boolean;
}

interface Given {
  readonly maxAttempts: number;
  readonly attemptTimeoutMs: number;
  readonly totalTimeoutMs: number;
  readonly breaker: CircuitBreakerOptions;
  readonly maxConcurrent: number;
  readonly maxQueued: number;
  readonly fallback: 'none' | 'value' | 'throws';
  readonly budgeted: boolean;
}

const step: fc.Arbitrary<Step> = fc.record({
  ends: fc.constantFrom('failure', 'failure', 'unwanted', 'value', 'value', 'never'),
  after: fc.constantFrom(0, 0, 1, 50, 3000),
  failure: fc.record({
    category: fc.constantFrom<Failure['category']>('network', 'conflict', 'cancelled', 'invalid'),
    transient: fc.constantFrom(true, true, true, false),
    outcome: fc.constantFrom('not-applied', 'unknown'),
  }),
});

const call: fc.Arbitrary<Call> = fc.record({
  at: fc.constantFrom(0, 0, 0, 10, 100, 1000, 1500, 5000),
  steps: fc.array(step, { maxLength: 5 }),
  abortAfter: fc.constantFrom(Infinity, Infinity, 0, 1, 49, 500, 1000, 4000),
  idempotent: fc.constantFrom(true, true, false),
});

const given: fc.Arbitrary<Given> = fc.record({
  maxAttempts: fc.integer({ min: 1, max: 4 }),
  attemptTimeoutMs: fc.constantFrom(Infinity, Infinity, 20, 1000),
  totalTimeoutMs: fc.constantFrom(Infinity, Infinity, 10, 2000),
  breaker: fc.record(
    {
      failureThreshold: fc.integer({ min: 1, max: 3 }),
      resetTimeoutMs: fc.constantFrom(20, 400, 60_000),
      halfOpenMaxCalls: fc.integer({ min: 1, max: 2 }),
      successThreshold: fc.integer({ min: 1, max: 2 }),
      probeLeaseMs: fc.constantFrom(10, 60_000),
      votePer: fc.constantFrom('operation', 'attempt'),
    },
    { requiredKeys: ['failureThreshold', 'resetTimeoutMs'] },
  ),
  maxConcurrent: fc.integer({ min: 1, max: 3 }),
  maxQueued: fc.integer({ min: 0, max: 3 }),
  fallback: fc.constantFrom('none', 'none', 'value', 'throws'),
  budgeted: fc.boolean(),
});

/** A value that counts how often it was disposed of. */
class Disposable {
  disposed = 0;
  [Symbol.dispose](): void {
    this.disposed += 1;
  }
}

const FALLBACK = new Disposable();

/** All calls of a history under one policy. */
function play(calls: readonly Call[], options: Given) {
  const clock = new ManualClock();
  const { maxConcurrent, maxQueued, fallback, budgeted, breaker: breaking, ...rest } = options;
  const breaker = new CircuitBreaker({ clock, jitter: false, ...breaking });
  const bulkhead = new Bulkhead({ maxConcurrent, maxQueued });
  const values: Disposable[] = [];
  const policy = new RetryPolicy({
    ...rest,
    clock,
    jitter: false,
    breaker,
    bulkhead,
    budget: budgeted ? new RetryBudget({ clock, minPerSecond: 0.2, ratio: 0.5 }) : false,
  });
  const runs = calls.map(({ at, steps, abortAfter, idempotent }) => {
    const controller = new AbortController();
    const run = { controller, calls: 0, end: undefined as unknown, started: false };
    let last: Failure | undefined;
    const unwanted = new Set<unknown>();
    const work = (): Promise<Disposable> | Disposable => {
      const now = steps[run.calls++];
      const value = new Disposable();
      values.push(value);
      if (now === undefined || (now.ends === 'value' && now.after === 0)) return value;
      if (now.ends === 'never') return new Promise(() => {});
      last = now.failure;
      if (now.ends === 'failure' && now.after === 0) throw new Error('at once');
      if (now.ends === 'unwanted') unwanted.add(value);
      return new Promise((resolve, reject) => {
        const end = () => (now.ends === 'failure' ? reject(new Error('later')) : resolve(value));
        clock.setTimeout(end, now.after);
      });
    };
    clock.setTimeout(() => {
      run.started = true;
      if (abortAfter !== Infinity) clock.setTimeout(() => controller.abort('gone'), abortAfter);
      const promise = policy.execute(work, {
        idempotent,
        signal: controller.signal,
        classify: () => last ?? { category: 'unknown', transient: false, outcome: 'unknown' },
        retryResult: (value) => unwanted.has(value),
        ...(fallback === 'none'
          ? {}
          : {
              fallback: () => {
                if (fallback === 'throws') throw new Error('fallback');
                return FALLBACK;
              },
            }),
      });
      void settled(promise).then((end) => {
        run.end = end;
      });
    }, at);
    return run;
  });
  return { clock, breaker, bulkhead, policy, runs, values };
}

const history = fc.array(call, { minLength: 1, maxLength: 8 });

describe('breaker, bulkhead, retryResult and fallback together', () => {
  it('3.28 every permit and every slot is given back, whatever happens', async () => {
    const closeAt = fc.constantFrom(Infinity, Infinity, 0, 60, 1200);
    await fc.assert(
      fc.asyncProperty(history, given, closeAt, async (calls, options, closing) => {
        const { clock, breaker, bulkhead, policy, runs, values } = play(calls, options);
        if (closing !== Infinity) clock.setTimeout(() => policy.close(), closing);
        await clock.advance(1e6);
        for (const { controller } of runs) controller.abort('gone');
        await turn();
        for (const run of runs) {
          expect(run.end).toBeDefined();
          expect(run.calls).toBeLessThanOrEqual(options.maxAttempts);
          expect(getEventListeners(run.controller.signal, 'abort')).toHaveLength(0);
          const end = run.end as { ok: boolean; value?: Disposable; error?: unknown };
          if (end.ok) expect(end.value?.disposed).toBe(0);
          else {
            const attempts = retryInfo(end.error)?.attempts;
            if (attempts !== undefined) expect(attempts).toBe(run.calls);
          }
        }
        for (const value of values) expect(value.disposed).toBeLessThanOrEqual(1);
        expect(breaker['inFlight']).toBe(0);
        expect(breaker.status().halfOpenCalls).toBe(0);
        expect(bulkhead.status()).toMatchObject({ running: 0, queued: 0 });
        expect(policy['state'].sleeping.size).toBe(0);
        await clock.advance(1e6);
        expect(clock.pending).toBe(0);
      }),
      { numRuns: 300 },
    );
  }, 60_000);

  it('3.1 an abort at any time settles within one turn, and leaves no timer and no listener', async () => {
    const at = fc.constantFrom(0, 1, 10, 49, 50, 500, 1000, 1500, 3000, 5000);
    await fc.assert(
      fc.asyncProperty(history, given, at, async (calls, options, when) => {
        const { clock, bulkhead, breaker, runs } = play(calls, options);
        await clock.advance(when);
        const before = runs.map((run) => run.calls);
        const reason = new Error('abort');
        const open = runs.filter((run) => run.started && run.end === undefined);
        for (const { controller } of open) controller.abort(reason);
        await turn();
        for (const run of open) {
          expect(run.end).toBeDefined();
          expect(getEventListeners(run.controller.signal, 'abort')).toHaveLength(0);
        }
        expect(bulkhead.status()).toMatchObject({ running: 0, queued: 0 });
        expect(breaker['inFlight']).toBe(0);
        for (const [i, run] of runs.entries()) if (run.started) expect(run.calls).toBe(before[i]);
      }),
      { numRuns: 200 },
    );
  }, 60_000);
});

describe('3.13 whatever is thrown', () => {
  // What may be thrown, and looked at by every option that looks at errors.
  class Marker extends Error {}
  const looking = {
    maxAttempts: 2,
    baseDelayMs: 0,
    retryOn: [Marker, Error],
    neverRetry: [RangeError],
    retryCategories: ['unknown'],
  } as const;

  async function surfaces(thrown: unknown): Promise<void> {
    for (const bounds of [{}, { totalTimeoutMs: 1000 }]) {
      for (const options of [looking, { ...looking, retryIf: () => true }, { maxAttempts: 2 }]) {
        const clock = new ManualClock();
        const breaker = new CircuitBreaker({ clock });
        const policy = new RetryPolicy({ clock, breaker, ...options, ...bounds });
        let calls = 0;
        const end = settled(
          policy.execute(() => {
            calls += 1;
            throw thrown;
          }),
        );
        await clock.advance(10_000);
        const { ok, error } = (await end) as { ok: boolean; error: unknown };
        // Not toBe: what fails to compare would be printed, and some of these cannot be.
        expect([ok, Object.is(error, thrown), calls === 1 || calls === 2]).toEqual([
          false,
          true,
          true,
        ]);
        expect(breaker['inFlight']).toBe(0);
        let sync: unknown;
        try {
          policy.wrapSync(() => {
            throw thrown;
          })();
        } catch (error) {
          sync = error;
        }
        expect(Object.is(sync, thrown)).toBe(true);
      }
    }
  }

  it('3.13 it surfaces as it is, and is judged by every option without a stumble', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.anything({ withNullPrototype: true, withBigInt: true, withSparseArray: true }),
        (value) => surfaces(value),
      ),
      { numRuns: 50 },
    );
  }, 60_000);

  it('3.13 revoked proxies and other things that bite too', async () => {
    for (const hostile of hostileErrors()) await surfaces(hostile);
    const revoked = Proxy.revocable(class {}, {});
    revoked.revoke();
    await surfaces(revoked.proxy);
    // As a class in an option as well: whoever cannot be asked is not retried.
    const policy = new RetryPolicy({ retryOn: [revoked.proxy as never] });
    const end = await settled(policy.execute(() => Promise.reject(new Error('x'))));
    expect(end).toMatchObject({ ok: false, error: { message: 'x' } });
    expect(isOptionError((end as { error: unknown }).error)).toBe(false);
  });
});
