import { inspect } from 'node:util';
import { Redis, retryInfo } from '@outlast/redis-retry';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { missingRedis, type NativeRedis, startRedis } from '../../servers/index.js';
import { findRedis } from '../../servers/redis-binaries.js';
import { ending, failureOf } from '../support/errors.js';

const reason = findRedis().length === 0 ? missingRedis() : '';
const CANARY = 'canary-4f1c8e';

describe.skipIf(reason !== '')(`a password ${reason}`, async () => {
  const taken =
    reason === '' ? await startRedis({ settings: { requirepass: 'right' } }) : undefined;
  const server = taken as NativeRedis;
  afterAll(() => taken?.dispose());

  it.each([
    ['RESP3', {}],
    ['RESP2', { protocol: 2 }],
    ['a user', { username: 'someone' }],
    ['no ready check', { enableReadyCheck: false }],
  ] as const)('that is wrong is asked once, and is never shown (%s)', async (_, options) => {
    const printed: string[] = [];
    const spies = (['log', 'warn', 'error'] as const).map((method) =>
      vi.spyOn(console, method).mockImplementation((...args) => {
        printed.push(inspect(args, { depth: 12, showHidden: true }));
      }),
    );
    const redis = new Redis({
      ...server.config(),
      password: CANARY,
      ...(options as object),
    });
    const seen: unknown[] = [];
    redis.on('error', (error) => seen.push(error));
    for (const type of ['attempt', 'retry', 'exhausted', 'down', 'up'] as const) {
      redis.policy.on(type, (event) => seen.push(event));
    }
    try {
      const ended = await ending(redis.get('k'));
      expect(ended.ok).toBe(false);
      expect(ended.ms).toBeLessThan(3000);
      const { error } = ended as { error: Error };
      expect(error.message).toMatch(/^(?:WRONGPASS|NOAUTH|ERR)/);
      expect(retryInfo(error)).toMatchObject({ reason: 'permanent', outcome: 'not-applied' });
      seen.push(error, await failureOf(redis.pipeline().get('k').exec().then(first)));
    } finally {
      redis.disconnect();
      for (const spy of spies) spy.mockRestore();
    }
    const told = inspect(seen, { depth: 12, showHidden: true });
    expect(told).toContain('WRONGPASS');
    expect(`${told}${printed.join()}`).not.toContain(CANARY);
  });

  it('in AUTH, HELLO, ACL and CONFIG is not shown either', async () => {
    const redis = new Redis({ ...server.config(), password: 'right' });
    try {
      const errors = await Promise.all(
        [
          redis.auth(CANARY),
          redis.call('HELLO', '3', 'AUTH', 'default', CANARY),
          redis.acl('SETUSER', 'x', `>${CANARY}`, 'no-such-rule'),
          redis.config('SET', 'masterauth', CANARY, 'no-such', 'x'),
        ].map((refused) => failureOf(refused)),
      );
      expect(inspect(errors, { depth: 12, showHidden: true })).not.toContain(CANARY);
    } finally {
      redis.disconnect();
    }
  });

  it('in a URL is not shown when nobody is there', async () => {
    const redis = new Redis(`redis://user:${CANARY}@127.0.0.1:1`, { retry: { waitMs: 100 } });
    const seen: unknown[] = [];
    redis.policy.on('down', (event) => seen.push(event));
    seen.push(await failureOf(redis.get('k')));
    redis.disconnect();
    expect(inspect(seen, { depth: 12, showHidden: true })).not.toContain(CANARY);
  });
});

function first(results: [Error | null, unknown][] | null): unknown {
  const [error] = results?.[0] ?? [];
  if (error) throw error;
  return results;
}
