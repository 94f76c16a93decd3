import type { RetryPolicy } from '@outlast/core-retry';
import type driver from 'pg';
import { internals } from './driver.js';
import { markStatement } from './marks.js';
import type { ServerFacts } from './server-facts.js';
import { callbackIn } from './statement-callback.js';
import { follow, isSubmittable } from './submittable.js';

/** What we know of one client of the pool. */
export class ClientState {
  /** In which order clients were connected. */
  readonly serial: number;
  /** A user has it: its errors are marked, and nothing is replayed. */
  checkedOut = false;
  /** Never to be used again, whatever its socket says: a statement timed out on it. */
  poisoned = false;
  /** The server behind it, noted with its first tracked transaction. */
  facts: ServerFacts | undefined;
  /** How many statements were handed to the driver. */
  issued = 0;
  /** The numbers of those that it has not settled yet, in order: the first one runs, the others are queued. */
  readonly open: Set<number> = new Set();
  /** The number of the statement that was running when the connection broke. */
  brokeAt: number | undefined;
  /** The answer to a COMMIT was lost on it. */
  commitLost = false;
  private status: string | undefined;
  private readonly client: driver.ClientBase;

  constructor(client: driver.ClientBase, serial: number) {
    this.client = client;
    this.serial = serial;
    const { getTransactionStatus, connection } = internals(client);
    if (getTransactionStatus === undefined) {
      connection?.on('readyForQuery', (message) => {
        this.status = message?.status;
      });
    }
  }

  /** In a transaction block, by the server's last word. */
  get inTransaction(): boolean {
    const status = internals(this.client).getTransactionStatus?.() ?? this.status;
    return status === 'T' || status === 'E';
  }

  /** Its connection stands, as far as the driver knows. */
  get alive(): boolean {
    const { _queryable, _ending } = internals(this.client);
    return _queryable !== false && _ending !== true;
  }

  /** Whether it can serve somebody else. */
  get usable(): boolean {
    return this.alive && !this.poisoned && !this.inTransaction;
  }
}

/**
 * Puts our `query` on one client, calling through to whatever its prototype has at that moment (tracers
 * patch that). The client stays the same object: ORMs key maps by it.
 */
export function watchStatements(
  client: driver.ClientBase,
  state: ClientState,
  policy: RetryPolicy,
): void {
  const query = (...args: unknown[]): unknown => {
    const original = (Object.getPrototypeOf(client) as driver.ClientBase).query as (
      ...args: unknown[]
    ) => unknown;
    if (!state.checkedOut) return original.apply(client, args);
    if (isSubmittable(args[0])) {
      const running = markStatement(client, state, policy, args[0]);
      const over = (): void => void running.succeeded();
      follow(args[0], client, { failed: (error) => running.failed(error), over });
      return original.apply(client, args);
    }
    const statement = markStatement(client, state, policy, args[0]);
    const callback = callbackIn(args);
    callback?.replace((error, value) =>
      error
        ? callback.original(statement.failed(error))
        : callback.original(statement.succeeded(error), value),
    );
    let result: unknown;
    try {
      result = original.apply(client, args);
    } catch (error) {
      statement.withdraw();
      throw error;
    }
    if (callback !== undefined || !(result instanceof Promise)) return result;
    return result.then(
      (value: unknown) => {
        statement.succeeded();
        return value;
      },
      (error: unknown) => {
        throw statement.failed(error);
      },
    );
  };
  Object.defineProperty(client, 'query', { value: query, writable: true, configurable: true });
}
