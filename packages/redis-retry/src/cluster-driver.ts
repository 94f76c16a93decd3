import { Cluster as DriverClusterClass } from 'ioredis';
import type { Command, Queue, RedisInternals } from './driver.js';

/** The insides of a `Cluster`. Read in ioredis 5.9.0, 5.11.1 and 6.0.0. */
export interface ClusterInternals {
  options: Record<string, unknown>;
  status: string;
  /** The nodes of each slot, its master first. */
  slots: string[][];
  startupNodes: unknown[];
  offlineQueue: ClusterQueue;
  manuallyClosing: boolean;
  connectionPool: NodeJS.EventEmitter & {
    redisOptions: Record<string, unknown>;
    getNodes(role?: string): RedisInternals[];
    getInstanceByKey(key: string): RedisInternals | undefined;
    findOrCreate(node: object): RedisInternals;
  };
  subscriber: ClusterSubscriber;
  /** With `shardedSubscribers`: one connection a node. */
  shardedSubscribers?: ShardedSubscribers;
  subscriberGroupEmitter?: NodeJS.EventEmitter;
  nodes(role?: string): RedisInternals[];
  natMapper(key: string): object;
  sendCommand(command: Command, stream?: object, node?: PinnedNode): unknown;
  setStatus(status: string): void;
  refreshSlotsCache(callback?: (error?: Error | null) => void): void;
  delayUntilReady(callback: (error?: Error) => void): void;
  invokeReadyDelayedCallbacks(error?: Error): void;
  handleError(error: Error | CommonError, ttl: object, handlers: ClusterHandlers): void;
  disconnect(reconnect?: boolean): void;
  quit(callback?: (error: null, reply: 'OK') => void): Promise<unknown>;
  flushQueue(error: Error): void;
  connect(): Promise<void>;
  defineCommand(name: string, definition: object): void;
  on(event: string, listener: (...args: never[]) => void): unknown;
  emit(event: string, ...args: unknown[]): boolean;
}

/** Where a pipeline goes: all of it to the connection that its first command was given to. */
export interface PinnedNode {
  slot: number;
  redis: RedisInternals | undefined;
}

interface ClusterItem {
  readonly command: Command;
  readonly stream?: object;
  readonly node?: PinnedNode;
}

type ClusterQueue = Omit<Queue, 'shift' | 'peekAt' | 'toArray'> & {
  shift(): ClusterItem | undefined;
  peekAt(index: number): ClusterItem | undefined;
  toArray(): ClusterItem[];
};

/** What the slots of a pipeline have in common; the driver makes it up. */
export interface CommonError {
  readonly name: string;
  readonly message: string;
}

export interface ClusterHandlers {
  defaults(): void;
}

/** Holds the one connection that hears for the whole Cluster, and makes another when it ends. */
interface ClusterSubscriber {
  subscriber: RedisInternals | null;
  lastActiveSubscriber?: RedisInternals;
  started: boolean;
  selectSubscriber(): void;
  stop(): void;
}

interface ShardedSubscribers {
  shardedSubscribers: Map<string, { getInstance(): RedisInternals | null }>;
}

/** The driver's own methods, for those of ours that go on to them. */
export const driverCluster: ClusterInternals =
  DriverClusterClass.prototype as unknown as ClusterInternals;

/**
 * Makes sure that the node of a slot is among those of the client. The driver forgets one whose connection
 * has ended, and asks another, which says MOVED at once and 16 times.
 */
export function keepNode(client: ClusterInternals, slot: number): void {
  const { connectionPool, slots, status } = client;
  const key = slots[slot]?.[0];
  if (status !== 'ready' || key === undefined) return;
  if (connectionPool.getInstanceByKey(key) === undefined) {
    connectionPool.findOrCreate(client.natMapper(key));
  }
}
