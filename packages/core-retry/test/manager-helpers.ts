import {
  type BreakerRegistry,
  isOptionError,
  RetryManager,
  type RetryManagerOptions,
} from '@outlast/core-retry';
import { ManualClock } from '@outlast/core-retry/testing';
import { expect } from 'vitest';
import { coded, RESET, settled } from './helpers.js';

export const NAMES = { service: 'pg', operation: 'query' };

export function managed(options: RetryManagerOptions = {}) {
  const clock = new ManualClock();
  const manager = new RetryManager({
    ...options,
    retry: { clock, jitter: false, ...options.retry },
  });
  return { clock, manager };
}

/** The delays that an operation sleeps when all of its attempts fail. */
export async function delaysOf(manager: RetryManager, clock: ManualClock, names = NAMES) {
  const delays: number[] = [];
  const off = manager.on('retry', (event) => delays.push(event.delayMs));
  const fails = () => Promise.reject(coded(RESET));
  await clock.runUntilSettled(settled(manager.execute(fails, { ...names, breaker: false })));
  off();
  return delays;
}

/** Settings of an operation, as a breaker of it sees them. */
export function breakerOf(registry: BreakerRegistry, names = NAMES): object {
  return registry.get(names.service, names.operation).settings;
}

export function thrown(fn: () => unknown): Error & { option?: string } {
  try {
    fn();
  } catch (error) {
    expect(isOptionError(error)).toBe(true);
    return error as Error;
  }
  throw new Error('expected it to throw');
}
