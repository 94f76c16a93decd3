import { describe, expect, it } from 'vitest';
import { breakerBench } from './breaker-helpers.js';

describe('idle: nothing would be lost with it', () => {
  const down = new Error('down');

  it('is no breaker with failures in a row, nor one with a call under way', () => {
    const { breaker } = breakerBench();
    expect(breaker.idle).toBe(true);
    breaker.acquire().failure(down);
    expect(breaker.idle).toBe(false);
    const call = breaker.acquire();
    breaker.reset();
    expect(breaker.idle).toBe(false);
    call.release();
    expect(breaker.idle).toBe(true);
  });

  it('is none that has failures, slow calls or both in its window', () => {
    for (const [failed, ms] of [
      [true, 0],
      [false, 100],
      [true, 100],
    ] as const) {
      const options = { slowCallMs: 100, slowCallRate: 0.9, failureRate: 0.9, windowCalls: 10 };
      const b = breakerBench(options);
      const call = b.breaker.acquire();
      b.pass(ms);
      if (failed) call.failure(down);
      else call.success();
      b.breaker.acquire().success();
      expect(b.breaker.idle).toBe(false);
    }
  });

  it('is none that is not closed, also if only slow calls opened it', () => {
    const b = breakerBench({ slowCallMs: 0, slowCallRate: 1, minimumCalls: 1 });
    b.breaker.acquire().success();
    expect(b.breaker.state).toBe('open');
    expect(b.breaker.idle).toBe(false);
    b.pass(60_000);
    b.breaker.acquire().release();
    expect(b.breaker.idle).toBe(false);
  });

  it('is none whose probe is under way, even after a reset', () => {
    const b = breakerBench({ failureThreshold: 1 });
    b.breaker.acquire().failure(down);
    b.pass(60_000);
    const probe = b.breaker.acquire();
    b.breaker.reset();
    expect(b.breaker.idle).toBe(false);
    probe.release();
    expect(b.breaker.idle).toBe(true);
  });
});
