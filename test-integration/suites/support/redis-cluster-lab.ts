import { Cluster, type RedisRetryOptions } from '@outlast/redis-retry';
import { Cluster as PlainCluster } from 'ioredis';
import { afterAll, afterEach, beforeEach } from 'vitest';
import { type FaultProxy, startProxy } from '../../faults/index.js';
import {
  freePort,
  missingRedis,
  type NativeRedis,
  type RedisCluster,
  startRedisCluster,
  waitFor,
} from '../../servers/index.js';
import { findRedis } from '../../servers/redis-binaries.js';

/** A key, the node that holds it, and the proxy before that node. */
export interface Place {
  readonly key: string;
  readonly node: NativeRedis;
  readonly proxy: FaultProxy;
}

interface AnyCluster {
  nodes(role: 'master'): { status: string; options: { port?: number | undefined } }[];
}

/** A real Cluster whose nodes announce the ports of fault proxies in front of them, new for each test. */
export class RedisClusterLab {
  readonly cluster: RedisCluster;
  proxies: FaultProxy[] = [];
  readonly #announce: readonly number[];
  readonly #clients: { disconnect(): void }[] = [];
  readonly #name: string;
  #keys = 0;

  constructor(cluster: RedisCluster, announce: readonly number[], name: string) {
    this.cluster = cluster;
    this.#announce = announce;
    this.#name = name;
  }

  /** Call it first in the `describe`. */
  use(): void {
    beforeEach(async () => {
      this.proxies = await Promise.all(
        this.cluster.nodes.map(({ port }, n) =>
          startProxy({ targetPort: port, port: this.#announce[n] as number }),
        ),
      );
    });
    afterEach(async () => {
      for (const client of this.#clients.splice(0)) client.disconnect();
      await Promise.all(this.proxies.map((proxy) => proxy.close()));
    });
    afterAll(() => this.cluster?.dispose());
  }

  /** Our client, through the proxies. */
  client(retry?: RedisRetryOptions, options: object = {}): Cluster {
    return this.track(new Cluster(this.cluster.addresses, { ...options, ...(retry && { retry }) }));
  }

  /** The driver's client, through the proxies. */
  plain(options: object = {}): PlainCluster {
    const client = this.track(new PlainCluster(this.cluster.addresses, options));
    client.on('error', () => {});
    return client;
  }

  track<T extends { disconnect(): void }>(client: T): T {
    this.#clients.push(client);
    return client;
  }

  /** Waits until a client has lost its connection to the node behind a proxy. */
  async left(client: AnyCluster, proxy: FaultProxy): Promise<void> {
    await waitFor(() =>
      client
        .nodes('master')
        .every(({ status, options }) => options.port !== proxy.port || status !== 'ready'),
    );
  }

  /** A key that no other test has; on the n-th node, if one is given. */
  async place(n?: number): Promise<Place> {
    for (;;) {
      const key = `${this.#name}${this.#keys++}`;
      const node = await this.cluster.ownerOf(await this.cluster.slotOf(key));
      const at = this.cluster.nodes.indexOf(node);
      if (n === undefined || n === at) return { key, node, proxy: this.proxies[at] as FaultProxy };
    }
  }
}

/** Why there is no Cluster to test against; empty if there is. */
export const noCluster: string = findRedis().length === 0 ? missingRedis() : '';

/** `name`: begins the keys of the file. */
export async function openRedisClusterLab(name: string): Promise<RedisClusterLab> {
  const announce = [await freePort(), await freePort(), await freePort()];
  const cluster = noCluster === '' ? await startRedisCluster({ announce }) : undefined;
  return new RedisClusterLab(cluster as RedisCluster, announce, name);
}
