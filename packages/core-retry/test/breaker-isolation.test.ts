import { channel } from 'node:diagnostics_channel';
import { CircuitBreaker, isCircuitOpenError, isOptionError } from '@outlast/core-retry';
import { describe, expect, it, vi } from 'vitest';
import { breakerBench, pendingCall } from './breaker-helpers.js';
import { rejection } from './helpers.js';

const down = new Error('down');

describe('isolate', () => {
  it('keeps it open until it is disposed of, whatever time passes', async () => {
    const b = breakerBench();
    const isolation = b.breaker.isolate();
    expect(b.breaker.state).toBe('isolated');
    b.pass(1e9);
    const error = await rejection(b.ok());
    // Nobody knows when it ends.
    expect(isCircuitOpenError(error) && error.retryAfterMs).toBeUndefined();
    expect(() => b.breaker.acquire()).toThrow('is open');
    expect(b.breaker.status()).toMatchObject({ state: 'isolated' });
    expect(b.breaker.status().retryAfterMs).toBeUndefined();
    isolation.dispose();
    expect(b.breaker.state).toBe('closed');
    expect(await b.ok()).toBe('value');
    expect(b.changes).toEqual([
      'closed > isolated: isolated by hand',
      'isolated > closed: no longer isolated',
    ]);
  });

  it('3.36 is counted: the last one to go ends it, and each goes once', () => {
    const b = breakerBench();
    const [first, second, third] = [1, 2, 3].map(() => b.breaker.isolate());
    first?.dispose();
    first?.dispose();
    first?.[Symbol.dispose]();
    expect(b.breaker.state).toBe('isolated');
    third?.dispose();
    third?.dispose();
    expect(b.breaker.state).toBe('isolated');
    second?.[Symbol.dispose]();
    expect(b.breaker.state).toBe('closed');
    second?.dispose();
    const again = b.breaker.isolate();
    second?.dispose();
    expect(b.breaker.state).toBe('isolated');
    again.dispose();
    expect(b.changes).toEqual([
      'closed > isolated: isolated by hand',
      'isolated > closed: no longer isolated',
      'closed > isolated: isolated by hand',
      'isolated > closed: no longer isolated',
    ]);
  });

  it('ends with the block that is `using` it, also by a throw', () => {
    const b = breakerBench();
    const maintain = (): void => {
      using _isolation = b.breaker.isolate();
      expect(b.breaker.state).toBe('isolated');
      throw down;
    };
    expect(maintain).toThrow(down);
    expect(b.breaker.state).toBe('closed');
  });

  it('dispose may be handed on by itself', () => {
    const b = breakerBench();
    const { dispose } = b.breaker.isolate();
    dispose();
    expect(b.breaker.state).toBe('closed');
  });

  it('lies over the state: what is under way goes on to vote, and shows when it has gone', async () => {
    const b = breakerBench({ failureThreshold: 2, resetTimeoutMs: 1000 });
    const calls = [pendingCall(b.breaker), pendingCall(b.breaker)];
    const isolation = b.breaker.isolate();
    for (const call of calls) await call.fail();
    expect(b.breaker.state).toBe('isolated');
    // The change below is not told, for nothing changed for anybody.
    expect(b.changes).toEqual(['closed > isolated: isolated by hand']);
    b.pass(400);
    isolation.dispose();
    expect(b.breaker.status()).toMatchObject({ state: 'open', retryAfterMs: 600 });
    expect(b.changes.slice(1)).toEqual(['isolated > open: no longer isolated']);
    expect(b.events.at(-1)?.openTimeoutMs).toBe(1000);
  });

  it('time passes below it, and so does a probe', async () => {
    const b = breakerBench({ failureThreshold: 1, resetTimeoutMs: 1000 });
    await b.fail();
    b.breaker.isolate().dispose();
    b.pass(1000);
    const isolation = b.breaker.isolate();
    expect(isCircuitOpenError(await rejection(b.ok()))).toBe(true);
    isolation.dispose();
    expect(b.breaker.state).toBe('half-open');
    const probe = pendingCall(b.breaker);
    const second = b.breaker.isolate();
    await probe.succeed();
    second.dispose();
    expect(b.breaker.state).toBe('closed');
    expect(b.changes).toEqual([
      'closed > open: 1 consecutive failures',
      'open > isolated: isolated by hand',
      'isolated > open: no longer isolated',
      'open > isolated: isolated by hand',
      'isolated > open: no longer isolated',
      'open > half-open: the open time is over',
      'half-open > isolated: isolated by hand',
      'isolated > closed: no longer isolated',
    ]);
  });

  it('hides when an open one would be asked again', async () => {
    const b = breakerBench({ failureThreshold: 1 });
    await b.fail();
    b.breaker.isolate();
    const error = await rejection(b.ok());
    expect(isCircuitOpenError(error) && error.retryAfterMs).toBeUndefined();
    expect(b.breaker.status()).not.toHaveProperty('retryAfterMs');
    expect(b.breaker.status()).not.toHaveProperty('openUntil');
  });

  it('a probe that fails below it opens it', async () => {
    const b = breakerBench({ failureThreshold: 1, resetTimeoutMs: 1000 });
    await b.fail();
    b.pass(1000);
    const probe = pendingCall(b.breaker);
    const isolation = b.breaker.isolate();
    await probe.fail();
    isolation.dispose();
    expect(b.breaker.status()).toMatchObject({ state: 'open', retryAfterMs: 1500 });
  });

  it('keeps a breaker from being idle', () => {
    const { breaker } = breakerBench();
    expect(breaker.idle).toBe(true);
    const isolation = breaker.isolate();
    expect(breaker.idle).toBe(false);
    isolation.dispose();
    expect(breaker.idle).toBe(true);
  });
});

describe('reset', () => {
  it('closes an open breaker and forgets what was counted', async () => {
    const b = breakerBench({ failureThreshold: 1, openTimeoutIncrementFactor: 2 });
    await b.fail();
    b.pass(60_000);
    await b.fail();
    expect(b.breaker.status().openTimeoutMs).toBe(120_000);
    b.breaker.reset();
    expect(b.breaker.status()).toMatchObject({
      state: 'closed',
      failures: 0,
      successes: 0,
      openTimeoutMs: 60_000,
    });
    expect(b.breaker.snapshot().trips).toBe(0);
    expect(b.changes.at(-1)).toBe('open > closed: reset');
    await b.fail();
    expect(b.breaker.status().openTimeoutMs).toBe(60_000);
  });

  it('of a closed one tells nothing, and forgets its failures and its window', async () => {
    const row = breakerBench({ failureThreshold: 3 });
    await row.fail(2);
    row.breaker.reset();
    expect(row.breaker.idle).toBe(true);
    await row.fail(2);
    expect(row.events).toEqual([]);
    for (const window of [{ windowCalls: 4 }, { windowMs: 5000 }]) {
      const rate = breakerBench({ failureRate: 0.5, minimumCalls: 4, ...window });
      await rate.fail(3);
      rate.breaker.reset();
      expect(rate.breaker.status().failures).toBe(0);
      await rate.fail(3);
      expect(rate.events).toEqual([]);
    }
  });

  it('of a half-open one gives no probe a say', async () => {
    const b = breakerBench({ failureThreshold: 1, halfOpenMaxCalls: 2, successThreshold: 2 });
    await b.fail();
    b.pass(60_000);
    await b.ok();
    const probe = pendingCall(b.breaker);
    b.breaker.reset();
    expect(b.breaker.status()).toMatchObject({ state: 'closed', successes: 0, halfOpenCalls: 0 });
    await probe.fail();
    expect(b.breaker.state).toBe('closed');
  });

  it('leaves an isolation as it is', async () => {
    const b = breakerBench({ failureThreshold: 1 });
    await b.fail();
    const isolation = b.breaker.isolate();
    b.breaker.reset();
    expect(b.breaker.state).toBe('isolated');
    isolation.dispose();
    expect(b.breaker.state).toBe('closed');
  });
});

describe('listeners', () => {
  it('3.14 that throw or reject change nothing, and keep nobody from hearing', async () => {
    const b = breakerBench({ failureThreshold: 1, resetTimeoutMs: 10 });
    b.breaker.on('breaker', () => {
      throw new Error('listener');
    });
    const rejects: () => unknown = () => Promise.reject(new Error('listener'));
    b.breaker.on('breaker', rejects);
    const heard = vi.fn();
    b.breaker.on('breaker', heard);
    await b.fail(1, down);
    b.pass(10);
    expect(await b.ok()).toBe('value');
    expect(heard).toHaveBeenCalledTimes(3);
    expect(b.breaker.status()).toMatchObject({ state: 'closed', failures: 0 });
  });

  it('3.15 one that leaves while it is told does not keep the next from hearing', async () => {
    const { breaker } = breakerBench();
    const heard: string[] = [];
    const off = breaker.on('breaker', () => {
      heard.push('first');
      off();
    });
    breaker.on('breaker', () => heard.push('second'));
    breaker.isolate().dispose();
    expect(heard).toEqual(['first', 'second', 'second']);
  });

  it('the same function may listen twice, and each goes by itself', () => {
    const { breaker } = breakerBench();
    const heard = vi.fn();
    const off = breaker.on('breaker', heard);
    breaker.on('breaker', heard);
    breaker.isolate();
    expect(heard).toHaveBeenCalledTimes(2);
    off();
    off();
    breaker.isolate();
    breaker.reset();
    breaker.isolate();
    expect(heard).toHaveBeenCalledTimes(2);
    const one = new CircuitBreaker();
    const offOne = one.on('breaker', heard);
    offOne();
    one.isolate();
    expect(heard).toHaveBeenCalledTimes(2);
  });

  it('hear what they listen to and nothing else', () => {
    const { breaker } = breakerBench();
    const stores: unknown[] = [];
    breaker.on('store', (event) => stores.push(event));
    breaker.isolate();
    expect(stores).toEqual([]);
    const before = vi.fn();
    breaker.on('breaker', before);
    breaker.reportStore('save', down);
    expect(before).not.toHaveBeenCalled();
    expect(stores).toMatchObject([
      { type: 'store', operation: 'breaker', action: 'save', error: down },
    ]);
    expect(Object.isFrozen(stores[0])).toBe(true);
  });

  it.each([
    [['retry', () => {}], "type must be 'breaker' or 'store'; got 'retry' (string)."],
    [['breaker', 5], 'listener must be a function; got 5 (number).'],
    [['breaker'], 'listener must be a function; got undefined.'],
  ])('%j is refused', (given, message) => {
    const on = (): unknown => new CircuitBreaker().on(...(given as never as ['breaker', never]));
    expect(on).toThrow(message);
    try {
      on();
    } catch (error) {
      expect(isOptionError(error)).toBe(true);
    }
  });

  it('3.15 that change the state again are heard in order by all', async () => {
    const b = breakerBench({ failureThreshold: 1 });
    b.breaker.on('breaker', (event) => {
      if (event.to === 'open') b.breaker.reset();
    });
    const late: string[] = [];
    b.breaker.on('breaker', ({ from, to }) => late.push(`${from} > ${to}`));
    const published: string[] = [];
    const note = (event: unknown) => published.push((event as { to: string }).to);
    channel('outlast:breaker').subscribe(note);
    await b.fail();
    channel('outlast:breaker').unsubscribe(note);
    expect(late).toEqual(['closed > open', 'open > closed']);
    expect(published).toEqual(['open', 'closed']);
    expect(b.breaker.status()).toMatchObject({ state: 'closed', failures: 0 });
    expect(await b.ok()).toBe('value');
  });

  it('that reset when a probe is due: the call is admitted as any other', async () => {
    const b = breakerBench({ failureThreshold: 2, resetTimeoutMs: 10 });
    await b.fail(2);
    b.pass(10);
    b.breaker.on('breaker', (event) => {
      if (event.to === 'half-open') b.breaker.reset();
    });
    await b.fail();
    expect(b.breaker.status()).toMatchObject({ state: 'closed', failures: 1 });
    expect(b.changes.slice(1)).toEqual([
      'open > half-open: the open time is over',
      'half-open > closed: reset',
    ]);
  });

  it('that isolate when a probe is due: the call is refused', async () => {
    const b = breakerBench({ failureThreshold: 1, resetTimeoutMs: 10 });
    await b.fail();
    b.pass(10);
    const off = b.breaker.on('breaker', () => {
      off();
      b.breaker.isolate();
    });
    expect(isCircuitOpenError(await rejection(b.ok()))).toBe(true);
    expect(b.breaker.status()).toMatchObject({ state: 'isolated', halfOpenCalls: 0 });
  });

  it('that probe by themselves have the place', async () => {
    const b = breakerBench({ failureThreshold: 1, resetTimeoutMs: 10 });
    await b.fail();
    b.pass(10);
    let own: { succeed(): Promise<void> } | undefined;
    b.breaker.on('breaker', (event) => {
      if (event.to === 'half-open') own = pendingCall(b.breaker);
    });
    expect(isCircuitOpenError(await rejection(b.ok()))).toBe(true);
    await own?.succeed();
    expect(b.breaker.state).toBe('closed');
  });

  it('that probe and fail, and then let time pass: the call is a probe with a vote', async () => {
    const b = breakerBench({ failureThreshold: 1, resetTimeoutMs: 10 });
    await b.fail();
    b.pass(10);
    const off = b.breaker.on('breaker', () => {
      off();
      b.breaker.acquire().failure(down);
      b.pass(15);
    });
    expect(await b.ok()).toBe('value');
    expect(b.breaker.state).toBe('closed');
  });

  it('of one breaker may use another', async () => {
    const [first, second] = [
      breakerBench({ failureThreshold: 1 }),
      breakerBench({ failureThreshold: 1 }),
    ];
    const told: string[] = [];
    first.breaker.on('breaker', () => {
      told.push('first');
      second.breaker.acquire().failure(down);
      told.push('first ends');
    });
    second.breaker.on('breaker', () => told.push('second'));
    await first.fail();
    expect(told).toEqual(['first', 'first ends', 'second']);
    expect(second.breaker.state).toBe('open');
  });
});
