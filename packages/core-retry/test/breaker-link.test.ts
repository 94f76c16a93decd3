import {
  type BreakerEvent,
  BreakerRegistry,
  type CircuitBreakerOptions,
  isCircuitOpenError,
  RetryManager,
  RetryPolicy,
  type StoreEvent,
} from '@outlast/core-retry';
import { ManualClock } from '@outlast/core-retry/testing';
import { describe, expect, it } from 'vitest';
import { coded, RESET, rejection, settled, turn } from './helpers.js';
import { MemoryStore, type Mood, openSnapshot } from './memory-store.js';

const KEY = 'pg:query';
const ill = () => coded(RESET);

/** A registry as one process has it. */
function registryOn(clock: ManualClock, store: MemoryStore, breaker: CircuitBreakerOptions = {}) {
  const events: string[] = [];
  const errors: unknown[] = [];
  const options = { clock, jitter: false, failureThreshold: 1, ...breaker };
  const registry = new BreakerRegistry({ store, breaker: options });
  registry.on((event: BreakerEvent | StoreEvent) => {
    if (event.type === 'store') errors.push(event.error);
    events.push(
      event.type === 'store'
        ? `store ${event.action}`
        : `${event.from} ${event.to}: ${event.reason}`,
    );
  });
  return { registry, events, errors };
}

/** One process with a store that holds, or does, what the test wants. */
function stored(
  breaker: CircuitBreakerOptions = {},
  prepare: (store: MemoryStore) => void = () => {},
) {
  const clock = new ManualClock();
  const store = new MemoryStore(clock);
  prepare(store);
  const process = registryOn(clock, store, breaker);
  const get = (operation = 'query') => process.registry.get('pg', operation);
  return { clock, store, ...process, get };
}

const works = () => 'value';
const fails = () => Promise.reject(ill());

describe('the first call', () => {
  it('waits for what the store has, and follows it', async () => {
    const { clock, store, get, events } = stored();
    store.kept.set(KEY, openSnapshot(clock, 30_000));
    const error = await rejection(get().execute(works));
    expect(error).toMatchObject({ code: 'OUTLAST_CIRCUIT_OPEN', retryAfterMs: 30_000 });
    expect(events).toEqual(['closed open: as its store had it']);
    expect(store.log).toEqual(['load pg:query']);
    expect(clock.pending).toBe(0);
  });

  it('goes on where the store has nothing; later calls wait for nothing', async () => {
    const { clock, store, get, events } = stored();
    const breaker = get();
    expect(await breaker.execute(works)).toBe('value');
    expect(breaker.wait()).toBeUndefined();
    expect(await breaker.execute(works)).toBe('value');
    expect([store.log, events, clock.pending]).toEqual([['load pg:query'], [], 0]);
  });

  it.each([
    ['a registry', (options: object) => new BreakerRegistry(options).get('pg', 'query')],
    [
      'a manager',
      (options: object) => {
        const { breaker, ...rest } = options as { breaker: { clock: ManualClock } };
        const manager = new RetryManager({ ...rest, retry: { clock: breaker.clock } });
        const names = { service: 'pg', operation: 'query' };
        return { execute: (work: () => string) => manager.execute(work, names) };
      },
    ],
  ])('waits as long as %s is told to (storeWaitMs)', async (_, make) => {
    const clock = new ManualClock();
    const store = new MemoryStore(clock);
    store.mood = 'hangs';
    const ends: number[] = [];
    const options = { store, storeWaitMs: 40, breaker: { clock } };
    void make(options)
      .execute(works)
      .then(() => ends.push(clock.now()));
    await clock.advance(39);
    expect(ends).toEqual([]);
    await clock.advance(1);
    expect(ends).toEqual([40]);
    expect(() => make({ ...options, storeWaitMs: -1 })).toThrow(
      'storeWaitMs must be a number of milliseconds, 0 or more; got -1 (number).',
    );
  });

  it('waits 250 ms for a store that is silent, and no longer; the rest wait for nothing', async () => {
    const { clock, get, events } = stored({}, (store) => {
      store.mood = 'hangs';
    });
    const ends: number[] = [];
    const call = () =>
      void get()
        .execute(works)
        .then(() => ends.push(clock.now()));
    call();
    call();
    await clock.advance(249);
    expect(ends).toEqual([]);
    await clock.advance(1);
    expect(ends).toEqual([250, 250]);
    call();
    await turn();
    expect(ends).toEqual([250, 250, 250]);
    expect(events).toEqual([]);
    await clock.advance(5000);
    expect(events).toEqual(['store load']);
    expect(clock.pending).toBe(0);
  });

  it('of a policy waits likewise, under its deadline and its signal', async () => {
    const { clock, get } = stored({}, (store) => {
      store.mood = 'hangs';
    });
    const policy = new RetryPolicy({ clock, breaker: get() });
    const controller = new AbortController();
    const plain = settled(policy.execute(works));
    const hasty = settled(policy.execute(works, { totalTimeoutMs: 100 }));
    const aborted = settled(policy.execute(works, { signal: controller.signal }));
    const closed = new RetryPolicy({ clock, breaker: get() });
    const shut = settled(closed.execute(works));
    controller.abort('gone');
    closed.close();
    expect(await aborted).toEqual({ ok: false, error: 'gone' });
    expect(await shut).toMatchObject({ error: { code: 'OUTLAST_CLOSED' } });
    await clock.advance(100);
    expect(await hasty).toMatchObject({ error: { code: 'OUTLAST_DEADLINE_EXCEEDED' } });
    await clock.advance(150);
    expect(await plain).toEqual({ ok: true, value: 'value' });
    expect(get().idle).toBe(true);
  });

  it('a load that comes late is followed if nothing happened meanwhile', async () => {
    const { clock, store, get, events } = stored({}, (it) => {
      it.moods.load = 1000;
    });
    store.kept.set(KEY, openSnapshot(clock, 30_000));
    const end = settled(get().execute(works));
    await clock.advance(250);
    expect(await end).toEqual({ ok: true, value: 'value' });
    expect(events).toEqual([]);
    await clock.advance(750);
    expect(events).toEqual(['closed open: as its store had it']);
    expect(isCircuitOpenError(await rejection(get().execute(works)))).toBe(true);
  });

  it('reset() wins over a late load', async () => {
    const { clock, store, get, events } = stored({}, (it) => {
      it.moods.load = 1000;
    });
    store.kept.set(KEY, openSnapshot(clock, 30_000));
    get().reset();
    await clock.advance(2000);
    expect(get().state).toBe('closed');
    expect(await get().execute(works)).toBe('value');
    expect(events).toEqual([]);
    expect(store.kept.get(KEY)).toMatchObject({ state: 'closed' });
  });

  it('so does a breaker that opened by itself', async () => {
    const { clock, store, get } = stored({}, (it) => {
      it.moods.load = 1000;
    });
    store.kept.set(KEY, { ...openSnapshot(clock, 0), state: 'closed' });
    const end = settled(get().execute(fails));
    await clock.advance(250);
    expect(await end).toMatchObject({ ok: false });
    await clock.advance(2000);
    expect(get().state).toBe('open');
    expect(store.kept.get(KEY)).toMatchObject({ state: 'open' });
  });

  it('3.35 times from a store are clamped: another clock cannot keep it open for ever', async () => {
    const { clock, store, get } = stored({ maxOpenTimeoutMs: 100_000 });
    store.kept.set(KEY, openSnapshot(clock, 1e9, { openTimeoutMs: 1e9, trips: 3 }));
    expect(await rejection(get().execute(works))).toMatchObject({ retryAfterMs: 100_000 });
  });
});

describe('a store that is ill', () => {
  it.each<[Mood, RegExp]>([
    ['throws', /load threw/],
    ['rejects', /load rejected/],
    ['hangs', /did not answer within 5000 ms/],
    [6000, /did not answer within 5000 ms/],
  ])('3.36 %s: one event an outage, and no call fails', async (mood, says) => {
    const { clock, store, registry, events, errors } = stored({}, (it) => {
      it.mood = mood;
    });
    for (let i = 0; i < 5; i++) {
      const breaker = registry.get('pg', `operation ${i}`);
      const end = settled(breaker.execute(works));
      await clock.advance(250);
      expect(await end).toEqual({ ok: true, value: 'value' });
      await rejection(breaker.execute(fails));
      expect(breaker.state).toBe('open');
      await clock.advance(60_000);
      const probe = settled(breaker.execute(works));
      await clock.advance(250);
      expect(await probe).toEqual({ ok: true, value: 'value' });
      expect(breaker.state).toBe('closed');
      await clock.advance(10_000);
    }
    expect(events.filter((event) => event.startsWith('store'))).toEqual(['store load']);
    expect(String(errors[0])).toMatch(says);
    // It is well again, and ill once more: that is news.
    store.mood = 'well';
    registry.reset();
    await clock.advance(10_000);
    store.mood = mood;
    registry.reset();
    await clock.advance(10_000);
    expect(events.filter((event) => event.startsWith('store'))).toEqual([
      'store load',
      'store save',
    ]);
    expect(clock.pending).toBe(0);
  });

  it.each([
    [null],
    [undefined],
    [5],
    ['open'],
    [{}],
    [{ version: 2 }],
    [{ version: 1, state: 'half-open' }],
    [{ version: 1, state: 'open', failures: -1, trips: 0 }],
    [{ version: 1, state: 'open', failures: 0, trips: 0.5 }],
    [{ version: 1, state: 'open', failures: 0, trips: 0, openTimeoutMs: Number.NaN, savedAt: 0 }],
    [{ version: 1, state: 'open', failures: 0, trips: 0, openTimeoutMs: 5, savedAt: 0 }],
  ])('3.36 holds %j: closed, and at most one event', async (garbage) => {
    const { clock, store, get, events, errors } = stored({ failureThreshold: 3 }, (it) => {
      it.moods.load = 'garbage';
      it.garbage = garbage;
    });
    expect(await get().execute(works)).toBe('value');
    for (let i = 0; i < 2; i++) {
      await clock.advance(2000);
      await rejection(get().execute(fails));
    }
    expect(get().state).toBe('closed');
    expect(store.log).toHaveLength(3);
    const nothing = garbage === null || garbage === undefined;
    expect(events).toEqual(nothing ? [] : ['store load']);
    if (!nothing) expect(String(errors[0])).toMatch(/The store holds no snapshot: it/);
  });

  it('3.36 the event carries no secret that the store holds', async () => {
    const { get, errors } = stored({}, (it) => {
      it.moods.load = 'garbage';
      it.garbage = { version: 'postgres://app:hunter2@db/shop' };
    });
    await get().execute(works);
    expect(String(errors[0])).toContain('its version is postgres://');
    expect(String(errors[0])).not.toContain('hunter2');
  });

  it('is asked under a timer that holds no process', async () => {
    const { clock, get } = stored({}, (it) => {
      it.mood = 'hangs';
    });
    get();
    await clock.advance(250);
    // What is left is the 5 s after which its answer is not expected any more.
    expect(clock.pending).toBe(1);
    await clock.advance(5000);
    expect(clock.pending).toBe(0);
  });
});

describe('saving', () => {
  it('keeps what changed, and only that', async () => {
    const { clock, store, get } = stored({ failureThreshold: 2 });
    await get().execute(works);
    await rejection(get().execute(fails));
    await turn();
    expect(store.log.filter((line) => line.startsWith('save'))).toEqual([]);
    await rejection(get().execute(fails));
    await turn();
    expect(store.kept.get(KEY)).toEqual({
      version: 1,
      state: 'open',
      failures: 2,
      trips: 1,
      openTimeoutMs: 60_000,
      openUntil: clock.wallNow() + 60_000,
      lastFailureAt: clock.wallNow(),
      savedAt: clock.wallNow(),
    });
    get().reset();
    await turn();
    expect(store.kept.get(KEY)).toMatchObject({ state: 'closed', failures: 0, trips: 0 });
    expect(store.log.filter((line) => line.startsWith('save'))).toHaveLength(2);
  });

  it('changes that come while it saves are coalesced: the last one counts', async () => {
    const { clock, store, get } = stored({}, (it) => {
      it.moods.save = 100;
    });
    await get().execute(works);
    for (let i = 0; i < 10; i++) {
      await rejection(get().execute(fails));
      get().reset();
    }
    await rejection(get().execute(fails));
    expect(store.log.filter((line) => line.startsWith('save'))).toHaveLength(1);
    await clock.advance(100);
    expect(store.kept.get(KEY)).toMatchObject({ state: 'open' });
    await clock.advance(1000);
    expect(store.log.filter((line) => line.startsWith('save'))).toHaveLength(2);
    expect(store.kept.get(KEY)).toMatchObject({ state: 'open', trips: 1 });
  });

  it('3.36 half-open is kept as open with its time run out, an isolation not at all', async () => {
    const { clock, store, get } = stored({ successThreshold: 2 });
    await rejection(get().execute(fails));
    await clock.advance(60_000);
    await get().execute(works);
    get().isolate();
    expect(get().snapshot()).toMatchObject({ state: 'open', openUntil: clock.wallNow() });
    await turn();
    const next = registryOn(clock, store, { successThreshold: 2 });
    const breaker = next.registry.get('pg', 'query');
    await turn();
    expect(breaker.state).toBe('half-open');
  });
});

describe('failing', () => {
  const many = { failureThreshold: 100 };

  it('looks at most once a second whether another process knows more', async () => {
    const { clock, store, get } = stored(many);
    await get().execute(works);
    const loads = () => store.log.filter((line) => line.startsWith('load')).length - 1;
    for (let i = 0; i < 10; i++) await rejection(get().execute(fails));
    expect(loads()).toBe(1);
    await clock.advance(999);
    await rejection(get().execute(fails));
    expect(loads()).toBe(1);
    await clock.advance(1);
    await rejection(get().execute(fails));
    await rejection(get().execute(fails));
    expect(loads()).toBe(2);
    await clock.advance(5000);
    await get().execute(works);
    expect(loads()).toBe(2);
  });

  it('follows another process that has opened it', async () => {
    const { clock, store, get, events } = stored(many);
    await get().execute(works);
    store.kept.set(KEY, openSnapshot(clock, 20_000));
    await rejection(get().execute(fails));
    await turn();
    expect(events).toEqual(['closed open: another process found it so']);
    expect(await rejection(get().execute(works))).toMatchObject({ retryAfterMs: 20_000 });
    expect(store.log.filter((line) => line.startsWith('save'))).toEqual([]);
  });

  it('does not follow one whose open time is over, nor one that found it well', async () => {
    const { clock, store, get, events } = stored(many);
    await get().execute(works);
    store.kept.set(KEY, openSnapshot(clock, 0));
    await rejection(get().execute(fails));
    await clock.advance(1000);
    store.kept.set(KEY, { ...openSnapshot(clock, 0), state: 'closed' });
    await rejection(get().execute(fails));
    await turn();
    expect([get().state, get().status().failures, events]).toEqual(['closed', 2, []]);
  });

  it('an answer that comes after it opened or was reset by itself is too late', async () => {
    const { clock, store, get, events } = stored({ failureThreshold: 2 });
    await get().execute(works);
    store.moods.load = 500;
    store.kept.set(KEY, openSnapshot(clock, 1e6, { openTimeoutMs: 200_000 }));
    await rejection(get().execute(fails));
    await rejection(get().execute(fails));
    await clock.advance(1000);
    expect(events).toEqual(['closed open: 2 consecutive failures']);
    expect(get().status().openTimeoutMs).toBe(60_000);
  });

  it('an answer that comes after reset() is too late', async () => {
    const { clock, store, get, events } = stored(many);
    await get().execute(works);
    store.moods.load = 500;
    store.kept.set(KEY, openSnapshot(clock, 30_000));
    await rejection(get().execute(fails));
    get().reset();
    await clock.advance(1000);
    expect([get().state, events]).toEqual(['closed', []]);
  });
});
