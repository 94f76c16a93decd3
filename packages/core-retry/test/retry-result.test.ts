import {
  type CallOptions,
  type ExhaustedEvent,
  isDeadlineExceededError,
  type PolicyEvent,
  type RetryOptions,
  retryInfo,
} from '@outlast/core-retry';
import { describe, expect, it, vi } from 'vitest';
import { bench, coded, RESET, rejection, settled } from './helpers.js';

/** A value that says whether it was disposed of. */
class Held {
  readonly name: string;
  readonly log: string[];

  constructor(name: string, log: string[]) {
    this.name = name;
    this.log = log;
  }

  [Symbol.dispose](): void {
    this.log.push(this.name);
  }
}

/** Returns the values, or throws the errors, in turn. */
function inTurn<T>(...ends: readonly (T | Error)[]) {
  let calls = 0;
  return async (): Promise<T> => {
    const end = ends[Math.min(calls++, ends.length - 1)];
    if (end instanceof Error) throw end;
    return end as T;
  };
}

const pending = (value: unknown): boolean => value === 'pending';
// With and without bounds: two paths, one behaviour.
const BOTH: readonly (readonly [string, RetryOptions])[] = [
  ['plain', {}],
  ['bounded', { totalTimeoutMs: 1e6 }],
];

describe.each(BOTH)('retryResult (%s)', (_name, bounds) => {
  it('sends a value back until it is good', async () => {
    const { clock, policy, delays } = bench({ retryResult: pending, ...bounds });
    const work = inTurn('pending', 'pending', 'done');
    expect(await clock.runUntilSettled(policy.execute(work))).toBe('done');
    expect(delays).toEqual([1000, 2000]);
  });

  it('exhausted returns the last value, and tells', async () => {
    const { clock, policy } = bench({ retryResult: pending, maxAttempts: 2, ...bounds });
    const events: PolicyEvent[] = [];
    for (const type of ['retry', 'success', 'exhausted', 'outcomeUnknown'] as const) {
      policy.on(type, (event) => events.push(event));
    }
    expect(await clock.runUntilSettled(policy.execute(inTurn('pending')))).toBe('pending');
    const failure = {
      category: 'unknown',
      transient: true,
      outcome: 'unknown',
      code: 'RETRY_RESULT',
    };
    expect(events).toMatchObject([
      { type: 'retry', attempt: 1, delayMs: 1000, error: undefined, failure },
      {
        type: 'exhausted',
        reason: 'exhausted',
        attempts: 2,
        error: undefined,
        failure,
        failures: [{ attempt: 1, error: undefined, failure }],
      },
    ]);
  });

  it('of a call is for that call', async () => {
    const { clock, policy } = bench(bounds);
    const call = { retryResult: (value: number) => value < 3 };
    expect(await clock.runUntilSettled(policy.execute(inTurn(1, 2, 3), call))).toBe(3);
    expect(await policy.execute(inTurn(1, 2, 3))).toBe(1);
  });

  it('errors and values mix, and are told apart', async () => {
    const { clock, policy } = bench({ retryResult: pending, maxAttempts: 4, ...bounds });
    const [first, last] = [coded(RESET), coded(RESET)];
    const end = await clock.runUntilSettled(
      settled(policy.execute(inTurn<string>(first, 'pending', 'pending', last))),
    );
    expect(end).toEqual({ ok: false, error: last });
    const { failures, outcome } = retryInfo(last) ?? {};
    expect(failures).toMatchObject([
      { attempt: 1, error: first },
      { attempt: 2, error: undefined, failure: { code: 'RETRY_RESULT' } },
      { attempt: 3, error: undefined, failure: { code: 'RETRY_RESULT' } },
    ]);
    expect(outcome).toBe('unknown');
    const value = policy.execute(inTurn<string>(coded(RESET), 'pending', coded(RESET), 'pending'));
    expect(await clock.runUntilSettled(value)).toBe('pending');
  });

  it('idempotent: false returns the first value as it is: it has done its work', async () => {
    const { clock, policy } = bench({ retryResult: pending, idempotent: false, ...bounds });
    const resolve = vi.fn();
    const events: ExhaustedEvent[] = [];
    policy.on('exhausted', (event) => events.push(event));
    const end = policy.execute(inTurn('pending', 'done'), { resolve });
    expect(await clock.runUntilSettled(end)).toBe('pending');
    expect(resolve).not.toHaveBeenCalled();
    expect(events).toMatchObject([{ reason: 'permanent', attempts: 1 }]);
  });

  it('that throws, or promises, wants every value', async () => {
    const { policy } = bench(bounds);
    const bad: CallOptions<string>[] = [
      {
        retryResult: () => {
          throw new Error('hook');
        },
      },
      { retryResult: (async () => true) as never },
      { retryResult: (() => 'yes') as never },
    ];
    for (const call of bad) expect(await policy.execute(inTurn('pending'), call)).toBe('pending');
  });

  it('looks at undefined and null too', async () => {
    const { clock, policy } = bench({ retryResult: (value) => value == null, ...bounds });
    expect(await clock.runUntilSettled(policy.execute(inTurn<unknown>(undefined, null, 0)))).toBe(
      0,
    );
    expect(await clock.runUntilSettled(policy.execute(inTurn<unknown>(undefined)))).toBeUndefined();
  });

  it('a value is no retryIf, retryOn or retryCategories matter', async () => {
    const retryIf = vi.fn(() => false);
    const { clock, policy } = bench({ retryResult: pending, retryIf, retryOn: [], ...bounds });
    expect(await clock.runUntilSettled(policy.execute(inTurn('pending', 'done')))).toBe('done');
    expect(retryIf).not.toHaveBeenCalled();
  });

  it('the thrown away are disposed of before the next attempt; who is returned is not', async () => {
    const log: string[] = [];
    const { clock, policy } = bench({ retryResult: () => true, ...bounds });
    const values = ['a', 'b', 'c'].map((name) => new Held(name, log));
    let calls = 0;
    const end = policy.execute(async () => {
      log.push(`call ${calls + 1}`);
      return values[calls++] as Held;
    });
    expect(await clock.runUntilSettled(end)).toBe(values[2]);
    expect(log).toEqual(['call 1', 'a', 'call 2', 'b', 'call 3']);
  });

  it('asyncDispose goes before dispose, once; what it throws or rejects with is ignored', async () => {
    const log: string[] = [];
    const both = (end: () => unknown) => ({
      [Symbol.asyncDispose]: () => {
        log.push('async');
        return end();
      },
      [Symbol.dispose]: () => log.push('sync'),
    });
    const { clock, policy } = bench({
      retryResult: (it) => it !== 'done',
      maxAttempts: 9,
      ...bounds,
    });
    const work = inTurn<unknown>(
      both(() => undefined),
      both(() => Promise.reject(new Error('rejects'))),
      both(() => {
        throw new Error('throws');
      }),
      { [Symbol.dispose]: 5 },
      Object.defineProperty({}, Symbol.dispose, {
        get: () => {
          throw new Error('getter');
        },
      }),
      null,
      'done',
    );
    expect(await clock.runUntilSettled(policy.execute(work))).toBe('done');
    expect(log).toEqual(['async', 'async', 'async']);
  });

  it('an abort while it sleeps surfaces the reason, with the value in no list', async () => {
    const log: string[] = [];
    const { clock, policy } = bench({ retryResult: () => true, ...bounds });
    const controller = new AbortController();
    const { signal } = controller;
    const end = settled(policy.execute(inTurn(new Held('a', log)), { signal }));
    await clock.advance(10);
    const reason = new Error('gone');
    controller.abort(reason);
    expect(await end).toEqual({ ok: false, error: reason });
    expect(retryInfo(reason)?.failures).toEqual([
      { attempt: 1, error: undefined, failure: expect.objectContaining({ code: 'RETRY_RESULT' }) },
    ]);
    expect(log).toEqual(['a']);
  });

  it('close() while it sleeps surfaces ClosedError', async () => {
    const log: string[] = [];
    const { clock, policy } = bench({ retryResult: () => true, ...bounds });
    const end = settled(policy.execute(inTurn(new Held('a', log))));
    await clock.advance(10);
    policy.close();
    expect(await end).toMatchObject({ ok: false, error: { code: 'OUTLAST_CLOSED' } });
    expect(log).toEqual(['a']);
  });

  it('an abort by the hook that is asked for the delay disposes of the value, once', async () => {
    const log: string[] = [];
    for (const hook of ['delayMs', 'onRetry'] as const) {
      const controller = new AbortController();
      const { policy } = bench({
        retryResult: () => true,
        signal: controller.signal,
        [hook]: () => {
          controller.abort('gone');
          return undefined;
        },
        ...bounds,
      });
      expect(await rejection(policy.execute(inTurn(new Held(hook, log))))).toBe('gone');
    }
    expect(log).toEqual(['delayMs', 'onRetry']);
  });
});

describe('retryResult and the deadline', () => {
  it('a delay that would reach it is not slept: the last value is returned', async () => {
    const log: string[] = [];
    const { clock, policy } = bench({ retryResult: () => true, totalTimeoutMs: 2500 });
    const values = ['a', 'b'].map((name) => new Held(name, log));
    const events: string[] = [];
    policy.on('exhausted', ({ reason }) => events.push(reason));
    const end = await clock.runUntilSettled(policy.execute(inTurn(...values)));
    expect(end).toBe(values[1]);
    expect([log, events, clock.now()]).toEqual([['a'], ['deadline'], 1000]);
  });

  /** The first value is unwanted; the next attempt never ends. */
  function thenHangs<T>(value: T) {
    let calls = 0;
    return () => {
      calls += 1;
      return calls === 1 ? Promise.resolve(value) : new Promise<T>(() => {});
    };
  }

  it('an attempt that it cuts leaves the value before it to be returned', async () => {
    const { clock, policy } = bench({ retryResult: pending, totalTimeoutMs: 2500 });
    expect(await clock.runUntilSettled(policy.execute(thenHangs('pending')))).toBe('pending');
    expect(clock.now()).toBe(2500);
  });

  it('unless that was disposed of: nobody is handed what is no longer good', async () => {
    const log: string[] = [];
    const { clock, policy } = bench({ retryResult: () => true, totalTimeoutMs: 2500 });
    const end = rejection(policy.execute(thenHangs(new Held('a', log))));
    const error = await clock.runUntilSettled(end);
    expect(isDeadlineExceededError(error)).toBe(true);
    expect(log).toEqual(['a']);
    expect(retryInfo(error)).toMatchObject({
      reason: 'deadline',
      attempts: 2,
      failures: [{ attempt: 1, error: undefined }],
    });
  });
});
