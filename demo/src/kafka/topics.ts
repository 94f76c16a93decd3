import type { KafkaCluster } from '@outlast/test-integration/servers';
import type { Facts } from '../audit.js';
import type { LaneKey } from '../drill.js';

/** How a message is sent: alone with a key, alone without one, or together with others for every partition. */
export type Way = 'keyed' | 'without a key' | 'batch';

const WAYS: readonly Way[] = ['keyed', 'without a key', 'batch'];

/** Of each topic. */
export const PARTITIONS = 3;

/** The topic that a lane sends to. */
export function topicOf(lane: LaneKey): string {
  return `of-${lane}`;
}

/** A message's value, by which it is known; the way stands in it for the count by ways. */
export function idOf(way: Way, id: string): string {
  return `${way}/${id}`;
}

/** What the log of a lane's topic holds; read straight from the broker, past every proxy. */
export async function countLog(cluster: KafkaCluster, lane: LaneKey): Promise<Facts> {
  const ids = new Map<string, number>();
  const byWay = new Map<string, number>(WAYS.map((way) => [way, 0]));
  for (const message of await cluster.log(topicOf(lane))) {
    const value = String(message.value);
    const way = value.slice(0, value.indexOf('/'));
    ids.set(value, (ids.get(value) ?? 0) + 1);
    byWay.set(way, (byWay.get(way) ?? 0) + 1);
  }
  return { ids, counters: new Map(), byWay, torn: 0 };
}
