import type { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import driver, { type PoolOptions } from 'mysql2';
import promiseDriver from 'mysql2/promise';

/**
 * What we use of mysql2 beyond its public types. All of it lives here; a test pins its shape.
 */
export type Callback = (error: unknown, rows?: unknown, fields?: unknown) => void;

/** A command in a connection's queue. */
export interface Command extends EventEmitter {
  onResult?: Callback | undefined;
  /** null until its first packet has been written. */
  readonly next?: unknown;
  readonly sql?: unknown;
  /** The text of a Prepare. */
  readonly query?: unknown;
}

/** A list of the pool's: `denque`, later mysql2's own ring. */
export interface Queue<T> {
  readonly length: number;
  get(index: number): T | undefined;
  push(item: T): number;
  unshift(item: T): number;
  shift(): T | undefined;
  removeOne(index: number): T | undefined;
}

export interface ConnectionConfig {
  host: string;
  port: number;
  user?: string;
  readonly database?: string;
  socketPath?: string;
  connectTimeout: number;
  readonly queryFormat?: unknown;
  readonly rowsAsArray?: boolean;
  namedPlaceholders?: boolean;
  readonly trace?: boolean;
}

export interface CoreConnection extends EventEmitter {
  config: ConnectionConfig;
  readonly threadId: number | null;
  readonly stream: Socket;
  _command?: Command | null | undefined;
  _commands: Queue<Command>;
  _closing?: boolean;
  connectTimeout?: NodeJS.Timeout | null;
  /** What the server introduced itself with; null before that. */
  readonly _handshakePacket?: unknown;
  /** Its reader cannot keep up. */
  readonly _paused?: boolean;
  _fatalError?: unknown;
  _protocolError?: unknown;
  /** Fails what is queued, and tells of it. */
  _notifyError(error: unknown): void;
  /** As {@link _notifyError}; it takes no commands from then on. */
  _handleFatalError(error: unknown): void;
  _resetSequenceId(): void;
  /** Without a packet: begins with the command whose turn it is. */
  handlePacket(packet?: unknown): void;
  addCommand(command: Command): Command;
  _addCommandClosedState(command: Command): void;
  connect(callback: (error: unknown) => void): void;
  query(sql: unknown, callback: Callback): Command;
  query(sql: unknown, values: unknown, callback?: Callback): Command;
  execute(sql: unknown, callback: Callback): Command;
  execute(sql: unknown, values: unknown, callback?: Callback): Command;
  ping(callback: (error: unknown) => void): Command;
  reset(callback: (error: unknown) => void): Command;
  end(callback?: (error: unknown) => void): unknown;
  close(): void;
  destroy(): void;
}

export interface PoolConnection extends CoreConnection {
  readonly _pool: object | null;
  release(): void;
}

export type ConnectionCallback = (error: unknown, connection?: PoolConnection) => void;

export interface PoolConfig {
  connectionConfig: ConnectionConfig;
  readonly waitForConnections: boolean;
  readonly connectionLimit: number;
  readonly queueLimit: number;
  readonly resetOnRelease?: boolean;
}

export interface CorePool extends EventEmitter {
  readonly config: PoolConfig;
  readonly _allConnections: Queue<PoolConnection>;
  readonly _freeConnections: Queue<PoolConnection>;
  readonly _connectionQueue: Queue<ConnectionCallback>;
  readonly _closed: boolean;
  getConnection(callback: ConnectionCallback): void;
  releaseConnection(connection: PoolConnection): void;
  /** The second half of a release, in versions that have `resetOnRelease`. */
  _handleSuccessfulRelease(connection: PoolConnection): void;
  query(sql: unknown, values?: unknown, callback?: Callback): unknown;
  execute(sql: unknown, values?: unknown, callback?: Callback): unknown;
  end(callback?: (error: unknown) => void): void;
  promise(implementation?: PromiseConstructor): unknown;
}

interface Driver {
  readonly Pool: new (options: { config: PoolConfig }) => CorePool;
  readonly Connection: new (options: { config: ConnectionConfig }) => CoreConnection;
  createPool(options: string | PoolOptions): CorePool;
  createConnection(options: string | object): CoreConnection;
  createQuery(
    sql: unknown,
    values: unknown,
    callback: Callback | undefined,
    config: object,
  ): Command;
}

interface PromiseDriver {
  readonly PromisePool: new (
    pool: CorePool,
    implementation?: PromiseConstructor,
  ) => BasePromisePool;
  readonly PromiseConnection: new (
    connection: CoreConnection,
    implementation?: PromiseConstructor,
  ) => object;
}

/** The driver's pool of promises. */
interface BasePromisePool extends EventEmitter {
  readonly pool: CorePool;
}

/** mysql2 itself, as it is at run time. */
export const core: Driver = driver as unknown as Driver;

/** `mysql2/promise`, as it is at run time. */
export const promises: PromiseDriver = promiseDriver as unknown as PromiseDriver;

/** The driver's own pool, to extend. */
export const BasePool: Driver['Pool'] = core.Pool;

/** Reads options as the driver does; no connection is opened. */
export function poolConfig(options: string | PoolOptions): PoolConfig {
  const pool = core.createPool(options);
  const { config } = pool;
  pool.end(() => {});
  return config;
}

/** A copy of its own for each connection, for `changeUser` writes into it. */
export function copyConfig(config: ConnectionConfig): ConnectionConfig {
  return Object.create(Object.getPrototypeOf(config), Object.getOwnPropertyDescriptors(config));
}

/** Whether its socket can carry another statement. */
export function isAlive(connection: CoreConnection): boolean {
  return !connection._closing && !connection._fatalError && !connection._protocolError;
}

/** Ends a connection without waiting for its peer, which may be gone. */
export function dropSocket(connection: CoreConnection): void {
  connection.destroy();
  connection.stream.destroy();
}

/** Takes leave of a server in good order, and waits for nobody. */
export function farewell(connection: CoreConnection): void {
  if (isAlive(connection)) connection.end(() => {});
  connection.stream.destroySoon();
}
