import type { RedisServer } from '@outlast/test-integration/servers';
import type { Facts } from '../audit.js';
import type { LaneKey } from '../drill.js';

/** How a write is written. It stands in the keys themselves, for the proxy to know them by. */
export type Way = 'write' | 'exactly once' | 'transaction';

const WAYS: readonly Way[] = ['write', 'exactly once', 'transaction'];

/** The counter that one worker counts up in one way. */
export function counterKey(lane: LaneKey, worker: number, way: Way): string {
  return `${lane}:counter:${wire(way)}:${worker}`;
}

/** The list of the ids that a lane has written in one way; the same id twice is there twice. */
export function listKey(lane: LaneKey, way: Way): string {
  return `${lane}:list:${wire(way)}`;
}

/** A way as it stands in a key. */
export function wire(way: Way): string {
  return `<${way}>`;
}

/** What Redis holds of a lane; asked straight of the server, past every proxy. */
export async function countKeys(
  server: RedisServer,
  lane: LaneKey,
  workers: number,
): Promise<Facts> {
  const ids = new Map<string, number>();
  const counters = new Map<string, number>();
  const byWay = new Map<string, number>();
  let torn = 0;
  for (const way of WAYS) {
    const list = (await server.admin('LRANGE', listKey(lane, way), 0, -1)) as string[];
    for (const id of list) ids.set(id, (ids.get(id) ?? 0) + 1);
    const keys = Array.from({ length: workers }, (_, worker) => counterKey(lane, worker, way));
    const values = ((await server.admin('MGET', ...keys)) as (string | null)[]).map(Number);
    const count = values.reduce((sum, value) => sum + value, 0);
    // a transaction pushes one id and counts one up: its counters are checked against its ids
    if (way === 'transaction') torn = Math.abs(list.length - count);
    else for (const [worker, key] of keys.entries()) counters.set(key, values[worker] ?? 0);
    byWay.set(way, way === 'transaction' ? list.length : list.length + count);
  }
  return { ids, counters, byWay, torn };
}
