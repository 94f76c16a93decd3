import { setTimeout as sleep } from 'node:timers/promises';
import { isOutcomeUnknown, retryInfo } from '@outlast/redis-retry';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { ending, failureOf } from '../support/errors.js';
import { openRedisLab } from '../support/redis-lab.js';

const lab = await openRedisLab();

describe.skipIf(lab.reason !== '')(`limits of time ${lab.reason}`, () => {
  lab.use();

  describe('commandTimeout', () => {
    it('gives back what is on its way, unknown, and what waits, not applied', async () => {
      const { proxy } = lab;
      const redis = lab.redis({ commandTimeout: 200 });
      const key = lab.key();
      await redis.ping();
      proxy.silence();
      const sent = await ending(redis.incr(key));
      expect(sent).toMatchObject({ ok: false, error: { message: 'Command timed out' } });
      expect(sent.ms).toBeLessThan(600);
      expect(!sent.ok && isOutcomeUnknown(sent.error)).toBe(true);
      proxy.speak();
      proxy.refuse();
      proxy.cutAll();
      await waitFor(() => redis.status === 'reconnecting');
      const waiting = await ending(redis.incr(key));
      expect(waiting).toMatchObject({ ok: false, error: { message: 'Command timed out' } });
      expect(!waiting.ok && isOutcomeUnknown(waiting.error)).toBe(false);
      await proxy.accept();
      await redis.ping();
      // plain ioredis would run the one that waited after all
      expect(await lab.count(key)).toBeLessThanOrEqual(1);
    });

    it('leaves a connection that stays silent, and not one that is merely slow', async () => {
      const redis = lab.redis({ commandTimeout: 150 });
      await redis.ping();
      const before = lab.proxy.counts.connections;
      // the server is slow, and answers within the time that a silent connection is given
      const slow = failureOf(redis.call('DEBUG', 'SLEEP', '0.25'));
      await slow;
      await sleep(300);
      expect(lab.proxy.counts.connections).toBe(before);
      lab.proxy.silence();
      await failureOf(redis.ping());
      await waitFor(() => redis.status !== 'ready', { what: 'the silent connection to be left' });
      lab.proxy.speak();
      expect(await redis.ping()).toBe('PONG');
      expect(lab.proxy.counts.connections).toBe(before + 1);
    });
  });

  it('attemptTimeoutMs drops the connection before it asks again', async () => {
    const redis = lab.redis({ retry: { attemptTimeoutMs: 200 } });
    const key = lab.key();
    await redis.set(key, 'v');
    const armed = lab.proxy.arm({ when: { bytes: /get\r\n/ }, fault: 'silence' });
    const before = lab.proxy.counts.connections;
    const read = await ending(redis.get(key));
    expect(read).toMatchObject({ ok: true, value: 'v' });
    expect(armed.fired).toBe(1);
    expect(lab.proxy.counts.connections).toBe(before + 1);
    lab.proxy.arm({ when: { bytes: /incr\r\n/ }, fault: 'silence' });
    const error = await failureOf(redis.incr(key));
    expect(error.message).toBe('Command timed out');
    expect(isOutcomeUnknown(error)).toBe(true);
  });

  it('a handshake that is never answered ends, and is tried again', async () => {
    const { proxy } = lab;
    proxy.silence();
    const redis = lab.redis({ connectTimeout: 300 });
    const errors: Error[] = [];
    redis.on('error', (error) => errors.push(error));
    const read = redis.get('anything');
    await waitFor(() => errors.length >= 2, { what: 'two handshakes to end' });
    expect(errors[0]).toMatchObject({ code: 'ETIMEDOUT', syscall: 'connect' });
    proxy.speak();
    expect(await read).toBeNull();
  });

  it('patience is that of each command, not of the connection', async () => {
    const { proxy } = lab;
    const redis = lab.redis({ retry: { waitMs: 700 } });
    await redis.ping();
    proxy.refuse();
    proxy.cutAll();
    await waitFor(() => redis.status === 'reconnecting');
    const first = ending(redis.incr('a'));
    await sleep(400);
    const second = ending(redis.incr('b'));
    for (const one of await Promise.all([first, second])) {
      expect(one).toMatchObject({ ok: false, error: { code: 'ECONNREFUSED' } });
      expect(one.ms).toBeGreaterThan(690);
      expect(one.ms).toBeLessThan(1100);
      expect(!one.ok && retryInfo(one.error)).toMatchObject({
        reason: 'exhausted',
        outcome: 'not-applied',
      });
    }
  });

  it.each([
    [0, 0, 200],
    [1, 0, 400],
  ])(
    'maxRetriesPerRequest: %s is a time, and its error the driver’s',
    async (retries, least, most) => {
      const { proxy } = lab;
      const redis = lab.redis({ maxRetriesPerRequest: retries });
      await redis.ping();
      proxy.refuse();
      proxy.cutAll();
      await waitFor(() => redis.status === 'reconnecting');
      const ended = await ending(redis.incr('a'));
      expect(ended).toMatchObject({ ok: false, error: { name: 'MaxRetriesPerRequestError' } });
      expect(!ended.ok && ended.error.message).toContain(`(which is ${retries})`);
      expect(ended.ms).toBeGreaterThanOrEqual(least);
      expect(ended.ms).toBeLessThan(most);
    },
  );

  it('maxRetriesPerRequest: null waits', async () => {
    const { proxy } = lab;
    const redis = lab.redis({ maxRetriesPerRequest: null });
    const key = lab.key();
    await redis.ping();
    proxy.refuse();
    proxy.cutAll();
    const counted = redis.incr(key).catch(() => redis.incr(key));
    await sleep(3000);
    await proxy.accept();
    expect(await counted).toBe(1);
  });

  it('connect() waits for its server as well', async () => {
    const { proxy } = lab;
    proxy.refuse();
    const redis = lab.redis({ lazyConnect: true });
    const connected = redis.connect();
    await sleep(300);
    await proxy.accept();
    await connected;
    expect(redis.status).toBe('ready');
    proxy.refuse();
    const brief = lab.redis({ lazyConnect: true, retry: { waitMs: 200 } });
    expect(await failureOf(brief.connect())).toMatchObject({ code: 'ECONNREFUSED' });
  });
});
