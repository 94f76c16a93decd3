import { isOutcomeUnknown } from '@outlast/redis-retry';
import { isSkipped, type RedisServer, takeRedis, waitFor } from '@outlast/test-integration/servers';
import { type Drill, type LaneKey, NoServerError, type Outcome, type Run } from '../drill.js';
import { playLanes } from '../lanes.js';
import { quote } from '../quote.js';
import type { Struck } from '../strikes.js';
import { packageVersion } from '../versions.js';
import type { Client } from './client.js';
import { handWrittenRetry } from './hand-written-retry.js';
import { countKeys } from './keys.js';
import { KINDS, QUOTAS } from './kinds.js';
import { METHOD } from './method.js';
import { outlastClient } from './ours.js';
import { olderClient, plainClient } from './plain.js';
import { playScript } from './script.js';
import { Workload } from './workload.js';

const WORKERS = 50;

const LANES: readonly { key: LaneKey; title: string }[] = [
  { key: 'plain', title: 'ioredis 6' },
  { key: 'older', title: 'ioredis 5' },
  { key: 'hand', title: 'ioredis 6 + p-retry' },
  { key: 'ours', title: '@outlast/redis-retry' },
];

export const redisDrill: Drill = {
  system: 'redis',
  title: 'Redis',
  quotas: QUOTAS,
  promises: [
    { way: 'write', mayBeUnknown: true },
    { way: 'exactly once', mayBeUnknown: false },
    { way: 'transaction', mayBeUnknown: true },
  ],

  async run(run: Run): Promise<Outcome> {
    await using server = await ownServer(run.canary);
    const struck = await playLanes(run, {
      lanes: LANES,
      isUnknown: isOutcomeUnknown,
      proxy: () => ({ targetPort: server.port, targetHost: server.host }),
      client: (one) => clientOf(one, server, run.canary),
      workload: (client, lane) => new Workload(client, lane.ledger, lane.key),
      workers: WORKERS,
      thinkMs: [10, 20],
      kinds: KINDS,
      play: (stage) => playScript(server, stage, run.seconds),
      end: (client) => client.end(),
    });
    await quiet(server);
    for (const { lane } of struck) lane.facts = await countKeys(server, lane.key, WORKERS);
    for (const { proxy } of struck) await proxy.close();
    return {
      versions: {
        Redis: `${await versionOf(server)} (${server.source})`,
        ioredis: packageVersion('ioredis'),
        'ioredis, one major back': packageVersion('ioredis5', 'ioredis'),
        'p-retry': packageVersion('p-retry'),
        '@outlast/redis-retry': packageVersion('@outlast/redis-retry'),
      },
      quotes: [
        quote('The retry loop written by hand', 'redis/hand-written-retry.ts'),
        quote('Ours, under the same application', 'redis/ours.ts'),
      ],
      method: METHOD,
    };
  },
};

async function ownServer(password: string): Promise<RedisServer> {
  // the drill kills its server, so that one that somebody else started is none for it
  const server = await takeRedis({ own: true, settings: { requirepass: password } });
  if (isSkipped(server)) throw new NoServerError(server.skipped);
  return server;
}

function clientOf({ lane, proxy }: Struck, server: RedisServer, password: string): Client {
  const url = server.url({ port: proxy.port, password });
  if (lane.key === 'plain') return plainClient(url);
  if (lane.key === 'older') return olderClient(url);
  if (lane.key === 'hand') return handWrittenRetry(url);
  return outlastClient(url, (error) => lane.ledger.sample(error));
}

/** Waits until no connection of the lanes is left: then everything that was late has arrived. */
function quiet(server: RedisServer): Promise<unknown> {
  return waitFor(async () => (await server.connections()).length === 0, {
    timeoutMs: 15_000,
    everyMs: 100,
    what: 'the last connection of the lanes to end',
  });
}

async function versionOf(server: RedisServer): Promise<string> {
  const info = String(await server.admin('INFO', 'server'));
  return /redis_version:(\S+)/.exec(info)?.[1] ?? 'unknown';
}
