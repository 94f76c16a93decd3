import type { Command, Queue, RedisInternals } from './driver.js';

/** The insides of a `Cluster`. Read in ioredis 5.9.0, 5.11.1 and 6.0.0. */
export interface ClusterInternals {
  options: Record<string, unknown>;
  status: string;
  slots: unknown[];
  startupNodes: unknown[];
  offlineQueue: Queue;
  manuallyClosing: boolean;
  connectionPool: NodeJS.EventEmitter & { getNodes(role?: string): RedisInternals[] };
  nodes(role?: string): RedisInternals[];
  sendCommand(command: Command, stream?: object, node?: object): unknown;
  setStatus(status: string): void;
  refreshSlotsCache(callback?: (error?: Error | null) => void): void;
  delayUntilReady(callback: (error?: Error) => void): void;
  handleError(error: Error, ttl: object, handlers: ClusterHandlers): void;
  disconnect(reconnect?: boolean): void;
  flushQueue(error: Error): void;
  connect(): Promise<void>;
}

export interface ClusterHandlers {
  defaults(): void;
}
