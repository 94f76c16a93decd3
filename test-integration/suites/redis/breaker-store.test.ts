import { setTimeout as sleep } from 'node:timers/promises';
import type { BreakerSnapshot } from '@outlast/core-retry';
import { RedisBreakerStore, type RedisBreakerStoreOptions } from '@outlast/redis-retry';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { ending } from '../support/errors.js';
import { openRedisLab } from '../support/redis-lab.js';

const lab = await openRedisLab();

const snapshot = (failures: number, state: 'open' | 'closed' = 'open'): BreakerSnapshot => ({
  version: 1,
  state,
  failures,
  trips: 1,
  openTimeoutMs: 60_000,
  savedAt: Date.now(),
});

describe.skipIf(lab.reason !== '')(`RedisBreakerStore ${lab.reason}`, () => {
  lab.use();

  function store(options: RedisBreakerStoreOptions = {}): RedisBreakerStore {
    const connection = { host: '127.0.0.1', port: lab.proxy.port };
    const it = new RedisBreakerStore({ connection, ...options });
    lab.track({ disconnect: () => it.close() });
    return it;
  }

  it('shares what one process has seen with all', async () => {
    const [a, b] = [store(), store()];
    const key = lab.key();
    expect(await a.load(key)).toBeUndefined();
    await a.save(key, snapshot(5));
    expect(await b.load(key)).toMatchObject({ state: 'open', failures: 5 });
    expect(await lab.ask('PTTL', `outlast:breaker:${key}`)).toBeGreaterThan(0);
  });

  it('grants a fleet one probe at a time', async () => {
    // So many claims at once are not what the default is made for.
    const fleet = Array.from({ length: 10 }, () => store({ timeoutMs: 10_000 }));
    const key = lab.key();
    await fleet[0]?.save(key, snapshot(5));
    const claims = await Promise.all(
      Array.from({ length: 500 }, (_, n) => fleet[n % 10]?.claimProbe(key, 3000)),
    );
    expect(claims.filter((claim) => claim?.granted)).toHaveLength(1);
    expect(claims.every((claim) => claim?.snapshot?.failures === 5)).toBe(true);
    await waitFor(async () => (await fleet[3]?.claimProbe(key, 3000))?.granted === true, {
      what: 'the lease to end',
    });
  });

  it('ignores the result of a probe whose lease went to another', async () => {
    const [a, b] = [store(), store()];
    const key = lab.key();
    await a.save(key, snapshot(5));
    const slow = await a.claimProbe(key, 50);
    await sleep(80);
    const quick = await b.claimProbe(key, 5000);
    await a.save(key, snapshot(99, 'closed'), slow.fence);
    expect(await b.load(key)).toMatchObject({ failures: 5, state: 'open' });
    expect((await a.claimProbe(key, 50)).granted).toBe(false);
    await b.save(key, snapshot(0, 'closed'), quick.fence);
    expect(await a.load(key)).toMatchObject({ state: 'closed' });
    expect((await a.claimProbe(key, 50)).granted).toBe(true);
  });

  it('never hangs, and comes back by itself', async () => {
    const it = store();
    const key = lab.key();
    await it.save(key, snapshot(1));
    lab.proxy.silence();
    for (const one of await Promise.all([1, 2, 3].map(() => ending(it.load(key))))) {
      expect(one.ok).toBe(false);
      // Given up after 200 ms; a busy machine takes its time to say so.
      expect(one.ms).toBeLessThan(3000);
    }
    lab.proxy.speak();
    lab.proxy.refuse();
    lab.proxy.cutAll();
    await sleep(100);
    const refused = await ending(it.claimProbe(key, 50));
    expect(refused.ok).toBe(false);
    expect(refused.ms).toBeLessThan(100);
    await lab.proxy.accept();
    await waitFor(() => it.load(key), { what: 'the store to be back' });
  });

  it('takes what somebody else has written there for nothing', async () => {
    const it = store();
    const key = lab.key();
    await lab.ask('HSET', `outlast:breaker:${key}`, 'snapshot', 'no JSON');
    expect(await it.load(key)).toBeUndefined();
  });
});
