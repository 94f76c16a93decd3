import pg, * as named from 'pg';
import { describe, expect, it } from 'vitest';
import * as ours from '../src/index.js';

const OWN = [
  'CommitOutcomeUnknownError',
  'OptionError',
  'OutlastError',
  'RETRYABLE_ERROR_CODES',
  'RETRYABLE_SQLSTATES',
  'classifyPg',
  'isCommitOutcomeUnknownError',
  'isFatal',
  'isOptionError',
  'isOutcomeUnknown',
  'isServerError',
  'pgRetry',
  'retryInfo',
];

describe('the module', () => {
  it('exports everything that pg exports, and our own beside it', () => {
    const keys = Object.keys(ours).filter((key) => !OWN.includes(key));
    expect(keys.sort()).toEqual(Object.keys(named).sort());
    expect(Object.keys(ours)).toEqual(expect.arrayContaining(OWN));
  });

  it('exports the driver’s own things but for its Pool', () => {
    const drivers = named as Record<string, unknown>;
    for (const [key, value] of Object.entries(ours)) {
      if (OWN.includes(key) || key === 'default') continue;
      if (key === 'Pool') expect(value).not.toBe(drivers[key]);
      else expect([key, value === drivers[key]]).toEqual([key, true]);
    }
    expect(ours.Pool.prototype).toBeInstanceOf(pg.Pool);
    expect(ours.Pool.name).toBe('Pool');
  });

  it('has a default export with the same keys, and our Pool in it', () => {
    const { default: drop } = ours;
    expect(Object.keys(drop).sort()).toEqual(Object.keys(pg).sort());
    expect(Object.getOwnPropertyNames(drop).sort()).toEqual(Object.getOwnPropertyNames(pg).sort());
    expect(drop.Pool).toBe(ours.Pool);
    expect(drop.Client).toBe(pg.Client);
    expect(drop.types).toBe(pg.types);
    expect(drop.defaults).toBe(pg.defaults);
    expect(Object.getPrototypeOf(drop)).toBe(Object.getPrototypeOf(pg));
  });

  it('leaves the driver as it is', () => {
    expect(pg.Pool).not.toBe(ours.Pool);
    expect(Object.hasOwn(pg.Pool.prototype, 'transaction')).toBe(false);
  });

  it('leaves `native` the getter that it is, which nobody pays for who does not ask', () => {
    const own = Object.getOwnPropertyDescriptor(ours.default, 'native');
    expect(own).toEqual(Object.getOwnPropertyDescriptor(pg, 'native'));
  });
});
