import { freePort } from './ports.js';
import { type NativeRedis, startRedis } from './redis.js';
import { findRedis } from './redis-binaries.js';
import { waitFor } from './wait.js';

const SLOTS = 16_384;

/** A Redis Cluster of masters without replicas, the slots spread evenly. Some 2 s. */
export async function startRedisCluster(masters = 3): Promise<RedisCluster> {
  const cluster = new RedisCluster();
  try {
    for (let n = 0; n < masters; n++) cluster.nodes.push(await startNode());
    await cluster.join();
    return cluster;
  } catch (error) {
    await cluster.dispose();
    throw error;
  }
}

async function startNode(): Promise<NativeRedis> {
  const modern = (findRedis()[0]?.major ?? 0) >= 7;
  return startRedis({
    settings: {
      'cluster-enabled': 'yes',
      'cluster-node-timeout': 1000,
      'cluster-config-file': 'nodes.conf',
      // else it is port + 10 000
      ...(modern && { 'cluster-port': await freePort() }),
    },
  });
}

/** What `startRedisCluster` made. */
export class RedisCluster implements AsyncDisposable {
  readonly nodes: NativeRedis[] = [];

  /** What `new Cluster(…)` takes. */
  get addresses(): { host: string; port: number }[] {
    return this.nodes.map(({ host, port }) => ({ host, port }));
  }

  /** Hands out the slots and makes the nodes meet. */
  async join(): Promise<void> {
    const [first, ...others] = this.nodes;
    const share = Math.ceil(SLOTS / this.nodes.length);
    for (const [n, node] of this.nodes.entries()) {
      await node.admin('CLUSTER', 'SET-CONFIG-EPOCH', n + 1);
      const slots = Array.from({ length: SLOTS }, (_, slot) => slot);
      await node.admin('CLUSTER', 'ADDSLOTS', ...slots.slice(n * share, (n + 1) * share));
    }
    for (const other of others) {
      const myself = String(await other.admin('CLUSTER', 'NODES'));
      const bus = Number(/@(\d+).*myself/.exec(myself)?.[1]);
      await first?.admin('CLUSTER', 'MEET', '127.0.0.1', other.port, bus);
    }
    await this.settled();
  }

  /** Waits until every node says that all slots are served. */
  async settled(timeoutMs = 20_000): Promise<void> {
    await waitFor(
      async () => {
        for (const node of this.nodes) {
          const info = String(await node.admin('CLUSTER', 'INFO'));
          if (!info.includes('cluster_state:ok')) return false;
          if (!info.includes(`cluster_known_nodes:${this.nodes.length}\r`)) return false;
        }
        return true;
      },
      { timeoutMs, everyMs: 50, what: 'the Redis Cluster to serve all slots' },
    );
  }

  /** The slot of a key, as the server reckons it. */
  async slotOf(key: string): Promise<number> {
    return Number(await this.nodes[0]?.admin('CLUSTER', 'KEYSLOT', key));
  }

  /** The node that serves a slot. */
  async ownerOf(slot: number): Promise<NativeRedis> {
    const ranges = (await this.nodes[0]?.admin('CLUSTER', 'SLOTS')) as [
      number,
      number,
      [string, number],
    ][];
    const port = ranges.find(([from, to]) => from <= slot && slot <= to)?.[2][1];
    const owner = this.nodes.find((node) => node.port === port);
    if (!owner) throw new Error(`No node serves slot ${slot}.`);
    return owner;
  }

  /** Moves one slot with its keys, as an operator would; meanwhile both nodes answer with ASK and TRYAGAIN. */
  async moveSlot(
    slot: number,
    to: NativeRedis,
    pause: () => Promise<void> = async () => {},
  ): Promise<void> {
    const from = await this.ownerOf(slot);
    if (from === to) return;
    const [source, target] = await Promise.all([idOf(from), idOf(to)]);
    await to.admin('CLUSTER', 'SETSLOT', slot, 'IMPORTING', source);
    await from.admin('CLUSTER', 'SETSLOT', slot, 'MIGRATING', target);
    await pause();
    for (;;) {
      const keys = (await from.admin('CLUSTER', 'GETKEYSINSLOT', slot, 100)) as string[];
      if (keys.length === 0) break;
      await from.admin('MIGRATE', '127.0.0.1', to.port, '', 0, 5000, 'KEYS', ...keys);
    }
    await pause();
    // the new owner first, so that nobody is told to go where the slot is not yet served
    const others = this.nodes.filter((node) => node !== to && node.pid !== undefined);
    for (const node of [to, ...others])
      await node.admin('CLUSTER', 'SETSLOT', slot, 'NODE', target);
  }

  /** Stops and removes all of it. */
  async dispose(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.dispose()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }
}

async function idOf(node: NativeRedis): Promise<string> {
  return String(await node.admin('CLUSTER', 'MYID'));
}
