import callbacks, * as namedCallbacks from 'mysql2';
import promises, * as namedPromises from 'mysql2/promise';
import { describe, expect, it } from 'vitest';
import * as ourCallbacks from '../src/callback.js';
import * as ours from '../src/index.js';

const OWN = [
  'CommitOutcomeUnknownError',
  'OptionError',
  'OutlastError',
  'RETRYABLE_ERRNOS',
  'RETRYABLE_ERROR_CODES',
  'classifyMysql',
  'isCommitOutcomeUnknownError',
  'isOptionError',
  'isOutcomeUnknown',
  'isServerError',
  'mysqlRetry',
  'retryInfo',
];

const FACES = [
  {
    name: 'mysql2/promise',
    named: namedPromises,
    drop: promises,
    our: ours,
    replaced: ['createPool', 'createConnection', 'PromisePool'],
  },
  {
    name: 'mysql2',
    named: namedCallbacks,
    drop: callbacks,
    our: ourCallbacks,
    replaced: [
      'createPool',
      'createConnection',
      'connect',
      'Pool',
      'createPoolPromise',
      'createConnectionPromise',
    ],
  },
] as const;

describe.each(FACES)('the twin of $name', ({ named, drop, our, replaced }) => {
  const drivers = named as Record<string, unknown>;
  const mine = our as Record<string, unknown>;
  const inPlace: readonly string[] = replaced;
  // Node makes a name of the whole module where it is asked for it.
  const keys = Object.keys(drivers).filter((key) => key !== 'module.exports');

  it('exports everything that the driver exports, and our own beside it', () => {
    const exported = Object.keys(mine).filter((key) => key !== 'module.exports');
    expect(exported.filter((key) => !OWN.includes(key)).sort()).toEqual(keys.sort());
    expect(exported).toEqual(expect.arrayContaining(OWN));
  });

  it('exports the driver’s own things but for what we replace', () => {
    for (const key of keys) {
      if (key === 'default') continue;
      expect([key, mine[key] === drivers[key]]).toEqual([key, !inPlace.includes(key)]);
    }
  });

  it('has a default export with the same keys, getters as they are, and ours in it', () => {
    const theirs = drop as unknown as Record<string, unknown>;
    const own = mine['default'] as Record<string, unknown>;
    expect(Object.getOwnPropertyNames(own).sort()).toEqual(
      Object.getOwnPropertyNames(theirs).sort(),
    );
    for (const key of Object.getOwnPropertyNames(theirs)) {
      expect([key, own[key] === theirs[key]]).toEqual([key, !inPlace.includes(key)]);
    }
    expect(Object.getOwnPropertyDescriptor(own, 'Types')?.get).toBeTypeOf('function');
  });
});

describe('the module', () => {
  it('leaves the driver as it is', async () => {
    const plain = promises.createPool({});
    expect('transaction' in plain).toBe(false);
    expect(plain.constructor).not.toBe(ours.PromisePool);
    await plain.end();
  });

  it('makes pools of the driver’s classes', async () => {
    const pool = ours.createPool({ connectionLimit: 3 });
    const { PromisePool } = promises as unknown as { PromisePool: new () => object };
    const { Pool } = callbacks as unknown as { Pool: new () => object };
    expect(pool).toBeInstanceOf(PromisePool);
    expect(pool.pool).toBeInstanceOf(Pool);
    expect(pool.pool).toBeInstanceOf(ourCallbacks.Pool);
    expect(pool.pool.promise()).toBeInstanceOf(ours.PromisePool);
    expect('getConnection' in pool).toBe(true);
    expect(pool.escape("a'b")).toBe("'a\\'b'");
    expect(pool.escapeId('a`b')).toBe('`a``b`');
    expect(pool.format('select ?, ??', [1, 'x'])).toBe('select 1, `x`');
    await pool.end();
  });
});
