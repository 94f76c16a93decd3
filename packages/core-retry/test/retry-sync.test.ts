import { readFileSync } from 'node:fs';
import {
  Bulkhead,
  CircuitBreaker,
  isBulkheadFullError,
  isCircuitOpenError,
  isClosedError,
  isOptionError,
  type PolicyEvent,
  RetryBudget,
  RetryPolicy,
  retry,
  retryInfo,
  retrySync,
  type SyncOptions,
} from '@outlast/core-retry';
import { ManualClock } from '@outlast/core-retry/testing';
import { describe, expect, it, vi } from 'vitest';
import { coded, RESET, rejection } from './helpers.js';

/** Throws the errors in turn, then returns the value. */
function inTurn<T>(errors: number | readonly unknown[], value: T): (() => T) & { calls: number } {
  const list = typeof errors === 'number' ? Array(errors).fill(coded(RESET)) : errors;
  const work = () => {
    work.calls += 1;
    if (work.calls <= list.length) throw list[work.calls - 1];
    return value;
  };
  work.calls = 0;
  return work;
}

function thrownBy(fn: () => unknown): unknown {
  try {
    fn();
  } catch (error) {
    return error;
  }
  throw new Error('expected it to throw');
}

/** A clock whose thread sleeps, and what it slept. */
function blocked(options: SyncOptions = {}) {
  const clock = new ManualClock();
  const slept: number[] = [];
  const sleepSync = clock.sleepSync.bind(clock);
  clock.sleepSync = (ms) => {
    slept.push(ms);
    sleepSync(ms);
  };
  return { clock, slept, options: { clock, jitter: false, ...options } as const };
}

describe('retrySync', () => {
  it('returns the value after retries, and blocks in between', () => {
    const { clock, slept, options } = blocked();
    const work = inTurn(2, 'value');
    expect(retrySync(work, options)).toBe('value');
    expect([work.calls, slept, clock.now(), clock.pending]).toEqual([3, [1000, 2000], 3000, 0]);
  });

  it('blocks the thread of the machine for as long as it says', () => {
    const wait = vi.spyOn(Atomics, 'wait');
    expect(retrySync(inTurn(2, 'value'), { baseDelayMs: 2, jitter: false })).toBe('value');
    expect(wait.mock.calls.map(([, , , ms]) => ms)).toEqual([2, 4]);
    expect(wait.mock.results.map(({ value }) => value)).toEqual(['timed-out', 'timed-out']);
    wait.mockRestore();
  });

  it('without a delay does not block at all', () => {
    const wait = vi.spyOn(Atomics, 'wait');
    expect(retrySync(inTurn(2, 'value'), { baseDelayMs: 0 })).toBe('value');
    expect(wait).not.toHaveBeenCalled();
    wait.mockRestore();
  });

  it('exhausted throws the last error as it was thrown, with the same story as retry()', async () => {
    const errors = [coded(RESET), coded('ECONNREFUSED'), coded(RESET)];
    const { options } = blocked({ operation: 'op' });
    expect(thrownBy(() => retrySync(inTurn(errors, 'v'), options))).toBe(errors[2]);
    const sync = retryInfo(errors[2]);
    const clock = new ManualClock();
    const again = [coded(RESET), coded('ECONNREFUSED'), coded(RESET)];
    const end = rejection(
      retry(async () => inTurn(again.splice(0, 1), 'v')(), { ...options, clock }),
    );
    const asynchronous = retryInfo(await clock.runUntilSettled(end));
    const { failures: ofSync, ...restOfSync } = sync ?? {};
    const { failures: ofAsync, ...restOfAsync } = asynchronous ?? {};
    expect(restOfSync).toEqual(restOfAsync);
    expect(ofSync?.map(({ failure }) => failure)).toEqual(ofAsync?.map(({ failure }) => failure));
    expect(restOfSync).toMatchObject({ reason: 'exhausted', attempts: 3, outcome: 'unknown' });
  });

  it('tells what happens as retry() does, the first attempt included', () => {
    const { options } = blocked();
    const policy = new RetryPolicy(options);
    const seen: string[] = [];
    const note = (event: PolicyEvent) => {
      seen.push(`${event.type} ${'attempt' in event ? event.attempt : ''}`.trim());
    };
    for (const type of ['attempt', 'retry', 'success', 'exhausted', 'outcomeUnknown'] as const) {
      policy.on(type, note);
    }
    policy.wrapSync(inTurn(1, 'v'))();
    thrownBy(policy.wrapSync(inTurn([coded('EACCES')], 'v')));
    expect(seen).toEqual([
      'attempt 1',
      'retry 1',
      'attempt 2',
      'success',
      'attempt 1',
      'exhausted',
    ]);
  });

  it('3.13 throws what was thrown, whatever it is', () => {
    const { options } = blocked();
    for (const thrown of [null, undefined, 0, 'text', Symbol('s'), Object.freeze({})]) {
      const work = vi.fn(() => {
        throw thrown;
      });
      expect(
        Object.is(
          thrownBy(() => retrySync(work, options)),
          thrown,
        ),
      ).toBe(true);
      expect(work).toHaveBeenCalledTimes(3);
    }
  });

  it('gives the attempt: number, remaining time, phase', () => {
    const { options } = blocked({ totalTimeoutMs: 10_000, idempotent: false });
    const seen: unknown[] = [];
    retrySync((attempt) => {
      seen.push([attempt.number, attempt.remainingMs, attempt.signal.aborted]);
      attempt.phase = 'connect';
      if (attempt.number < 3) throw coded(RESET);
    }, options);
    expect(seen).toEqual([
      [1, 10_000, false],
      [2, 9000, false],
      [3, 7000, false],
    ]);
  });

  it('may not repeat what may have been applied, and cannot find out', () => {
    const { options } = blocked({ idempotent: false });
    const work = inTurn(1, 'v');
    const error = thrownBy(() => retrySync(work, options));
    expect(retryInfo(error)).toMatchObject({ reason: 'outcome-unknown', attempts: 1 });
    expect(work.calls).toBe(1);
  });

  it('real errors of files are final where waiting does not help', () => {
    const work = vi.fn(() => readFileSync('/outlast/is/not/there'));
    expect(thrownBy(() => retrySync(work))).toMatchObject({ code: 'ENOENT' });
    expect(work).toHaveBeenCalledTimes(1);
  });

  it('3.25 does not repeat what an inner retrySync has given up on, unless told to', () => {
    const { options } = blocked();
    const work = vi.fn(() => {
      throw coded(RESET);
    });
    const inner = () => retrySync(work, options);
    expect(retryInfo(thrownBy(() => retrySync(inner, options)))).toMatchObject({ attempts: 1 });
    expect(work).toHaveBeenCalledTimes(3);
    thrownBy(() => retrySync(inner, { ...options, retryIf: () => true }));
    expect(work).toHaveBeenCalledTimes(12);
  });
});

describe('retrySync, what it cannot do', () => {
  it('a promise is refused, is not retried, and its rejection is nobody’s', () => {
    const { options } = blocked();
    const work = vi.fn(() => Promise.reject(new Error('late')));
    const error = thrownBy(() => retrySync(work as never, options));
    expect(isOptionError(error)).toBe(true);
    expect(String(error)).toMatch(/work returned a promise, .* Use retry\(\) or wrap\(\) for it\./);
    expect(work).toHaveBeenCalledTimes(1);
  });

  it('a fallback that promises is refused likewise', () => {
    const { options } = blocked({ fallback: async () => 'later' });
    const error = thrownBy(() => retrySync(inTurn([coded('EACCES')], 'v'), options));
    expect(isOptionError(error)).toBe(true);
    expect(String(error)).toMatch(/fallback returned a promise/);
  });

  it('attemptTimeoutMs is refused: by retrySync, by wrapSync', () => {
    const work = vi.fn(() => 'v');
    const says = /attemptTimeoutMs cannot be kept by a call that blocks the thread/;
    expect(() => retrySync(work, { attemptTimeoutMs: 5 } as SyncOptions)).toThrow(says);
    expect(() => new RetryPolicy({ attemptTimeoutMs: 5 }).wrapSync(work)).toThrow(says);
    expect(work).not.toHaveBeenCalled();
    expect(retrySync(work, { attemptTimeoutMs: Infinity } as SyncOptions)).toBe('v');
  });

  it('a bad option is refused', () => {
    expect(() => retrySync(() => 1, { maxAtempts: 2 } as SyncOptions)).toThrow(/maxAttempts\?/);
  });

  it('work that is no function throws as such, and is not retried', () => {
    expect(() => retrySync(undefined as never, blocked().options)).toThrow(TypeError);
  });
});

describe('retrySync with bounds', () => {
  it('a delay that would reach totalTimeoutMs is not slept', () => {
    const { slept, options } = blocked({ totalTimeoutMs: 2500 });
    const error = thrownBy(() => retrySync(inTurn(9, 'v'), options));
    expect(retryInfo(error)).toMatchObject({ reason: 'deadline', attempts: 2 });
    expect(slept).toEqual([1000]);
  });

  it('3.2 a signal that has aborted: nothing is called', () => {
    const reason = new Error('gone');
    const work = vi.fn(() => 'v');
    const fallback = vi.fn(() => 'fallback');
    const { options } = blocked({ signal: AbortSignal.abort(reason), fallback });
    expect(thrownBy(() => retrySync(work, options))).toBe(reason);
    expect(retryInfo(reason)).toMatchObject({ reason: 'cancelled', attempts: 0 });
    expect([work.mock.calls.length, fallback.mock.calls.length]).toEqual([0, 0]);
  });

  it('3.2 an abort by the work, or by a hook, ends it with the reason', () => {
    for (const by of ['work', 'onRetry', 'delayMs'] as const) {
      const controller = new AbortController();
      const reason = new Error('gone');
      const stop = () => {
        controller.abort(reason);
        return undefined;
      };
      const breaker = new CircuitBreaker({ failureThreshold: 1 });
      const { options } = blocked({ signal: controller.signal, breaker });
      const failed = coded(RESET);
      const work = vi.fn(() => {
        if (by === 'work') stop();
        throw failed;
      });
      const hooks = by === 'work' ? {} : { [by]: stop };
      expect(thrownBy(() => retrySync(work, { ...options, ...hooks }))).toBe(reason);
      expect(work).toHaveBeenCalledTimes(1);
      // What it threw was lost on its way: nobody knows whether it was applied.
      expect(retryInfo(reason)).toMatchObject({
        reason: 'cancelled',
        outcome: 'unknown',
        attempts: 1,
        failures: [{ attempt: 1, error: failed }],
      });
      expect(breaker.status()).toMatchObject({ state: 'closed', failures: 0 });
      expect(breaker.idle).toBe(true);
    }
  });

  it('3.3 a value that arrived is kept, though the work aborted', () => {
    const controller = new AbortController();
    const { options } = blocked({ signal: controller.signal });
    const work = () => {
      controller.abort();
      return 'value';
    };
    expect(retrySync(work, options)).toBe('value');
  });
});

describe('retrySync with the others', () => {
  it('a breaker: votes per operation, refuses, probes with one attempt', async () => {
    const { clock, options } = blocked();
    const breaker = new CircuitBreaker({ clock, jitter: false, failureThreshold: 2 });
    const all = { ...options, breaker };
    thrownBy(() => retrySync(inTurn(3, 'v'), all));
    expect(breaker.status()).toMatchObject({ state: 'closed', failures: 1 });
    thrownBy(() => retrySync(inTurn(3, 'v'), all));
    const work = inTurn(0, 'v');
    const error = thrownBy(() => retrySync(work, all));
    expect(isCircuitOpenError(error)).toBe(true);
    expect(retryInfo(error)).toMatchObject({ reason: 'circuit-open', attempts: 0 });
    expect(work.calls).toBe(0);
    await clock.advance(60_000);
    const probe = inTurn(1, 'v');
    thrownBy(() => retrySync(probe, all));
    expect([probe.calls, breaker.state]).toEqual([1, 'open']);
    await clock.advance(90_000);
    expect(retrySync(inTurn(0, 'v'), all)).toBe('v');
    expect(breaker.state).toBe('closed');
  });

  it('a breaker that votes per attempt ends it without another sleep', () => {
    const { clock, slept, options } = blocked();
    const breaker = new CircuitBreaker({ clock, failureThreshold: 2, votePer: 'attempt' });
    const error = thrownBy(() => retrySync(inTurn(3, 'v'), { ...options, breaker }));
    expect(retryInfo(error)).toMatchObject({ reason: 'circuit-open', attempts: 2 });
    expect(slept).toEqual([1000]);
  });

  it('a budget: refuses the retry', () => {
    const { clock, options } = blocked();
    const budget = new RetryBudget({ clock, ratio: 0, minPerSecond: 0.1 });
    const error = thrownBy(() => retrySync(inTurn(3, 'v'), { ...options, budget }));
    expect(retryInfo(error)).toMatchObject({ reason: 'budget', attempts: 2 });
  });

  it('a bulkhead: no place, no wait; its slot is given back, whatever happens', () => {
    const bulkhead = new Bulkhead({ maxConcurrent: 1, maxQueued: 5 });
    const breaker = new CircuitBreaker();
    const { options } = blocked({ bulkhead, breaker });
    const nested = () => retrySync(() => 'inner', options);
    const error = thrownBy(() => retrySync(nested, options));
    expect(isBulkheadFullError(error)).toBe(true);
    expect(bulkhead.status()).toMatchObject({ running: 0, queued: 0, refused: 1 });
    expect(retrySync(() => bulkhead.status().running, options)).toBe(1);
    thrownBy(() => retrySync(inTurn(9, 'v'), options));
    thrownBy(() => retrySync(inTurn([coded('EACCES')], 'v'), options));
    expect(bulkhead.status().running).toBe(0);
    breaker.reset();
    expect(breaker.idle).toBe(true);
  });

  it('a fallback: after a failure and after a refusal; its throw surfaces', () => {
    const breaker = new CircuitBreaker({ failureThreshold: 1 });
    const { options } = blocked({ breaker, fallback: (error) => isCircuitOpenError(error) });
    expect(retrySync<unknown>(inTurn(3, 'v'), options)).toBe(false);
    expect(retrySync<unknown>(inTurn(0, 'v'), options)).toBe(true);
    const throws = () => {
      throw new Error('fallback');
    };
    expect(() => retrySync(inTurn(0, 'v'), { ...options, fallback: throws })).toThrow('fallback');
  });

  it('retryResult: the last value is returned, the others are disposed of', () => {
    const log: string[] = [];
    const value = (name: string) => ({ [Symbol.dispose]: () => log.push(name) });
    const values = ['a', 'b', 'c'].map(value);
    const { options } = blocked({ retryResult: () => true });
    expect(retrySync((attempt) => values[attempt.number - 1], options)).toBe(values[2]);
    expect(log).toEqual(['a', 'b']);
    const events: string[] = [];
    const policy = new RetryPolicy({ ...options, idempotent: false });
    policy.on('exhausted', ({ reason }) => events.push(reason));
    expect(policy.wrapSync(() => 'once')()).toBe('once');
    expect(events).toEqual(['permanent']);
  });
});

describe('wrapSync', () => {
  it('keeps this, arguments and name, and events carry the name', () => {
    const { options } = blocked();
    const policy = new RetryPolicy(options);
    const names: string[] = [];
    policy.on('success', ({ operation }) => names.push(operation));
    class Reader {
      tries = 0;
      read(path: string, n: number): string {
        this.tries += 1;
        if (this.tries < 2) throw coded(RESET);
        return `${path} ${n}`;
      }
    }
    const reader = new Reader();
    const read = policy.wrapSync(reader.read);
    expect([read.call(reader, 'a', 1), read.name, reader.tries]).toEqual(['a 1', 'read', 2]);
    policy.wrapSync(() => 'v')();
    const named = new RetryPolicy({ ...options, operation: 'named' });
    named.on('success', ({ operation }) => names.push(operation));
    named.wrapSync(reader.read).call(reader, 'b', 2);
    expect(names).toEqual(['read', 'operation', 'named']);
  });

  it('after close() throws ClosedError; a hook that closes ends it', () => {
    const { options } = blocked();
    const policy = new RetryPolicy(options);
    const work = policy.wrapSync(inTurn(1, 'v'));
    policy.on('retry', () => policy.close());
    expect(retryInfo(thrownBy(work))).toMatchObject({ reason: 'closed', attempts: 1 });
    expect(isClosedError(thrownBy(work))).toBe(true);
  });
});
