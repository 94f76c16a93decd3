import { Redis } from '@outlast/redis-retry';
import { type NativeRedis, startRedis } from '@outlast/test-integration/servers';
import { Redis as Plain } from 'ioredis';
import { compare, print, type Result, workers } from './harness.js';
import { heapUsed } from './heap.js';

const MS_PER_ROUND = 500;
const AT_LEAST_95_PERCENT = 1.053;
/** So many commands wait for their replies while memory is measured. */
const IN_FLIGHT = 20_000;
const MOST_BYTES = 100;

/** Our client against ioredis of the same major, one connection each, on a server without a disk. */
export async function benchRedis(): Promise<{ readonly ok: boolean; readonly results: Result[] }> {
  await using server = await startRedis({ settings: { appendonly: 'no' } });
  const plain = new Plain(server.url());
  const ours = new Redis(server.url());
  const plainAuto = new Plain(server.url(), { enableAutoPipelining: true });
  const oursAuto = new Redis(server.url(), { enableAutoPipelining: true });
  await plain.set('text', 'x'.repeat(100));
  const get = (client: Plain) => () => client.get('text');
  const incr = (client: Plain) => () => client.incr('count');
  const pipeline = (client: Plain) => () => {
    const batch = client.pipeline();
    for (let n = 0; n < 100; n++) batch.get('text');
    return batch.exec();
  };
  const results = [
    await versus('GET of 100 bytes, 1 worker', 1, get(plain), get(ours)),
    await versus('GET of 100 bytes, 50 workers', 50, get(plain), get(ours)),
    await versus('INCR, 50 workers', 50, incr(plain), incr(ours)),
    await versus('a pipeline of 100 GETs, 1 worker', 1, pipeline(plain), pipeline(ours)),
    await versus('GET, autopipelining, 50 workers', 50, get(plainAuto), get(oursAuto)),
  ];
  const gates = results.map(print);
  for (const client of [plain, ours, plainAuto, oursAuto]) client.disconnect();
  return { ok: (await memory(server)) && gates.every(Boolean), results };
}

function versus(
  what: string,
  count: number,
  plain: () => Promise<unknown>,
  ours: () => Promise<unknown>,
): Promise<Result> {
  return compare(
    `redis: ${what}`,
    workers('ioredis 6', count, plain),
    [workers('redis-retry', count, ours)],
    [{ subject: 'redis-retry', against: 'ioredis 6', atMost: AT_LEAST_95_PERCENT }],
    MS_PER_ROUND,
  );
}

/** What a command that waits for its reply keeps on the heap, beside what it keeps with ioredis. */
async function memory(server: NativeRedis): Promise<boolean> {
  const plain = await bytesInFlight(server, new Plain(server.url()));
  const ours = await bytesInFlight(server, new Redis(server.url()));
  const more = ours - plain;
  const ok = more <= MOST_BYTES;
  console.log(
    `\nredis: kept by a command in flight: ioredis 6 ${plain} bytes, redis-retry ${ours} bytes: ${more} more  ${ok ? `≤ ${MOST_BYTES} ok` : `> ${MOST_BYTES} MISSED`}`,
  );
  return ok;
}

async function bytesInFlight(server: NativeRedis, client: Plain): Promise<number> {
  const flood = (): Promise<unknown>[] =>
    Array.from({ length: IN_FLIGHT }, () => client.get('text'));
  // what grows once and stays is none of a command's
  await Promise.all(flood());
  const before = await heapUsed();
  await server.pause();
  const pending = flood();
  const bytes = (await heapUsed()) - before;
  await server.resume();
  await Promise.all(pending);
  client.disconnect();
  return Math.round(bytes / IN_FLIGHT);
}
