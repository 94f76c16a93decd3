import { getEventListeners } from 'node:events';
import {
  Bulkhead,
  CircuitBreaker,
  isClosedError,
  isOptionError,
  type PolicyEvent,
  type RetryOptions,
  type RetryPolicy,
  retryInfo,
} from '@outlast/core-retry';
import { failTimes } from '@outlast/core-retry/testing';
import { describe, expect, it, vi } from 'vitest';
import { bench, coded, RESET, rejection, settled, turn } from './helpers.js';

type Call = Parameters<RetryPolicy['attempts']>[0];

/** What happens in loops, by name. */
function told(policy: RetryPolicy): string[] {
  const seen: string[] = [];
  const note = (event: PolicyEvent) => seen.push(event.type);
  for (const type of ['attempt', 'retry', 'success', 'exhausted'] as const) policy.on(type, note);
  return seen;
}

/** The plain use of it: work in `run`, until one went well. @returns what each run returned */
async function loop(policy: RetryPolicy, work: () => unknown, call?: Call): Promise<unknown[]> {
  const values: unknown[] = [];
  for await (const attempt of policy.attempts(call)) values.push(await attempt.run(work));
  return values;
}

const PERMANENT = () => coded('EACCES');

describe('attempts()', () => {
  it('runs once if that goes well, and run returns the value', async () => {
    const { policy } = bench();
    const events = told(policy);
    expect(await loop(policy, () => 'value')).toEqual(['value']);
    expect(events).toEqual(['attempt', 'success']);
  });

  it('swallows failures that are retried, and sleeps between the turns', async () => {
    const { clock, policy, delays } = bench();
    const events = told(policy);
    const end = loop(policy, failTimes(2, 'value'), { operation: 'block' });
    expect(await clock.runUntilSettled(end)).toEqual([undefined, undefined, 'value']);
    expect(delays).toEqual([1000, 2000]);
    expect(events).toEqual(['attempt', 'retry', 'attempt', 'retry', 'attempt', 'success']);
    expect(clock.pending).toBe(0);
  });

  it('exhausted throws the last error, as it was thrown and with its story', async () => {
    const { clock, policy } = bench();
    const errors = [1, 2, 3].map(() => coded(RESET));
    const end = settled(loop(policy, failTimes(errors, 'v'), { operation: 'block' }));
    expect(await clock.runUntilSettled(end)).toEqual({ ok: false, error: errors[2] });
    expect(retryInfo(errors[2])).toMatchObject({
      operation: 'block',
      reason: 'exhausted',
      attempts: 3,
      delaysMs: [1000, 2000],
    });
  });

  it('a permanent failure throws at once; so does one that may not be replayed', async () => {
    const { policy } = bench();
    const permanent = PERMANENT();
    expect(await rejection(loop(policy, failTimes([permanent], 'v')))).toBe(permanent);
    const lost = coded(RESET);
    const call = { idempotent: false };
    expect(await rejection(loop(policy, failTimes([lost], 'v'), call))).toBe(lost);
    expect(retryInfo(lost)).toMatchObject({ reason: 'outcome-unknown', outcome: 'unknown' });
  });

  it('gives each turn its own number, time, phase and signal', async () => {
    const { clock, policy } = bench({ totalTimeoutMs: 10_000 });
    const seen: unknown[] = [];
    const signals: AbortSignal[] = [];
    const end = (async () => {
      for await (const attempt of policy.attempts({ idempotent: false })) {
        seen.push([attempt.number, attempt.remainingMs, attempt.phase]);
        signals.push(attempt.signal);
        await attempt.run((inner) => {
          expect([inner.number, inner.signal]).toEqual([attempt.number, attempt.signal]);
          // Nothing was sent, so it may run again.
          attempt.phase = 'connect';
          expect(inner.phase).toBe('connect');
          if (attempt.number < 3) throw coded(RESET);
        });
      }
    })();
    await clock.runUntilSettled(end);
    expect(seen).toEqual([
      [1, 10_000, 'sent'],
      [2, 9000, 'sent'],
      [3, 7000, 'sent'],
    ]);
    expect(new Set(signals).size).toBe(3);
  });

  it('a throw before the first await counts like any other', async () => {
    const { clock, policy } = bench();
    let calls = 0;
    const end = loop(policy, () => {
      calls += 1;
      if (calls === 1) throw new Error('sync');
      return calls;
    });
    expect(await clock.runUntilSettled(end)).toEqual([undefined, 2]);
  });
});

describe('attempts(), turns', () => {
  it('a turn without a run ends the loop, as a success', async () => {
    const { policy } = bench();
    const events = told(policy);
    let turns = 0;
    for await (const attempt of policy.attempts()) turns += attempt.number;
    expect([turns, events]).toEqual([1, ['attempt', 'success']]);
  });

  it('a turn without a run after a failed one ends it too', async () => {
    const { clock, policy } = bench();
    let turns = 0;
    const end = (async () => {
      for await (const attempt of policy.attempts()) {
        turns += 1;
        if (turns === 1) await attempt.run(() => Promise.reject(coded(RESET)));
      }
    })();
    await clock.runUntilSettled(end);
    expect(turns).toBe(2);
  });

  it('several runs in one turn: all must go well, and the first that fails ends the turn', async () => {
    const { clock, policy } = bench();
    const log: unknown[] = [];
    const end = (async () => {
      for await (const attempt of policy.attempts()) {
        log.push(attempt.number, await attempt.run(() => 'a'));
        const b = await attempt.run(() => {
          if (attempt.number === 1) throw coded(RESET);
          return 'b';
        });
        log.push(b);
      }
    })();
    await clock.runUntilSettled(end);
    expect(log).toEqual([1, 'a', undefined, 2, 'a', 'b']);
  });

  it('a run after one that failed belongs to no turn, and says so', async () => {
    const { clock, policy } = bench();
    const work = vi.fn(() => 'v');
    const end = (async () => {
      for await (const attempt of policy.attempts()) {
        await attempt.run(() => Promise.reject(coded(RESET)));
        await attempt.run(work);
      }
    })();
    const error = await clock.runUntilSettled(rejection(end));
    expect(isClosedError(error)).toBe(true);
    expect(work).not.toHaveBeenCalled();
    expect(clock.pending).toBe(0);
  });

  it('break after a good run is a success', async () => {
    const { policy } = bench();
    const events = told(policy);
    for await (const attempt of policy.attempts()) {
      await attempt.run(() => 'v');
      break;
    }
    expect(events).toEqual(['attempt', 'success']);
  });

  it('break without a run, or after a failed one, calls the operation off', async () => {
    for (const fails of [false, true]) {
      const breaker = new CircuitBreaker({ failureThreshold: 1 });
      const bulkhead = new Bulkhead({ maxConcurrent: 1 });
      const { clock, policy } = bench({ breaker, bulkhead });
      const events = told(policy);
      const end = (async () => {
        for await (const attempt of policy.attempts()) {
          if (fails) await attempt.run(() => Promise.reject(coded(RESET)));
          break;
        }
      })();
      await clock.runUntilSettled(end);
      expect(events.filter((type) => type === 'success' || type === 'exhausted')).toEqual([]);
      expect(breaker.status()).toMatchObject({ state: 'closed', failures: 0 });
      expect([breaker.idle, bulkhead.status().running, clock.pending]).toEqual([true, 0, 0]);
    }
  });

  it('return in the body returns its value', async () => {
    const { policy } = bench();
    const events = told(policy);
    const find = async () => {
      for await (const attempt of policy.attempts()) return await attempt.run(() => 'found');
      throw new Error('no attempt at all');
    };
    expect(await find()).toBe('found');
    expect(events).toEqual(['attempt', 'success']);
  });

  it('a throw in the body surfaces, and is nobody’s failure', async () => {
    const { clock, policy } = bench();
    const events = told(policy);
    const bug = new Error('bug');
    const end = (async () => {
      for await (const attempt of policy.attempts()) {
        if (attempt.number === 1) throw bug;
      }
    })();
    expect(await rejection(end)).toBe(bug);
    expect(retryInfo(bug)).toBeUndefined();
    expect([events, clock.pending]).toEqual([['attempt'], 0]);
  });

  it('by hand: after the end there is nothing more, and before the first nothing to return', async () => {
    const { policy } = bench();
    const done = policy.attempts();
    const first = await done.next();
    await first.value?.run(() => 'v');
    expect(await done.next()).toEqual({ done: true, value: undefined });
    expect(await done.next()).toEqual({ done: true, value: undefined });
    const events = told(policy);
    const unused = policy.attempts();
    expect(await unused.return?.()).toEqual({ done: true, value: undefined });
    expect(await unused.next()).toEqual({ done: true, value: undefined });
    expect(events).toEqual([]);
  });
});

describe('attempts(), bounds', () => {
  it('a deadline cuts a run, throws, and the signal of the attempt tells it', async () => {
    const { clock, policy } = bench();
    let signal: AbortSignal | undefined;
    const end = rejection(
      (async () => {
        for await (const attempt of policy.attempts({ totalTimeoutMs: 100 })) {
          signal = attempt.signal;
          await attempt.run(() => new Promise(() => {}));
        }
      })(),
    );
    const error = await clock.runUntilSettled(end);
    expect(error).toMatchObject({ code: 'OUTLAST_DEADLINE_EXCEEDED' });
    expect([signal?.aborted, clock.now(), clock.pending]).toEqual([true, 100, 0]);
  });

  it('a delay that would reach the deadline is not slept', async () => {
    const { clock, policy } = bench({ totalTimeoutMs: 500 });
    const error = coded(RESET);
    expect(await rejection(loop(policy, failTimes([error], 'v')))).toBe(error);
    expect([retryInfo(error)?.reason, clock.now()]).toEqual(['deadline', 0]);
  });

  it('an attempt timeout is a failure like another', async () => {
    const { clock, policy } = bench({ attemptTimeoutMs: 50 });
    let calls = 0;
    const end = loop(policy, () => {
      calls += 1;
      return calls === 1 ? new Promise(() => {}) : 'v';
    });
    expect(await clock.runUntilSettled(end)).toEqual([undefined, 'v']);
    expect(clock.now()).toBe(1050);
  });

  it('a body that takes longer than its attempt may goes on with the next turn', async () => {
    const { clock, policy } = bench({ attemptTimeoutMs: 50, maxAttempts: 2 });
    const seen: number[] = [];
    const end = (async () => {
      for await (const attempt of policy.attempts()) {
        seen.push(attempt.number);
        const aborted = new Promise((resolve) => {
          attempt.signal.addEventListener('abort', resolve);
        });
        if (attempt.number === 1) await aborted;
      }
      return 'done';
    })();
    expect(await clock.runUntilSettled(end)).toBe('done');
    expect(seen).toEqual([1, 2]);
    // So long that the next turn has begun without it.
    seen.length = 0;
    const longer = (async () => {
      for await (const attempt of policy.attempts()) {
        seen.push(attempt.number);
        if (attempt.number > 1) continue;
        await new Promise<void>((resolve) => clock.setTimeout(resolve, 1080));
      }
    })();
    await clock.runUntilSettled(longer);
    expect(seen).toEqual([1, 2]);
    const late = (async () => {
      for await (const attempt of policy.attempts({ maxAttempts: 1 })) {
        await new Promise((resolve) => attempt.signal.addEventListener('abort', resolve));
      }
    })();
    expect(await clock.runUntilSettled(rejection(late))).toMatchObject({
      code: 'OUTLAST_ATTEMPT_TIMEOUT',
    });
  });

  it('two runs at once share a turn; the one that fails first ends it for both', async () => {
    const { clock, policy } = bench();
    const log: unknown[] = [];
    const end = (async () => {
      for await (const attempt of policy.attempts()) {
        const fails = () => {
          if (attempt.number === 1) throw coded(RESET);
          return 'a';
        };
        const slow = async () => {
          await turn();
          return 'b';
        };
        log.push(await Promise.all([attempt.run(fails), attempt.run(slow)]));
      }
    })();
    await clock.runUntilSettled(end);
    expect(log).toEqual([
      [undefined, 'b'],
      ['a', 'b'],
    ]);
  });

  it('events call it by the name that was given, or operation', async () => {
    const { policy } = bench();
    const names: string[] = [];
    policy.on('success', ({ operation }) => names.push(operation));
    await loop(policy, () => 'v');
    await loop(policy, () => 'v', { operation: 'block' });
    expect(names).toEqual(['operation', 'block']);
  });

  it.each(['run', 'sleep'])(
    '3.1 an abort during a %s settles at once, with the reason',
    async (when) => {
      const { clock, policy } = bench();
      const controller = new AbortController();
      const reason = new Error('gone');
      const work = vi.fn(() =>
        when === 'run' ? new Promise(() => {}) : Promise.reject(coded(RESET)),
      );
      const end = settled(loop(policy, work, { signal: controller.signal }));
      await clock.advance(10);
      controller.abort(reason);
      expect(await end).toEqual({ ok: false, error: reason });
      expect(retryInfo(reason)).toMatchObject({ reason: 'cancelled', outcome: 'unknown' });
      expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
      await clock.advance(1e6);
      expect([work.mock.calls.length, clock.pending]).toEqual([1, 0]);
    },
  );

  it('3.2 a signal that has aborted: no turn at all', async () => {
    const { policy } = bench();
    const work = vi.fn();
    const call = { signal: AbortSignal.abort('gone') };
    expect(await rejection(loop(policy, work, call))).toBe('gone');
    expect(work).not.toHaveBeenCalled();
  });

  it('3.18 leaves no listener on a signal after the end', async () => {
    const controller = new AbortController();
    const { clock, policy } = bench();
    for (const errors of [0, 2, 3]) {
      const call = { signal: controller.signal };
      await clock.runUntilSettled(settled(loop(policy, failTimes(errors, 'v'), call)));
      expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
    }
  });

  it('close() wakes a loop that sleeps; one whose run is under way may still succeed', async () => {
    const { clock, policy } = bench();
    const asleep = settled(loop(policy, failTimes(1, 'v')));
    let end: (value: string) => void = () => {};
    const running = loop(
      policy,
      () =>
        new Promise<string>((resolve) => {
          end = resolve;
        }),
    );
    await clock.advance(10);
    policy.close();
    expect(isClosedError(((await asleep) as { error: unknown }).error)).toBe(true);
    end('value');
    expect(await running).toEqual(['value']);
    expect(isClosedError(await rejection(loop(policy, () => 'v')))).toBe(true);
  });

  it('a breaker counts the operation once, refuses the loop when open, and probes with one turn', async () => {
    const { clock, policy } = bench({ breaker: new CircuitBreaker({ failureThreshold: 1 }) });
    expect(clock.pending).toBe(0);
    const breaker = new CircuitBreaker({ clock, jitter: false, failureThreshold: 1 });
    const call: Call = { breaker };
    await clock.runUntilSettled(settled(loop(policy, failTimes(3, 'v'), call)));
    expect(breaker.status()).toMatchObject({ state: 'open', failures: 1 });
    expect(await rejection(loop(policy, () => 'v', call))).toMatchObject({
      code: 'OUTLAST_CIRCUIT_OPEN',
    });
    await clock.advance(60_000);
    const probe = failTimes(3, 'v');
    await rejection(loop(policy, probe, call));
    expect(probe.calls).toBe(1);
    await clock.advance(100_000);
    expect(await loop(policy, () => 'v', call)).toEqual(['v']);
    expect(breaker.state).toBe('closed');
  });

  it('a bulkhead is held over the whole loop', async () => {
    const bulkhead = new Bulkhead({ maxConcurrent: 1, maxQueued: 1 });
    const { clock, policy } = bench({ bulkhead });
    const first = loop(policy, failTimes(1, 'first'));
    await turn();
    const second = loop(policy, () => 'second');
    await clock.advance(500);
    expect(bulkhead.status()).toMatchObject({ running: 1, queued: 1 });
    expect(await clock.runUntilSettled(first)).toEqual([undefined, 'first']);
    expect(await second).toEqual(['second']);
    expect(bulkhead.status()).toMatchObject({ running: 0, queued: 0 });
  });

  it.each<[string, RetryOptions]>([
    ['retryResult', { retryResult: () => true }],
    ['fallback', { fallback: () => 'fallback' }],
  ])(
    '%s of the policy does not meddle: a turn has no value, and its failure surfaces',
    async (_n, options) => {
      const { clock, policy } = bench(options);
      expect(await loop(policy, () => 'v')).toEqual(['v']);
      const errors = [1, 2, 3].map(() => coded(RESET));
      const end = settled(loop(policy, failTimes(errors, 'v')));
      expect(await clock.runUntilSettled(end)).toEqual({ ok: false, error: errors[2] });
    },
  );

  it('a bad option rejects at the first turn', async () => {
    const { policy } = bench();
    const error = await rejection(loop(policy, () => 'v', { maxAtempts: 1 } as Call));
    expect(isOptionError(error)).toBe(true);
    expect(String(error)).toMatch(/Did you mean maxAttempts\?/);
  });
});
