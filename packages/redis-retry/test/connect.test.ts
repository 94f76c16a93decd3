import { RetryPolicy } from '@outlast/core-retry';
import { ManualClock } from '@outlast/core-retry/testing';
import { describe, expect, it } from 'vitest';
import { Outage } from '../src/connect.js';

function outage(random = 0.5) {
  const clock = new ManualClock();
  const policy = new RetryPolicy({ clock, random: () => random, baseDelayMs: 500 });
  const told: string[] = [];
  policy.on('down', () => told.push('down'));
  policy.on('up', ({ downMs }) => told.push(`up ${downMs}`));
  return { clock, told, it: new Outage(policy) };
}

describe('the pace of reconnects', () => {
  it('is 50 ms, doubling to 200 for half a minute, then up to the base delay', async () => {
    const { clock, it } = outage();
    const first = [1, 2, 3, 4, 5].map(() => it.nextDelay());
    expect(first).toEqual([50, 100, 200, 200, 200]);
    await clock.advance(30_000);
    expect([it.nextDelay(), it.nextDelay()]).toEqual([500, 500]);
  });

  it('is spread over 1 ± 0.25, and never above its bound', () => {
    expect(outage(0).it.nextDelay()).toBe(37.5);
    expect(outage(0.999).it.nextDelay()).toBeCloseTo(62.5, 1);
    const { it } = outage(0.999);
    for (let n = 0; n < 20; n++) expect(it.nextDelay()).toBeLessThanOrEqual(200);
  });

  it('begins anew after a connection that stood, and not after one that did not', async () => {
    const { clock, it } = outage();
    for (let n = 0; n < 5; n++) it.nextDelay();
    it.ready();
    await clock.advance(200);
    expect(it.nextDelay()).toBe(200);
    it.ready();
    await clock.advance(1001);
    expect(it.nextDelay()).toBe(50);
  });
});

describe('an outage', () => {
  it('is reported once, with its end', async () => {
    const { clock, told, it } = outage();
    expect(it.failed(new Error('a'))).toBe(true);
    expect(it.failed(new Error('b'))).toBe(false);
    expect(it.error?.message).toBe('b');
    await clock.advance(70);
    it.ready();
    it.ready();
    expect(told).toEqual(['down', 'up 70']);
    expect(it.isDown).toBe(false);
  });

  it('is none if the client was closed', () => {
    const { told, it } = outage();
    it.failed(undefined);
    it.forget();
    it.ready();
    expect(told).toEqual(['down']);
  });
});

describe('a server that says no', () => {
  it('is asked less and less often', () => {
    const { it } = outage();
    expect([1, 2, 3, 4].map(() => it.nextDelay(true))).toEqual([500, 1000, 2000, 2000]);
    expect(it.nextDelay()).toBe(50);
  });
});
