import type { RetryPolicy } from '@outlast/core-retry';
import type { ConnectorRetryOptions } from '@outlast/core-retry/connector';
import type { Pattern } from '../../faults/index.js';

/** Bounds of one operation. */
interface Bounds {
  readonly totalTimeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** A client of ours, as the contract uses it. */
export interface ContractClient {
  readonly policy: RetryPolicy;
  /** Changes nothing on the server. */
  read(bounds?: Bounds): Promise<unknown>;
  /** Leaves one more trace of `id` on the server each time it is applied: never idempotent. */
  write(id: string, bounds?: Bounds): Promise<unknown>;
  /** What the service refuses for good, whoever asks. */
  refused(): Promise<unknown>;
  close(): Promise<unknown>;
}

/** A real service that can be broken. */
export interface ContractService {
  readonly port: number;
  /** Where its proxy has to listen, if the service itself tells its clients so. Default: anywhere. */
  readonly proxyPort?: number;
  stop(): Promise<void>;
  start(): Promise<void>;
  kill9(): Promise<void>;
  /** How many traces each `write(id)` has left, as the service itself says. */
  writes(): Promise<ReadonlyMap<string, number>>;
  /** How many connections of ours the service holds. */
  connections(): Promise<number>;
  dispose(): Promise<void>;
}

/** What a connector brings to the contract. */
export interface Contract {
  readonly name: string;
  /** A service of its own, or why there is none. */
  start(): Promise<ContractService | { readonly skipped: string }>;
  /** A client of a service on 127.0.0.1; without options, on pure defaults. */
  makeClient(port: number, retry?: ConnectorRetryOptions): ContractClient;
  /** What `read` and `write` look like on the wire. */
  readonly wire: { readonly read: Pattern; readonly write: Pattern };
  /** Whether client and service talk before the first operation is sent, as HTTP does not. Default true. */
  readonly handshake?: boolean;
  /** Whether the service can tell what became of a write whose answer was lost, so that nothing surfaces. Default false. */
  readonly resolves?: boolean;
  /** How many reads are made before and after a service goes away under load. Default 200; fewer of a slow one. */
  readonly load?: number;
  /** The codes with which the driver says that nobody listens. */
  readonly refusedCode: string;
  /**
   * A program that makes a client of 127.0.0.1:PORT (from the environment), begins a read, prints `waiting`
   * when it has begun, prints `done` when it has its answer, closes the client and does nothing more.
   */
  readonly program: string;
}
