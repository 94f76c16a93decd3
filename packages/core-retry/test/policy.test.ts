import {
  type Failure,
  isClosedError,
  isOptionError,
  isOutcomeUnknown,
  RetryBudget,
  RetryPolicy,
  retry,
  retryInfo,
} from '@outlast/core-retry';
import { failTimes, ManualClock } from '@outlast/core-retry/testing';
import { describe, expect, it, vi } from 'vitest';
import { bench, coded, REFUSED, RESET, rejection, settled, turn } from './helpers.js';

/** Always fails, with a new error each time, and keeps them. */
function failing(make: (call: number) => unknown = (n) => new Error(`failure ${n}`)) {
  const errors: unknown[] = [];
  const work = async (): Promise<never> => {
    errors.push(make(errors.length + 1));
    throw errors.at(-1);
  };
  return { work, errors };
}

describe('attempts', () => {
  it.each([1, 2, 3, 7])(
    '3.9 maxAttempts %d counts all calls, the first included',
    async (maxAttempts) => {
      const { clock, policy, delays } = bench({ maxAttempts });
      const { work, errors } = failing();
      const end = settled(policy.execute(work));
      await clock.runUntilSettled(end);
      expect(errors).toHaveLength(maxAttempts);
      expect(delays).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000].slice(0, maxAttempts - 1));
      expect(await end).toEqual({ ok: false, error: errors.at(-1) });
    },
  );

  it('3.9 the default is three', async () => {
    const { clock, policy, delays } = bench();
    const { work, errors } = failing();
    await clock.runUntilSettled(settled(policy.execute(work)));
    expect(errors).toHaveLength(3);
    expect(delays).toEqual([1000, 2000]);
  });

  it.each([0, 1, 2])('returns the value after %d failures', async (failures) => {
    const { clock, policy, delays } = bench();
    const work = failTimes(failures, 'value');
    expect(await clock.runUntilSettled(policy.execute(work))).toBe('value');
    expect(work.calls).toBe(failures + 1);
    expect(delays).toHaveLength(failures);
    expect(clock.pending).toBe(0);
  });

  it('a call narrows any option, and the next call does not see it', async () => {
    const { clock, policy, delays } = bench();
    const { work, errors } = failing();
    await clock.runUntilSettled(settled(policy.execute(work, { maxAttempts: 2 })));
    expect(errors).toHaveLength(2);
    await clock.runUntilSettled(settled(policy.execute(work, { baseDelayMs: 7, maxAttempts: 3 })));
    expect(errors).toHaveLength(5);
    await clock.runUntilSettled(settled(policy.execute(work)));
    expect(errors).toHaveLength(8);
    expect(delays).toEqual([1000, 7, 14, 1000, 2000]);
  });

  it('numbers its attempts from 1 and gives each its own', async () => {
    const { clock, policy } = bench();
    const seen: { number: number; phase: string; remainingMs: number }[] = [];
    const attempts = new Set<unknown>();
    const end = settled(
      policy.execute((attempt) => {
        attempts.add(attempt);
        seen.push({
          number: attempt.number,
          phase: attempt.phase,
          remainingMs: attempt.remainingMs,
        });
        attempt.phase = 'acquire';
        throw new Error('x');
      }),
    );
    await clock.runUntilSettled(end);
    expect(seen).toEqual(
      [1, 2, 3].map((number) => ({ number, phase: 'sent', remainingMs: Infinity })),
    );
    expect(attempts.size).toBe(3);
  });

  it('Infinity goes on until it works', async () => {
    const { clock, policy } = bench({
      maxAttempts: Infinity,
      totalTimeoutMs: 1e9,
      maxDelayMs: 1000,
    });
    const work = failTimes(500, 'at last');
    expect(await clock.runUntilSettled(policy.execute(work))).toBe('at last');
    expect(work.calls).toBe(501);
  });

  it('retry() is sugar for a policy, and takes resolve and stop too', async () => {
    const clock = new ManualClock();
    const work = failTimes(1, 'v');
    expect(await clock.runUntilSettled(retry(work, { clock, jitter: false }))).toBe('v');
    expect(work.calls).toBe(2);
    const resolved = await retry(failTimes(1, 'v'), {
      clock,
      idempotent: false,
      resolve: () => ({ outcome: 'applied', value: 'resolved' }),
    });
    expect(resolved).toBe('resolved');
    const stop = vi.fn();
    const hanging = retry(() => new Promise<string>(() => {}), {
      clock,
      maxAttempts: 1,
      attemptTimeoutMs: 5,
      stop,
    });
    await clock.runUntilSettled(settled(hanging));
    expect(stop).toHaveBeenCalledTimes(1);
  });

  it('retry() with a bad option rejects, as does execute(); it never throws', async () => {
    // @ts-expect-error a typing error
    expect(isOptionError(await rejection(retry(async () => 1, { maxAtempts: 2 })))).toBe(true);
    const { policy } = bench();
    // @ts-expect-error a typing error
    const error = await rejection(policy.execute(async () => 1, { maxAtempts: 2 }));
    expect(String(error)).toMatch(/maxAtempts is not an option. Did you mean maxAttempts\?/);
  });
});

describe('what may be thrown and returned', () => {
  it.each([
    ['null', null],
    ['undefined', undefined],
    ['a text', 'oops'],
    ['0', 0],
    ['NaN', Number.NaN],
    ['a symbol', Symbol('x')],
    [
      'an object whose toString throws',
      {
        toString: () => {
          throw new Error('no');
        },
      },
    ],
    ['a frozen error', Object.freeze(new Error('frozen'))],
    ['a function', () => {}],
  ])('3.13 %s surfaces as it was thrown, after all attempts', async (_name, thrown) => {
    const { clock, policy } = bench();
    const { work, errors } = failing(() => thrown);
    const end = await clock.runUntilSettled(settled(policy.execute(work)));
    expect(end.ok).toBe(false);
    expect(Object.is(!end.ok && end.error, thrown)).toBe(true);
    expect(errors).toHaveLength(3);
  });

  it('3.13 a revoked proxy surfaces as it was thrown', async () => {
    const { clock, policy } = bench();
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    const thrown: unknown[] = [];
    const end = policy
      .execute(() => {
        throw proxy;
      })
      .catch((error: unknown) => {
        thrown.push(error);
      });
    await clock.runUntilSettled(end);
    expect(thrown[0] === proxy).toBe(true);
  });

  it('3.13 a throw before the first await is an attempt like any other', async () => {
    for (const options of [{}, { totalTimeoutMs: 1e6 }, { attemptTimeoutMs: 1e6 }]) {
      const { clock, policy } = bench(options);
      let calls = 0;
      const work = (): string => {
        calls += 1;
        if (calls < 3) throw new Error('sync');
        return 'value';
      };
      expect(await clock.runUntilSettled(policy.execute(work))).toBe('value');
      expect(calls).toBe(3);
    }
  });

  it('3.13 a plain value, undefined and a thenable may be returned', async () => {
    for (const options of [{}, { totalTimeoutMs: 1e6 }, { attemptTimeoutMs: 1e6 }]) {
      const { policy } = bench(options);
      expect(await policy.execute(() => 5)).toBe(5);
      expect(await policy.execute(() => undefined)).toBeUndefined();
      // biome-ignore lint/suspicious/noThenProperty: a thenable is what is tested
      const thenable = { then: (done: (v: string) => void) => done('then') } as PromiseLike<string>;
      expect(await policy.execute(() => thenable)).toBe('then');
    }
  });

  it('3.13 a thenable that rejects, or whose then throws, is a failure', async () => {
    for (const options of [{}, { totalTimeoutMs: 1e6 }]) {
      const { clock, policy } = bench(options);
      const bad = [
        // biome-ignore lint/suspicious/noThenProperty: a thenable is what is tested
        { then: (_: unknown, no: (e: unknown) => void) => no('rejected') },
        Object.defineProperty({}, 'then', {
          get: () => {
            throw new Error('thrown');
          },
        }),
      ] as unknown as PromiseLike<string>[];
      let calls = 0;
      const work = () => bad[calls++] ?? 'value';
      expect(await clock.runUntilSettled(policy.execute(work))).toBe('value');
      expect(calls).toBe(3);
    }
  });

  it('what is no function is a bug, not an outage', async () => {
    const { policy } = bench();
    // @ts-expect-error not a function
    expect(await rejection(policy.execute('nope'))).toBeInstanceOf(TypeError);
    // @ts-expect-error not a function
    expect(await rejection(policy.execute(undefined))).toBeInstanceOf(TypeError);
  });
});

describe('retryInfo', () => {
  it('3.16 hangs attempts, delays, reason and earlier failures on the last error, which is the same object', async () => {
    const { clock, policy } = bench({ operation: 'pg.query' });
    const { work, errors } = failing((n) => coded(RESET, { n }));
    const error = await clock.runUntilSettled(rejection(policy.execute(work)));
    expect(error).toBe(errors[2]);
    const failure = { category: 'network', transient: true, outcome: 'unknown', code: RESET };
    expect(retryInfo(error)).toEqual({
      operation: 'pg.query',
      attempts: 3,
      elapsedMs: 3000,
      delaysMs: [1000, 2000],
      reason: 'exhausted',
      outcome: 'unknown',
      failures: [
        { attempt: 1, error: errors[0], failure },
        { attempt: 2, error: errors[1], failure },
      ],
    });
    expect(isOutcomeUnknown(error)).toBe(true);
    expect(Object.keys(error as object)).toEqual(['code', 'n']);
  });

  it('3.16 hangs on a frozen error', async () => {
    const { clock, policy } = bench();
    const { work } = failing(() => Object.freeze(coded(REFUSED)));
    const error = await clock.runUntilSettled(rejection(policy.execute(work)));
    expect(retryInfo(error)).toMatchObject({
      attempts: 3,
      reason: 'exhausted',
      outcome: 'not-applied',
    });
  });

  it('is frozen, and of a stranger or a primitive there is none', async () => {
    const { clock, policy } = bench();
    const info = retryInfo(await clock.runUntilSettled(rejection(policy.execute(failing().work))));
    expect([info, info?.delaysMs, info?.failures].map(Object.isFrozen)).toEqual([true, true, true]);
    expect(['x', null, undefined, 5, new Error('x'), {}].map(retryInfo)).toEqual(
      Array(6).fill(undefined),
    );
    expect(isOutcomeUnknown(new Error('x'))).toBe(false);
    expect(isOutcomeUnknown('x')).toBe(false);
  });

  it('3.16 keeps at most the 8 latest failures and the 100 latest delays', async () => {
    const { clock, policy } = bench({
      maxAttempts: 150,
      baseDelayMs: 1,
      maxDelayMs: 200,
      backoffFactor: 1,
    });
    const delayMs = (_: Failure, attempt: { number: number }) => attempt.number;
    const { work, errors } = failing();
    const error = await clock.runUntilSettled(rejection(policy.execute(work, { delayMs })));
    const info = retryInfo(error);
    expect(info?.failures.map((f) => f.attempt)).toEqual([142, 143, 144, 145, 146, 147, 148, 149]);
    expect(info?.failures.map((f) => f.error)).toEqual(errors.slice(141, 149));
    expect(info?.delaysMs).toEqual(Array.from({ length: 100 }, (_, i) => i + 50));
  });

  it('3.16 a thrown primitive has its story in the event', async () => {
    const { clock, policy } = bench();
    const events: unknown[] = [];
    policy.on('exhausted', (event) => events.push(event));
    await clock.runUntilSettled(settled(policy.execute(failing(() => 'text').work)));
    expect(events).toMatchObject([{ error: 'text', attempts: 3, reason: 'exhausted' }]);
  });

  it('says for how long and which operation, named after the function if by nothing else', async () => {
    const { clock, policy } = bench({ maxAttempts: 1 });
    async function loadUsers(): Promise<never> {
      throw new Error('x');
    }
    const name = async (work: () => Promise<never>, call?: { operation: string }) =>
      retryInfo(await clock.runUntilSettled(rejection(policy.execute(work, call))))?.operation;
    expect(await name(loadUsers)).toBe('loadUsers');
    expect(await name(loadUsers, { operation: 'users.load' })).toBe('users.load');
    expect(
      await name(
        (
          () => async () =>
            Promise.reject(new Error('x'))
        )(),
      ),
    ).toBe('operation');
  });
});

describe('reasons', () => {
  const cut = () => coded(RESET);
  const cases: [string, Parameters<typeof bench>[0], () => unknown, object][] = [
    ['exhausted', {}, cut, { attempts: 3, outcome: 'unknown' }],
    [
      'exhausted',
      { maxAttempts: 1 },
      () => coded(REFUSED),
      { attempts: 1, outcome: 'not-applied' },
    ],
    ['permanent', {}, () => coded('EACCES'), { attempts: 1, outcome: 'not-applied' }],
    ['permanent', {}, () => new TypeError('bug'), { attempts: 1, outcome: 'unknown' }],
    ['outcome-unknown', { idempotent: false }, cut, { attempts: 1, outcome: 'unknown' }],
    ['deadline', { totalTimeoutMs: 2500 }, cut, { attempts: 2, delaysMs: [1000] }],
    ['budget', { budget: new RetryBudget({ ratio: 0, minPerSecond: 0 }) }, cut, { attempts: 1 }],
  ];
  it.each(cases)('%s under %j', async (reason, options, make, expected) => {
    const { clock, policy } = bench(options);
    const { work, errors } = failing(make);
    const error = await clock.runUntilSettled(rejection(policy.execute(work)));
    expect(error).toBe(errors.at(-1));
    expect(retryInfo(error)).toMatchObject({ reason, ...expected });
    expect(clock.pending).toBe(0);
  });

  it('idempotent: false still retries what was not applied', async () => {
    const { clock, policy } = bench({ idempotent: false });
    const { work, errors } = failing(() => coded(REFUSED));
    const error = await clock.runUntilSettled(rejection(policy.execute(work)));
    expect(errors).toHaveLength(3);
    expect(retryInfo(error)).toMatchObject({ reason: 'exhausted', outcome: 'not-applied' });
  });

  it('the word of a call about replay counts, both ways', async () => {
    const { clock, policy } = bench({ idempotent: false });
    const { work, errors } = failing(cut);
    await clock.runUntilSettled(settled(policy.execute(work, { idempotent: true })));
    expect(errors).toHaveLength(3);
    const other = bench();
    await other.clock.runUntilSettled(settled(other.policy.execute(work, { idempotent: false })));
    expect(errors).toHaveLength(4);
  });

  it('the same cut is retried where nothing had been sent', async () => {
    const { clock, policy } = bench({ idempotent: false });
    let calls = 0;
    const end = rejection(
      policy.execute((attempt) => {
        calls += 1;
        attempt.phase = calls < 3 ? 'connect' : 'commit';
        throw cut();
      }),
    );
    const error = await clock.runUntilSettled(end);
    expect(calls).toBe(3);
    expect(retryInfo(error)).toMatchObject({ reason: 'outcome-unknown', outcome: 'unknown' });
  });
});

describe('the outcome is folded over all attempts', () => {
  it.each([
    [[RESET, REFUSED, REFUSED], 'unknown'],
    [[REFUSED, RESET, REFUSED], 'unknown'],
    [[REFUSED, REFUSED, RESET], 'unknown'],
    [[REFUSED, REFUSED, REFUSED], 'not-applied'],
    [[RESET, 'EACCES'], 'unknown'],
    [[REFUSED, 'EACCES'], 'not-applied'],
  ])('%j is %s', async (codes, outcome) => {
    const { clock, policy } = bench();
    const work = failTimes(
      codes.map((code) => coded(code)),
      'v',
    );
    const error = await clock.runUntilSettled(rejection(policy.execute(work)));
    expect(retryInfo(error)?.outcome).toBe(outcome);
    expect(isOutcomeUnknown(error)).toBe(outcome === 'unknown');
  });
});

describe('retryIf and classify', () => {
  it('retryIf replaces the transient verdict, both ways, and sees the attempt', async () => {
    const { clock, policy } = bench();
    const seen: unknown[] = [];
    const { work, errors } = failing(() => new TypeError('flaky'));
    const retryIf = (error: unknown, attempt: { number: number }) => {
      seen.push([error, attempt.number]);
      return true;
    };
    await clock.runUntilSettled(settled(policy.execute(work, { retryIf })));
    expect(errors).toHaveLength(3);
    expect(seen).toEqual(errors.map((error, i) => [error, i + 1]));
    const never = failing(() => coded(REFUSED));
    const error = await rejection(policy.execute(never.work, { retryIf: () => false }));
    expect(never.errors).toHaveLength(1);
    expect(retryInfo(error)).toMatchObject({ reason: 'permanent', outcome: 'not-applied' });
  });

  it('retryIf does not answer the other half of the question', async () => {
    const { policy } = bench({ idempotent: false, retryIf: () => true });
    const { work, errors } = failing(() => coded(RESET));
    expect(retryInfo(await rejection(policy.execute(work)))?.reason).toBe('outcome-unknown');
    expect(errors).toHaveLength(1);
  });

  it('only true means true', async () => {
    const { policy } = bench({
      retryIf: (() => Promise.resolve(true)) as unknown as () => boolean,
    });
    const { work, errors } = failing();
    expect(retryInfo(await rejection(policy.execute(work)))?.reason).toBe('permanent');
    expect(errors).toHaveLength(1);
  });

  it('3.14 a retryIf that throws means not again; the original error surfaces with its own outcome', async () => {
    const { policy } = bench({
      retryIf: () => {
        throw new Error('bug in retryIf');
      },
    });
    const { work, errors } = failing(() => coded(REFUSED));
    const error = await rejection(policy.execute(work));
    expect(error).toBe(errors[0]);
    expect(errors).toHaveLength(1);
    expect(retryInfo(error)).toMatchObject({ reason: 'permanent', outcome: 'not-applied' });
  });

  it.each<[string, () => Failure]>([
    [
      'throws',
      () => {
        throw new Error('bug in classify');
      },
    ],
    ['returns nothing', () => undefined as unknown as Failure],
  ])(
    '3.14 a classify that %s means not again; the original error surfaces',
    async (_name, classify) => {
      const { policy } = bench({ classify, retryIf: () => true });
      const { work, errors } = failing();
      const error = await rejection(policy.execute(work));
      expect(error).toBe(errors[0]);
      expect(retryInfo(error)).toMatchObject({
        attempts: 1,
        reason: 'permanent',
        outcome: 'unknown',
      });
      const unsent = await rejection(
        policy.execute((attempt) => {
          attempt.phase = 'connect';
          throw new Error('x');
        }),
      );
      expect(retryInfo(unsent)?.outcome).toBe('not-applied');
    },
  );

  it('classify is told the phase; that of the call goes before that of the policy', async () => {
    const verdict: Failure = { category: 'conflict', transient: false, outcome: 'not-applied' };
    const ofPolicy = vi.fn(() => verdict);
    const ofCall = vi.fn(() => verdict);
    const { policy } = bench({ classify: ofPolicy });
    const error = new Error('x');
    const work = (attempt: { phase: string }): never => {
      attempt.phase = 'commit';
      throw error;
    };
    await rejection(policy.execute(work));
    expect(ofPolicy.mock.calls).toEqual([[error, 'commit']]);
    await rejection(policy.execute(work, { classify: ofCall }));
    expect(ofCall.mock.calls).toEqual([[error, 'commit']]);
    expect(ofPolicy).toHaveBeenCalledTimes(1);
  });

  it('a cancellation by the work itself is not retried', async () => {
    const { policy } = bench();
    const { work, errors } = failing(() => new DOMException('stopped', 'AbortError'));
    expect(retryInfo(await rejection(policy.execute(work)))?.reason).toBe('permanent');
    expect(errors).toHaveLength(1);
  });
});

describe('hints of the server', () => {
  const hinted = (retryAfterMs: number) => ({
    classify: (): Failure => ({
      category: 'throttled',
      transient: true,
      outcome: 'not-applied',
      retryAfterMs,
    }),
  });

  it('3.11 replace the backoff, without jitter', async () => {
    const { clock, policy, delays } = bench({ ...hinted(1234), jitter: 'full' });
    const error = await clock.runUntilSettled(rejection(policy.execute(failing().work)));
    expect(delays).toEqual([1234, 1234]);
    expect(retryInfo(error)).toMatchObject({ reason: 'exhausted', retryAfterMs: 1234 });
  });

  it.each([0, Number.NaN])('3.11 %d is no hint', async (retryAfterMs) => {
    const { clock, policy, delays } = bench(hinted(retryAfterMs));
    await clock.runUntilSettled(settled(policy.execute(failing().work)));
    expect(delays).toEqual([1000, 2000]);
  });

  it.each([-1, 30_001, Infinity, -Infinity])(
    '3.11 %d fails now, as retry-after, and the error carries it',
    async (retryAfterMs) => {
      const { clock, policy, delays } = bench(hinted(retryAfterMs));
      const { work, errors } = failing();
      const error = await rejection(policy.execute(work));
      expect(error).toBe(errors[0]);
      expect(errors).toHaveLength(1);
      expect(delays).toEqual([]);
      expect(clock.pending).toBe(0);
      expect(retryInfo(error)).toMatchObject({ reason: 'retry-after', retryAfterMs });
    },
  );

  it('3.11 one of exactly maxDelayMs is slept', async () => {
    const { clock, policy, delays } = bench({ ...hinted(30_000), maxAttempts: 2 });
    await clock.runUntilSettled(settled(policy.execute(failing().work)));
    expect(delays).toEqual([30_000]);
  });

  it.each([5000, 6000])(
    '3.11 %d is not slept if the deadline of 5000 comes first',
    async (retryAfterMs) => {
      const { clock, policy, delays } = bench({ ...hinted(retryAfterMs), totalTimeoutMs: 5000 });
      const error = await rejection(policy.execute(failing().work));
      expect(delays).toEqual([]);
      expect(clock.pending).toBe(0);
      expect(retryInfo(error)).toMatchObject({ reason: 'retry-after', retryAfterMs });
    },
  );
});

describe('delays', () => {
  it('the option delayMs replaces the backoff, but not the bound', async () => {
    const own: Record<number, number | undefined> = {
      1: 5,
      2: undefined,
      3: 1e9,
      4: -1,
      5: Number.NaN,
      6: 0,
    };
    const { clock, policy, delays } = bench({
      maxAttempts: 7,
      delayMs: (_failure, attempt) => own[attempt.number],
    });
    await clock.runUntilSettled(settled(policy.execute(failing().work)));
    expect(delays).toEqual([5, 2000, 30_000, 8000, 16_000, 0]);
  });

  it('3.14 a delayMs that throws leaves it to the backoff', async () => {
    const { clock, policy, delays } = bench({
      delayMs: () => {
        throw new Error('bug');
      },
    });
    await clock.runUntilSettled(settled(policy.execute(failing().work)));
    expect(delays).toEqual([1000, 2000]);
  });

  it('takes jitter from the injected random', async () => {
    for (const [random, expected] of [
      [0, [500, 1000]],
      [0.5, [1000, 2000]],
      [0.75, [1250, 2500]],
    ] as const) {
      const { clock, policy, delays } = bench({ jitter: 0.5, random: () => random });
      await clock.runUntilSettled(settled(policy.execute(failing().work)));
      expect(delays).toEqual(expected);
    }
  });

  it('decorrelated jitter goes on from the delay before', async () => {
    const { clock, policy, delays } = bench({
      jitter: 'decorrelated',
      random: () => 1,
      maxAttempts: 5,
    });
    await clock.runUntilSettled(settled(policy.execute(failing().work)));
    expect(delays).toEqual([2000, 4000, 8000, 16_000]);
  });

  it('3.12 a delay of zero sets no timer for a few retries, then yields to the event loop', async () => {
    const { clock, policy } = bench({ baseDelayMs: 0, maxAttempts: 17 });
    const set = vi.spyOn(clock, 'setTimeout');
    const work = failTimes(16, 'v');
    const end = policy.execute(work);
    await turn();
    expect(work.calls).toBe(8);
    expect(set).toHaveBeenCalledTimes(1);
    expect(await clock.runUntilSettled(end)).toBe('v');
    expect(set.mock.calls.map((call) => call[1])).toEqual([0, 0]);
  });

  it('3.12 a synchronous failure without delay does not starve the event loop', async () => {
    const controller = new AbortController();
    setImmediate(() => controller.abort('enough'));
    let calls = 0;
    const end = retry(
      () => {
        calls += 1;
        if (calls > 1e6) throw new TypeError('starved');
        throw new Error('x');
      },
      { maxAttempts: Infinity, baseDelayMs: 0, signal: controller.signal },
    );
    expect(await rejection(end)).toBe('enough');
  });
});

describe('wrap', () => {
  it('keeps this, arguments and the name', async () => {
    const { clock, policy } = bench();
    class Repository {
      calls = 0;
      readonly prefix = 'user';
      async load(id: number): Promise<string> {
        this.calls += 1;
        if (this.calls < 2) throw coded(REFUSED);
        return `${this.prefix} ${id}`;
      }
    }
    const repository = new Repository();
    const names: string[] = [];
    policy.on('success', (event) => names.push(event.operation));
    const load = policy.wrap(repository.load);
    expect(await clock.runUntilSettled(load.call(repository, 7))).toBe('user 7');
    expect(repository.calls).toBe(2);
    expect(names).toEqual(['load']);
    expect(load.name).toBe('load');
  });

  it('the names given go before that of the function', async () => {
    async function load(): Promise<number> {
      return 1;
    }
    const names: string[] = [];
    for (const [options, call] of [
      [{}, { operation: 'of the call' }],
      [{ operation: 'of the policy' }, undefined],
      [{}, undefined],
    ] as const) {
      const { policy } = bench(options);
      policy.on('success', (event) => names.push(event.operation));
      await policy.wrap(load, call)();
    }
    expect(names).toEqual(['of the call', 'of the policy', 'load']);
    const { policy } = bench();
    policy.on('success', (event) => names.push(event.operation));
    await policy.wrap(
      (
        () => () =>
          1
      )(),
    )();
    expect(names.at(-1)).toBe('operation');
  });

  it('passes call options on', async () => {
    const { policy } = bench();
    const { work, errors } = failing();
    await rejection(policy.wrap(work, { maxAttempts: 1 })());
    expect(errors).toHaveLength(1);
  });
});

describe('3.19 the signal of an attempt', () => {
  it('is its own, and made when first read', async () => {
    const { clock, policy } = bench();
    const made = vi.spyOn(globalThis, 'AbortController');
    try {
      await clock.runUntilSettled(policy.execute(failTimes(2, 'v')));
      expect(made).not.toHaveBeenCalled();
    } finally {
      made.mockRestore();
    }
    const signals: AbortSignal[] = [];
    const work = (attempt: { signal: AbortSignal }): never => {
      signals.push(attempt.signal, attempt.signal);
      throw new Error('x');
    };
    await clock.runUntilSettled(settled(policy.execute(work)));
    expect(new Set(signals).size).toBe(3);
    expect(signals.some((signal) => signal.aborted)).toBe(false);
  });
});

describe('the policy', () => {
  it('does not change the options that it is given, and cannot be changed through them', () => {
    const options = Object.freeze({ maxAttempts: 2 });
    expect(new RetryPolicy(options).settings.maxAttempts).toBe(2);
    const { settings } = new RetryPolicy();
    expect(Object.isFrozen(settings)).toBe(true);
  });

  it('after close() calls are refused without being made', async () => {
    const { policy } = bench();
    policy.close();
    const work = vi.fn(async () => 1);
    expect(isClosedError(await rejection(policy.execute(work)))).toBe(true);
    expect(work).not.toHaveBeenCalled();
  });
});
