import {
  type BreakerEvent,
  BreakerRegistry,
  type CircuitBreakerOptions,
  RetryPolicy,
  type StoreEvent,
} from '@outlast/core-retry';
import { ManualClock } from '@outlast/core-retry/testing';
import { describe, expect, it } from 'vitest';
import { coded, hanging, RESET, rejection, settled, turn } from './helpers.js';
import { MemoryStore, type Mood, openSnapshot } from './memory-store.js';

const KEY = 'pg:query';
const works = () => 'value';
const fails = () => Promise.reject(coded(RESET));

interface Process {
  readonly registry: BreakerRegistry;
  readonly events: string[];
  readonly breaker: ReturnType<BreakerRegistry['get']>;
}

/** A process: a registry of its own on the common store. */
function start(
  clock: ManualClock,
  store: MemoryStore | Omit<MemoryStore, 'claimProbe'>,
  breaker: CircuitBreakerOptions = {},
): Process {
  const events: string[] = [];
  const options = { clock, jitter: false, failureThreshold: 1, ...breaker };
  const registry = new BreakerRegistry({ store, breaker: options });
  registry.on((event: BreakerEvent | StoreEvent) => {
    events.push(event.type === 'store' ? `store ${event.action}` : `${event.from} ${event.to}`);
  });
  return { registry, events, breaker: registry.get('pg', 'query') };
}

/** Two processes on one store, after the first has opened the breaker and its time has run out. */
async function outage(breaker: CircuitBreakerOptions = {}) {
  const clock = new ManualClock();
  const store = new MemoryStore(clock);
  const [one, two] = [start(clock, store, breaker), start(clock, store, breaker)];
  await turn();
  await rejection(one.breaker.execute(fails));
  await turn();
  store.log.length = 0;
  return { clock, store, one, two };
}

const claims = (store: MemoryStore) => store.log.filter((line) => line.startsWith('claim')).length;

describe('two processes on one store', () => {
  it('the second learns of the outage with its first failure', async () => {
    const { two } = await outage({ failureThreshold: 1 });
    expect(two.breaker.state).toBe('closed');
    await rejection(two.breaker.execute(fails));
    expect(two.events).toEqual(['closed open']);
  });

  it('a process that starts later begins with what the others know', async () => {
    const { clock, store } = await outage();
    const late = start(clock, store);
    expect(await rejection(late.breaker.execute(works))).toMatchObject({ retryAfterMs: 60_000 });
  });

  it('one of them probes; the other is refused meanwhile, and follows the verdict', async () => {
    const { clock, store, one, two } = await outage({ failureThreshold: 3 });
    for (let i = 0; i < 2; i++) await rejection(one.breaker.execute(fails));
    await turn();
    await rejection(two.breaker.execute(fails));
    await turn();
    expect([one.breaker.state, two.breaker.state]).toEqual(['open', 'open']);
    await clock.advance(60_000);
    let end: (value: string) => void = () => {};
    const probe = settled(
      one.breaker.execute(
        () =>
          new Promise<string>((resolve) => {
            end = resolve;
          }),
      ),
    );
    await turn();
    expect(one.breaker.state).toBe('half-open');
    const refused = await rejection(two.breaker.execute(works));
    expect(refused).toMatchObject({ code: 'OUTLAST_CIRCUIT_OPEN', retryAfterMs: 1000 });
    // It does not ask again with every call.
    await rejection(two.breaker.execute(works));
    expect(claims(store)).toBe(2);
    end('well');
    await probe;
    await turn();
    expect(store.kept.get(KEY)).toMatchObject({ state: 'closed' });
    await clock.advance(1000);
    let called = 0;
    const ends = await Promise.all(
      Array.from({ length: 3 }, () =>
        settled(
          two.breaker.execute(() => {
            called += 1;
            return 'value';
          }),
        ),
      ),
    );
    expect(ends.every((it) => it.ok)).toBe(true);
    expect(called).toBe(3);
    expect(two.events.at(-1)).toMatch(/ closed$/);
    // The right to probe that it got beside the news was given back.
    expect(await store.claimProbe(KEY, 1)).toMatchObject({ granted: true });
  });

  it('a probe that fails keeps the others out until its own open time is over', async () => {
    const { clock, store, one } = await outage();
    const two = start(clock, store);
    await turn();
    expect(two.breaker.state).toBe('open');
    await clock.advance(60_000);
    await rejection(one.breaker.execute(fails));
    await turn();
    expect(store.kept.get(KEY)).toMatchObject({ state: 'open', trips: 2 });
    const refused = await rejection(two.breaker.execute(works));
    expect(refused).toMatchObject({ retryAfterMs: 90_000 });
    await clock.advance(89_999);
    expect(await rejection(two.breaker.execute(works))).toMatchObject({ retryAfterMs: 1 });
    await clock.advance(1);
    expect(await two.breaker.execute(works)).toBe('value');
  });

  it('a refusal is never put off for longer than maxOpenTimeoutMs', async () => {
    const { clock, store, one } = await outage({ maxOpenTimeoutMs: 100_000 });
    await clock.advance(60_000);
    store.kept.set(KEY, openSnapshot(clock, 1e9));
    expect(await rejection(one.breaker.execute(works))).toMatchObject({ retryAfterMs: 100_000 });
  });

  it('the verdict carries the fence that was granted, and later changes carry none', async () => {
    const { clock, store, one } = await outage();
    await clock.advance(60_000);
    store.fences.length = 0;
    await one.breaker.execute(works);
    await rejection(one.breaker.execute(fails));
    await turn();
    expect(store.fences).toEqual(['fence 1', undefined]);
  });

  it('3.26 the verdict of a probe whose lease is over changes nothing in the store', async () => {
    const { clock, store, one } = await outage({ probeLeaseMs: 1000 });
    const two = start(clock, store, { probeLeaseMs: 1000 });
    await turn();
    await clock.advance(60_000);
    let fail: (error: unknown) => void = () => {};
    const stale = settled(
      one.breaker.execute(
        () =>
          new Promise<never>((_, reject) => {
            fail = reject;
          }),
      ),
    );
    await turn();
    await clock.advance(1000);
    expect(await two.breaker.execute(works)).toBe('value');
    await turn();
    fail(coded(RESET));
    await stale;
    await turn();
    expect(store.kept.get(KEY)).toMatchObject({ state: 'closed' });
    expect(store.fences.at(-1)).toBe('fence 2');
  });

  it('a process whose probe lease is over asks again before it probes again', async () => {
    const { clock, store, one } = await outage({ probeLeaseMs: 1000 });
    await clock.advance(60_000);
    const { work, signals } = hanging();
    const policy = new RetryPolicy({ clock, breaker: one.breaker });
    void settled(policy.execute(work));
    await turn();
    expect([signals.length, claims(store)]).toEqual([1, 1]);
    await clock.advance(1000);
    expect(await policy.execute(works)).toBe('value');
    expect(one.breaker.state).toBe('closed');
  });

  it('calls that come together ask once, and one of them probes', async () => {
    const { clock, store, one } = await outage();
    store.moods.claim = 100;
    await clock.advance(60_000);
    const ends = Array.from({ length: 5 }, () => settled(one.breaker.execute(() => turn())));
    await clock.advance(100);
    const all = await Promise.all(ends);
    expect(all.filter((end) => end.ok)).toHaveLength(1);
    expect(claims(store)).toBe(1);
  });

  it('a process that starts when the time is over asks before it probes, like any other', async () => {
    const { clock, store, one } = await outage();
    await clock.advance(60_000);
    const policy = new RetryPolicy({ clock, breaker: one.breaker });
    void settled(policy.execute(hanging().work));
    await turn();
    const late = start(clock, store);
    const refused = { code: 'OUTLAST_CIRCUIT_OPEN', retryAfterMs: 1000 };
    const inPolicy = new RetryPolicy({ clock, breaker: late.breaker }).execute(works);
    const ends = [rejection(late.breaker.execute(works)), rejection(inPolicy)];
    expect(await Promise.all(ends)).toMatchObject([refused, refused]);
    expect(claims(store)).toBe(2);
  });

  it('a store that grants no probes leaves them to each process', async () => {
    const clock = new ManualClock();
    const whole = new MemoryStore(clock);
    const store = { load: whole.load.bind(whole), save: whole.save.bind(whole) };
    const one = start(clock, store as never);
    await turn();
    await rejection(one.breaker.execute(fails));
    await clock.advance(60_000);
    expect(one.breaker.wait()).toBeUndefined();
    expect(await one.breaker.execute(works)).toBe('value');
    expect(claims(whole)).toBe(0);
  });
});

describe('asking for a probe', () => {
  it.each<[Mood, number, number]>([
    ['throws', 0, 0],
    ['rejects', 0, 0],
    ['hangs', 249, 250],
    [1000, 249, 250],
  ])('a store that %s holds a probe up for 250 ms at most', async (mood, before, after) => {
    const { clock, store, one } = await outage();
    await clock.advance(60_000);
    store.moods.claim = mood;
    const end = settled(one.breaker.execute(works));
    let done = false;
    void end.then(() => {
      done = true;
    });
    await clock.advance(before);
    expect(done).toBe(before === 0);
    await clock.advance(after - before);
    expect(await end).toEqual({ ok: true, value: 'value' });
    expect(one.breaker.state).toBe('closed');
    await clock.advance(10_000);
    // What comes late is no news any more.
    expect(one.breaker.state).toBe('closed');
    expect(store.kept.get(KEY)).toMatchObject({ state: 'closed' });
    expect(clock.pending).toBe(0);
  });

  it('an answer that comes after reset() changes nothing', async () => {
    const { clock, store, one } = await outage();
    await clock.advance(60_000);
    store.moods.claim = 100;
    const end = settled(one.breaker.execute(works));
    await turn();
    one.breaker.reset();
    await turn();
    store.kept.set(KEY, openSnapshot(clock, 30_000));
    await clock.advance(100);
    expect(await end).toEqual({ ok: true, value: 'value' });
    expect(one.breaker.state).toBe('closed');
  });

  it('an answer that comes after it has opened anew changes nothing', async () => {
    const { clock, store, one } = await outage();
    await clock.advance(60_000);
    store.moods.claim = 100;
    const end = settled(one.breaker.execute(works));
    await turn();
    one.breaker.reset();
    one.breaker.acquire().failure(coded(RESET));
    await turn();
    store.kept.set(KEY, { ...openSnapshot(clock, 0), state: 'closed' });
    await clock.advance(100);
    expect(await end).toMatchObject({ error: { code: 'OUTLAST_CIRCUIT_OPEN' } });
    expect(one.breaker.state).toBe('open');
  });

  it('an answer that comes after a probe began without leave leaves that its verdict', async () => {
    const { clock, store, one } = await outage();
    await clock.advance(60_000);
    store.moods.claim = 1000;
    const policy = new RetryPolicy({ clock, breaker: one.breaker });
    let fail: (error: unknown) => void = () => {};
    const probe = settled(
      policy.execute(
        () =>
          new Promise<never>((_, reject) => {
            fail = reject;
          }),
      ),
    );
    await clock.advance(250);
    store.kept.set(KEY, { ...openSnapshot(clock, 0), state: 'closed' });
    await clock.advance(750);
    expect(one.breaker.status()).toMatchObject({ state: 'half-open', halfOpenCalls: 1 });
    fail(coded(RESET));
    await probe;
    await turn();
    expect(one.breaker.state).toBe('open');
    expect(store.kept.get(KEY)).toMatchObject({ state: 'open', trips: 2 });
  });

  it.each([
    { granted: true, snapshot: { version: 99 } },
    { granted: true, snapshot: 'open' },
    { granted: true },
    {},
    null,
    undefined,
    'yes',
  ])('an answer like %j fails no call', async (garbage) => {
    const { clock, store, one } = await outage();
    await clock.advance(60_000);
    store.moods.claim = 'garbage';
    store.garbage = garbage;
    expect(await one.breaker.execute(works)).toBe('value');
    expect(one.breaker.state).toBe('closed');
  });

  it('an isolated breaker asks nobody', async () => {
    const { clock, store, one } = await outage();
    await clock.advance(60_000);
    one.breaker.isolate();
    await rejection(one.breaker.execute(works));
    expect(claims(store)).toBe(0);
  });
});
