import { ManualClock } from '@outlast/core-retry/testing';
import type { Consumer, EachBatchPayload } from 'kafkajs';
import { describe, expect, it } from 'vitest';
import type { Guard } from '../src/guards.js';
import { Pauses } from '../src/pauses.js';
import { Waiting } from '../src/waiting.js';

const EARLY_MS = 500;

function bench() {
  const clock = new ManualClock();
  const start = clock.now();
  const told: string[] = [];
  const state = { hasGroup: true };
  const note = (what: string) => (topics: { topic: string; partitions?: number[] }[]) => {
    if (!state.hasGroup) throw new Error('Consumer group was not initialized');
    for (const { partitions } of topics) told.push(`${what} ${partitions ?? 'all'} at ${at()}`);
  };
  const at = (): number => clock.now() - start;
  const driver = { pause: note('pause'), resume: note('resume') } as unknown as Consumer;
  const pauses = new Pauses(driver, clock, EARLY_MS);
  const waiting = new Waiting(pauses, clock, EARLY_MS);
  const fetched = (partition: number): EachBatchPayload =>
    ({ batch: { topic: 't', partition }, isRunning: () => true }) as unknown as EachBatchPayload;
  return { clock, told, state, at, pauses, waiting, fetched };
}

function guard(signal: AbortSignal = new AbortController().signal): Guard {
  return { signal, lost: undefined, left: false, waitedMs: 0 } as unknown as Guard;
}

describe('a partition that waits', () => {
  it('is fetched before its time, and handled at its time', async () => {
    const { clock, told, at, pauses, waiting, fetched } = bench();
    pauses.hold('t', 0, 1200);
    await clock.advance(700);
    expect(told).toEqual(['pause 0 at 0', 'resume 0 at 700']);
    await clock.advance(100);
    const early = waiting.isEarly(fetched(0), guard(), true);
    let handledAt = 0;
    void early.then(() => {
      handledAt = at();
    });
    await clock.advance(399);
    expect(handledAt).toBe(0);
    await clock.advance(1);
    expect(await early).toBe(false);
    expect(handledAt).toBe(1200);
    expect(pauses.leftMs('t', 0)).toBe(0);
  });

  it('is not paused for less than a fetch takes, and resumed if it was', async () => {
    const { told, pauses } = bench();
    pauses.hold('t', 0, 100);
    expect(told).toEqual([]);
    pauses.hold('t', 0, Infinity);
    pauses.hold('t', 0, 100);
    expect(told).toEqual(['pause 0 at 0', 'resume 0 at 0']);
  });

  it('holds up the others for no longer than a fetch, however many of its messages come due', async () => {
    const { clock, told, waiting, fetched } = bench();
    const one = guard();
    for (let n = 0; n < 4; n++) {
      const early = waiting.wait(120, fetched(0), one);
      await clock.advance(120);
      expect(await early).toBe(false);
    }
    expect(await waiting.wait(120, fetched(0), one)).toBe(true);
    expect(told).toEqual(['pause 0 at 480']);
    await clock.advance(120);
    expect(told.at(-1)).toBe('resume 0 at 600');
  });

  it.each([
    ['one that is busy', false, ['pause 0 at 300', 'resume 0 at 500']],
    ['not one that is only tried again', true, []],
  ])('makes way for %s', async (_, isRetry, expected) => {
    const { clock, told, waiting, fetched } = bench();
    for (let n = 0; n < 3; n++) {
      expect(await waiting.isEarly(fetched(1), guard(), isRetry)).toBe(false);
      await clock.advance(100);
    }
    const early = waiting.wait(200, fetched(0), guard());
    await clock.advance(200);
    expect(await early).toBe(!isRetry);
    expect(told).toEqual(expected);
  });

  it('ends its wait when the handler is to end', async () => {
    const { waiting, fetched } = bench();
    const ending = new AbortController();
    const early = waiting.wait(200, fetched(0), guard(ending.signal));
    ending.abort();
    expect(await early).toBe(true);
  });

  it('goes on waiting when kafkajs starts again, and so does what the caller has paused', async () => {
    const { clock, told, state, pauses } = bench();
    pauses.hold('t', 0, 2000);
    pauses.hold('t', 1, 600);
    pauses.pause([{ topic: 't', partitions: [2] }]);
    pauses.pause([{ topic: 'u' } as { topic: string; partitions: number[] }]);
    state.hasGroup = false;
    // Its time ends while kafkajs has no group to tell of it.
    await clock.advance(1000);
    state.hasGroup = true;
    told.length = 0;
    pauses.renew();
    expect(told.sort()).toEqual(['pause 0 at 1000', 'pause 2 at 1000', 'pause all at 1000']);
    pauses.clear();
    await clock.advance(5000);
    expect(told).toHaveLength(3);
  });
});
