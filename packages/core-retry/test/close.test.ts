import { isClosedError, type PolicyEvent, retryInfo } from '@outlast/core-retry';
import { failTimes } from '@outlast/core-retry/testing';
import { describe, expect, it, vi } from 'vitest';
import { bench, coded, hanging, REFUSED, rejection, settled, turn } from './helpers.js';

describe('close()', () => {
  it.each([{}, { totalTimeoutMs: 60_000 }, { attemptTimeoutMs: 50 }])(
    '3.20 wakes who sleeps, who rejects with ClosedError and is not called again (%j)',
    async (options) => {
      const { clock, policy } = bench(options);
      const first = coded(REFUSED);
      const work = failTimes([first], 'v');
      const end = rejection(policy.execute(work));
      await clock.advance(500);
      policy.close();
      const error = await end;
      expect(isClosedError(error)).toBe(true);
      expect(retryInfo(error)).toMatchObject({
        reason: 'closed',
        attempts: 1,
        outcome: 'not-applied',
        delaysMs: [1000],
        failures: [{ attempt: 1, error: first }],
      });
      await clock.advance(100_000);
      expect(work.calls).toBe(1);
      expect(clock.pending).toBe(0);
    },
  );

  it('3.20 wakes all of a thousand sleepers, each with an error of its own', async () => {
    const { clock, policy } = bench();
    const ends = Array.from({ length: 1000 }, () => rejection(policy.execute(failTimes(9, 'v'))));
    await turn();
    expect(clock.pending).toBe(1000);
    policy.close();
    const errors = await Promise.all(ends);
    expect(errors.every(isClosedError)).toBe(true);
    expect(new Set(errors).size).toBe(1000);
    expect(clock.pending).toBe(0);
  });

  it('refuses later calls without making them', async () => {
    const { policy } = bench();
    policy.close();
    const work = vi.fn(async () => 'v');
    for (const call of [
      undefined,
      { totalTimeoutMs: 5 },
      { signal: new AbortController().signal },
    ]) {
      expect(isClosedError(await rejection(policy.execute(work, call)))).toBe(true);
    }
    expect(work).not.toHaveBeenCalled();
  });

  it('an attempt under way may still succeed', async () => {
    for (const options of [{}, { totalTimeoutMs: 60_000 }]) {
      const { policy, clock } = bench(options);
      let answer: (value: string) => void = () => {};
      const end = policy.execute(
        () =>
          new Promise<string>((resolve) => {
            answer = resolve;
          }),
      );
      await turn();
      policy.close();
      answer('value');
      expect(await end).toBe('value');
      await clock.advance(60_000);
      expect(clock.pending).toBe(0);
    }
  });

  it('an attempt under way that fails is not tried again; its own error surfaces, as closed', async () => {
    const { clock, policy } = bench();
    let refuse: (error: Error) => void = () => {};
    const work = vi.fn(
      () =>
        new Promise<string>((_, reject) => {
          refuse = reject;
        }),
    );
    const end = rejection(policy.execute(work));
    await turn();
    policy.close();
    const error = coded(REFUSED);
    refuse(error);
    expect(await end).toBe(error);
    expect(retryInfo(error)).toMatchObject({ reason: 'closed', attempts: 1 });
    await clock.advance(100_000);
    expect(work).toHaveBeenCalledTimes(1);
  });

  it('an attempt under way still has its deadline', async () => {
    const { clock, policy } = bench({ totalTimeoutMs: 1000 });
    const end = rejection(policy.execute(hanging().work));
    policy.close();
    await clock.advance(1000);
    expect(retryInfo(await end)?.reason).toBe('deadline');
    expect(clock.pending).toBe(0);
  });

  it.each([0, 1000])(
    'in onRetry, before a delay of %d: nothing is called again',
    async (baseDelayMs) => {
      const { clock, policy } = bench({ baseDelayMs, onRetry: () => policy.close() });
      const work = failTimes(5, 'v');
      const end = rejection(policy.execute(work));
      await clock.advance(0);
      expect(retryInfo(await end)?.reason).toBe('closed');
      expect([work.calls, clock.pending]).toEqual([1, 0]);
    },
  );

  it('is no failure to listeners, and may be called twice', async () => {
    const { policy } = bench();
    const events: PolicyEvent[] = [];
    policy.on('exhausted', (event) => events.push(event));
    const end = settled(policy.execute(failTimes(5, 'v')));
    await turn();
    policy.close();
    policy.close();
    expect((await end).ok).toBe(false);
    expect(events).toEqual([]);
  });

  it('3.37 takes the timer of deadlines with it', async () => {
    const { clock, policy } = bench({ totalTimeoutMs: 60_000 });
    await policy.execute(failTimes(0, 'v'));
    expect(clock.pending).toBe(1);
    policy.close();
    expect(clock.pending).toBe(0);
  });
});
