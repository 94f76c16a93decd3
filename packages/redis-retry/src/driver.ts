import * as module from 'ioredis';

/**
 * What we use of ioredis beyond its public types. All of it lives here; read in 5.9.0, 5.11.1 and 6.0.0.
 */
export type Argument = string | Buffer | number;

/** A command: its promise is the caller's, and settles once whoever calls `resolve` or `reject`. */
export interface Command {
  name: string;
  args: Argument[];
  readonly promise: Promise<unknown>;
  resolve: (reply: unknown) => void;
  reject: (error: Error) => void;
  isReadOnly?: boolean;
  inTransaction: boolean;
  pipelineIndex?: number;
  isSettled?: boolean;
  isResolved: boolean;
  getKeys(): readonly (string | Buffer)[];
  getSlot(): number | null;
}

/** The sink of a pipeline, which writes when every slot has been handed to it. */
export type Sink = object;

export interface QueueItem {
  readonly command: Command;
  stream: Sink | undefined;
  readonly select: number;
}

/** What is used of `denque`. */
export interface Queue {
  readonly length: number;
  push(item: QueueItem): number;
  unshift(item: QueueItem): number;
  shift(): QueueItem | undefined;
  pop(): QueueItem | undefined;
  peekAt(index: number): QueueItem | undefined;
  peekBack(): QueueItem | undefined;
  peekFront(): QueueItem | undefined;
  removeOne(index: number): QueueItem | undefined;
  toArray(): QueueItem[];
}

export interface Condition {
  subscriber: false | { channels(kind: 'subscribe' | 'psubscribe' | 'ssubscribe'): string[] };
  handshake?: boolean;
  protocol?: number;
}

export interface FlushOptions {
  offlineQueue?: boolean;
  commandQueue?: boolean;
}

/** The insides of a `Redis`. */
export interface RedisInternals {
  options: Record<string, unknown>;
  status: string;
  stream?: {
    writable: boolean;
    destroyed: boolean;
    /** The error of the socket, as soon as there is one. */
    errored?: Error | null;
    /** Of TLS. */
    encrypted?: boolean;
    remoteAddress?: string | undefined;
    remotePort?: number | undefined;
    bytesRead: number;
    cork(): void;
    uncork(): void;
    destroy(error?: Error): void;
    removeAllListeners(event: string): void;
  };
  commandQueue: Queue;
  offlineQueue: Queue;
  condition: Condition | null;
  prevCondition?: Condition | null;
  connectionEpoch: number;
  manuallyClosing: boolean;
  reconnectTimeout: NodeJS.Timeout | null;
  scriptsSet: Record<string, { readonly sha: string; readonly lua: string }>;
  sendCommand(command: Command, stream?: Sink): unknown;
  setStatus(status: string, argument?: unknown): void;
  flushQueue(error: Error, options?: FlushOptions): void;
  handleReconnection(error: Error, item: QueueItem): void;
  silentEmit(event: string, argument?: unknown): boolean;
  connect(callback?: (error?: Error | null) => void): Promise<void>;
  disconnect(reconnect?: boolean): void;
  parseOptions(...args: unknown[]): void;
  _readyCheck(callback: (error: Error | null, info?: unknown) => void): void;
  defineCommand(name: string, definition: object): void;
  emit(event: string, ...args: unknown[]): boolean;
  once(event: string, listener: (...args: never[]) => void): unknown;
  listenerCount(event: string): number;
}

/** The constructor of commands, from the driver that is installed. */
export const CommandClass = module.Command as unknown as new (
  name: string,
  args?: readonly unknown[],
  options?: { replyEncoding?: string | null },
) => Command;

/** The driver's own class. */
export const DriverRedisClass: typeof module.Redis = module.Redis;
/** The driver's own methods, for those of ours that go on to them. */
export const driverRedis = module.Redis.prototype as unknown as RedisInternals;

export function redisInternals(client: unknown): RedisInternals {
  return client as RedisInternals;
}

/** What the driver says when a connection is gone; job queues recognise it by this text. */
export const CONNECTION_CLOSED = 'Connection is closed.';
