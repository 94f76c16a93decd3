import { inspect } from 'node:util';
import { isOutcomeUnknown, type RetryInfo, RetryPolicy, retryInfo } from '@outlast/core-retry';
import { mark, markCall } from '@outlast/core-retry/connector';
import { failTimes, ManualClock } from '@outlast/core-retry/testing';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { bench, coded, REFUSED, RESET, rejection, settled } from './helpers.js';

const once = { maxAttempts: 1 } as const;

/** Fails with the shared error, before or after it was sent. */
function failWith(
  policy: RetryPolicy,
  error: unknown,
  phase: 'connect' | 'sent',
): Promise<unknown> {
  return rejection(
    policy.execute((attempt) => {
      attempt.phase = phase;
      throw error;
    }),
  );
}

const info = (outcome: RetryInfo['outcome']): RetryInfo => ({
  operation: 'x',
  attempts: 1,
  elapsedMs: 0,
  delaysMs: [],
  reason: 'exhausted',
  outcome,
  failures: [],
});

describe('a mark belongs to one operation', () => {
  it.each([
    ['sent', 'connect', 'unknown', 'not-applied'],
    ['connect', 'sent', 'not-applied', 'unknown'],
  ] as const)('one error for two operations: %s, then %s', async (first, second, one, two) => {
    const { policy } = bench(once);
    const shared = coded(RESET);
    const a = await failWith(policy, shared, first);
    const b = await failWith(policy, shared, second);
    expect(a).toBe(shared);
    expect(b).not.toBe(shared);
    expect(retryInfo(a)?.outcome).toBe(one);
    expect(retryInfo(b)?.outcome).toBe(two);
    expect([isOutcomeUnknown(a), isOutcomeUnknown(b)]).toEqual([
      one === 'unknown',
      two === 'unknown',
    ]);
  });

  it('with the same outcome the same object surfaces', async () => {
    const { policy } = bench(once);
    const shared = coded(RESET);
    expect(await failWith(policy, shared, 'sent')).toBe(shared);
    expect(await failWith(policy, shared, 'sent')).toBe(shared);
  });

  it('of a hundred operations each knows its own outcome', async () => {
    const { policy } = bench(once);
    const shared = coded(RESET);
    const phases = Array.from(
      { length: 100 },
      (_, i) => (i % 3 === 0 ? 'sent' : 'connect') as 'sent',
    );
    const errors = await Promise.all(phases.map((phase) => failWith(policy, shared, phase)));
    expect(errors.map(isOutcomeUnknown)).toEqual(phases.map((phase) => phase === 'sent'));
  });

  class DriverError extends Error {
    readonly #secret = 7;
    readonly severity = 'FATAL';
    constructor(message: string, options?: ErrorOptions) {
      super(message, options);
      Object.defineProperty(this, 'hidden', { value: 'h', enumerable: false });
    }
    get twice(): string {
      return this.severity + this.severity;
    }
    static secretOf(error: DriverError): number {
      return error.#secret;
    }
  }

  function copyOf(error: object): object {
    mark(error, info('unknown'), {}, {});
    return mark(error, info('not-applied'), {}, {}) as object;
  }

  it('the copy has prototype, own properties, stack and the original as its cause', () => {
    const original = Object.assign(new DriverError('gone', { cause: 'an older cause' }), {
      code: '57P01',
    });
    expect(DriverError.secretOf(original)).toBe(7);
    const copy = copyOf(original) as DriverError & { code: string; hidden: string };
    expect(copy).not.toBe(original);
    expect(copy).toBeInstanceOf(DriverError);
    expect(Object.getPrototypeOf(copy)).toBe(DriverError.prototype);
    expect([copy.message, copy.code, copy.severity, copy.hidden, copy.twice]).toEqual([
      'gone',
      '57P01',
      'FATAL',
      'h',
      'FATALFATAL',
    ]);
    expect(Object.keys(copy)).toEqual(Object.keys(original));
    expect(copy.stack).toBe(original.stack);
    expect(copy.cause).toBe(original);
    expect(original.cause).toBe('an older cause');
    expect(retryInfo(original)?.outcome).toBe('unknown');
    expect(inspect(copy)).toContain('57P01');
  });

  it('the copy of a frozen error can be made', () => {
    const original = Object.freeze(Object.assign(new Error('frozen', { cause: 1 }), { code: 'X' }));
    const copy = copyOf(original) as typeof original;
    expect(copy).not.toBe(original);
    expect([copy.message, copy.code, copy.stack, copy.cause]).toEqual([
      'frozen',
      'X',
      original.stack,
      original,
    ]);
    expect(retryInfo(copy)?.outcome).toBe('not-applied');
  });

  it('the copy of a DOMException still is one that works', () => {
    const original = Object.assign(new DOMException('stop', 'AbortError'), { extra: 1 });
    const copy = copyOf(original) as typeof original;
    expect(copy).not.toBe(original);
    expect(copy).toBeInstanceOf(DOMException);
    expect([copy.name, copy.message, copy.code, copy.extra]).toEqual(['AbortError', 'stop', 20, 1]);
    expect([copy.stack, (copy as Error).cause]).toEqual([original.stack, original]);
  });

  it('the copy of what is no Error has its properties', () => {
    const copy = copyOf({ code: 'X' });
    expect(copy).toMatchObject({ code: 'X' });
  });

  it('3.13 what cannot be copied surfaces as it is', () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    expect(copyOf(proxy) === proxy).toBe(true);
    expect(retryInfo(proxy)?.outcome).toBe('not-applied');
  });

  it('the same operation may change its mind without a copy', () => {
    const error = new Error('x');
    const token = {};
    mark(error, info('unknown'), {}, token);
    expect(mark(error, info('not-applied'), {}, token)).toBe(error);
    expect(retryInfo(error)?.outcome).toBe('not-applied');
  });

  it('a primitive is not marked', () => {
    expect(mark('text', info('unknown'), {}, {})).toBe('text');
    expect(retryInfo('text')).toBeUndefined();
  });

  it('3.16 writes nothing on the error', () => {
    const error = coded(RESET);
    const before = Reflect.ownKeys(error);
    mark(error, info('unknown'), {}, {});
    expect(Reflect.ownKeys(error)).toEqual(before);
  });
});

describe('3.25 retries do not multiply across layers', () => {
  function layers(outerOptions = {}) {
    const clock = new ManualClock();
    const common = { clock, jitter: false } as const;
    const inner = new RetryPolicy({ ...common, operation: 'inner' });
    const outer = new RetryPolicy({ ...common, operation: 'outer', ...outerOptions });
    return { clock, inner, outer };
  }

  it('3.25 what exhausted an inner policy is not retried by the outer one: three calls, not nine', async () => {
    const { clock, inner, outer } = layers();
    const work = failTimes(100, 'v');
    const error = await clock.runUntilSettled(rejection(outer.execute(() => inner.execute(work))));
    expect(work.calls).toBe(3);
    expect(retryInfo(error)).toMatchObject({
      operation: 'outer',
      attempts: 1,
      reason: 'exhausted',
    });
  });

  it('3.25 nor across three layers', async () => {
    const { clock, inner, outer } = layers();
    const outermost = new RetryPolicy({ clock });
    const work = failTimes(100, 'v');
    const end = outermost.execute(() => outer.execute(() => inner.execute(work)));
    await clock.runUntilSettled(settled(end));
    expect(work.calls).toBe(3);
  });

  it('3.25 the reason and the outcome of the inner policy are handed on', async () => {
    const { inner, outer } = layers();
    const permanent = outer.execute(() => inner.execute(() => Promise.reject(coded('EACCES'))));
    expect(retryInfo(await rejection(permanent))).toMatchObject({
      reason: 'permanent',
      outcome: 'not-applied',
    });
    const lost = outer.execute(() =>
      inner.execute(() => Promise.reject(coded(RESET)), { idempotent: false }),
    );
    expect(retryInfo(await rejection(lost))).toMatchObject({
      operation: 'outer',
      reason: 'outcome-unknown',
      outcome: 'unknown',
    });
  });

  it('3.25 of the inner outcome the outer fold makes its own', async () => {
    const { clock, inner, outer } = layers();
    // Inside it was unknown once; the last error alone would say not applied.
    const work = failTimes([coded(RESET), coded(REFUSED), coded(REFUSED)], 'v');
    const error = await clock.runUntilSettled(rejection(outer.execute(() => inner.execute(work))));
    expect(retryInfo(error)).toMatchObject({ operation: 'outer', outcome: 'unknown' });
  });

  it('3.25 retryIf overrides: nine calls', async () => {
    const { clock, inner, outer } = layers({ retryIf: () => true });
    const work = failTimes(100, 'v');
    await clock.runUntilSettled(settled(outer.execute(() => inner.execute(work))));
    expect(work.calls).toBe(9);
  });

  it('3.25 retryIf does not override the other half of the question', async () => {
    const { clock, inner, outer } = layers({ retryIf: () => true, idempotent: false });
    const work = failTimes([coded(RESET), coded(REFUSED), coded(REFUSED)], 'v');
    const error = await clock.runUntilSettled(rejection(outer.execute(() => inner.execute(work))));
    expect(work.calls).toBe(3);
    expect(retryInfo(error)).toMatchObject({ reason: 'outcome-unknown', outcome: 'unknown' });
  });

  it('3.25 a shared error object that is thrown again later is retried', async () => {
    const { clock, inner, outer } = layers();
    const shared = coded(REFUSED);
    await clock.runUntilSettled(settled(inner.execute(() => Promise.reject(shared))));
    expect(retryInfo(shared)?.reason).toBe('exhausted');
    const work = failTimes([shared, shared], 'v');
    expect(await clock.runUntilSettled(outer.execute(work))).toBe('v');
    expect(work.calls).toBe(3);
  });

  it('3.25 that another operation of the same policy gave up on a shared error ends nobody else', async () => {
    const { clock, policy } = bench();
    const shared = coded(REFUSED);
    let fail: (error: Error) => void = () => {};
    let calls = 0;
    const slow = policy.execute(() => {
      calls += 1;
      if (calls > 1) return 'v';
      return new Promise<string>((_, reject) => {
        fail = reject;
      });
    });
    const quick = policy.execute(() => Promise.reject(shared), { maxAttempts: 1 });
    expect(retryInfo(await rejection(quick))?.reason).toBe('exhausted');
    fail(shared);
    expect(await clock.runUntilSettled(slow)).toBe('v');
    expect(calls).toBe(2);
  });

  it('3.25 an error of an inner policy that is wrapped in another is a new one', async () => {
    const { clock, inner, outer } = layers();
    const work = failTimes(100, 'v');
    const wrapping = async () => {
      try {
        return await inner.execute(work);
      } catch (cause) {
        throw new Error('wrapped', { cause });
      }
    };
    await clock.runUntilSettled(settled(outer.execute(wrapping)));
    expect(work.calls).toBe(9);
  });

  it.each([
    ['not-applied', 3],
    ['unknown', 1],
  ] as const)(
    '3.25 what a connector only marked, as nobody’s to repeat, is judged by the outer one: %s',
    async (outcome, calls) => {
      const { clock, outer } = layers({ idempotent: false });
      const work = failTimes([coded(REFUSED), coded(REFUSED)], 'v');
      const marking = async () => {
        try {
          return await work();
        } catch (error) {
          const call = { operation: 'call', elapsedMs: 0, reason: 'exhausted', outcome } as const;
          throw markCall(error, { ...call, repeatable: true }, work);
        }
      };
      await clock.runUntilSettled(settled(outer.execute(marking)));
      expect(work.calls).toBe(calls);
    },
  );

  it('3.4 what the inner policy was made to give up by its attempt is judged by the outer one', async () => {
    const { clock, inner, outer } = layers({ attemptTimeoutMs: 50 });
    let calls = 0;
    const work = () => {
      calls += 1;
      return calls < 3 ? new Promise<string>(() => {}) : 'v';
    };
    const end = outer.execute((attempt) => inner.execute(work, { signal: attempt.signal }));
    expect(await clock.runUntilSettled(end)).toBe('v');
    expect(calls).toBe(3);
  });
});

describe('two copies of the package', () => {
  afterEach(() => {
    vi.resetModules();
  });

  async function secondCopy() {
    vi.resetModules();
    const copy = await import('../src/index.js');
    expect(copy.RetryPolicy).not.toBe(RetryPolicy);
    return copy;
  }

  it("read each other's marks", async () => {
    const other = await secondCopy();
    const { policy } = bench(once);
    const error = await rejection(policy.execute(failTimes([coded(RESET)], '')));
    expect(other.retryInfo(error)).toBe(retryInfo(error));
    expect(other.isOutcomeUnknown(error)).toBe(true);
  });

  it('3.25 do not multiply retries', async () => {
    const other = await secondCopy();
    const clock = new ManualClock();
    const work = failTimes(100, 'v');
    const inner = new other.RetryPolicy({ clock });
    const outer = new RetryPolicy({ clock });
    await clock.runUntilSettled(settled(outer.execute(() => inner.execute(work))));
    expect(work.calls).toBe(3);
  });

  it('one error shared between them is copied for the second', async () => {
    const other = await secondCopy();
    const shared = coded(RESET);
    const a = await failWith(bench(once).policy, shared, 'sent');
    const b = await failWith(
      new other.RetryPolicy(once) as unknown as RetryPolicy,
      shared,
      'connect',
    );
    expect(a).toBe(shared);
    expect(b).not.toBe(shared);
    expect([isOutcomeUnknown(a), isOutcomeUnknown(b)]).toEqual([true, false]);
  });
});
