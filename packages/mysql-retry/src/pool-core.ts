import type { RetryPolicy } from '@outlast/core-retry';
import type { Connector } from './connect.js';
import type { ConnectionConfig, PoolConnection } from './driver.js';
import type { Markers } from './markers.js';

/** What a pool lends to its statements and transactions. */
export interface PoolCore {
  readonly policy: RetryPolicy;
  readonly connector: Connector;
  readonly markers: Markers;
  readonly config: ConnectionConfig;
  /** Patience of one operation, in milliseconds. */
  readonly waitMs: number;
  /** Whether the policy itself sets a time or a signal, so that attempts must be stoppable. */
  readonly bounded: boolean;
  /** Notes which session a connection is, so that it can be stopped. */
  identify(connection: PoolConnection): Promise<void>;
  /** Stops what a connection is running, on the server; never rejects. The connection is given up. */
  stop(connection: PoolConnection): Promise<void>;
}
