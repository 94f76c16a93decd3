import {
  BulkheadFullError,
  CATEGORIES,
  type Category,
  CircuitBreaker,
  CircuitOpenError,
  type Classify,
  ClosedError,
  CommitOutcomeUnknownError,
  classifyError,
  DeadlineExceededError,
  type Failure,
  OptionError,
  OutcomeUnknownError,
  RetryPolicy,
} from '@outlast/core-retry';
import { describe, expect, it } from 'vitest';
import { voteOf } from '../src/breaker-vote.js';
import { AttemptTimeoutError } from '../src/errors.js';
import { breakerBench, byFailure, failing } from './breaker-helpers.js';
import { coded, REFUSED, rejection, settled } from './helpers.js';
import { hostileErrors } from './hostile.js';

/** What a failure does to a breaker that has counted one failure and opens with the third. */
async function effect(error: unknown, classify?: Classify): Promise<string> {
  const b = breakerBench({ failureThreshold: 3, ...(classify && { classify }) });
  b.breaker.failed(b.breaker.admit());
  await b.fail(1, error);
  return ({ 0: 'success', 1: 'none', 2: 'failure' } as const)[b.breaker.status().failures] ?? '?';
}

describe('the vote of a failure', () => {
  const votes: Readonly<Record<Category, string>> = {
    network: 'failure',
    timeout: 'failure',
    unavailable: 'failure',
    throttled: 'failure',
    contention: 'failure',
    'resource-exhausted': 'failure',
    auth: 'success',
    invalid: 'success',
    'not-found': 'success',
    conflict: 'success',
    cancelled: 'none',
    unknown: 'failure',
  };

  it('knows every category', () => {
    expect(Object.keys(votes).sort()).toEqual([...CATEGORIES].sort());
  });

  it.each(Object.entries(votes))('3.29 %s: %s', async (category, vote) => {
    for (const transient of [true, false]) {
      for (const outcome of ['unknown', 'not-applied'] as const) {
        const error = failing({ category: category as Category, transient, outcome });
        expect(await effect(error, byFailure)).toBe(vote);
      }
    }
  });

  it.each<[string, unknown, string]>([
    ['an error that nobody knows', new Error('x'), 'failure'],
    ['a refused connection', coded(REFUSED), 'failure'],
    ['a missing file', coded('ENOENT'), 'success'],
    ['a TypeError', new TypeError('x'), 'none'],
    ['a RangeError', new RangeError('x'), 'none'],
    ['a ReferenceError', new ReferenceError('x'), 'none'],
    ['a SyntaxError', new SyntaxError('x'), 'none'],
    [
      'the TypeError of a fetch that found no network',
      Object.assign(new TypeError('fetch failed'), { cause: coded(REFUSED) }),
      'failure',
    ],
    ['an AbortError', Object.assign(new Error('x'), { name: 'AbortError' }), 'none'],
    ["3.30 a DOMException of a caller's abort", new DOMException('x', 'AbortError'), 'none'],
    ['a full bulkhead', new BulkheadFullError(1, 0), 'none'],
    ['the refusal of another breaker', new CircuitOpenError('other', 5), 'none'],
    ['a closed client', new ClosedError('The policy'), 'none'],
    ['a bad option', new OptionError('x', 'is bad.'), 'none'],
    ['an attempt that took too long', new AttemptTimeoutError('x', 1, 5), 'failure'],
    ['a deadline that ran out', new DeadlineExceededError('x', 5), 'failure'],
    ['an unknown outcome', new OutcomeUnknownError('x'), 'failure'],
    ['an unknown COMMIT', new CommitOutcomeUnknownError('x'), 'failure'],
  ])('%s', async (_, error, vote) => {
    expect(await effect(error)).toBe(vote);
  });

  it.each([
    new BulkheadFullError(1, 0),
    new CircuitOpenError('other', 5),
    new ClosedError('The policy'),
    new OptionError('x', 'is bad.'),
  ])('%s says nothing, whatever a classifier makes of it', async (error) => {
    for (const category of ['network', 'unknown', 'invalid'] as const) {
      expect(await effect(error, () => failing({ category }).failure)).toBe('none');
    }
  });

  it.each(['OUTLAST_BULKHEAD_FULL', 'OUTLAST_CIRCUIT_OPEN', 'OUTLAST_CLOSED', 'OUTLAST_OPTION'])(
    'nor does a failure that a classifier calls %s',
    (code) => {
      for (const category of ['network', 'unknown', 'invalid'] as const) {
        const failure = { category, transient: false, outcome: 'not-applied', code } as const;
        expect(voteOf(failure, 'a text')).toBe('none');
      }
    },
  );

  it('a stranger that uses our codes does not take part in that', async () => {
    expect(await effect({ code: 'OUTLAST_CLOSED' }, () => failing().failure)).toBe('failure');
    expect(
      await effect({ code: 'OUTLAST_OPTION' }, () => failing({ category: 'invalid' }).failure),
    ).toBe('success');
  });

  it('is total over any thrown value', () => {
    for (const error of hostileErrors()) {
      for (const category of CATEGORIES) {
        const failure = { category, transient: true, outcome: 'unknown' } as const;
        expect(['success', 'failure', 'none']).toContain(voteOf(failure, error));
      }
    }
  });

  it('3.13 hostile values are thrown on as they are, and are failures', async () => {
    for (const error of hostileErrors()) {
      const b = breakerBench();
      const end = await settled(
        b.breaker.execute(() => {
          throw error;
        }),
      );
      expect(!end.ok && Object.is(end.error, error)).toBe(true);
      expect(b.breaker.status().failures).toBe(1);
    }
  });
});

describe('a classifier', () => {
  it('is asked once an error, as of one that was sent', async () => {
    const asked: unknown[] = [];
    const error = new Error('x');
    const b = breakerBench({
      classify: (...given) => {
        asked.push(given);
        return classifyError(...given);
      },
    });
    await b.fail(1, error);
    await b.ok();
    expect(asked).toEqual([[error, 'sent']]);
  });

  it.each<[string, () => unknown]>([
    [
      'throws',
      () => {
        throw new Error('classifier');
      },
    ],
    ['answers nothing', () => undefined],
    ['answers null', () => null],
    ['answers something else', () => 5],
    ['answers half', () => ({ transient: false })],
    ['is async', async () => failing().failure],
    ['is async and rejects', async () => Promise.reject(new Error('classifier'))],
  ])('that %s knows nothing: the error surfaces as it is, and is a failure', async (_, answer) => {
    const error = new Error('the real one');
    for (const signal of [undefined, new AbortController().signal]) {
      const b = breakerBench({ failureThreshold: 2, classify: answer as Classify });
      const fail = () => {
        throw error;
      };
      expect(await rejection(b.breaker.execute(fail, signal && { signal }))).toBe(error);
      expect(b.breaker.status().failures).toBe(1);
      b.breaker.acquire().failure(error);
      expect(b.breaker.state).toBe('open');
    }
  });
});

describe('in a policy', () => {
  const policyBench = (options: { votePer?: 'operation' | 'attempt' } = {}) => {
    const b = breakerBench({ failureThreshold: 2, resetTimeoutMs: 60_000, ...options });
    const { clock, breaker } = b;
    const policy = new RetryPolicy({ breaker, clock, jitter: false, maxAttempts: 3 });
    let calls = 0;
    const run = async (work: () => unknown = () => Promise.reject(new Error('down'))) => {
      calls = 0;
      return await clock.runUntilSettled(
        settled(
          policy.execute(() => {
            calls += 1;
            return work();
          }),
        ),
      );
    };
    return { ...b, policy, run, calls: () => calls };
  };

  it('3.31 outside of the retry: an operation that exhausted its retries is one vote', async () => {
    const p = policyBench();
    await p.run();
    expect([p.calls(), p.breaker.status().failures, p.breaker.state]).toEqual([3, 1, 'closed']);
    await p.run();
    expect([p.calls(), p.breaker.state]).toEqual([3, 'open']);
  });

  it('3.31 what retries ride out is a success', async () => {
    const p = policyBench();
    for (let i = 0; i < 5; i++) {
      let failures = 2;
      const end = await p.run(() => {
        failures -= 1;
        if (failures >= 0) throw new Error('down');
        return 'value';
      });
      expect(end).toEqual({ ok: true, value: 'value' });
    }
    expect(p.breaker.status()).toMatchObject({ state: 'closed', failures: 0 });
  });

  it('3.31 inside of it: each attempt votes, and an open breaker is not asked again', async () => {
    const p = policyBench({ votePer: 'attempt' });
    const end = await p.run();
    expect([p.calls(), p.breaker.state]).toEqual([2, 'open']);
    // The last real error surfaces, not the refusal.
    expect(end.ok === false && String(end.error)).toBe('Error: down');
  });

  it.each(['operation', 'attempt'] as const)('a probe is one attempt, per %s', async (votePer) => {
    const p = policyBench({ votePer });
    await p.run();
    await p.run();
    expect(p.breaker.state).toBe('open');
    p.pass(60_000);
    await p.run();
    expect(p.calls()).toBe(1);
    expect(p.breaker.status()).toMatchObject({ state: 'open', openTimeoutMs: 90_000 });
  });

  it("votes by the policy's classifier", async () => {
    const { breaker, clock } = breakerBench({ failureThreshold: 1 });
    const classify = (): Failure => failing({ category: 'conflict', transient: false }).failure;
    const policy = new RetryPolicy({ breaker, clock, classify });
    await rejection(policy.execute(() => Promise.reject(new Error('duplicate key'))));
    expect(breaker.state).toBe('closed');
  });
});

it('3.30 three calls cancelled by their callers do not open a breaker of three', async () => {
  const breaker = new CircuitBreaker({ failureThreshold: 3 });
  for (let i = 0; i < 10; i++) {
    await rejection(breaker.execute(() => 'x', { signal: AbortSignal.abort() }));
  }
  expect(breaker.status()).toMatchObject({ state: 'closed', failures: 0 });
  expect(breaker.idle).toBe(true);
});
