import { type Attempt, type Failure, type Resolution, RetryPolicy } from '@outlast/core-retry';
import { ManualClock } from '@outlast/core-retry/testing';
import { describe, expect, it } from 'vitest';
import { bench, hanging, settled } from './helpers.js';

/** What a connector hands to `execute`: an object whose hooks are methods with private state. */
class Call {
  readonly idempotent = false;
  readonly operation = 'call.object';
  readonly maxAttempts = 2;
  readonly attemptTimeoutMs = 5;
  readonly #asked: string[] = [];
  readonly #secret = 'mine';

  get asked(): readonly string[] {
    return this.#asked;
  }

  classify(): Failure {
    this.#asked.push(`classify ${this.#secret}`);
    return { category: 'network', transient: true, outcome: 'unknown' };
  }

  resolve(): Resolution<string> {
    this.#asked.push(`resolve ${this.#secret}`);
    return { outcome: 'applied', value: 'found' };
  }

  stop(_attempt: Attempt): void {
    this.#asked.push(`stop ${this.#secret}`);
  }
}

describe('a call that is an object with methods', () => {
  it('has classify and resolve called on itself', async () => {
    const call = new Call();
    const value = await new RetryPolicy().execute(() => Promise.reject(new Error('lost')), call);
    expect(value).toBe('found');
    expect(call.asked).toEqual(['classify mine', 'resolve mine']);
  });

  it('has stop called on itself', async () => {
    const call = new Call();
    const value = await new RetryPolicy().execute(() => new Promise<string>(() => {}), call);
    expect(value).toBe('found');
    expect(call.asked).toEqual(['classify mine', 'stop mine', 'resolve mine']);
  });
});

describe('a call on a clock of its own', () => {
  it('has its deadline there, though it is as long as that of the policy', async () => {
    const { clock: ofPolicy, policy } = bench({ totalTimeoutMs: 1000 });
    const clock = new ManualClock(50_000);
    const end = settled(policy.execute(hanging().work, { clock }));
    await ofPolicy.advance(100_000);
    await clock.advance(1000);
    expect(await end).toMatchObject({ error: { code: 'OUTLAST_DEADLINE_EXCEEDED' } });
    expect([clock.pending, ofPolicy.pending]).toEqual([0, 0]);
  });
});
