import { getEventListeners } from 'node:events';
import {
  type BreakerPermit,
  CircuitBreaker,
  isCircuitOpenError,
  isOptionError,
} from '@outlast/core-retry';
import { describe, expect, it, vi } from 'vitest';
import { breakerBench, pendingCall } from './breaker-helpers.js';
import { rejection, settled, turn } from './helpers.js';

const down = new Error('down');

describe.each([
  ['without a signal', undefined],
  ['with a signal', new AbortController().signal],
])('execute %s', (_, signal) => {
  const options = signal && { signal };

  it.each<[string, () => unknown, unknown]>([
    ['a value', () => 7, 7],
    ['3.13 undefined', () => undefined, undefined],
    ['null', () => null, null],
    ['a promise', async () => 'v', 'v'],
    // biome-ignore lint/suspicious/noThenProperty: a thenable is what is tested
    ['3.13 a thenable', () => ({ then: (done: (v: string) => void) => done('late') }), 'late'],
    ['an error that is returned', () => down, down],
  ])('passes on %s, which is a success', async (_what, work, value) => {
    const b = breakerBench();
    await b.fail();
    expect(await b.breaker.execute(work, options)).toBe(value);
    expect(b.breaker.status().failures).toBe(0);
    expect(b.breaker.idle).toBe(true);
  });

  it.each<[string, () => unknown, unknown]>([
    ['a rejection', () => Promise.reject(down), down],
    [
      '3.13 what is thrown before the first await',
      () => {
        throw down;
      },
      down,
    ],
    [
      '3.13 a thenable that rejects',
      // biome-ignore lint/suspicious/noThenProperty: a thenable is what is tested
      () => ({ then: (_: never, no: (e: unknown) => void) => no(down) }),
      down,
    ],
    [
      '3.13 a thenable that throws',
      () => ({
        // biome-ignore lint/suspicious/noThenProperty: a thenable is what is tested
        then: () => {
          throw down;
        },
      }),
      down,
    ],
    ['3.13 null', () => Promise.reject(null), null],
    ['3.13 undefined', () => Promise.reject(undefined), undefined],
    ['3.13 a text', () => Promise.reject('text'), 'text'],
  ])('passes on %s, which is a failure', async (_what, work, error) => {
    const b = breakerBench();
    expect(await settled(b.breaker.execute(work, options))).toEqual({ ok: false, error });
    expect(b.breaker.status().failures).toBe(1);
    b.breaker.reset();
    expect(b.breaker.idle).toBe(true);
  });

  it('does not throw: a refusal is a rejection', async () => {
    const { breaker } = breakerBench();
    const isolation = breaker.isolate();
    const work = vi.fn();
    expect(isCircuitOpenError(await rejection(breaker.execute(work, options)))).toBe(true);
    expect(work).not.toHaveBeenCalled();
    isolation.dispose();
    await breaker.execute(work, options);
    expect(work).toHaveBeenCalledTimes(1);
  });

  it('calls with no argument, once, and keeps to the turn of its caller', async () => {
    const work = vi.fn(() => 1);
    const end = breakerBench().breaker.execute(work, options);
    await Promise.resolve();
    expect(work.mock.calls).toEqual([[]]);
    await end;
    expect(work.mock.calls).toEqual([[]]);
  });
});

describe('a signal', () => {
  it('that has aborted rejects with its reason and calls nothing', async () => {
    const b = breakerBench({ failureThreshold: 1 });
    const reason = new Error('enough');
    const signal = AbortSignal.abort(reason);
    const work = vi.fn();
    expect(await rejection(b.breaker.execute(work, { signal }))).toBe(reason);
    expect(work).not.toHaveBeenCalled();
    // Also by an open one: who aborted does not wish to know.
    await b.fail();
    expect(await rejection(b.breaker.execute(work, { signal }))).toBe(reason);
  });

  it('answers at once, while the call goes on and has no vote', async () => {
    for (const end of ['succeed', 'fail'] as const) {
      const b = breakerBench({ failureThreshold: 2 });
      await b.fail();
      const controller = new AbortController();
      const call = pendingCall(b.breaker, { signal: controller.signal });
      await turn();
      expect(b.breaker.idle).toBe(false);
      const reason = { any: 'thing' };
      controller.abort(reason);
      expect(await rejection(call.promise)).toBe(reason);
      void call[end]().catch(() => {});
      await turn();
      expect(b.breaker.status()).toMatchObject({ state: 'closed', failures: 1 });
      b.breaker.reset();
      expect(b.breaker.idle).toBe(true);
    }
  });

  it('that aborts after the result changes nothing', async () => {
    const b = breakerBench();
    const controller = new AbortController();
    const call = pendingCall(b.breaker, { signal: controller.signal });
    await turn();
    await call.succeed();
    controller.abort();
    expect(await call.promise).toBe('value');
    expect(b.breaker.idle).toBe(true);
  });

  it('3.18 carries one listener for a hundred calls, and none when they have ended', async () => {
    const b = breakerBench({ failureThreshold: 1000 });
    const controller = new AbortController();
    const { signal } = controller;
    const calls = Array.from({ length: 100 }, () => pendingCall(b.breaker, { signal }));
    await turn();
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    for (const [i, call] of calls.entries()) await (i % 2 === 0 ? call.succeed() : call.fail());
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
    await rejection(b.breaker.execute(() => Promise.reject(down), { signal }));
    const isolation = b.breaker.isolate();
    await rejection(b.breaker.execute(() => 1, { signal }));
    isolation.dispose();
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
    const last = pendingCall(b.breaker, { signal });
    await turn();
    controller.abort();
    await rejection(last.promise);
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });

  it('3.19 one call that is aborted leaves the others alone', async () => {
    const b = breakerBench();
    const [one, other] = [new AbortController(), new AbortController()];
    const first = pendingCall(b.breaker, { signal: one.signal });
    const second = pendingCall(b.breaker, { signal: other.signal });
    await turn();
    one.abort();
    await rejection(first.promise);
    await second.succeed();
    expect(await second.promise).toBe('value');
  });

  it('3.2 aborted by the work itself, or by a listener, is seen', async () => {
    const b = breakerBench({ failureThreshold: 1, resetTimeoutMs: 10 });
    const own = new AbortController();
    const reason = new Error('enough');
    const end = rejection(
      b.breaker.execute(
        () => {
          own.abort(reason);
          return 'value';
        },
        { signal: own.signal },
      ),
    );
    expect(await end).toBe(reason);
    await b.fail();
    b.pass(10);
    const controller = new AbortController();
    b.breaker.on('breaker', () => controller.abort(reason));
    const work = vi.fn();
    expect(await rejection(b.breaker.execute(work, { signal: controller.signal }))).toBe(reason);
    expect(work).not.toHaveBeenCalled();
    expect(b.breaker.status()).toMatchObject({ state: 'half-open', halfOpenCalls: 0 });
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
    await b.ok();
    expect(b.breaker.idle).toBe(true);
  });

  it.each([null, {}, 'signal', { aborted: false }])('%j is none', async (signal) => {
    const work = vi.fn();
    const { breaker } = breakerBench();
    const error = await rejection(breaker.execute(work, { signal: signal as never }));
    expect(isOptionError(error) && error.message).toContain('signal must be an AbortSignal; got ');
    expect(work).not.toHaveBeenCalled();
  });

  it('of another make, which knows less, will do', async () => {
    const polyfill = (aborted: boolean) =>
      Object.assign(new EventTarget(), { aborted, reason: 'why' }) as unknown as AbortSignal;
    const { breaker } = breakerBench();
    expect(await breaker.execute(() => 5, { signal: polyfill(false) })).toBe(5);
    expect(await rejection(breaker.execute(() => 5, { signal: polyfill(true) }))).toBe('why');
    const signal = polyfill(false);
    const call = pendingCall(breaker, { signal });
    await turn();
    signal.dispatchEvent(new Event('abort'));
    expect(await rejection(call.promise)).toBe('why');
  });
});

describe('what has to be waited for', () => {
  const waiting = () => {
    const b = breakerBench();
    let arrive: () => void = () => {};
    const asked: boolean[] = [];
    b.breaker.connect(
      {
        before: (due) => {
          asked.push(due);
          return new Promise((resolve) => {
            arrive = resolve;
          });
        },
        failing: () => {},
        changed: () => {},
      },
      [],
    );
    return { ...b, arrive: () => arrive(), asked: () => asked.splice(0) };
  };

  it.each([undefined, new AbortController().signal])(
    'holds the call up (signal: %s)',
    async (signal) => {
      const b = waiting();
      const work = vi.fn(() => 5);
      const end = b.breaker.execute(work, signal && { signal });
      await turn();
      expect(work).not.toHaveBeenCalled();
      expect(b.breaker.idle).toBe(true);
      b.arrive();
      expect(await end).toBe(5);
      expect(b.asked()).toEqual([false]);
      if (signal !== undefined) expect(getEventListeners(signal, 'abort')).toHaveLength(0);
    },
  );

  it('holds up nobody who aborts meanwhile', async () => {
    const b = waiting();
    const controller = new AbortController();
    const work = vi.fn();
    const end = rejection(b.breaker.execute(work, { signal: controller.signal }));
    await turn();
    const reason = new Error('enough');
    controller.abort(reason);
    expect(await end).toBe(reason);
    b.arrive();
    await turn();
    expect(work).not.toHaveBeenCalled();
    expect(b.breaker.idle).toBe(true);
  });

  it('is told whether a probe is due', () => {
    const b = waiting();
    void b.breaker.wait();
    for (let i = 0; i < 5; i++) b.breaker.acquire().failure(down);
    void b.breaker.wait();
    b.pass(60_000);
    void b.breaker.wait();
    const isolation = b.breaker.isolate();
    void b.breaker.wait();
    isolation.dispose();
    b.breaker.acquire();
    void b.breaker.wait();
    expect(b.asked()).toEqual([false, false, true, false, false]);
  });

  it('is not asked for by hand', () => {
    const b = waiting();
    b.breaker.acquire().success();
    expect(b.asked()).toEqual([]);
  });
});

describe('acquire', () => {
  it.each<[string, (permit: BreakerPermit) => void, object]>([
    ['success', (permit) => permit.success(), { failures: 0 }],
    ['failure', (permit) => permit.failure(down), { failures: 2 }],
    ['release', (permit) => permit.release(), { failures: 1 }],
  ])('%s ends the call, once', async (_, end, status) => {
    const b = breakerBench();
    await b.fail();
    const permit = b.breaker.acquire();
    expect(b.breaker.idle).toBe(false);
    end(permit);
    const rest = [permit.success, permit.release, () => permit.failure(down)];
    for (const again of rest) again();
    for (const again of rest.reverse()) again();
    expect(b.breaker.status()).toMatchObject(status);
    b.breaker.reset();
    expect(b.breaker.idle).toBe(true);
  });

  it('one that ended twice leaves the place of another alone', () => {
    const { breaker } = breakerBench();
    const [first, second] = [breaker.acquire(), breaker.acquire()];
    first.release();
    first.release();
    expect(breaker.idle).toBe(false);
    second.release();
    expect(breaker.idle).toBe(true);
  });

  it('throws the refusal at once', async () => {
    const b = breakerBench({ failureThreshold: 1 });
    b.breaker.acquire().failure(down);
    let thrown: unknown;
    try {
      b.breaker.acquire();
    } catch (error) {
      thrown = error;
    }
    expect(isCircuitOpenError(thrown) && thrown.retryAfterMs).toBe(60_000);
  });

  it('takes part in half-open, with a lease', () => {
    const b = breakerBench({ failureThreshold: 1, resetTimeoutMs: 10, probeLeaseMs: 10 });
    b.breaker.acquire().failure(down);
    b.pass(10);
    const late = b.breaker.acquire();
    expect(() => b.breaker.acquire()).toThrow('is open');
    b.pass(10);
    const probe = b.breaker.acquire();
    late.success();
    expect(b.breaker.state).toBe('half-open');
    probe.success();
    expect(b.breaker.state).toBe('closed');
  });
});

it('3.17 no path leaves a rejection that nobody handles', async () => {
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => unhandled.push(reason);
  process.on('unhandledRejection', note);
  try {
    const breaker = new CircuitBreaker({ failureThreshold: 1000 });
    for (const signal of [undefined, new AbortController().signal]) {
      await settled(breaker.execute(() => Promise.reject(down), signal && { signal }));
    }
    const controller = new AbortController();
    const { signal } = controller;
    const call = pendingCall(breaker, { signal });
    await turn();
    controller.abort();
    await rejection(call.promise);
    // Fails after its caller has been answered.
    void call.fail().catch(() => {});
    await turn();
    await turn();
  } finally {
    process.off('unhandledRejection', note);
  }
  expect(unhandled).toEqual([]);
});
