import {
  BreakerRegistry,
  isBulkheadFullError,
  isCircuitOpenError,
  isClosedError,
  isOptionError,
  type ManagedCall,
  type PolicyEvent,
  RetryManager,
  type RetryManagerOptions,
  retryInfo,
} from '@outlast/core-retry';
import { failTimes, ManualClock } from '@outlast/core-retry/testing';
import { describe, expect, it, vi } from 'vitest';
import { coded, hanging, RESET, rejection, settled, turn } from './helpers.js';
import { MemoryStore, openSnapshot } from './memory-store.js';

/** A manager on a clock that stands still, without jitter. */
function managed(options: RetryManagerOptions = {}) {
  const clock = new ManualClock();
  const { retry, breaker, ...rest } = options;
  const manager = new RetryManager({
    retry: { clock, jitter: false, ...retry },
    breaker: breaker === false ? false : { jitter: false, ...breaker },
    ...rest,
  });
  /** Runs one call to its end. */
  const run = (errors: number | readonly unknown[], call: Partial<ManagedCall<string>> = {}) => {
    const work = failTimes(errors, 'value');
    const names = { service: 'pg', operation: 'query' };
    return clock.runUntilSettled(settled(manager.execute(work, { ...names, ...call })));
  };
  return { clock, manager, run };
}

const reset = (n = 3): readonly Error[] => Array.from({ length: n }, () => coded(RESET));
const NAMES = { service: 'pg', operation: 'query' };

describe('execute', () => {
  it('retries under the policy of the operation, and counts', async () => {
    const { clock, manager, run } = managed();
    expect(await run(2)).toEqual({ ok: true, value: 'value' });
    expect(clock.now()).toBe(3000);
    await run(0);
    const errors = reset();
    const end = await run(errors);
    expect(end).toEqual({ ok: false, error: errors[2] });
    expect(retryInfo(errors[2])).toMatchObject({ operation: 'pg:query', attempts: 3 });
    expect(manager.status().operations).toEqual({
      'pg:query': { successes: 2, failures: 1, retries: 4 },
    });
  });

  it('takes work that returns at once, and the attempt as its argument', async () => {
    const { manager } = managed();
    expect(await manager.execute((attempt) => attempt.number, NAMES)).toBe(1);
    const thrown = await rejection(
      manager.execute(() => {
        throw new RangeError('sync');
      }, NAMES),
    );
    expect(thrown).toBeInstanceOf(RangeError);
  });

  it.each<[object, RegExp]>([
    [{}, /service must be a text that is not empty; got undefined/],
    [{ service: 'a' }, /operation must be a text that is not empty; got undefined/],
    [{ service: '', operation: 'b' }, /service must be/],
    [{ service: 'a', operation: 5 }, /operation must be .* got 5 \(number\)/],
    [{ ...NAMES, maxAtempts: 2 }, /maxAtempts is not an option. Did you mean maxAttempts\?/],
    [{ ...NAMES, maxAttempts: 0 }, /maxAttempts must be a whole number/],
    [{ ...NAMES, maxAttempts: Infinity }, /maxAttempts may be Infinity only together/],
    [{ ...NAMES, breaker: { failureTreshold: 2 } }, /Did you mean failureThreshold\?/],
  ])('rejects %j, and calls nothing', async (call, says) => {
    const { manager } = managed();
    const work = failTimes(0, 'v');
    const error = await rejection(manager.execute(work, call as ManagedCall<string>));
    expect(isOptionError(error)).toBe(true);
    expect(String(error)).toMatch(says);
    expect(work.calls).toBe(0);
  });

  it.each([undefined, null, 'pg', 5])('rejects %j in place of names', async (call) => {
    const { manager } = managed();
    const error = await rejection(manager.execute(failTimes(0, 'v'), call as never));
    expect(String(error)).toMatch(/call must be an object: { service, operation, … }/);
  });

  it('what is no function fails like work that throws', async () => {
    const { manager } = managed();
    for (const more of [{}, { totalTimeoutMs: 1000 }]) {
      const call = { ...NAMES, ...more };
      expect(await rejection(manager.execute(undefined as never, call))).toBeInstanceOf(TypeError);
    }
    expect(manager.status().breakers['pg:query']).toMatchObject({ state: 'closed', failures: 0 });
  });

  it('a call narrows any option, and the next call does not see it', async () => {
    const { manager, run } = managed();
    const delays: number[] = [];
    manager.on('retry', (event) => delays.push(event.delayMs));
    await run(2, { baseDelayMs: 10 });
    await run(reset(1), { maxAttempts: 1 });
    await run(1);
    expect(delays).toEqual([10, 20, 1000]);
    expect(await run(reset(), { fallback: () => 'fallback' })).toEqual({
      ok: true,
      value: 'fallback',
    });
    let asked = 0;
    const retryResult = (value: string) => value === 'value' && asked++ === 0;
    await run(0, { retryResult });
    expect(asked).toBe(2);
  });

  it('undefined options are not given: the call stays a plain one', async () => {
    const { manager } = managed();
    const call = { ...NAMES, signal: undefined, maxAttempts: undefined } as never;
    expect(await manager.execute(failTimes(0, 'v'), call)).toBe('v');
  });

  it('events say service:operation, and where a name was configured that', async () => {
    const { manager, run } = managed();
    manager.configure({
      services: { pg: { operations: { ping: { retry: { operation: 'health' } } } } },
    });
    const seen: string[] = [];
    for (const type of ['attempt', 'success'] as const) {
      manager.on(type, (event) => seen.push(`${event.type} ${event.operation}`));
    }
    await run(0);
    await run(0, { service: 'a:b', operation: 'c' });
    await run(0, { operation: 'ping' });
    expect(seen).toEqual([
      'attempt pg:query',
      'success pg:query',
      'attempt a%3Ab:c',
      'success a%3Ab:c',
      'attempt health',
      'success health',
    ]);
  });
});

describe('breakers', () => {
  it('each operation has its own, shared by all its calls', async () => {
    const { manager, run } = managed({ breaker: { failureThreshold: 2 } });
    await run(reset());
    await run(reset());
    expect(isCircuitOpenError(((await run(0)) as { error: unknown }).error)).toBe(true);
    expect(await run(0, { operation: 'other' })).toMatchObject({ ok: true });
    expect(await run(0, { service: 'mysql' })).toMatchObject({ ok: true });
    expect(manager.status().breakers).toMatchObject({
      'pg:query': { state: 'open' },
      'pg:other': { state: 'closed' },
      'mysql:query': { state: 'closed' },
    });
    // A refusal is a failure of the operation.
    expect(manager.status().operations['pg:query']).toEqual({
      successes: 0,
      failures: 3,
      retries: 4,
    });
  });

  it('reset closes it', async () => {
    const { manager, run } = managed({ breaker: { failureThreshold: 1 } });
    await run(reset());
    await run(reset(), { operation: 'other' });
    manager.reset('pg', 'query');
    expect(await run(0)).toMatchObject({ ok: true });
    expect(await run(0, { operation: 'other' })).toMatchObject({ ok: false });
    manager.reset();
    expect(await run(0, { operation: 'other' })).toMatchObject({ ok: true });
  });

  it('breaker: false goes by it for a call, for an operation, for a service, for all', async () => {
    const { run } = managed({ breaker: { failureThreshold: 1 } });
    await run(reset());
    expect(await run(0, { breaker: false })).toMatchObject({ ok: true });
    for (const options of [
      { breaker: false },
      { services: { pg: { breaker: false } } },
      { services: { pg: { operations: { query: { breaker: false } } } } },
    ] as const) {
      const { manager, run } = managed(options);
      for (let i = 0; i < 6; i++) await run(reset());
      expect(await run(0)).toMatchObject({ ok: true });
      expect(manager.status().breakers['pg:query']).toMatchObject({ state: 'closed', failures: 0 });
    }
  });

  it('options of the call make the breaker, and other ones later are refused', async () => {
    const { run } = managed();
    const breaker = { failureThreshold: 1 };
    await run(reset(), { breaker });
    const end = await run(0, { breaker });
    expect(isCircuitOpenError((end as { error: unknown }).error)).toBe(true);
    const { error } = (await run(0, { breaker: { failureThreshold: 2 } })) as { error: Error };
    expect(isOptionError(error)).toBe(true);
    expect(error.message).toMatch(
      /^breaker.failureThreshold differs from what the breaker 'pg:query' was made with: 1, not 2/,
    );
    // Who says nothing takes it as it is.
    expect(isCircuitOpenError(((await run(0)) as { error: unknown }).error)).toBe(true);
  });

  it('options of the call stand over those of the configuration', async () => {
    const { manager, run } = managed({ breaker: { resetTimeoutMs: 500, failureThreshold: 3 } });
    await run(reset(), { breaker: { failureThreshold: 1 } });
    expect(manager.status().breakers['pg:query']).toMatchObject({
      state: 'open',
      openTimeoutMs: 500,
    });
  });

  it('a call that asks for a breaker has one, though the configuration has none', async () => {
    const { run } = managed({ breaker: false });
    const breaker = { failureThreshold: 1 };
    await run(reset(), { breaker });
    expect(await run(0)).toMatchObject({ ok: true });
    expect(isCircuitOpenError(((await run(0, { breaker })) as { error: unknown }).error)).toBe(
      true,
    );
  });

  it('they are kept in the store, under their names', async () => {
    const clock = new ManualClock();
    const store = new MemoryStore(clock);
    store.kept.set('pg:query', openSnapshot(clock, 30_000));
    const manager = new RetryManager({ retry: { clock }, store });
    const error = await rejection(manager.execute(failTimes(0, 'v'), NAMES));
    expect(error).toMatchObject({ code: 'OUTLAST_CIRCUIT_OPEN', retryAfterMs: 30_000 });
    manager.reset();
    await turn();
    expect(store.kept.get('pg:query')).toMatchObject({ state: 'closed' });
  });
});

describe('budgets and bulkheads', () => {
  it('each service has a budget of its own, by default that of every manager', async () => {
    const { manager, run } = managed({ breaker: false });
    await run(2);
    await run(0, { service: 'mysql' });
    expect(manager.status().budgets).toEqual({
      pg: { balance: 98, denied: 0 },
      mysql: { balance: 100, denied: 0 },
    });
  });

  it('the operations of a service share it, and its refusal is a reason', async () => {
    const { manager, run } = managed({
      breaker: false,
      services: { pg: { budget: { ratio: 0, minPerSecond: 0.2 } } },
    });
    const denied: PolicyEvent[] = [];
    manager.on('budget', (event) => denied.push(event));
    await run(2, { operation: 'a' });
    const errors = reset();
    await run(errors, { operation: 'b' });
    expect(retryInfo(errors[0])).toMatchObject({ reason: 'budget', attempts: 1 });
    expect(denied).toMatchObject([{ operation: 'pg:b', balance: 0, denied: 1 }]);
    expect(manager.status().budgets['pg']).toEqual({ balance: 0, denied: 1 });
  });

  it('budget: false means none', async () => {
    const { manager, run } = managed({ budget: false, services: { pg: { budget: {} } } });
    await run(1);
    await run(1, { service: 'mysql' });
    expect(Object.keys(manager.status().budgets)).toEqual(['pg']);
  });

  it('the operations of a service share its bulkhead', async () => {
    const { manager } = managed({ services: { pg: { bulkhead: { maxConcurrent: 1 } } } });
    const controller = new AbortController();
    const call = { ...NAMES, signal: controller.signal };
    const held = settled(manager.execute(hanging().work, call));
    const error = await rejection(
      manager.execute(failTimes(0, 'v'), { ...NAMES, operation: 'other' }),
    );
    expect(isBulkheadFullError(error)).toBe(true);
    expect(await manager.execute(failTimes(0, 'v'), { ...NAMES, service: 'mysql' })).toBe('v');
    expect(manager.status().bulkheads).toEqual({
      pg: { running: 1, queued: 0, maxConcurrent: 1, maxQueued: 0, refused: 1 },
    });
    controller.abort();
    await held;
    expect(manager.status().bulkheads['pg']).toMatchObject({ running: 0 });
  });
});

describe('wrap', () => {
  it('keeps this, arguments and name, and takes the name as the operation', async () => {
    const { clock, manager } = managed();
    class Users {
      calls = 0;
      async find(id: string): Promise<string> {
        this.calls += 1;
        if (this.calls === 1) throw coded(RESET);
        return `user ${id}`;
      }
    }
    const users = new Users();
    const find = manager.wrap(users.find, { service: 'pg' });
    expect(find.name).toBe('find');
    expect(await clock.runUntilSettled(find.call(users, 'x'))).toBe('user x');
    const other = manager.wrap(users.find, { service: 'pg', operation: 'other' });
    expect(await other.call(users, 'y')).toBe('user y');
    expect(Object.keys(manager.status().operations)).toEqual(['pg:find', 'pg:other']);
  });

  it('a function without a name needs one, and is told so at once', () => {
    const { manager } = managed();
    expect(() => manager.wrap(async () => 1, { service: 'pg' })).toThrow(
      /operation must be a text that is not empty; got ''/,
    );
    expect(() => manager.wrap(async function named() {}, { service: '' })).toThrow(/service must/);
  });
});

describe('close, signal, logger', () => {
  it('close() wakes what sleeps, refuses what comes, and lets the registry go', async () => {
    const registry = new BreakerRegistry();
    const clock = new ManualClock();
    const manager = new RetryManager({ registry, retry: { clock } });
    const heard = vi.fn();
    manager.on('breaker', heard);
    const asleep = rejection(manager.execute(failTimes(1, 'v'), NAMES));
    await clock.advance(10);
    manager.close();
    manager.close();
    expect(isClosedError(await asleep)).toBe(true);
    expect(clock.pending).toBe(0);
    const refused = await rejection(manager.execute(failTimes(0, 'v'), NAMES));
    expect(String(refused)).toMatch(/The manager was closed/);
    registry.get('pg', 'query').isolate();
    expect(heard).not.toHaveBeenCalled();
    // Cancelled and closed are neither success nor failure.
    expect(manager.status().operations['pg:query']).toEqual({
      successes: 0,
      failures: 0,
      retries: 0,
    });
  });

  it('a signal of the manager, of a service and of a call cancel what they are for', async () => {
    const [ofAll, ofPg, ofCall] = [1, 2, 3].map(() => new AbortController());
    const { manager } = managed({
      retry: { signal: ofAll?.signal as AbortSignal },
      services: { pg: { retry: { signal: ofPg?.signal as AbortSignal } } },
    });
    const start = (service: string, more = {}) =>
      settled(manager.execute(hanging().work, { service, operation: 'x', ...more }));
    const pg = start('pg');
    const pgCall = start('pg', { signal: ofCall?.signal });
    const other = start('other');
    const state: unknown[] = [];
    for (const [name, end] of Object.entries({ pg, pgCall, other })) {
      void end.then((it) => state.push([name, it.ok || it.error]));
    }
    ofCall?.abort('of call');
    await turn();
    expect(state).toEqual([['pgCall', 'of call']]);
    ofPg?.abort('of pg');
    await turn();
    expect(state).toEqual([
      ['pgCall', 'of call'],
      ['pg', 'of pg'],
    ]);
    ofAll?.abort('of all');
    await turn();
    expect(state.at(-1)).toEqual(['other', 'of all']);
    expect(manager.status().operations['pg:x']).toEqual({ successes: 0, failures: 0, retries: 0 });
  });

  it('a logger, of the manager or under retry, hears operations and breakers', async () => {
    for (const where of ['logger', 'retry'] as const) {
      const lines: string[] = [];
      const note = (line: string) => lines.push(line);
      const logger = { info: note, warn: note, error: note };
      const { run } = managed({
        breaker: { failureThreshold: 1 },
        ...(where === 'logger' ? { logger } : { retry: { logger } }),
      });
      await run(1);
      await run(reset(1), { maxAttempts: 1 });
      expect(lines).toEqual([
        'Retry attempt 1/3 failed for pg:query, waiting 1.00s',
        'Retry succeeded for pg:query',
        'Circuit breaker opened for pg:query: 1 consecutive failures',
        'All retry attempts exhausted for pg:query',
        'Outcome unknown for pg:query: it failed and may have taken effect',
      ]);
    }
  });

  it('on refuses what is no event or no function', () => {
    const { manager } = managed();
    expect(() => manager.on('retri' as never, () => {})).toThrow(/Did you mean retry\?/);
    expect(() => manager.on('retry', 5 as never)).toThrow(/listener must be a function/);
  });

  it('on stops when told so', async () => {
    const { manager, run } = managed();
    const heard = vi.fn();
    const off = manager.on('success', heard);
    await run(0);
    off();
    await run(0);
    expect(heard).toHaveBeenCalledTimes(1);
  });
});
