import { setTimeout as sleep } from 'node:timers/promises';
import { isOutcomeUnknown } from '@outlast/redis-retry';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../../servers/index.js';
import { failureOf } from '../support/errors.js';
import { openRedisLab } from '../support/redis-lab.js';

const lab = await openRedisLab();

describe.skipIf(lab.reason !== '')(`commands that wait ${lab.reason}`, () => {
  lab.use();

  const blocked = (command: string) =>
    waitFor(async () => (await lab.server.connections()).some(({ cmd }) => cmd === command), {
      what: `${command} to wait on the server`,
    });

  it('to pop are unknown when their connection is lost, for the server may have popped', async () => {
    const redis = lab.redis();
    const key = lab.key();
    const popped = failureOf(redis.blpop(key, 0));
    await blocked('blpop');
    lab.proxy.cutAll();
    expect(isOutcomeUnknown(await popped)).toBe(true);
    await waitFor(async () => !(await lab.server.connections()).some(({ cmd }) => cmd === 'blpop'));
    await lab.ask('RPUSH', key, 'kept');
    expect(await redis.blpop(key, 1)).toEqual([key, 'kept']);
  });

  it('to pop are armed again if told so', async () => {
    const redis = lab.redis({ retry: { blocking: 'resend' } });
    const key = lab.key();
    const popped = redis.blpop(key, 0);
    for (let n = 0; n < 6; n++) {
      await blocked('blpop');
      lab.proxy.cutAll();
      await waitFor(() => redis.status !== 'ready');
    }
    await blocked('blpop');
    await lab.ask('RPUSH', key, 'value');
    expect(await popped).toEqual([key, 'value']);
  });

  it('on BullMQ’s marker are armed again', async () => {
    const redis = lab.redis();
    const key = `${lab.key()}:marker`;
    const popped = redis.bzpopmin(key, 0);
    await blocked('bzpopmin');
    lab.proxy.cutAll();
    await waitFor(() => redis.status !== 'ready');
    await blocked('bzpopmin');
    await lab.ask('ZADD', key, 1, '0');
    expect(await popped).toEqual([key, '0', '1']);
  });

  it('to read are asked again', async () => {
    const redis = lab.redis();
    const key = lab.key();
    const read = redis.xread('BLOCK', 0, 'STREAMS', key, '0');
    await blocked('xread');
    lab.proxy.cutAll();
    await waitFor(() => redis.status !== 'ready');
    await blocked('xread');
    await lab.ask('XADD', key, '1-1', 'f', 'v');
    expect(await read).toEqual([[key, [['1-1', ['f', 'v']]]]]);
  });

  it('of a consumer group are unknown, and what was delivered is in its list', async () => {
    const redis = lab.redis();
    const key = lab.key();
    await redis.xgroup('CREATE', key, 'group', '0', 'MKSTREAM');
    await lab.ask('XADD', key, '1-1', 'f', 'v');
    lab.proxy.arm({ when: { bytes: /xreadgroup/ }, fault: 'cut-after' });
    const read = redis.xreadgroup('GROUP', 'group', 'me', 'STREAMS', key, '>');
    expect(isOutcomeUnknown(await failureOf(read))).toBe(true);
    const pending = await redis.xreadgroup('GROUP', 'group', 'me', 'STREAMS', key, '0');
    expect(JSON.stringify(pending)).toContain('1-1');
  });

  it('and are given up take nothing any more', async () => {
    const redis = lab.redis();
    const key = lab.key();
    const controller = new AbortController();
    const timedOut = failureOf(redis.with({ totalTimeoutMs: 200 }).blpop(key, 0));
    await timedOut;
    const aborted = failureOf(redis.with({ signal: controller.signal }).blpop(key, 0));
    await blocked('blpop');
    controller.abort(new Error('enough'));
    expect((await aborted).message).toBe('enough');
    await waitFor(async () => !(await lab.server.connections()).some(({ cmd }) => cmd === 'blpop'));
    await lab.ask('RPUSH', key, 'kept');
    await sleep(50);
    expect(await lab.ask('LLEN', key)).toBe(1);
  });
});
