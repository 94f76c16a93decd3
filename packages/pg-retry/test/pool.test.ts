import { isOptionError, retryInfo } from '@outlast/core-retry';
import { describe, expect, it, vi } from 'vitest';
import { Pool } from '../src/index.js';

// A port of this machine where nobody listens: 1 is reserved.
const NOBODY = { host: '127.0.0.1', port: 1, retry: { waitMs: 0 } };

describe('a pool without a server', () => {
  it('takes no arguments, and leaves no timer behind when it ends', async () => {
    const pool = new Pool();
    expect([pool.totalCount, pool.idleCount, pool.waitingCount]).toEqual([0, 0, 0]);
    await pool.end();
    expect(pool.ended).toBe(true);
  });

  it('is made by `new` as the driver’s is, and shares nothing with another', async () => {
    const a = new Pool(NOBODY);
    const b = new Pool(NOBODY);
    expect(a.policy).not.toBe(b.policy);
    expect(a.policy.settings.budget).not.toBe(b.policy.settings.budget);
    await Promise.all([a.end(), b.end()]);
  });

  it('counts as waiting who waits for the server, and stops when it ends', async () => {
    const pool = new Pool({ ...NOBODY, retry: { waitMs: 60_000 } });
    const waiting = [1, 2, 3].map(() => pool.query('select 1').catch((error: unknown) => error));
    await vi.waitFor(() => expect(pool.waitingCount).toBe(3));
    await pool.end();
    for (const error of await Promise.all(waiting)) {
      expect(error).toBeInstanceOf(Error);
      expect(retryInfo(error)?.outcome ?? 'not-applied').toBe('not-applied');
    }
    expect(pool.waitingCount).toBe(0);
  });

  it('rejects, never throws, what is wrong with a call', async () => {
    const pool = new Pool(NOBODY);
    const calls = [
      () => pool.query({ text: 'select 1', totalTimeoutMs: -1 }),
      () => pool.query({ text: 'select 1', idempotent: 'yes' } as never),
      () => pool.query({ text: 'select 1', resolveWrites: 'yes' } as never),
      () => pool.query({ text: 'select 1', signal: 7 } as never),
      () => pool.query({ text: 'select 1', totalTimeoutMS: 7 } as never),
      () => pool.transaction(undefined as never),
      () => pool.transaction(() => 1, { readonly: true } as never),
    ];
    for (const call of calls) {
      const error = await call().then(
        () => undefined,
        (reason: unknown) => reason,
      );
      expect(isOptionError(error)).toBe(true);
    }
    await pool.end();
  });

  it('tells callbacks what is wrong, on a later tick', async () => {
    const pool = new Pool(NOBODY);
    let sync = true;
    await new Promise<void>((resolve) => {
      void pool.query('select 1', (error) => {
        expect(sync).toBe(false);
        expect(error).toMatchObject({ code: 'ECONNREFUSED' });
        resolve();
      });
      sync = false;
    });
    await new Promise<void>((resolve) => {
      pool.connect((error, client, done) => {
        expect(error).toMatchObject({ code: 'ECONNREFUSED' });
        expect(client).toBeUndefined();
        expect(done).toBeTypeOf('function');
        resolve();
      });
    });
    await pool.end();
  });

  it('has `query` and `waitingCount` where the driver has them, on the prototype', () => {
    const names = Object.getOwnPropertyNames(Pool.prototype);
    expect(names).toEqual(expect.arrayContaining(['query', 'connect', 'end', 'waitingCount']));
    expect(Object.keys(Pool.prototype)).toEqual([]);
  });
});
