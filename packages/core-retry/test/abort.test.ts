import { getEventListeners } from 'node:events';
import {
  type CallOptions,
  type PolicyEvent,
  RetryBudget,
  type RetryPolicy,
  retryInfo,
} from '@outlast/core-retry';
import { onAbort } from '@outlast/core-retry/connector';
import { failTimes, ManualClock } from '@outlast/core-retry/testing';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { bench, coded, hanging, REFUSED, RESET, rejection, settled, turn } from './helpers.js';

function listeners(signal: AbortSignal): number {
  return getEventListeners(signal, 'abort').length;
}

// A new one for each test, for a mark belongs to one operation.
let reason: Error;
beforeEach(() => {
  reason = new Error('the user went away');
});

describe('abort', () => {
  it('3.2 before the call: rejects with the reason, and nothing is called', async () => {
    const { clock, policy } = bench();
    const work = failTimes(0, 'v');
    const signal = AbortSignal.abort(reason);
    expect(await rejection(policy.execute(work, { signal }))).toBe(reason);
    expect(work.calls).toBe(0);
    expect(clock.pending).toBe(0);
    expect(listeners(signal)).toBe(0);
    expect(retryInfo(reason)).toMatchObject({ reason: 'cancelled', outcome: 'not-applied' });
  });

  it('3.2 before the call, with a deadline: leaves no timer', async () => {
    const { clock, policy } = bench({ totalTimeoutMs: 1000 });
    const work = failTimes(0, 'v');
    await rejection(policy.execute(work, { signal: AbortSignal.abort(reason) }));
    expect([work.calls, clock.pending]).toEqual([0, 0]);
    await rejection(
      policy.execute(work, { signal: AbortSignal.abort(reason), totalTimeoutMs: 50 }),
    );
    expect([work.calls, clock.pending]).toEqual([0, 0]);
  });

  it('3.1 abort during the sleep settles at once and never calls again', async () => {
    const { clock, policy } = bench();
    const controller = new AbortController();
    const work = failTimes([coded(REFUSED)], 'v');
    const end = rejection(policy.execute(work, { signal: controller.signal }));
    await clock.advance(500);
    expect([work.calls, clock.pending]).toEqual([1, 1]);
    controller.abort(reason);
    expect(clock.pending).toBe(0);
    expect(listeners(controller.signal)).toBe(0);
    expect(await end).toBe(reason);
    await clock.advance(100_000);
    expect(work.calls).toBe(1);
  });

  it('during an attempt: settles at once, tells the attempt, and never calls again', async () => {
    const { clock, policy } = bench();
    const controller = new AbortController();
    const { work, signals } = hanging();
    const end = rejection(policy.execute(work, { signal: controller.signal }));
    await turn();
    controller.abort(reason);
    expect(await end).toBe(reason);
    expect(signals[0]?.aborted).toBe(true);
    expect(signals[0]?.reason).toBe(reason);
    await clock.advance(100_000);
    expect(signals).toHaveLength(1);
    expect([clock.pending, listeners(controller.signal)]).toEqual([0, 0]);
  });

  it.each([{}, { totalTimeoutMs: 8000 }])(
    '3.17 during a timed attempt (%j): the timers of the attempt and of the deadline go too',
    async (options) => {
      const { clock, policy } = bench({ attemptTimeoutMs: 5000, totalTimeoutMs: 9000 });
      const controller = new AbortController();
      const { signal } = controller;
      const end = rejection(policy.execute(hanging().work, { signal, ...options }));
      await turn();
      expect(clock.pending).toBe(2);
      controller.abort(reason);
      expect(await end).toBe(reason);
      expect([clock.pending, listeners(signal)]).toEqual([0, 0]);
    },
  );

  it('during a second attempt: what came before is told', async () => {
    const { clock, policy } = bench();
    const controller = new AbortController();
    const first = coded(REFUSED);
    let calls = 0;
    const work = (): Promise<string> => {
      calls += 1;
      if (calls === 1) throw first;
      return new Promise(() => {});
    };
    const error = new Error('fresh reason');
    const end = rejection(policy.execute(work, { signal: controller.signal }));
    await clock.advance(1000);
    controller.abort(error);
    expect(await end).toBe(error);
    expect(retryInfo(error)).toMatchObject({
      reason: 'cancelled',
      attempts: 2,
      outcome: 'unknown',
      delaysMs: [1000],
      failures: [{ attempt: 1, error: first }],
    });
  });

  it('during the sleep: the failure before it is told too', async () => {
    const { policy } = bench();
    const controller = new AbortController();
    const first = coded(REFUSED);
    const error = new Error('fresh reason');
    const end = rejection(policy.execute(failTimes([first], ''), { signal: controller.signal }));
    await turn();
    controller.abort(error);
    await end;
    expect(retryInfo(error)).toMatchObject({
      reason: 'cancelled',
      attempts: 1,
      outcome: 'not-applied',
      failures: [{ attempt: 1, error: first }],
    });
  });

  it('during resolve: settles at once, as unknown, and the answer changes nothing', async () => {
    const { clock, policy } = bench({ idempotent: false });
    const controller = new AbortController();
    let answer: (resolution: { outcome: 'not-applied' }) => void = () => {};
    const work = failTimes([coded(RESET)], 'again');
    const error = new Error('fresh reason');
    const options: CallOptions<string> = {
      signal: controller.signal,
      resolve: () =>
        new Promise((done) => {
          answer = done;
        }),
    };
    const end = rejection(policy.execute(work, options));
    await turn();
    controller.abort(error);
    expect(await end).toBe(error);
    expect(retryInfo(error)).toMatchObject({ reason: 'cancelled', outcome: 'unknown' });
    answer({ outcome: 'not-applied' });
    await turn();
    expect([work.calls, clock.pending, listeners(controller.signal)]).toEqual([1, 0, 0]);
  });

  it('during `stop`: settles at once; nothing is slept, drawn or told afterwards', async () => {
    const clock = new ManualClock();
    const budget = new RetryBudget({ clock, ratio: 0, minPerSecond: 1 });
    const { policy, delays } = { ...bench({ clock, budget, attemptTimeoutMs: 100 }) };
    const controller = new AbortController();
    let stopped: () => void = () => {};
    const stop = () =>
      new Promise<void>((resolve) => {
        stopped = resolve;
      });
    const { work, signals } = hanging();
    const end = rejection(policy.execute(work, { stop, signal: controller.signal }));
    await clock.advance(100);
    controller.abort(reason);
    expect(await end).toBe(reason);
    const { balance } = budget.status();
    stopped();
    await turn();
    expect([signals.length, delays, clock.pending]).toEqual([1, [], 0]);
    expect(budget.status().balance).toBe(balance);
  });

  it('during `stop`, or in classify: what became of the attempt is not looked up any more', async () => {
    for (const where of ['stop', 'classify'] as const) {
      const { clock, policy } = bench({ attemptTimeoutMs: 100, idempotent: false });
      const controller = new AbortController();
      const resolve = vi.fn(() => ({ outcome: 'unknown' }) as const);
      const lost = { category: 'network', transient: true, outcome: 'unknown' } as const;
      const end = settled(
        policy.execute(hanging().work, {
          signal: controller.signal,
          resolve,
          stop: () => {
            if (where === 'stop') controller.abort('no');
          },
          classify: () => {
            if (where === 'classify') controller.abort('no');
            return lost;
          },
        }),
      );
      await clock.advance(100);
      expect(await end).toEqual({ ok: false, error: 'no' });
      expect(resolve).not.toHaveBeenCalled();
    }
  });

  it('3.3 success, then abort: the result is kept', async () => {
    const { policy } = bench();
    const controller = new AbortController();
    const end = policy.execute(async () => 'committed', { signal: controller.signal });
    await turn();
    controller.abort(reason);
    expect(await end).toBe('committed');
    expect(listeners(controller.signal)).toBe(0);
  });

  it('keeps the reason, whatever it is', async () => {
    for (const value of ['text', null, 0, { a: 1 }]) {
      const { policy } = bench();
      const controller = new AbortController();
      const end = settled(policy.execute(hanging().work, { signal: controller.signal }));
      controller.abort(value);
      expect(await end).toEqual({ ok: false, error: value });
    }
    const controller = new AbortController();
    const end = rejection(bench().policy.execute(hanging().work, { signal: controller.signal }));
    controller.abort();
    expect(await end).toBe(controller.signal.reason);
    expect(await end).toBeInstanceOf(DOMException);
  });

  it('3.4 beats every other rule: neither retryIf nor classify is asked whether to go on', async () => {
    const { clock, policy } = bench({
      retryIf: () => true,
      classify: () => ({ category: 'network', transient: true, outcome: 'not-applied' }),
    });
    const controller = new AbortController();
    let calls = 0;
    const work = (attempt: { signal: AbortSignal }) => {
      calls += 1;
      return new Promise<never>((_, reject) => {
        attempt.signal.addEventListener('abort', () => reject(attempt.signal.reason));
      });
    };
    const end = rejection(policy.execute(work, { signal: controller.signal }));
    await turn();
    controller.abort(reason);
    expect(await end).toBe(reason);
    await clock.advance(100_000);
    expect(calls).toBe(1);
  });

  it('3.4 AbortSignal.timeout of the caller is a cancellation, not a timeout to be retried', async () => {
    const { clock, policy } = bench();
    const controller = new AbortController();
    const timeout = new DOMException('The operation timed out', 'TimeoutError');
    const { work, signals } = hanging();
    const end = rejection(policy.execute(work, { signal: controller.signal }));
    controller.abort(timeout);
    expect(await end).toBe(timeout);
    expect(retryInfo(timeout)?.reason).toBe('cancelled');
    await clock.advance(100_000);
    expect(signals).toHaveLength(1);
  });

  it('is neither success nor failure to listeners', async () => {
    const { policy } = bench();
    const events: PolicyEvent[] = [];
    for (const type of ['success', 'exhausted', 'outcomeUnknown', 'budget'] as const) {
      policy.on(type, (event) => events.push(event));
    }
    const controller = new AbortController();
    const end = rejection(policy.execute(hanging().work, { signal: controller.signal }));
    controller.abort(reason);
    await end;
    expect(events).toEqual([]);
  });
});

describe('the outcome of an attempt that is aborted', () => {
  const table = [
    ['acquire', undefined, 'not-applied'],
    ['connect', undefined, 'not-applied'],
    ['sent', undefined, 'unknown'],
    ['commit', undefined, 'unknown'],
    ['sent', 'not-applied', 'not-applied'],
    ['commit', 'not-applied', 'not-applied'],
    ['sent', 'unknown', 'unknown'],
    ['sent', 'throws', 'unknown'],
  ] as const;
  it.each(table)('in phase %s, call.classify says %s: %s', async (phase, says, outcome) => {
    const { policy } = bench();
    const controller = new AbortController();
    const error = new Error('fresh');
    const classify: CallOptions['classify'] = () => {
      if (says === 'throws') throw new Error('bug');
      return { category: 'cancelled', transient: false, outcome: says ?? 'unknown' };
    };
    const work = (attempt: { phase: string }) => {
      attempt.phase = phase;
      return new Promise<never>(() => {});
    };
    const options = says === undefined ? {} : { classify };
    const end = rejection(policy.execute(work, { signal: controller.signal, ...options }));
    controller.abort(error);
    expect(await end).toBe(error);
    expect(retryInfo(error)).toMatchObject({ reason: 'cancelled', outcome });
  });

  it('one reason for two operations, one sent and one not: the second gets a copy', async () => {
    const { policy } = bench();
    const controller = new AbortController();
    const error = new DOMException('gone', 'AbortError');
    const { signal } = controller;
    const sent = rejection(policy.execute(hanging().work, { signal }));
    const unsent = rejection(
      policy.execute(
        (attempt) => {
          attempt.phase = 'acquire';
          return new Promise(() => {});
        },
        { signal },
      ),
    );
    controller.abort(error);
    expect(await sent).toBe(error);
    const copy = await unsent;
    expect(copy).toMatchObject({ name: 'AbortError', message: 'gone', cause: error });
    expect([retryInfo(error)?.outcome, retryInfo(copy)?.outcome]).toEqual([
      'unknown',
      'not-applied',
    ]);
  });
});

describe('3.18 listeners', () => {
  it('3.18 any number of concurrent calls on one signal cost one, and leave none', async () => {
    const { clock, policy } = bench();
    const warnings: unknown[] = [];
    const warn = (warning: unknown) => warnings.push(warning);
    process.on('warning', warn);
    const controller = new AbortController();
    const { signal } = controller;
    const ends = Array.from({ length: 200 }, (_, i) =>
      settled(policy.execute(failTimes(i % 3, i), { signal })),
    );
    await turn();
    expect(listeners(signal)).toBe(1);
    await clock.advance(10_000);
    await Promise.all(ends);
    expect(listeners(signal)).toBe(0);
    await turn();
    process.off('warning', warn);
    expect(warnings).toEqual([]);
  });

  it('3.18 one long-lived signal of the policy and 1000 calls in every way there is: none is left', async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const { clock, policy } = bench({ signal, totalTimeoutMs: 4000, attemptTimeoutMs: 100 });
    const ways = [
      () => policy.execute(async () => 1),
      () => policy.execute(failTimes(1, 1)),
      () => policy.execute(failTimes(9, 1)),
      () => policy.execute(failTimes([new TypeError('bug')], 1)),
      () => policy.execute(hanging().work),
      () => policy.execute(hanging().work, { totalTimeoutMs: 50 }),
      () => policy.execute(async () => 1, { signal: AbortSignal.abort() }),
    ];
    for (let i = 0; i < 1000; i++) {
      const way = ways[i % ways.length] as () => Promise<unknown>;
      await clock.runUntilSettled(settled(way()));
    }
    expect(listeners(signal)).toBe(0);
  });

  it('aborts all calls that watch one signal, each once', async () => {
    const { policy } = bench();
    const controller = new AbortController();
    const { signal } = controller;
    const ends = Array.from({ length: 50 }, () =>
      rejection(policy.execute(hanging().work, { signal })),
    );
    controller.abort(reason);
    expect(await Promise.all(ends)).toEqual(Array(50).fill(reason));
    expect(listeners(signal)).toBe(0);
  });

  it('of the policy and of the call both count; the same signal twice counts once', async () => {
    for (const which of [0, 1]) {
      const controllers = [new AbortController(), new AbortController()] as const;
      const { policy } = bench({ signal: controllers[0].signal });
      const end = rejection(policy.execute(hanging().work, { signal: controllers[1].signal }));
      expect(controllers.map((c) => listeners(c.signal))).toEqual([1, 1]);
      controllers[which]?.abort(reason);
      expect(await end).toBe(reason);
      expect(controllers.map((c) => listeners(c.signal))).toEqual([0, 0]);
    }
    const controller = new AbortController();
    const { policy } = bench({ signal: controller.signal });
    const end = rejection(policy.execute(hanging().work, { signal: controller.signal }));
    expect(listeners(controller.signal)).toBe(1);
    controller.abort(reason);
    await end;
  });

  it('onAbort: who stops watching is not called, and watching can begin again', () => {
    const controller = new AbortController();
    const calls: string[] = [];
    const off = onAbort(controller.signal, () => calls.push('a'));
    onAbort(controller.signal, (why) => calls.push(`b ${String(why)}`));
    off();
    off();
    expect(listeners(controller.signal)).toBe(1);
    controller.abort('why');
    expect(calls).toEqual(['b why']);
    const second = new AbortController();
    onAbort(second.signal, () => calls.push('x'))();
    expect(listeners(second.signal)).toBe(0);
    onAbort(second.signal, () => calls.push('y'));
    second.abort();
    expect(calls).toEqual(['b why', 'y']);
  });
});

describe('3.2 a function of the caller that aborts', () => {
  type Options = ConstructorParameters<typeof RetryPolicy>[0];
  const cases: [string, (abort: () => void) => Options & CallOptions<string>][] = [
    [
      'classify',
      (abort) => ({
        classify: () => {
          abort();
          return { category: 'network', transient: true, outcome: 'not-applied' };
        },
      }),
    ],
    [
      'retryIf',
      (abort) => ({
        retryIf: () => {
          abort();
          return true;
        },
      }),
    ],
    [
      'delayMs',
      (abort) => ({
        delayMs: () => {
          abort();
          return 5;
        },
      }),
    ],
    ['onRetry', (abort) => ({ onRetry: abort })],
    [
      'resolve',
      (abort) => ({
        idempotent: false,
        resolve: () => {
          abort();
          return { outcome: 'not-applied' };
        },
      }),
    ],
  ];
  it.each(cases)(
    '3.2 in %s: settles, sleeps no more and never calls again',
    async (_name, make) => {
      const { clock, policy } = bench();
      const controller = new AbortController();
      const { signal } = controller;
      const work = failTimes([coded(RESET)], 'v');
      const options = make(() => controller.abort(reason));
      const end = rejection(policy.execute(work, { signal, ...options } as CallOptions<string>));
      expect(await end).toBe(reason);
      await turn();
      expect([clock.pending, listeners(signal)]).toEqual([0, 0]);
      await clock.advance(100_000);
      expect(work.calls).toBe(1);
    },
  );

  it.each([1, 2])('3.2 in a listener, before attempt %d: that is not called', async (number) => {
    const { clock, policy } = bench();
    const controller = new AbortController();
    const { signal } = controller;
    policy.on('attempt', (event) => {
      if (event.attempt === number) controller.abort(reason);
    });
    const work = failTimes(5, 'v');
    const end = rejection(policy.execute(work, { signal }));
    await clock.advance(100_000);
    expect(await end).toBe(reason);
    expect(work.calls).toBe(number - 1);
    expect([clock.pending, listeners(signal)]).toEqual([0, 0]);
  });

  it('in the work itself, before it fails: that failure is not retried', async () => {
    const { clock, policy } = bench();
    const controller = new AbortController();
    const work = vi.fn(async () => {
      controller.abort(reason);
      throw coded(REFUSED);
    });
    const end = rejection(policy.execute(work, { signal: controller.signal }));
    expect(await end).toBe(reason);
    await clock.advance(100_000);
    expect(work).toHaveBeenCalledTimes(1);
  });
});
