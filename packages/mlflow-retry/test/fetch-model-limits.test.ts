import { DeadlineExceededError, isDeadlineExceededError, retryInfo } from '@outlast/core-retry';
import { ManualClock } from '@outlast/core-retry/testing';
import { describe, expect, it } from 'vitest';
import { FetchLimits } from '../src/fetch-model-limits.js';

describe('the limits of a fetch', () => {
  it('end it when its time is over, and say how long that was', async () => {
    const clock = new ManualClock(5_000);
    const limits = new FetchLimits(clock, 1_000, undefined);
    await clock.advance(999);
    expect(limits.signal?.aborted).toBe(false);
    expect(limits.leftMs).toBe(1);
    await clock.advance(1);
    expect(isDeadlineExceededError(limits.signal?.reason)).toBe(true);
    expect(String(limits.signal?.reason)).toContain('mlflow.fetchModel did not finish within');
    expect(String(limits.signal?.reason)).toContain('1000 ms');
    // A step must have some time, or its options were wrong.
    expect(limits.leftMs).toBe(1);
  });

  it('are the caller’s signal alone where there is no time', () => {
    const clock = new ManualClock();
    const { signal } = new AbortController();
    const limits = new FetchLimits(clock, Infinity, signal);
    expect(limits.signal).toBe(signal);
    expect(limits.leftMs).toBe(Infinity);
    expect(clock.pending).toBe(0);
    expect(new FetchLimits(clock, Infinity, undefined).signal).toBe(undefined);
  });

  it('pass on why the caller called it off', async () => {
    const clock = new ManualClock();
    const controller = new AbortController();
    const limits = new FetchLimits(clock, 1_000, controller.signal);
    controller.abort('enough');
    await clock.advance(2_000);
    expect(limits.signal?.reason).toBe('enough');
  });

  it('leave no timer, and listen to nobody, once it has ended', async () => {
    const clock = new ManualClock();
    const controller = new AbortController();
    const limits = new FetchLimits(clock, 1_000, controller.signal);
    expect(clock.pending).toBe(1);
    limits.end();
    expect(clock.pending).toBe(0);
    controller.abort();
    expect(limits.signal?.aborted).toBe(false);
  });

  it('name the whole time where a step names its own, once, and nothing else', () => {
    const clock = new ManualClock();
    const limits = new FetchLimits(clock, 1_000, undefined);
    const named = limits.named(new DeadlineExceededError('mlflow.download', 3));
    expect(String(named)).toContain('mlflow.fetchModel did not finish within');
    expect(limits.named(named)).toBe(named);
    expect(retryInfo(named)).toMatchObject({ reason: 'deadline', outcome: 'not-applied' });
    const other = new Error('other');
    expect(limits.named(other)).toBe(other);
    const endless = new FetchLimits(clock, Infinity, undefined);
    const strange = new DeadlineExceededError('x', 3);
    expect(endless.named(strange)).toBe(strange);
  });
});
