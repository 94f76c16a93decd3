import type { Socket } from 'node:net';
import driver from 'pg';

/**
 * What we use of pg and pg-pool beyond their public types. All of it lives here, with the versions that
 * have it: pg 8.11 … 8.23, pg-pool 3.6 … 3.14.
 */
export interface ClientInternals {
  _queryable?: boolean;
  _ending?: boolean;
  pipeline?: boolean;
  processID?: number | null;
  secretKey?: number | Buffer | null;
  host?: string;
  port?: number;
  ssl?: unknown;
  /** Since pg 8.18. */
  sslNegotiation?: string;
  /** False from a statement's sending until the server is ready for the next one. */
  readyForQuery?: boolean;
  connection?: {
    on(event: 'readyForQuery', listener: (message?: { status?: string }) => void): void;
    on(
      event: 'parameterStatus',
      listener: (message?: { parameterName?: string; parameterValue?: string }) => void,
    ): void;
    on(event: 'newListener', listener: (event: unknown, listener: () => void) => void): void;
    rawListeners(event: 'readyForQuery'): { call(on: unknown): void }[];
    /** Text by name, of what the session has prepared. */
    parsedStatements?: Record<string, string>;
    stream?: Pick<Socket, 'bytesRead' | 'bytesWritten' | 'destroy'> & Partial<Peer>;
  };
  /** Since pg 8.21. */
  getTransactionStatus?: () => 'I' | 'T' | 'E' | null;
}

type Peer = Pick<Socket, 'remoteAddress' | 'remotePort'>;

/** Somebody who waits for a client in pg-pool's queue. */
export interface PendingItem {
  callback: ConnectCallback;
  timedOut?: boolean;
}

export type ConnectCallback = (
  error: Error | undefined,
  client: driver.PoolClient | undefined,
  done: (release?: Error | boolean) => void,
) => void;

export interface PoolInternals {
  _pendingQueue: PendingItem[];
  _idle: { client: driver.PoolClient }[];
  _clients: driver.PoolClient[];
  _pulseQueue(): void;
  _isFull(): boolean;
  _remove(client: driver.PoolClient, callback?: () => void): void;
  newClient(item: PendingItem): void;
  _release(client: driver.PoolClient, idleListener: () => void, error?: Error | boolean): void;
}

/** pg-pool's own methods, for a subclass that overrides them. */
export const basePool = driver.Pool.prototype as unknown as PoolInternals & {
  connect(this: unknown, callback: ConnectCallback): void;
  emit(this: unknown, type: string | symbol, ...args: unknown[]): boolean;
};

export function internals(client: unknown): ClientInternals {
  return client as ClientInternals;
}

/**
 * Where a client's connection goes, or the folder of its Unix socket. Not by name: after a failover behind
 * it, a name leads to another machine.
 */
export function addressOf(client: unknown): { readonly host: string; readonly port: number } {
  const { host = 'localhost', port = 5432, connection } = internals(client);
  const { remoteAddress = host, remotePort = port } = connection?.stream ?? {};
  return { host: remoteAddress, port: remotePort };
}

/** The parts of pg's Connection with which a CancelRequest is sent. */
export interface CancelConnection {
  connect(port: number | string, host?: string): void;
  requestSsl(): void;
  cancel(processID: number, secretKey: number | Buffer): void;
  once(event: 'connect' | 'sslconnect' | 'end' | 'error', listener: () => void): void;
  on(event: 'error', listener: () => void): void;
  stream: { destroy(): void };
}
