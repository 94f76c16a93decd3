import { BreakerRegistry, isCircuitOpenError, type ManagerConfig } from '@outlast/core-retry';
import { failTimes } from '@outlast/core-retry/testing';
import { describe, expect, it } from 'vitest';
import { rejection, settled } from './helpers.js';
import { delaysOf, managed, NAMES, thrown } from './manager-helpers.js';

describe('budgets and bulkheads that exist', () => {
  it('are made anew where the configuration changes, and stay where it does not', async () => {
    const { manager } = managed({ bulkhead: { maxConcurrent: 5 } });
    const slot = async (service: string) => {
      const controller = new AbortController();
      const call = { service, operation: 'x', signal: controller.signal };
      const held = settled(manager.execute(() => new Promise<string>(() => {}), call));
      return async () => {
        controller.abort();
        await held;
      };
    };
    const leave = [await slot('a'), await slot('b')];
    manager.configure({
      budget: { ratio: 0, minPerSecond: 1 },
      services: { a: { bulkhead: { maxConcurrent: 1 } }, b: { bulkhead: { maxConcurrent: 5 } } },
    });
    leave.push(await slot('a'), await slot('b'));
    const end = rejection(manager.execute(() => 'v', { service: 'a', operation: 'y' }));
    expect(await end).toMatchObject({ code: 'OUTLAST_BULKHEAD_FULL' });
    expect(manager.status()).toMatchObject({
      budgets: { a: { balance: 10 }, b: { balance: 10 } },
      bulkheads: { a: { running: 1, maxConcurrent: 1 }, b: { running: 2, maxConcurrent: 5 } },
    });
    for (const go of leave) await go();
    manager.configure({ budget: false, services: { a: { bulkhead: false } } });
    await manager.execute(() => 'v', { service: 'a', operation: 'x' });
    expect(manager.status().bulkheads).toMatchObject({ b: { running: 0, maxConcurrent: 5 } });
    expect([
      Object.keys(manager.status().budgets),
      Object.keys(manager.status().bulkheads),
    ]).toEqual([['b'], ['b']]);
  });
});

describe('breakers that exist', () => {
  it('cannot follow a new configuration: it is refused, and nothing changes', async () => {
    const { clock, manager } = managed({ breaker: { failureThreshold: 1 } });
    await manager.execute(() => 'v', NAMES);
    const more: readonly ManagerConfig[] = [
      { breaker: { failureThreshold: 2 } },
      { services: { pg: { breaker: { failureThreshold: 2 } } } },
      { services: { pg: { operations: { query: { breaker: { failureThreshold: 2 } } } } } },
    ];
    for (const config of more) {
      const both = { ...config, retry: { baseDelayMs: 9 } };
      expect(thrown(() => manager.configure(both)).message).toMatch(
        /^breaker.failureThreshold differs from what the breaker 'pg:query' was made with: 1, not 2/,
      );
    }
    expect(await delaysOf(manager, clock)).toEqual([1000, 2000]);
    await manager.execute(() => 'v', { ...NAMES, operation: 'other' });
  });

  it('do not mind one that says the same, or speaks of others', async () => {
    const { manager } = managed({ breaker: { failureThreshold: 1 } });
    await manager.execute(() => 'v', NAMES);
    manager.configure({ breaker: { failureThreshold: 1 } });
    manager.configure({ services: { mysql: { breaker: { failureThreshold: 2 } } } });
    manager.configure({
      services: { pg: { operations: { other: { breaker: { failureThreshold: 2 } } } } },
    });
    expect(await manager.execute(() => 'v', NAMES)).toBe('v');
  });

  it('that only another user of the registry has made do not mind', () => {
    const registry = new BreakerRegistry();
    registry.get('pg', 'query', { failureThreshold: 3 });
    const { manager } = managed({ registry });
    manager.configure({ breaker: { failureThreshold: 4 } });
    expect(registry.get('pg', 'query').settings.failureThreshold).toBe(3);
  });

  it('that a call has made with its own options do not mind either', async () => {
    const { manager } = managed({ breaker: { resetTimeoutMs: 500 } });
    await manager.execute(() => 'v', { ...NAMES, breaker: { failureThreshold: 7 } });
    manager.configure({ retry: { baseDelayMs: 5 } });
    expect(await manager.execute(() => 'v', NAMES)).toBe('v');
  });

  it('can be switched off and on again', async () => {
    const { manager } = managed({ breaker: { failureThreshold: 1 } });
    const fails = { ...NAMES, maxAttempts: 1 };
    await rejection(manager.execute(failTimes(1, 'v'), fails));
    manager.configure({ breaker: false });
    expect(await manager.execute(() => 'v', NAMES)).toBe('v');
    manager.configure({ breaker: { failureThreshold: 1 } });
    expect(isCircuitOpenError(await rejection(manager.execute(() => 'v', NAMES)))).toBe(true);
  });
});
