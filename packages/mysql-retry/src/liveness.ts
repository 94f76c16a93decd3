import type { RetryPolicy, Timer } from '@outlast/core-retry';
import type { Command, CorePool, PoolConnection } from './driver.js';
import { dropSocket, farewell } from './driver.js';
import { ask } from './identity.js';
import type { Servers } from './servers.js';

const LOOKS_A_PERIOD = 4;
/** So many noes in a row, and a connection is given up. */
const NOES = 2;

interface Silent {
  readonly command: Command;
  readonly bytes: number;
  /** Monotonic milliseconds; asked again when another half period has passed. */
  since: number;
  noes: number;
}

/**
 * Watches for statements that get no answer because their connection is dead at the other end only. Looks
 * at the bytes of busy sockets now and then, which costs a statement nothing.
 */
export class Liveness {
  private readonly pool: CorePool;
  private readonly servers: Servers;
  private readonly clock: RetryPolicy['settings']['clock'];
  private readonly livenessMs: number;
  private readonly silent = new Map<PoolConnection, Silent>();
  private timer: Timer | undefined;
  private closed = false;

  constructor(
    pool: CorePool,
    servers: Servers,
    settings: { readonly policy: RetryPolicy; readonly livenessMs: number },
  ) {
    this.pool = pool;
    this.servers = servers;
    this.clock = settings.policy.settings.clock;
    this.livenessMs = settings.livenessMs;
  }

  /** There is a connection to watch. */
  watch(): void {
    if (this.timer !== undefined || this.livenessMs === Infinity || this.closed) return;
    this.timer = this.clock.setTimeout(() => this.look(), this.livenessMs / LOOKS_A_PERIOD, {
      unref: true,
    });
  }

  private look(): void {
    this.timer = undefined;
    const { _allConnections: all } = this.pool;
    const seen = new Set<PoolConnection>();
    for (let at = 0; at < all.length; at++) {
      const connection = all.get(at) as PoolConnection;
      if (!connection._command || connection._paused === true || !connection.threadId) continue;
      seen.add(connection);
      this.inspect(connection, connection._command);
    }
    for (const connection of this.silent.keys()) {
      if (!seen.has(connection)) this.silent.delete(connection);
    }
    if (all.length > 0) this.watch();
  }

  private inspect(connection: PoolConnection, command: Command): void {
    const { bytesRead, bytesWritten } = connection.stream;
    const bytes = bytesRead + bytesWritten;
    const known = this.silent.get(connection);
    const now = this.clock.now();
    if (known === undefined || known.command !== command || known.bytes !== bytes) {
      this.silent.set(connection, { command, bytes, since: now, noes: 0 });
      return;
    }
    if (now - known.since < this.livenessMs) return;
    known.since = now - this.livenessMs / 2;
    this.isAtWork(connection).then(
      (atWork) => this.told(connection, known, atWork),
      () => this.told(connection, known, false),
    );
  }

  private told(connection: PoolConnection, silent: Silent, atWork: boolean): void {
    silent.noes = atWork ? 0 : silent.noes + 1;
    if (silent.noes < NOES || this.silent.get(connection) !== silent) return;
    if (connection._command !== silent.command) return;
    this.silent.delete(connection);
    const lost = new Error('Connection lost: the server does not answer, or knows nothing of it.');
    connection.stream.destroy(Object.assign(lost, { code: 'PROTOCOL_CONNECTION_LOST' }));
  }

  /** Whether its server, asked on another connection, says that it is executing something for it. */
  private async isAtWork({ config, threadId }: PoolConnection): Promise<boolean> {
    const other = await this.servers.connect(config);
    try {
      const asked = Promise.all([
        ask<{ id: number }>(other, 'SELECT CONNECTION_ID() AS id'),
        ask<{ Id: number; Command: string }>(other, 'SHOW PROCESSLIST'),
      ]);
      const [[own], sessions] = await this.servers.inTime(other, asked);
      // A pooler in between numbers sessions by itself: what it lists says nothing of ours.
      if (Number(own?.id) !== other.threadId) return true;
      return sessions.some(
        ({ Id, Command: doing }) => Number(Id) === threadId && doing !== 'Sleep',
      );
    } catch (error) {
      dropSocket(other);
      throw error;
    } finally {
      farewell(other);
    }
  }

  close(): void {
    this.closed = true;
    this.timer?.cancel();
    this.timer = undefined;
    this.silent.clear();
  }
}
