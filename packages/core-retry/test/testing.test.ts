import { failTimes, ManualClock } from '@outlast/core-retry/testing';
import { describe, expect, it } from 'vitest';
import { rejection } from './helpers.js';

describe('ManualClock', () => {
  it('stands still until it is moved', async () => {
    const clock = new ManualClock(5, 1000);
    expect([clock.now(), clock.wallNow()]).toEqual([5, 1000]);
    await clock.advance(10);
    expect([clock.now(), clock.wallNow()]).toEqual([15, 1010]);
  });

  it('fires timers in the order of their times, then of their making, at their own time', async () => {
    const clock = new ManualClock();
    const log: [string, number][] = [];
    const note = (name: string) => () => log.push([name, clock.now()]);
    clock.setTimeout(note('late'), 30);
    clock.setTimeout(note('first of two'), 10);
    clock.setTimeout(note('second of two'), 10);
    clock.setTimeout(note('never'), 20).cancel();
    clock.setTimeout(() => clock.setTimeout(note('nested'), 5), 10);
    await clock.advance(29);
    expect(log).toEqual([
      ['first of two', 10],
      ['second of two', 10],
      ['nested', 15],
    ]);
    expect([clock.pending, clock.now()]).toEqual([1, 29]);
    await clock.advance(1);
    expect(log.at(-1)).toEqual(['late', 30]);
    expect(clock.pending).toBe(0);
  });

  it('lets promises settle between timers, however deep the chain', async () => {
    const clock = new ManualClock();
    const log: string[] = [];
    const deep = async () => {
      for (let i = 0; i < 50; i++) await undefined;
      log.push('deep');
    };
    clock.setTimeout(() => void deep(), 1);
    clock.setTimeout(() => log.push('next'), 1);
    await clock.advance(1);
    expect(log).toEqual(['deep', 'next']);
  });

  it('runs until a promise settles, and no further', async () => {
    const clock = new ManualClock();
    const promise = new Promise<string>((resolve) => {
      clock.setTimeout(() => resolve('v'), 1e9);
      clock.setTimeout(() => {}, 2e9);
    });
    expect(await clock.runUntilSettled(promise)).toBe('v');
    expect([clock.now(), clock.pending]).toEqual([1e9, 1]);
    expect(await rejection(clock.runUntilSettled(Promise.reject(new Error('x'))))).toEqual(
      new Error('x'),
    );
  });

  it('says so if a promise waits for something else, or for too many timers', async () => {
    const says = /not a timer of this clock/;
    const never = new Promise(() => {});
    expect(String(await rejection(new ManualClock().runUntilSettled(never)))).toMatch(says);
    const clock = new ManualClock();
    const again = (): void => void clock.setTimeout(again, 1);
    again();
    expect(String(await rejection(clock.runUntilSettled(never, 5)))).toMatch(says);
    expect(clock.now()).toBe(5);
  });
});

describe('failTimes', () => {
  it('fails so many times, or with the given errors, and counts its calls', async () => {
    const numbered = failTimes(2, 'v');
    expect(String(await rejection(numbered()))).toBe('Error: scripted failure 1');
    expect(String(await rejection(numbered()))).toBe('Error: scripted failure 2');
    expect([await numbered(), await numbered(), numbered.calls]).toEqual(['v', 'v', 4]);
    const given = failTimes(['a', null], 'v');
    expect([await rejection(given()), await rejection(given()), await given()]).toEqual([
      'a',
      null,
      'v',
    ]);
  });
});
