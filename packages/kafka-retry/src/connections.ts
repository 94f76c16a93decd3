import { type Address, addressKey, BrokerConnection } from './connection.js';
import type { WireOptions } from './wire.js';

/**
 * One connection an address, whatever node it is said to be. Who has failed lately is suspect and is asked last.
 */
export class Connections {
  private readonly options: WireOptions;
  private readonly now: () => number;
  private readonly open = new Map<string, BrokerConnection>();
  private readonly side = new Set<BrokerConnection>();
  private readonly suspects = new Map<string, number>();
  private closed = false;

  constructor(options: WireOptions, now: () => number) {
    this.options = options;
    this.now = now;
  }

  /** The connection to this address: the one that stands, or a new one that has yet to be dialled. */
  to(address: Address): BrokerConnection {
    const key = addressKey(address);
    const standing = this.open.get(key);
    if (standing !== undefined && !standing.dead) return standing;
    standing?.drop();
    const connection = new BrokerConnection(address, this.options);
    if (this.closed) connection.drop();
    this.open.set(key, connection);
    return connection;
  }

  /**
   * A connection on which a question is answered at once. A broker answers what one connection asks in turn,
   * so one that waits for a write is of no use; then another is made, for this question only.
   */
  async ask<T>(
    address: Address,
    limitMs: number,
    question: (connection: BrokerConnection) => Promise<T>,
  ): Promise<T> {
    const standing = this.open.get(addressKey(address));
    const aside = standing !== undefined && standing.busy > 0 && !standing.dead;
    const connection = aside ? new BrokerConnection(address, this.options) : this.to(address);
    if (this.closed) connection.drop();
    if (aside) this.side.add(connection);
    try {
      const answer = await within(limitMs, connection, async () => {
        await connection.connect();
        return question(connection);
      });
      this.trust(address);
      return answer;
    } catch (error) {
      this.suspect(address);
      // Somebody may have sent something on it since.
      if (!aside && connection.busy <= 1) connection.drop(error as Error);
      throw error;
    } finally {
      if (aside) {
        this.side.delete(connection);
        connection.drop();
      }
    }
  }

  suspect(address: Address): void {
    this.suspects.set(addressKey(address), this.now());
  }

  trust(address: Address): void {
    if (this.suspects.size > 0) this.suspects.delete(addressKey(address));
  }

  /** The least suspect first; in their order among equals. */
  sorted(addresses: readonly Address[]): Address[] {
    if (this.suspects.size === 0) return [...addresses];
    const since = (address: Address): number => this.suspects.get(addressKey(address)) ?? -1;
    return [...addresses].sort((a, b) => since(a) - since(b));
  }

  /** Drops everything and opens nothing any more. */
  close(): void {
    this.closed = true;
    for (const connection of [...this.open.values(), ...this.side]) connection.drop();
    this.open.clear();
  }
}

async function within<T>(
  limitMs: number,
  connection: BrokerConnection,
  work: () => Promise<T>,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(connection.silence(limitMs)), limitMs);
  });
  const working = work();
  // It may fail after the time is up, when nobody looks any more.
  working.catch(() => {});
  try {
    return await Promise.race([working, silence]);
  } finally {
    clearTimeout(timer);
  }
}
