import type { RetryPolicy } from '@outlast/core-retry';
import type driver from 'pg';
import type { ClientState } from './client-state.js';
import type { CommitMarkers } from './commit-marker.js';
import type { CommitTracker } from './commit-tracker.js';
import type { Connector } from './connect.js';
import type { ConnectCallback } from './driver.js';

/** What a pool lends to its queries and transactions. */
export interface PoolCore {
  readonly policy: RetryPolicy;
  readonly connector: Connector;
  readonly tracker: CommitTracker;
  readonly markers: CommitMarkers;
  /** Patience of one operation, in milliseconds. */
  readonly waitMs: number;
  /** Whether the policy itself sets a time or a signal, so that attempts must be stoppable. */
  readonly bounded: boolean;
  /** The driver's own `connect`, without any patience. */
  checkOut(callback: ConnectCallback): void;
  /** Whether a client newer than `serial` may have been connected before `until` (monotonic ms). */
  openedBetween(serial: number, until: number): boolean;
  /** The serial of the client that was connected last. */
  newestSerial(): number;
  stateOf(client: driver.ClientBase): ClientState;
}
