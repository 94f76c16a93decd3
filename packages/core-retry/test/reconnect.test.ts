import { getEventListeners } from 'node:events';
import {
  ClosedError,
  isClosedError,
  type PolicyEvent,
  type RetryOptions,
  RetryPolicy,
  retryInfo,
} from '@outlast/core-retry';
import { mark, Reconnect, SlowStart } from '@outlast/core-retry/connector';
import { ManualClock } from '@outlast/core-retry/testing';
import { describe, expect, it, vi } from 'vitest';
import { coded, REFUSED, rejection, settled, turn } from './helpers.js';

interface Probe {
  readonly at: number;
  readonly succeed: () => void;
  readonly fail: (error: unknown) => void;
}

/** A client whose probes are answered by the test, unless told to answer each at once. */
function rig(options: RetryOptions = {}, answer?: (number: number) => unknown) {
  const clock = new ManualClock();
  const policy = new RetryPolicy({ clock, random: () => 0.5, ...options });
  const events: PolicyEvent[] = [];
  for (const type of ['down', 'up'] as const) policy.on(type, (event) => events.push(event));
  const probes: Probe[] = [];
  const reconnect = new Reconnect({
    service: 'pg',
    policy,
    isPermanent: (error) => (error as { code?: string }).code === '28P01',
    probe: () =>
      new Promise<void>((succeed, fail) => {
        probes.push({ at: clock.now(), succeed, fail });
        if (answer === undefined) return;
        const error = answer(probes.length);
        if (error === undefined) succeed();
        else fail(error);
      }),
  });
  const times = () => probes.map((probe) => probe.at);
  return { clock, policy, reconnect, events, probes, times };
}

const refused = () => coded(REFUSED);

describe('the schedule of probes', () => {
  it('from 50 ms, doubling to 200 for 30 s, then to baseDelayMs', async () => {
    const { clock, reconnect, times } = rig({ baseDelayMs: 1000 }, refused);
    reconnect.failed(refused());
    const end = settled(reconnect.wait(60_000));
    await clock.advance(40_000);
    const gaps = times().map((at, i, all) => at - (i === 0 ? 0 : (all[i - 1] as number)));
    expect(gaps.slice(0, 5)).toEqual([50, 100, 200, 200, 200]);
    const late = times().findIndex((at) => at >= 30_000);
    expect(new Set(gaps.slice(2, late))).toEqual(new Set([200]));
    expect(new Set(gaps.slice(late + 1))).toEqual(new Set([1000]));
    expect(gaps.length).toBeGreaterThan(150);
    await clock.advance(60_000);
    await end;
  });

  it.each([
    [0, [37.5, 75, 150, 150]],
    [0.5, [50, 100, 200, 200]],
    [1, [62.5, 125, 200, 200]],
  ])('±25 %%, with random %d: %j', async (random, expected) => {
    const { clock, reconnect, times } = rig({ random: () => random }, refused);
    reconnect.failed(refused());
    const end = settled(reconnect.wait(1000));
    await clock.advance(1000);
    await end;
    const gaps = times().map((at, i, all) => at - (i === 0 ? 0 : (all[i - 1] as number)));
    expect(gaps.slice(0, 4)).toEqual(expected);
  });

  it.each([
    [120, [50, 100, 120, 120]],
    [30, [30, 30, 30, 30]],
    [0, [10, 10, 10, 10]],
  ])(
    'is never slower than baseDelayMs (%d), and never a busy loop',
    async (baseDelayMs, expected) => {
      const { clock, reconnect, times } = rig({ baseDelayMs }, refused);
      reconnect.failed(refused());
      const end = settled(reconnect.wait(1000));
      await clock.advance(1000);
      await end;
      const gaps = times().map((at, i, all) => at - (i === 0 ? 0 : (all[i - 1] as number)));
      expect(gaps.slice(0, 4)).toEqual(expected);
    },
  );

  it('a silent probe holds up the next for 250 ms and no longer; at most 3 are in flight', async () => {
    const { clock, reconnect, probes, times } = rig();
    reconnect.failed(refused());
    const end = settled(reconnect.wait(60_000));
    await clock.advance(20_000);
    expect(times()).toEqual([50, 50 + 250 + 100, 400 + 250 + 200]);
    probes[0]?.fail(refused());
    await clock.advance(200);
    expect(probes).toHaveLength(4);
    await clock.advance(20_000);
    expect(probes).toHaveLength(4);
    probes[2]?.succeed();
    expect(await end).toEqual({ ok: true, value: undefined });
    expect(clock.pending).toBe(0);
  });

  it('a probe that fails in time is followed by one next, not two', async () => {
    const { clock, reconnect, probes, times } = rig();
    reconnect.failed(refused());
    const end = settled(reconnect.wait(60_000));
    await clock.advance(50);
    await clock.advance(200);
    probes[0]?.fail(refused());
    await clock.advance(99);
    expect(times()).toEqual([50]);
    await clock.advance(1);
    expect(times()).toEqual([50, 350]);
    reconnect.close();
    await end;
  });

  it('a probe that throws instead of rejecting is a failure', async () => {
    const clock = new ManualClock();
    const policy = new RetryPolicy({ clock, random: () => 0.5 });
    let probes = 0;
    const reconnect = new Reconnect({
      service: 'pg',
      policy,
      isPermanent: () => false,
      probe: () => {
        probes += 1;
        if (probes < 3) throw new Error('sync');
        return Promise.resolve();
      },
    });
    reconnect.failed(refused());
    await clock.runUntilSettled(reconnect.wait(60_000));
    expect(probes).toBe(3);
  });
});

describe('who waits', () => {
  it('does not, while the service can be reached', async () => {
    const { clock, reconnect, probes } = rig();
    expect(reconnect.down).toBeUndefined();
    await reconnect.wait(1000);
    expect([clock.pending, probes.length, reconnect.waiting]).toEqual([0, 0, 0]);
  });

  it('is woken by the first acceptable connection, all at once, by one loop', async () => {
    const { clock, reconnect, probes } = rig({}, (number) => (number < 3 ? refused() : undefined));
    reconnect.failed(refused());
    const ends = Array.from({ length: 50 }, () => reconnect.wait(30_000));
    expect(reconnect.waiting).toBe(50);
    await clock.advance(350);
    await Promise.all(ends);
    expect([probes.length, reconnect.waiting, clock.pending]).toEqual([3, 0, 0]);
    expect(reconnect.down).toBeUndefined();
  });

  it('is woken by a connection that another operation made', async () => {
    const { clock, reconnect, probes } = rig();
    reconnect.failed(refused());
    const end = reconnect.wait(30_000);
    reconnect.succeeded();
    await end;
    expect([probes.length, clock.pending]).toEqual([0, 0]);
  });

  it('gives up after its own time with the latest connect error: exhausted, not applied', async () => {
    const errors: Error[] = [];
    const { clock, reconnect, probes } = rig({}, () => {
      errors.push(refused());
      return errors.at(-1);
    });
    reconnect.failed(refused());
    const short = rejection(reconnect.wait(500));
    const long = settled(reconnect.wait(5000));
    await clock.advance(500);
    const error = await short;
    expect(error).toBe(errors[2]);
    expect(retryInfo(error)).toEqual({
      operation: 'pg.connect',
      attempts: 3,
      elapsedMs: 500,
      delaysMs: [],
      reason: 'exhausted',
      outcome: 'not-applied',
      failures: [],
    });
    expect(reconnect.waiting).toBe(1);
    await clock.advance(4500);
    expect((await long).ok).toBe(false);
    expect(clock.pending).toBe(0);
    const count = probes.length;
    await clock.advance(60_000);
    expect(probes).toHaveLength(count);
  });

  it('with no patience gives up at once, with the error that is known', async () => {
    const { clock, reconnect, probes } = rig();
    const error = refused();
    reconnect.failed(error);
    expect(await rejection(reconnect.wait(0))).toBe(error);
    expect(retryInfo(error)).toMatchObject({ reason: 'exhausted', attempts: 0 });
    expect([clock.pending, probes.length, reconnect.waiting]).toEqual([0, 0, 0]);
  });

  it('with patience Infinity waits until the service comes back', async () => {
    const { clock, reconnect } = rig({ baseDelayMs: 1000 }, (number) =>
      number < 300 ? refused() : undefined,
    );
    reconnect.failed(refused());
    await clock.runUntilSettled(reconnect.wait(Infinity));
    expect(clock.now()).toBeGreaterThan(60_000);
  });

  it('the error of the give-up is not retried by the policy that waits: one wait, not three', async () => {
    const { clock, policy, reconnect } = rig({ maxAttempts: 3 }, refused);
    reconnect.failed(refused());
    let waits = 0;
    const end = rejection(
      policy.execute((attempt) => {
        attempt.phase = 'connect';
        waits += 1;
        return reconnect.wait(1000);
      }),
    );
    await clock.advance(1000);
    const error = await end;
    expect(waits).toBe(1);
    expect(retryInfo(error)).toMatchObject({
      reason: 'exhausted',
      outcome: 'not-applied',
      attempts: 1,
    });
  });

  it('an error that another operation has as unknown is copied for who gives up', async () => {
    const { reconnect } = rig();
    const shared = refused();
    reconnect.failed(shared);
    const info = { operation: 'x', attempts: 1, elapsedMs: 0, delaysMs: [], failures: [] };
    mark(shared, { ...info, reason: 'outcome-unknown', outcome: 'unknown' }, {}, {});
    const error = await rejection(reconnect.wait(0));
    expect(error).not.toBe(shared);
    expect((error as Error).cause).toBe(shared);
  });
});

describe('patience', () => {
  it('is spent by what was waited, over several waits, and ends at nothing', async () => {
    const { clock, reconnect } = rig({}, refused);
    const patience = { leftMs: 1000 };
    reconnect.failed(refused());
    const first = settled(reconnect.spend(patience));
    await clock.advance(300);
    reconnect.succeeded();
    await first;
    expect(patience.leftMs).toBe(700);
    const last = refused();
    reconnect.failed(last);
    const end = rejection(reconnect.spend(patience));
    await clock.advance(700);
    await end;
    expect(patience.leftMs).toBe(0);
    await expect(reconnect.spend(patience)).rejects.toBeInstanceOf(Error);
  });
});

describe('abort', () => {
  it('rejects with the reason at once; the others go on waiting', async () => {
    const { clock, reconnect } = rig({}, (number) => (number < 9 ? refused() : undefined));
    reconnect.failed(refused());
    const controller = new AbortController();
    const reason = new Error('gone');
    const aborted = rejection(reconnect.wait(30_000, controller.signal));
    const other = settled(reconnect.wait(30_000));
    await clock.advance(60);
    controller.abort(reason);
    expect(await aborted).toBe(reason);
    expect(reconnect.waiting).toBe(1);
    await clock.advance(30_000);
    expect((await other).ok).toBe(true);
  });

  it('of the last one ends the loop: no timer stays, also not that of a silent probe', async () => {
    const { clock, reconnect, probes } = rig();
    reconnect.failed(refused());
    const controller = new AbortController();
    const end = rejection(reconnect.wait(30_000, controller.signal));
    await clock.advance(60);
    expect([probes.length, clock.pending]).toEqual([1, 2]);
    controller.abort();
    await end;
    expect(clock.pending).toBe(0);
    probes[0]?.fail(refused());
    await turn();
    expect(clock.pending).toBe(0);
  });

  it('3.2 of a signal that has aborted already: nothing is started', async () => {
    const { clock, reconnect } = rig();
    reconnect.failed(refused());
    expect(await rejection(reconnect.wait(30_000, AbortSignal.abort('no')))).toBe('no');
    expect([clock.pending, reconnect.waiting]).toEqual([0, 0]);
  });

  it('3.18 a hundred waiters on one signal cost one listener, and leave none', async () => {
    const { reconnect } = rig();
    reconnect.failed(refused());
    const { signal } = new AbortController();
    const ends = Array.from({ length: 100 }, () => reconnect.wait(30_000, signal));
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    reconnect.succeeded();
    await Promise.all(ends);
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });
});

describe('the loop', () => {
  it('lives only while somebody waits: an outage alone sets no timer', async () => {
    const { clock, reconnect, probes } = rig();
    reconnect.failed(refused());
    await clock.advance(60_000);
    expect([clock.pending, probes.length]).toEqual([0, 0]);
  });

  it('begins anew, at 50 ms, for who comes after everybody left', async () => {
    const { clock, reconnect, times } = rig({}, refused);
    reconnect.failed(refused());
    const first = settled(reconnect.wait(1000));
    await clock.advance(10_000);
    await first;
    const before = times().length;
    const second = settled(reconnect.wait(1000));
    await clock.advance(1000);
    await second;
    expect(times()[before]).toBe(10_050);
  });

  it('who comes while a probe of those who left is silent need not wait for that probe', async () => {
    const { clock, reconnect, times } = rig();
    reconnect.failed(refused());
    const controller = new AbortController();
    const first = settled(reconnect.wait(30_000, controller.signal));
    await clock.advance(50);
    controller.abort();
    await first;
    await clock.advance(5000);
    const second = settled(reconnect.wait(30_000));
    await clock.advance(50);
    expect(times()).toEqual([50, 5100]);
    reconnect.close();
    await second;
  });

  it('who joins does not make it begin anew', async () => {
    const { clock, reconnect, times } = rig({}, refused);
    reconnect.failed(refused());
    const ends = [settled(reconnect.wait(5000))];
    await clock.advance(160);
    ends.push(settled(reconnect.wait(5000)));
    await clock.advance(400);
    expect(times()).toEqual([50, 150, 350, 550]);
    reconnect.close();
    await Promise.all(ends);
  });
});

describe('down and up', () => {
  it('are told once an outage', async () => {
    const { clock, reconnect, events } = rig({}, (number) => (number < 4 ? refused() : undefined));
    const first = refused();
    const at = clock.wallNow();
    reconnect.failed(first);
    const later = refused();
    reconnect.failed(later);
    expect(reconnect.down?.error).toBe(later);
    await clock.runUntilSettled(Promise.all([reconnect.wait(9000), reconnect.wait(9000)]));
    reconnect.succeeded();
    expect(events).toEqual([
      { type: 'down', operation: 'pg', at, since: at, error: first },
      { type: 'up', operation: 'pg', at: at + 550, downMs: 550 },
    ]);
    reconnect.failed(first);
    expect(events).toHaveLength(3);
  });

  it('a probe of the outage before that fails late is no new outage', async () => {
    const { clock, reconnect, probes, events } = rig();
    reconnect.failed(refused());
    const end = settled(reconnect.wait(30_000));
    await clock.advance(400);
    expect(probes).toHaveLength(2);
    probes[1]?.succeed();
    await end;
    probes[0]?.fail(refused());
    await turn();
    expect(reconnect.down).toBeUndefined();
    expect(events.map((event) => event.type)).toEqual(['down', 'up']);
    expect(clock.pending).toBe(0);
  });

  it('nor does its late refusal end the waiting of the next outage, which goes on probing', async () => {
    const { clock, reconnect, probes } = rig();
    reconnect.failed(refused());
    const first = settled(reconnect.wait(30_000));
    await clock.advance(400);
    probes[1]?.succeed();
    await first;
    reconnect.failed(refused());
    const second = settled(reconnect.wait(30_000));
    probes[0]?.fail(coded('28P01'));
    await clock.advance(60);
    expect(reconnect.waiting).toBe(1);
    expect(probes).toHaveLength(3);
    probes[2]?.succeed();
    expect((await second).ok).toBe(true);
  });
});

describe('a permanent error of a probe', () => {
  it('is everybody’s at once, the same object, and ends the outage: the service answers', async () => {
    const wrong = coded('28P01');
    const { clock, reconnect, events } = rig({}, (number) => (number < 2 ? refused() : wrong));
    reconnect.failed(refused());
    const ends = Array.from({ length: 20 }, () => rejection(reconnect.wait(30_000)));
    await clock.advance(150);
    const errors = await Promise.all(ends);
    expect(errors.every((error) => error === wrong)).toBe(true);
    expect(events.map((event) => event.type)).toEqual(['down', 'up']);
    expect([reconnect.waiting, clock.pending]).toEqual([0, 0]);
    await reconnect.wait(1000);
  });
});

describe('close()', () => {
  it('rejects who waits and who will, and leaves no timer', async () => {
    const { clock, reconnect, probes } = rig();
    reconnect.failed(refused());
    const ends = [rejection(reconnect.wait(30_000)), rejection(reconnect.wait(Infinity))];
    await clock.advance(60);
    const error = new ClosedError('The pool');
    reconnect.close(error);
    expect(await Promise.all(ends)).toEqual([error, error]);
    expect(clock.pending).toBe(0);
    expect(await rejection(reconnect.wait(1000))).toBe(error);
    probes[0]?.fail(refused());
    await turn();
    expect([clock.pending, probes.length]).toEqual([0, 1]);
  });

  it('has an error of its own if none is given', async () => {
    const { reconnect } = rig();
    reconnect.close();
    const error = await rejection(reconnect.wait(0));
    expect(isClosedError(error)).toBe(true);
    expect(String(error)).toContain('The client was closed');
  });
});

describe('slow start', () => {
  /** When each of `count` connections may be opened, if all ask again when they are told to. */
  async function openedAt(slow: SlowStart, clock: ManualClock, count: number): Promise<number[]> {
    const start = clock.now();
    const at: number[] = [];
    while (at.length < count) {
      const wait = slow.admit();
      if (wait === 0) at.push(clock.now() - start);
      else await clock.advance(wait);
    }
    return at;
  }

  it('limits nothing before there was an outage', async () => {
    const clock = new ManualClock();
    expect(await openedAt(new SlowStart(clock), clock, 50)).toEqual(Array(50).fill(0));
  });

  it('staggers the first connections after one, at most six a second, then limits nothing', async () => {
    const clock = new ManualClock();
    const slow = new SlowStart(clock);
    slow.begin();
    const at = await openedAt(slow, clock, 20);
    expect(at).toEqual([20, 80, 200, 450, 800, ...Array(15).fill(800)]);
    slow.begin();
    expect(slow.admit()).toBe(20);
  });

  it('asking does not count as opening, and late askers are not held up', async () => {
    const clock = new ManualClock();
    const slow = new SlowStart(clock);
    slow.begin();
    for (let i = 0; i < 10; i++) expect(slow.admit()).toBe(20);
    await clock.advance(10_000);
    expect(await openedAt(slow, clock, 50)).toEqual(Array(50).fill(0));
  });

  it('begins when the service comes back', async () => {
    const { reconnect } = rig();
    const begin = vi.spyOn(reconnect.slowStart, 'begin');
    reconnect.succeeded();
    expect(begin).not.toHaveBeenCalled();
    reconnect.failed(refused());
    reconnect.succeeded();
    expect(begin).toHaveBeenCalledTimes(1);
    expect(reconnect.slowStart.admit()).toBe(20);
  });
});
