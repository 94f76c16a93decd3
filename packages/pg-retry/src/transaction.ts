import { OptionError } from '@outlast/core-retry';
import { savepoint } from '@outlast/core-retry/connector';
import type driver from 'pg';
import { classifyPg, isFatal, isServerError } from './classify.js';
import { forgetPrepared, preparedName, stalePrepared, unnamed } from './prepared.js';
import { callbackIn } from './statement-callback.js';
import { textOf } from './statement-outcome.js';
import { controlsTransaction } from './transaction-control.js';

// The server has rolled the whole transaction back: nothing that follows may run outside of it.
const ROLLED_BACK = new Set(['40001', '40P01']);

/**
 * The client inside `pool.transaction()`. All overloads of the driver's `query`; nested
 * `transaction()` is a savepoint; BEGIN, COMMIT and ROLLBACK are the pool's to say.
 */
export class Transaction {
  readonly query: driver.PoolClient['query'];
  readonly #client: driver.ClientBase;
  #seen: Set<unknown> | undefined;
  #poison: { readonly error: unknown } | undefined;
  #aborting: unknown;
  #depth = 0;
  #ended = false;
  readonly #nameless: boolean;
  #lostName: unknown;
  #unfit = false;

  /** @param nameless runs prepared statements without their names, for one of them has failed before */
  constructor(client: driver.ClientBase, nameless = false) {
    this.#client = client;
    this.#nameless = nameless;
    this.query = ((...args: unknown[]) => this.#query(args)) as driver.PoolClient['query'];
  }

  /** The error that ended the transaction, whatever the callback made of it. */
  get poison(): { readonly error: unknown } | undefined {
    return this.#poison;
  }

  /** The first SQL error since the transaction was sound: what a COMMIT answered ROLLBACK stands for. */
  get abortedBy(): unknown {
    return this.#aborting;
  }

  /** Whether it is the failure of a prepared statement's name, which ended the transaction. */
  lostName(error: unknown): boolean {
    return error !== undefined && this.#lostName === error;
  }

  /** Whether its connection holds prepared statements that no longer fit. */
  get unfit(): boolean {
    return this.#unfit;
  }

  /** Whether the driver threw it in this transaction. */
  threw(error: unknown): boolean {
    return this.#seen?.has(error) === true;
  }

  /** From here on nothing of the callback reaches the server; `error` is what it is told. */
  end(error?: unknown): void {
    this.#ended = true;
    if (error !== undefined) this.#poison ??= { error };
  }

  /** Remembers what the driver threw, and whether the transaction can go on after it. */
  note(error: unknown, config?: unknown): void {
    this.#seen ??= new Set();
    this.#seen.add(error);
    const name = preparedName(config);
    const stale = name !== undefined && stalePrepared(error) !== undefined;
    if (stale) {
      this.#lostName ??= error;
      this.#unfit ||= forgetPrepared(this.#client, error, name);
    }
    const answered = isServerError(error);
    // What the driver itself refuses (a value that it cannot send) leaves the connection as it was.
    const lost = answered ? isFatal(error) : classifyPg(error, 'sent').transient;
    const code = (error as { code?: string } | null)?.code ?? '';
    if (lost || stale || ROLLED_BACK.has(code)) this.#poison ??= { error };
    else if (answered) this.#aborting ??= error;
  }

  /** A savepoint: rolled back if `fn` throws, and the transaction goes on. */
  async transaction<T>(fn: (tx: Transaction) => T | PromiseLike<T>): Promise<T> {
    this.#depth += 1;
    try {
      const run = async (text: string): Promise<void> => {
        await this.#query([text]);
        // What was rolled back to a savepoint is sound again.
        if (text.startsWith('ROLLBACK TO')) this.#aborting = undefined;
      };
      return await savepoint(this, this.#depth, run, () => fn(this));
    } finally {
      this.#depth -= 1;
    }
  }

  /** @throws always: the pool releases the client of a transaction when it ends. */
  release(): never {
    throw new OptionError('tx.release()', 'is not for the callback: the pool releases the client.');
  }

  #query(args: unknown[]): unknown {
    const refusal = this.#refusal(args[0]);
    const [config] = args;
    if (this.#nameless && preparedName(config) !== undefined) args[0] = unnamed(config as object);
    const callback = callbackIn(args);
    if (refusal !== undefined) {
      if (callback === undefined) return Promise.reject(refusal);
      process.nextTick(callback.original, refusal);
      return undefined;
    }
    callback?.replace((error, result) => {
      if (error) this.note(error, config);
      callback.original(error, result);
    });
    const send = this.#client.query as (...args: unknown[]) => unknown;
    const result = send.apply(this.#client, args);
    if (!(result instanceof Promise)) return result;
    return result.catch((error: unknown) => {
      this.note(error, config);
      throw error;
    });
  }

  #refusal(config: unknown): unknown {
    if (this.#poison !== undefined) return this.#poison.error;
    if (this.#ended) {
      return new OptionError('tx.query()', 'was called after its transaction had ended.');
    }
    return controlsTransaction(textOf(config))
      ? new OptionError(
          'tx.query()',
          'must not begin or end the transaction: return or throw instead.',
        )
      : undefined;
  }
}
