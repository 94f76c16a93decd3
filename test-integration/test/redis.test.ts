import { existsSync } from 'node:fs';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  isFree,
  isSkipped,
  missingRedis,
  type NativeRedis,
  startRedis,
  startRedisCluster,
  startSentinels,
  takeRedis,
  waitFor,
} from '../servers/index.js';
import { processState } from '../servers/process-table.js';
import { findRedis } from '../servers/redis-binaries.js';

const reason = findRedis().length === 0 ? missingRedis() : '';

describe.skipIf(reason !== '')(`Redis of our own ${reason}`, () => {
  let server: NativeRedis;

  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server.dispose());

  it('stops and comes back with its data, on the same port', async () => {
    const pid = server.pid as number;
    await server.admin('SET', 'kept', 1);
    await server.stop();
    expect(processState(pid)).toBeUndefined();
    expect(await isFree(server.port)).toBe(true);
    await expect(server.admin('PING')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await expect(server.stop()).rejects.toThrow('is not running');
    await server.start();
    expect(await server.admin('GET', 'kept')).toBe('1');
    expect(server.pid).not.toBe(pid);
  });

  it('loses nothing acknowledged by kill -9', async () => {
    const client = new Redis({ ...server.config(), retryStrategy: () => null });
    client.on('error', () => {});
    let acknowledged = 0;
    const writing = (async () => {
      for (;;) acknowledged = await client.incr('counted');
    })().catch(() => {});
    await waitFor(() => acknowledged > 200, { what: 'some writes' });
    await server.kill9();
    await writing;
    await server.start();
    const held = Number(await server.admin('GET', 'counted'));
    expect([acknowledged, acknowledged + 1]).toContain(held);
  });

  it('answers nothing while it is paused, and everything afterwards', async () => {
    const client = new Redis(server.config());
    await client.ping();
    await server.pause();
    expect(processState(server.pid as number)).toBe('T');
    let answered = false;
    const asked = client.incr('paused').then((value) => {
      answered = true;
      return value;
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(answered).toBe(false);
    await server.resume();
    expect(await asked).toBe(1);
    client.disconnect();
  });

  it('counts connections and commands, and ends connections', async () => {
    const client = new Redis(server.config());
    client.on('error', () => {});
    await client.ping();
    const before = await server.executed('incr');
    await client.incr('counted');
    expect(await server.executed('incr')).toBe(before + 1);
    expect(await server.connections()).toMatchObject([{ cmd: 'incr' }]);
    const closed = new Promise((resolve) => client.once('close', resolve));
    expect(await server.killConnections()).toBe(1);
    await closed;
    client.disconnect();
    await waitFor(async () => (await server.connections()).length === 0);
  });

  it('takes settings, and removes what it left', async () => {
    const one = await startRedis({ settings: { maxmemory: '4mb', requirepass: 'x' } });
    const client = new Redis(one.url({ password: 'x' }));
    expect(await client.config('GET', 'maxmemory')).toEqual(['maxmemory', '4194304']);
    client.disconnect();
    await one.dispose();
    await one.dispose();
    expect(existsSync(one.folder)).toBe(false);
    expect(one.pid).toBeUndefined();
  });

  it('is taken, or REDIS_URL’s server is, which cannot be stopped', async () => {
    const before = process.env['REDIS_URL'];
    process.env['REDIS_URL'] = server.url();
    try {
      const taken = await takeRedis();
      if (isSkipped(taken)) throw new Error(taken.skipped);
      expect(taken).toMatchObject({ port: server.port, major: server.major, controllable: false });
      await expect(taken.stop()).rejects.toThrow('unset REDIS_URL');
      const own = await takeRedis({ own: true });
      if (isSkipped(own)) throw new Error(own.skipped);
      expect(own.controllable).toBe(true);
      expect(own.port).not.toBe(server.port);
      await own.dispose();
    } finally {
      if (before === undefined) delete process.env['REDIS_URL'];
      else process.env['REDIS_URL'] = before;
    }
  });
});

describe.skipIf(reason !== '')(`several Redis servers ${reason}`, () => {
  it('elect another master when Sentinels miss theirs', async () => {
    await using setup = await startSentinels();
    const [first, second] = setup.nodes;
    expect(await setup.master()).toBe(first);
    await first?.kill9();
    await waitFor(async () => (await setup.master()) === second, { what: 'the failover' });
    expect(await second?.admin('SET', 'later', 1)).toBe('OK');
  });

  it('share the slots of a Cluster, and move one with its keys', async () => {
    await using cluster = await startRedisCluster();
    const slot = await cluster.slotOf('moved');
    const from = await cluster.ownerOf(slot);
    const to = cluster.nodes.find((node) => node !== from) as NativeRedis;
    await from.admin('SET', 'moved', 1);
    await cluster.moveSlot(slot, to);
    expect(await cluster.ownerOf(slot)).toBe(to);
    expect(await to.admin('GET', 'moved')).toBe('1');
    await expect(from.admin('GET', 'moved')).rejects.toThrow('MOVED');
  });
});
