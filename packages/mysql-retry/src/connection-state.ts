import { type Command, type CoreConnection, isAlive } from './driver.js';
import type { Identity } from './identity.js';
import { analyse } from './statement.js';

const IN_TRANSACTION = 1;
const AUTOCOMMIT = 2;

const STATE: unique symbol = Symbol('@outlast/mysql-retry');

/** What we know of one connection. */
export class ConnectionState {
  /** A user has it: its errors are marked, and nothing is replayed. */
  checkedOut = false;
  /** Never to be used again, whatever its socket says: a statement timed out on it, or its server retires. */
  poisoned = false;
  /** A COMMIT on it got no answer. */
  commitLost = false;
  /** Since when it lies in the pool, monotonic milliseconds. */
  idleSince = 0;
  /** It is of the kind of server that is wanted. */
  accepted = false;
  /** The session behind it, noted with its first statement that may have to be stopped; null if it does not say. */
  identity: Identity | null | undefined;
  // The server's last word, and whether something was sent since whose answer does not show it.
  #status = AUTOCOMMIT;
  #doubtful = false;

  /** A transaction may be open on it. */
  get dirty(): boolean {
    return this.#doubtful || (this.#status & (IN_TRANSACTION | AUTOCOMMIT)) !== AUTOCOMMIT;
  }

  /** Reads the server's status out of a result, where it has one. */
  note(rows: unknown): void {
    const header = Array.isArray(rows) ? rows[rows.length - 1] : rows;
    const status = statusOf(header);
    if (status === undefined) return;
    this.#status = status;
    this.#doubtful = false;
  }

  /** A statement without a callback: nobody but its stream sees how it ends. */
  noteStream(text: string): void {
    if (analyse(text).kind !== 'read') this.#doubtful = true;
  }

  /** It was rolled back, or reset. */
  cleaned(): void {
    this.#status = AUTOCOMMIT;
    this.#doubtful = false;
  }
}

/** In a transaction, by a result that says so; undefined for one that says nothing. */
export function inTransaction(result: unknown): boolean | undefined {
  const status = statusOf(result);
  return status === undefined ? undefined : (status & IN_TRANSACTION) !== 0;
}

// By its class, for a row may have a column of any name.
function statusOf(header: unknown): number | undefined {
  if (typeof header !== 'object' || header === null) return undefined;
  const { serverStatus } = header as { serverStatus?: unknown };
  return typeof serverStatus === 'number' && header.constructor?.name === 'ResultSetHeader'
    ? serverStatus
    : undefined;
}

/** The state of a connection; made when first asked for. */
export function stateOf(connection: CoreConnection): ConnectionState {
  const holder = connection as { [STATE]?: ConnectionState };
  holder[STATE] ??= new ConnectionState();
  return holder[STATE];
}

/** Whether it can serve somebody else. */
export function isUsable(connection: CoreConnection): boolean {
  return isAlive(connection) && !stateOf(connection).poisoned;
}

/** The text that a command carries. */
export function commandText(command: Command): string {
  const text = command.sql ?? command.query;
  return typeof text === 'string' ? text : '';
}
