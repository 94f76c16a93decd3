import {
  BreakerRegistry,
  isOptionError,
  type ManagerStatus,
  RetryManager,
} from '@outlast/core-retry';
import { failTimes, ManualClock } from '@outlast/core-retry/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { coded, RESET, rejection, settled } from './helpers.js';
import { MemoryStore } from './memory-store.js';

const NAMES = { service: 'pg', operation: 'query' };
const once = { ...NAMES, maxAttempts: 1 };

function isPlain(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true;
  const proto: unknown = Object.getPrototypeOf(value);
  return proto === Object.prototype && Object.values(value).every(isPlain);
}

/** What a health page may do with it. */
function expectPlain(status: ManagerStatus): void {
  expect(isPlain(status)).toBe(true);
  expect(structuredClone(status)).toEqual(status);
  expect(JSON.parse(JSON.stringify(status))).toEqual(status);
}

describe('status', () => {
  it('is empty at first', () => {
    const status = new RetryManager().status();
    expect(status).toEqual({ breakers: {}, operations: {}, budgets: {}, bulkheads: {} });
    expectPlain(status);
  });

  it('shows everything, in every state, as plain data', async () => {
    const clock = new ManualClock();
    const manager = new RetryManager({
      retry: { clock, jitter: false },
      breaker: { jitter: false, failureThreshold: 1, resetTimeoutMs: 1000 },
      bulkhead: { maxConcurrent: 5 },
      services: { rated: { breaker: { failureRate: 0.5, windowMs: 1000 } } },
    });
    await manager.execute(() => 'v', { service: 'rated', operation: 'closed' });
    await rejection(
      manager.execute(failTimes([coded(RESET)], 'v'), { ...once, operation: 'half' }),
    );
    await clock.advance(1000);
    await rejection(
      manager.execute(failTimes([coded(RESET)], 'v'), { ...once, operation: 'open' }),
    );
    const status = manager.status();
    const now = clock.wallNow();
    expect(status).toEqual({
      breakers: {
        'rated:closed': {
          state: 'closed',
          failures: 0,
          successes: 0,
          openTimeoutMs: 1000,
          halfOpenCalls: 0,
        },
        'pg:half': {
          state: 'half-open',
          failures: 1,
          successes: 0,
          lastFailureAt: now - 1000,
          openUntil: now,
          openTimeoutMs: 1000,
          halfOpenCalls: 0,
          retryAfterMs: 0,
        },
        'pg:open': {
          state: 'open',
          failures: 1,
          successes: 0,
          lastFailureAt: now,
          openUntil: now + 1000,
          openTimeoutMs: 1000,
          halfOpenCalls: 0,
          retryAfterMs: 1000,
        },
      },
      operations: {
        'rated:closed': { successes: 1, failures: 0, retries: 0 },
        'pg:half': { successes: 0, failures: 1, retries: 0 },
        'pg:open': { successes: 0, failures: 1, retries: 0 },
      },
      budgets: { rated: { balance: 100, denied: 0 }, pg: { balance: 100, denied: 0 } },
      bulkheads: {
        rated: { running: 0, queued: 0, maxConcurrent: 5, maxQueued: 0, refused: 0 },
        pg: { running: 0, queued: 0, maxConcurrent: 5, maxQueued: 0, refused: 0 },
      },
    });
    expectPlain(status);
  });

  it('is a picture: it does not change, nor does a change of it change anything', async () => {
    const manager = new RetryManager();
    await manager.execute(() => 'v', NAMES);
    const before = manager.status();
    const copy = structuredClone(before);
    await manager.execute(() => 'v', NAMES);
    expect(before).toEqual(copy);
    const counted = before.operations['pg:query'] as { successes: number };
    counted.successes = 99;
    expect(manager.status().operations['pg:query']?.successes).toBe(2);
  });

  it('3.38 is plain data whatever the names are', async () => {
    const name = fc.oneof(
      fc.string({ minLength: 1 }),
      fc.constantFrom('__proto__', 'constructor', 'a:b', ':', '%', '%3A', 'toJSON'),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(name, name), { minLength: 1 }), async (pairs) => {
        const manager = new RetryManager({ bulkhead: { maxConcurrent: 1 } });
        for (const [service, operation] of pairs) {
          await manager.execute(() => 'v', { service, operation });
        }
        const status = manager.status();
        expectPlain(status);
        const distinct = new Set(pairs.map((pair) => JSON.stringify(pair))).size;
        expect(Object.keys(status.breakers)).toHaveLength(distinct);
        expect(Object.keys(status.operations)).toHaveLength(distinct);
        const services = new Set(pairs.map(([service]) => service)).size;
        expect(Object.keys(status.budgets)).toHaveLength(services);
        expect(Object.keys(status.bulkheads)).toHaveLength(services);
      }),
      { numRuns: 50 },
    );
  }, 60_000);
});

describe('3.38 memory', () => {
  it('3.38 stays bounded under 100 000 random names, and known ones keep their figures', async () => {
    const manager = new RetryManager({
      maxEntries: 100,
      services: { known: { budget: { ratio: 0, minPerSecond: 1 } } },
    });
    const known = { service: 'known', operation: 'x', baseDelayMs: 0 };
    for (let i = 0; i < 100_000; i++) {
      await manager.execute(work, { service: `service ${i}`, operation: `operation ${i}` });
      // Asked for between two looks of the bound: that keeps it.
      if (i % 50 === 0) await manager.execute(work, known);
    }
    const status = manager.status();
    expect(Object.keys(status.breakers)).toHaveLength(100);
    expect(Object.keys(status.operations)).toHaveLength(100);
    expect(Object.keys(status.budgets)).toHaveLength(100);
    expect(status.operations['known:x']).toEqual({ successes: 2000, failures: 0, retries: 0 });
    expect(status.budgets['known']).toEqual({ balance: 10, denied: 0 });
  }, 60_000);

  it('3.38 a configured service keeps its bulkhead, however many others came before', async () => {
    const manager = new RetryManager({
      maxEntries: 2,
      bulkhead: { maxConcurrent: 9 },
      services: { known: { bulkhead: { maxConcurrent: 1 } } },
    });
    for (const service of ['a', 'b', 'c']) await manager.execute(work, { service, operation: 'x' });
    const controller = new AbortController();
    const held = ['x', 'y'].map((operation) =>
      settled(
        manager.execute(() => new Promise<string>(() => {}), {
          service: 'known',
          operation,
          signal: controller.signal,
        }),
      ),
    );
    expect(manager.status().bulkheads['known']).toMatchObject({ running: 1, refused: 0 });
    expect(await held[1]).toMatchObject({ error: { code: 'OUTLAST_BULKHEAD_FULL' } });
    controller.abort();
    await held[0];
  });

  it('3.38 beyond it an operation works, with a breaker that is not kept', async () => {
    const manager = new RetryManager({ maxEntries: 1, breaker: { failureThreshold: 1 } });
    await rejection(manager.execute(failTimes([coded(RESET)], 'v'), once));
    const other = { ...once, service: 'other' };
    await rejection(manager.execute(failTimes([coded(RESET)], 'v'), other));
    expect(await manager.execute(work, other)).toBe('v');
    expect(Object.keys(manager.status().breakers)).toEqual(['pg:query']);
  });
});

async function work(): Promise<string> {
  return 'v';
}

describe('two managers', () => {
  function two() {
    const clock = new ManualClock();
    const registry = new BreakerRegistry({ breaker: { clock, failureThreshold: 1 } });
    const make = () => new RetryManager({ registry, retry: { clock, jitter: false } });
    return { clock, registry, one: make(), other: make() };
  }

  it('on one registry share the breakers, each with its own budgets and figures', async () => {
    const { registry, one, other } = two();
    const heard: string[] = [];
    one.on('breaker', ({ to }) => heard.push(`one ${to}`));
    other.on('breaker', ({ to }) => heard.push(`other ${to}`));
    await other.execute(work, NAMES);
    await rejection(one.execute(failTimes([coded(RESET)], 'v'), once));
    expect(await rejection(other.execute(work, NAMES))).toMatchObject({
      code: 'OUTLAST_CIRCUIT_OPEN',
    });
    expect(heard).toEqual(['one open', 'other open']);
    expect(one.status().breakers).toEqual(other.status().breakers);
    expect(one.status().operations['pg:query']).toEqual({ successes: 0, failures: 1, retries: 0 });
    expect(other.status().operations['pg:query']).toEqual({
      successes: 1,
      failures: 1,
      retries: 0,
    });
    one.close();
    other.reset();
    expect(registry.get('pg', 'query').state).toBe('closed');
    expect(heard).toEqual(['one open', 'other open', 'other closed']);
    expect(await other.execute(work, NAMES)).toBe('v');
  });

  it('3.38 cannot want different breakers for one operation', async () => {
    const { one, other } = two();
    one.configure({ breaker: { failureThreshold: 3 } });
    other.configure({ breaker: { failureThreshold: 4 } });
    await one.execute(work, NAMES);
    const error = await rejection(other.execute(work, NAMES));
    expect(isOptionError(error)).toBe(true);
    expect(String(error)).toContain("the breaker 'pg:query' was made with: 3, not 4");
    expect(await other.execute(work, { ...NAMES, operation: 'own' })).toBe('v');
    // Who says nothing of breakers takes what there is.
    const third = two().registry;
    third.get('pg', 'query', { failureThreshold: 9 });
    expect(await new RetryManager({ registry: third }).execute(work, NAMES)).toBe('v');
  });

  it('3.38 a call with options of its own is compared to what another manager made', async () => {
    const { one, other } = two();
    const call = { ...NAMES, breaker: { failureThreshold: 3 } };
    await one.execute(work, call);
    expect(await other.execute(work, call)).toBe('v');
    const differs = { ...NAMES, breaker: { failureThreshold: 4 } };
    expect(isOptionError(await rejection(other.execute(work, differs)))).toBe(true);
  });

  it('on one store behave like two processes', async () => {
    const clock = new ManualClock();
    const store = new MemoryStore(clock);
    const make = () =>
      new RetryManager({ store, retry: { clock }, breaker: { failureThreshold: 1 } });
    const one = make();
    await rejection(one.execute(failTimes([coded(RESET)], 'v'), once));
    const later = make();
    expect(await rejection(later.execute(work, NAMES))).toMatchObject({
      code: 'OUTLAST_CIRCUIT_OPEN',
    });
    const heard: string[] = [];
    later.on('store', ({ action }) => heard.push(action));
    store.mood = 'rejects';
    later.reset();
    await clock.advance(1);
    expect(heard).toEqual(['save']);
    expect(await later.execute(work, NAMES)).toBe('v');
  });
});
