import type { Pattern } from './pattern.js';
import type { FaultProxy } from './proxy.js';

/** What a client may ask of a broker; the numbers are the protocol's. */
const APIS = {
  produce: 0,
  fetch: 1,
  listOffsets: 2,
  metadata: 3,
  offsetCommit: 8,
  offsetFetch: 9,
  findCoordinator: 10,
  joinGroup: 11,
  heartbeat: 12,
  syncGroup: 14,
  createTopics: 19,
  deleteTopics: 20,
  deleteRecords: 21,
  initProducerId: 22,
  endTxn: 26,
  createPartitions: 37,
  deleteGroups: 42,
} as const;

/** One kind of request to a broker. */
export type KafkaApi = keyof typeof APIS;

/**
 * A request of this kind by its header: api key, version, correlation id, client id. kafkajs calls its
 * clients `kafkajs` where nothing else is said.
 */
export function kafkaRequest(api: KafkaApi, clientId = 'kafkajs'): Pattern {
  const key = hex(APIS[api]);
  const length = hex(Buffer.byteLength(clientId));
  const name = clientId.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
  return new RegExp(`\\x00${key}\\x00[\\x00-\\x0f][\\x00-\\xff]{4}\\x00${length}${name}`);
}

function hex(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, '0')}`;
}

/** Replies that are swallowed again and again. */
export interface Swallowing {
  /** Requests executed whose answer never came back, and whose connection was reset. */
  readonly swallowed: number;
  stop(): void;
}

/** The answer to every n-th matching request is swallowed, after the broker gave it, and the connection reset. */
export function swallowEvery(proxy: FaultProxy, nth: number, bytes: Pattern): Swallowing {
  let swallowed = 0;
  let stopped = false;
  let disarm = (): void => {};
  const arm = (): void => {
    const armed = proxy.arm({ when: { bytes, nth }, fault: 'cut-after' });
    disarm = () => armed.disarm();
    void armed.hit.then(({ delivered }) => {
      if (delivered) swallowed++;
      if (!stopped) arm();
    });
  };
  arm();
  return {
    get swallowed() {
      return swallowed;
    },
    stop() {
      stopped = true;
      disarm();
    },
  };
}
