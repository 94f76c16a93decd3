import {
  type BreakerEvent,
  BreakerRegistry,
  CircuitBreaker,
  type CircuitBreakerOptions,
  isOptionError,
  type StoreEvent,
} from '@outlast/core-retry';
import { ManualClock } from '@outlast/core-retry/testing';
import { describe, expect, it, vi } from 'vitest';
import { coded, RESET, rejection } from './helpers.js';
import { MemoryStore } from './memory-store.js';

function registry(maxEntries = 1000, breaker: CircuitBreakerOptions = {}) {
  const clock = new ManualClock();
  const store = new MemoryStore(clock);
  const made = new BreakerRegistry({ maxEntries, breaker: { clock, jitter: false, ...breaker } });
  return { clock, store, registry: made };
}

function thrown(fn: () => unknown): Error {
  try {
    fn();
  } catch (error) {
    return error as Error;
  }
  throw new Error('expected it to throw');
}

const ill = () => coded(RESET);

describe('3.38 names', () => {
  it('3.38 one breaker for each service and operation, the same each time', () => {
    const { registry: all } = registry();
    const one = all.get('pg', 'query');
    expect(all.get('pg', 'query')).toBe(one);
    expect(all.get('pg', 'other')).not.toBe(one);
    expect(all.get('mysql', 'query')).not.toBe(one);
    expect([one.name, all.size]).toEqual(['pg:query', 3]);
  });

  it("3.38 a ':' or a '%' inside a name makes no two the same", () => {
    const { registry: all } = registry();
    const names = [
      ['a:b', 'c'],
      ['a', 'b:c'],
      ['a%3Ab', 'c'],
      ['a%b', 'c'],
      ['a', ':'],
      ['a:', ''.padEnd(1)],
    ] as const;
    const breakers = names.map(([service, operation]) => all.get(service, operation));
    expect(new Set(breakers).size).toBe(names.length);
    expect(Object.keys(all.status())).toEqual([
      'a%3Ab:c',
      'a:b%3Ac',
      'a%253Ab:c',
      'a%25b:c',
      'a:%3A',
      'a%3A: ',
    ]);
  });

  it.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty', '💥', '\u0000'])(
    '3.38 %j is a name like any other',
    (name) => {
      const { registry: all } = registry();
      const [service, operation] = [all.get(name, 'x'), all.get('x', name)];
      expect(all.get(name, 'x')).toBe(service);
      expect(all.get('x', name)).toBe(operation);
      expect(all.get(name, name)).not.toBe(service);
      expect(Object.keys(all.status())).toEqual([`${name}:x`, `x:${name}`, `${name}:${name}`]);
      expect(JSON.parse(JSON.stringify(all.status()))).toEqual(all.status());
      expect(({} as Record<string, unknown>)['state']).toBeUndefined();
    },
  );

  it.each([
    [undefined, 'x', 'service'],
    ['', 'x', 'service'],
    [5, 'x', 'service'],
    ['x', '', 'operation'],
    ['x', null, 'operation'],
    ['x', Symbol('s'), 'operation'],
  ])('%s and %s are refused', (service, operation, option) => {
    const { registry: all } = registry();
    const error = thrown(() => all.get(service as string, operation as string));
    expect(error).toMatchObject({ option });
    expect(isOptionError(error)).toBe(true);
    expect(all.size).toBe(0);
  });

  it('3.38 a lone surrogate in a name that must be escaped does not stop anything', () => {
    const { registry: all } = registry();
    expect(all.get('\ud800:', 'x')).toBe(all.get('\ud800:', 'x'));
  });
});

describe('3.38 options', () => {
  it('3.38 breakers are made with those of the registry, or with their own', () => {
    const { registry: all, clock } = registry(10, { failureThreshold: 7, resetTimeoutMs: 100 });
    expect(all.get('a', 'b').settings).toMatchObject({ failureThreshold: 7, resetTimeoutMs: 100 });
    // Its own replace those of the registry as a whole, but for clock, random and classify.
    expect(all.get('a', 'c', { failureThreshold: 2 }).settings).toMatchObject({
      failureThreshold: 2,
      resetTimeoutMs: 60_000,
      clock,
    });
  });

  it('3.38 other options for a breaker that exists are an OptionError that names both', () => {
    const { registry: all } = registry();
    const breaker = all.get('pg', 'query', { failureThreshold: 3, jitter: false });
    const error = thrown(() => all.get('pg', 'query', { failureThreshold: 4, jitter: false }));
    expect(isOptionError(error)).toBe(true);
    expect(error.message).toBe(
      "breaker.failureThreshold differs from what the breaker 'pg:query' was made with: 3, not 4. Say it once, before its first use, or use another operation name.",
    );
    expect(all.get('pg', 'query', { failureThreshold: 3, jitter: false })).toBe(breaker);
    expect(all.get('pg', 'query')).toBe(breaker);
    // What is only said in other words agrees.
    const same = { failureThreshold: 3, jitter: false, resetTimeoutMs: 60_000 };
    expect(all.get('pg', 'query', same)).toBe(breaker);
  });

  it('3.38 options for one that was made without any must say the same as the registry', () => {
    const { registry: all } = registry(10, { failureThreshold: 7 });
    all.get('pg', 'query');
    expect(isOptionError(thrown(() => all.get('pg', 'query', {})))).toBe(true);
    expect(all.get('pg', 'query', { failureThreshold: 7, jitter: false }).settings).toMatchObject({
      failureThreshold: 7,
    });
  });

  it('bad options make no breaker', () => {
    const { registry: all } = registry();
    const error = thrown(() => all.get('pg', 'query', { failureThreshold: 0 }));
    expect(error).toMatchObject({ option: 'breaker.failureThreshold' });
    expect(all.size).toBe(0);
    expect(all.get('pg', 'query').settings.failureThreshold).toBe(5);
  });

  it.each([
    [{ maxEntries: 0 }, 'maxEntries'],
    [{ maxEntries: 1.5 }, 'maxEntries'],
    [{ breaker: { failureThreshold: -1 } }, 'breaker.failureThreshold'],
    [{ store: {} }, 'store'],
    [{ store: { load: () => {} } }, 'store'],
    [{ maxEntires: 5 }, 'maxEntires'],
  ])('a registry with %j is refused', (options, option) => {
    const error = thrown(() => new BreakerRegistry(options as object));
    expect(error).toMatchObject({ option });
    expect(isOptionError(error)).toBe(true);
  });
});

describe('3.38 the bound', () => {
  it('3.38 keeps no more than maxEntries, whatever names come', () => {
    const { registry: all } = registry(50);
    for (let i = 0; i < 1000; i++) {
      all.get(`service ${i}`, 'x');
      expect(all.size).toBeLessThanOrEqual(50);
    }
    expect(Object.keys(all.status())).toHaveLength(50);
    // Nor services without operations.
    expect(all['services'].size).toBe(50);
  });

  it('3.38 looks at a hundred of them, at most, when one has to go', () => {
    const { registry: all } = registry(300, { failureThreshold: 1 });
    for (let i = 0; i < 300; i++) all.get(`ill ${i}`, 'x').acquire().failure(ill());
    const machine = Object.getPrototypeOf(CircuitBreaker.prototype) as { idle: boolean };
    const idle = vi.spyOn(machine, 'idle', 'get');
    for (let i = 0; i < 10; i++) all.get(`new ${i}`, 'x');
    expect(idle.mock.calls.length).toBeGreaterThan(0);
    expect(idle.mock.calls.length).toBeLessThanOrEqual(1000);
    idle.mockRestore();
  });

  it('3.38 who was asked for since the last look stays, who was not goes', () => {
    const { registry: all } = registry(3);
    const [a, b, c] = ['a', 'b', 'c'].map((name) => all.get(name, 'x'));
    // The first look takes everybody's turn of grace, and the oldest goes.
    const d = all.get('d', 'x');
    expect(Object.keys(all.status())).toEqual(['b:x', 'c:x', 'd:x']);
    expect(all.get('b', 'x')).toBe(b);
    all.get('e', 'x');
    expect(Object.keys(all.status()).toSorted()).toEqual(['b:x', 'd:x', 'e:x']);
    expect([all.get('b', 'x'), all.get('d', 'x')]).toEqual([b, d]);
    expect([all.get('a', 'x') === a, all.get('c', 'x') === c]).toEqual([false, false]);
  });

  it('3.38 never evicts one that is open, half-open, isolated, in use or has failures', async () => {
    const { registry: all, clock } = registry(5, { failureThreshold: 2, resetTimeoutMs: 1000 });
    const [open, halfOpen, isolated, busy, failed] = [
      'open',
      'half',
      'isolated',
      'busy',
      'failed',
    ].map((name) => all.get(name, 'x'));
    for (let i = 0; i < 2; i++) halfOpen?.acquire().failure(ill());
    await clock.advance(1000);
    for (let i = 0; i < 2; i++) open?.acquire().failure(ill());
    halfOpen?.acquire();
    isolated?.isolate();
    const permit = busy?.acquire();
    failed?.acquire().failure(ill());
    for (let i = 0; i < 300; i++) all.get(`other ${i}`, 'x');
    expect(Object.keys(all.status()).toSorted()).toEqual([
      'busy:x',
      'failed:x',
      'half:x',
      'isolated:x',
      'open:x',
    ]);
    permit?.success();
    all.get('new', 'x');
    expect(Object.keys(all.status())).toContain('new:x');
    expect(Object.keys(all.status())).not.toContain('busy:x');
  });

  it('3.38 if nobody can go, the breaker works, tells, and is not kept', async () => {
    const { registry: all } = registry(2, { failureThreshold: 1 });
    const seen: string[] = [];
    all.on((event) => seen.push(event.operation));
    for (const name of ['a', 'b']) all.get(name, 'x').acquire().failure(ill());
    const extra = all.get('extra', 'x');
    expect(all.size).toBe(2);
    expect(all.get('extra', 'x')).not.toBe(extra);
    expect(await extra.execute(() => 'value')).toBe('value');
    await rejection(extra.execute(() => Promise.reject(ill())));
    expect(extra.state).toBe('open');
    expect(seen).toEqual(['a:x', 'b:x', 'extra:x']);
    expect(Object.keys(all.status())).toEqual(['a:x', 'b:x']);
  });

  it('3.38 one that is not kept has no store to keep it', async () => {
    const clock = new ManualClock();
    const store = new MemoryStore(clock);
    const all = new BreakerRegistry({
      maxEntries: 1,
      store,
      breaker: { clock, failureThreshold: 1 },
    });
    all.get('a', 'x').acquire().failure(ill());
    await clock.advance(1);
    all.get('extra', 'x').acquire().failure(ill());
    await clock.advance(1);
    expect(store.log).toEqual(['load a:x', 'save a:x']);
  });
});

describe('status, reset and on', () => {
  it('status is plain data by key', () => {
    const { registry: all, clock } = registry(10, { failureThreshold: 1 });
    all.get('pg', 'query');
    all.get('pg', 'save').acquire().failure(ill());
    const status = all.status();
    expect(status).toEqual({
      'pg:query': {
        state: 'closed',
        failures: 0,
        successes: 0,
        openTimeoutMs: 60_000,
        halfOpenCalls: 0,
      },
      'pg:save': {
        state: 'open',
        failures: 1,
        successes: 0,
        lastFailureAt: clock.wallNow(),
        openUntil: clock.wallNow() + 60_000,
        openTimeoutMs: 60_000,
        halfOpenCalls: 0,
        retryAfterMs: 60_000,
      },
    });
    expect(structuredClone(status)).toEqual(status);
    expect(JSON.parse(JSON.stringify(status))).toEqual(status);
  });

  it.each<[string[], string[]]>([
    [[], []],
    [['pg'], ['mysql:a', 'mysql:b']],
    [
      ['pg', 'a'],
      ['pg:b', 'mysql:a', 'mysql:b'],
    ],
    [['nobody'], ['pg:a', 'pg:b', 'mysql:a', 'mysql:b']],
  ])('reset(%j) leaves %j open', (names, left) => {
    const { registry: all } = registry(10, { failureThreshold: 1 });
    for (const service of ['pg', 'mysql']) {
      for (const operation of ['a', 'b']) all.get(service, operation).acquire().failure(ill());
    }
    all.reset(...names);
    const open = Object.entries(all.status()).filter(([, { state }]) => state === 'open');
    expect(open.map(([key]) => key)).toEqual(left);
  });

  it('on hears all breakers, those that are made later too, until it stops', () => {
    const { registry: all } = registry(10, { failureThreshold: 1 });
    const early = all.get('a', 'x');
    const seen: (BreakerEvent | StoreEvent)[] = [];
    const off = all.on((event) => seen.push(event));
    const twice = vi.fn();
    const offTwice = [all.on(twice), all.on(twice)];
    early.acquire().failure(ill());
    all.get('b', 'x').acquire().failure(ill());
    expect(seen).toMatchObject([
      { type: 'breaker', operation: 'a:x', from: 'closed', to: 'open' },
      { type: 'breaker', operation: 'b:x', from: 'closed', to: 'open' },
    ]);
    expect(twice).toHaveBeenCalledTimes(4);
    off();
    off();
    offTwice[0]?.();
    early.reset();
    expect(seen).toHaveLength(2);
    expect(twice).toHaveBeenCalledTimes(5);
  });

  it('3.14 a listener that throws stops neither the breaker nor the others', () => {
    const { registry: all } = registry(10, { failureThreshold: 1 });
    const heard = vi.fn();
    all.on(() => {
      throw new Error('listener');
    });
    all.on(heard);
    all.get('a', 'x').acquire().failure(ill());
    expect(heard).toHaveBeenCalledTimes(1);
    expect(all.get('a', 'x').state).toBe('open');
    expect(isOptionError(thrown(() => all.on('no function' as never)))).toBe(true);
  });
});
