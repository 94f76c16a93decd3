import { isOptionError, RetryManager, RetryPolicy, retryable } from '@outlast/core-retry';
import { describe, expect, it } from 'vitest';

describe('@retryable, at run time', () => {
  const decorate = (decorator: unknown, method: unknown, context: unknown) =>
    (decorator as (method: unknown, context: unknown) => unknown)(method, context);

  function refused(fn: () => unknown): string {
    try {
      fn();
    } catch (error) {
      expect(isOptionError(error)).toBe(true);
      return (error as Error).message;
    }
    throw new Error('expected it to throw');
  }

  it.each([
    ['getter', () => 1],
    ['setter', () => 1],
    ['field', undefined],
    ['accessor', { get: () => 1 }],
    ['class', class {}],
  ])('refuses a %s, by its name, when the class is defined', (kind, target) => {
    for (const decorator of [retryable(), new RetryManager().retryable({ service: 'x' })]) {
      const says = `retryable decorates methods only, not the ${kind} 'thing'.`;
      expect(refused(() => decorate(decorator, target, { kind, name: 'thing' }))).toBe(says);
      const odd = { kind, name: Symbol('odd') };
      expect(refused(() => decorate(decorator, target, odd))).toContain(`${kind} 'Symbol(odd)'`);
    }
  });

  it('refuses the arguments of the old decorators, which have no context', () => {
    const old = () => decorate(retryable(), {}, 'method');
    expect(refused(old)).toContain('decorates methods only');
    expect(refused(() => decorate(retryable(), () => 1, undefined))).toContain('methods only');
  });

  it('refuses bad options when the class is defined', () => {
    expect(refused(() => retryable({ maxAttempts: 0 }))).toContain('maxAttempts must be');
    const method = async () => {};
    const context = { kind: 'method', name: '' };
    const decorator = new RetryManager().retryable({ service: 'x' });
    const anonymous = Object.defineProperty(method, 'name', { value: '' });
    expect(refused(() => decorate(decorator, anonymous, context))).toContain('operation must be');
  });

  it('a policy that is given is used as it is, and options make one of their own', async () => {
    const policy = new RetryPolicy({ maxAttempts: 1 });
    let calls = 0;
    const method = async () => {
      calls += 1;
      throw Object.assign(new Error('x'), { code: 'ECONNRESET' });
    };
    const context = { kind: 'method', name: 'method' };
    const one = decorate(retryable(policy), method, context) as () => Promise<void>;
    await expect(one()).rejects.toThrow('x');
    expect(calls).toBe(1);
    const options = retryable({ maxAttempts: 2, baseDelayMs: 0 });
    await expect((decorate(options, method, context) as () => Promise<void>)()).rejects.toThrow(
      'x',
    );
    expect(calls).toBe(3);
    policy.close();
    await expect(one()).rejects.toMatchObject({ code: 'OUTLAST_CLOSED' });
  });
});
