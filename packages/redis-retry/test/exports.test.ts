import * as driver from 'ioredis';
import { describe, expect, it } from 'vitest';
import * as ours from '../src/index.js';

const OWN = [
  'OptionError',
  'OutlastError',
  'QueueFullError',
  'RETRYABLE_ERROR_CODES',
  'RETRYABLE_REPLIES',
  'RedisBreakerStore',
  'bullmq',
  'classifyRedis',
  'isOptionError',
  'isOutcomeUnknown',
  'isQueueFullError',
  'isReply',
  'redisRetry',
  'retryInfo',
  'withRetry',
];
// What Node adds to a CommonJS module; nobody imports it.
const INTEROP = ['__esModule', 'module.exports'];
const drivers = driver as unknown as Record<string, unknown>;

describe('the module', () => {
  it('exports everything that ioredis exports, and our own beside it', () => {
    const plain = (keys: string[]): string[] => keys.filter((key) => !INTEROP.includes(key)).sort();
    const keys = plain(Object.keys(ours)).filter((key) => !OWN.includes(key));
    expect(keys).toEqual(plain(Object.keys(driver)));
    expect(Object.keys(ours)).toEqual(expect.arrayContaining(OWN));
  });

  it('exports the driver’s own things but for its Redis and Cluster', () => {
    for (const [key, value] of Object.entries(ours)) {
      if (OWN.includes(key) || INTEROP.includes(key)) continue;
      const replaced = ['default', 'Redis', 'Cluster'].includes(key);
      expect([key, value === drivers[key]]).toEqual([key, !replaced]);
    }
    expect(ours.Redis.prototype).toBeInstanceOf(driver.Redis);
    expect(ours.Cluster.prototype).toBeInstanceOf(driver.Cluster);
    expect([ours.Redis.name, ours.Cluster.name]).toEqual(['Redis', 'Cluster']);
  });

  it('has our Redis as its default export, with all that hangs on the driver’s', () => {
    expect(ours.default).toBe(ours.Redis);
    const hung = ours.default as unknown as Record<string, unknown>;
    const theirs = driver.default as unknown as Record<string, unknown>;
    for (const key of Object.keys(theirs)) {
      const replaced = ['default', 'Redis', 'Cluster'].includes(key);
      if (key === 'Promise') continue; // a getter that prints a warning
      expect([key, hung[key] === theirs[key]]).toEqual([key, !replaced]);
    }
    expect(hung['Redis']).toBe(ours.Redis);
    expect(hung['Cluster']).toBe(ours.Cluster);
  });

  it('leaves the driver as it is', () => {
    expect(driver.default).not.toBe(ours.default);
    expect(driver.Redis.Cluster).toBe(driver.Cluster);
    for (const name of ['exactlyOnce', 'policy', 'with', 'healthCheck']) {
      expect(name in driver.Redis.prototype).toBe(false);
    }
  });
});
