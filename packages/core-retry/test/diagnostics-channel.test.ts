import { type ChannelListener, channel, subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { PolicyEvent } from '@outlast/core-retry';
import { failTimes } from '@outlast/core-retry/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { Emitter, EVENT_TYPES } from '../src/events.js';
import { bench, coded, RESET, settled } from './helpers.js';

const ends: (() => void)[] = [];

/** Subscribes to channels until the test is over; says what came, in order. */
function hear(...names: string[]): { readonly name: string; readonly event: PolicyEvent }[] {
  const heard: { readonly name: string; readonly event: PolicyEvent }[] = [];
  for (const name of names) {
    const listener: ChannelListener = (event, from) =>
      heard.push({ name: String(from), event: event as PolicyEvent });
    subscribe(name, listener);
    ends.push(() => unsubscribe(name, listener));
  }
  return heard;
}

afterEach(() => {
  for (const end of ends.splice(0)) end();
});

describe('diagnostics channels', () => {
  it('outlast:<type> gets the very event that listeners get, frozen', async () => {
    const heard = hear(...EVENT_TYPES.map((type) => `outlast:${type}`));
    const { clock, policy } = bench({ operation: 'op', maxAttempts: 2 });
    const listened: PolicyEvent[] = [];
    for (const type of EVENT_TYPES) policy.on(type, (event) => listened.push(event));
    await clock.runUntilSettled(policy.execute(failTimes([coded(RESET)], 1)));
    await clock.runUntilSettled(
      settled(policy.execute(failTimes([coded(RESET), coded(RESET)], 1))),
    );
    policy.emit({ type: 'up', operation: 'pg', at: 0, downMs: 1 });
    expect(heard.map(({ name }) => name)).toEqual(
      [
        ['attempt', 'retry', 'attempt', 'success'],
        ['attempt', 'retry', 'attempt', 'exhausted', 'outcomeUnknown', 'up'],
      ]
        .flat()
        .map((type) => `outlast:${type}`),
    );
    expect(heard).toHaveLength(listened.length);
    for (const [i, { event }] of heard.entries()) expect(event).toBe(listened[i]);
    expect(heard.every(({ event }) => Object.isFrozen(event))).toBe(true);
  });

  it('need no listener on the policy', async () => {
    const heard = hear('outlast:success');
    await bench({ operation: 'op' }).policy.execute(() => 1);
    expect(heard.map(({ event }) => event)).toMatchObject([{ type: 'success', attempts: 1 }]);
  });

  it('cost nothing until somebody subscribes: no event is made', async () => {
    const emitter = new Emitter();
    const seen = (): boolean[] => [emitter.watched, emitter.has('success'), emitter.has('retry')];
    expect(seen()).toEqual([false, false, false]);
    const { policy } = bench();
    let events = 0;
    const { freeze } = Object;
    // Every event is frozen, so a call that freezes nothing has made none.
    Object.freeze = ((value: unknown) => {
      events += 1;
      return freeze(value);
    }) as typeof Object.freeze;
    try {
      await policy.execute(() => 1);
      expect(events).toBe(0);
      hear('outlast:success', 'outlast:retry');
      expect(seen()).toEqual([true, true, true]);
      await policy.execute(() => 1);
      expect(events).toBe(1);
    } finally {
      Object.freeze = freeze;
    }
    for (const end of ends.splice(0)) end();
    expect(seen()).toEqual([false, false, false]);
  });

  it('there is one for every type', () => {
    for (const type of EVENT_TYPES) {
      const heard = hear(`outlast:${type}`);
      expect(channel(`outlast:${type}`).hasSubscribers).toBe(true);
      const event = { type, operation: 'op', at: 0 } as PolicyEvent;
      new Emitter().emit(event);
      expect(heard).toEqual([{ name: `outlast:${type}`, event }]);
    }
  });
});
