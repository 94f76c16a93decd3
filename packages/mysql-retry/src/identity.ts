import type { RetryPolicy } from '@outlast/core-retry';
import type { CoreConnection } from './driver.js';

/** What tells one session of one life of one server from all others. */
export interface Identity {
  /** The server's own number of the session, a pooler in between notwithstanding. */
  readonly id: number;
  readonly hostname: string;
  readonly port: number;
  readonly serverId: number;
  /** How long the server had been up, in seconds, when it said so. */
  readonly uptimeS: number;
  /** When it said so, monotonic milliseconds at this end. */
  readonly at: number;
}

const WHO =
  'SELECT CONNECTION_ID() AS id, @@hostname AS hostname, @@port AS port, @@server_id AS serverId';
// The one form that both families have.
const UPTIME = "SHOW GLOBAL STATUS LIKE 'Uptime'";
// Whole seconds at the server, and the way there and back.
const TOLERANCE_S = 1.5;

/** Asks a connection who serves it. Rejects when it breaks. */
export async function askIdentity(
  connection: CoreConnection,
  clock: RetryPolicy['settings']['clock'],
): Promise<Identity> {
  const [who] = await ask<{ id: number; hostname: string; port: number; serverId: number }>(
    connection,
    WHO,
  );
  const [status] = await ask<{ Value: string }>(connection, UPTIME);
  if (who === undefined || status === undefined)
    throw new Error('The server does not say who it is.');
  return {
    id: Number(who.id),
    hostname: String(who.hostname),
    port: Number(who.port),
    serverId: Number(who.serverId),
    uptimeS: Number(status.Value),
    at: clock.now(),
  };
}

export function sameServer(a: Identity, b: Identity): boolean {
  return a.hostname === b.hostname && a.port === b.port && a.serverId === b.serverId;
}

/**
 * The server has not been restarted between two answers: then a session's number is still that session's.
 * In doubt it has: a server that was up for a moment only cannot be told from one that is new.
 */
export function sameLife(earlier: Identity, later: Identity): boolean {
  const passedS = (later.at - earlier.at) / 1000;
  return (
    sameServer(earlier, later) &&
    earlier.uptimeS > 2 * TOLERANCE_S &&
    Math.abs(later.uptimeS - passedS - earlier.uptimeS) <= TOLERANCE_S
  );
}

/** One statement, its rows as objects whatever the connection's options say. */
export function ask<R>(
  connection: CoreConnection,
  sql: string,
  values: unknown[] = [],
): Promise<R[]> {
  return new Promise((resolve, reject) => {
    const options = { sql, values, rowsAsArray: false, nestTables: false, typeCast: true };
    connection.query({ ...options, namedPlaceholders: false }, (error, rows) => {
      if (error) reject(error);
      else resolve(rows as R[]);
    });
  });
}
