import type { Attempt, CallOptions, Failure, Phase } from '@outlast/core-retry';
import type { Patience, QueryExtras } from '@outlast/core-retry/connector';
import type driver from 'pg';
import { cancelStatement } from './cancel.js';
import { DEMOTED, isFatal, isReadOnlyRefusal, isServerError } from './classify.js';
import { isReadTimeout } from './marks.js';
import type { PoolCore } from './pool-core.js';
import { forgetPrepared, healed, preparedName, stalePrepared, unnamed } from './prepared.js';
import { looksLikeRead, NotARead, type Run, replayRead } from './reads.js';
import { classifyStatement, textOf } from './statement-outcome.js';
import { isSubmittable } from './submittable.js';

type Callback = (error: Error | null | undefined, result: driver.QueryResult) => void;
type DriverQuery = (config: unknown, values: unknown, callback: Callback) => void;

/**
 * One `pool.query`: what the policy calls once an attempt, and what it asks when an answer was lost.
 * The acquisition and the statement are two steps, so that it is known whether anything was sent.
 */
export class QueryCall implements CallOptions<driver.QueryResult>, Patience {
  readonly operation = 'pg.query';
  declare readonly signal: AbortSignal;
  declare readonly totalTimeoutMs: number;
  readonly #core: PoolCore;
  readonly #config: unknown;
  readonly #values: unknown;
  readonly #idempotent: boolean;
  readonly #bounded: boolean;
  #leftMs: number;
  #client: driver.PoolClient | undefined;
  #stopping: Promise<void> | undefined;
  #lost: unknown;
  #guarded = false;
  #refused = false;
  #demoted: unknown;
  // Its prepared name failed: it runs again without.
  #nameless = false;

  constructor(core: PoolCore, config: unknown, values: unknown, extras: QueryExtras | undefined) {
    this.#core = core;
    this.#config = config;
    this.#values = values;
    this.#leftMs = core.waitMs;
    const { settings } = core.policy;
    this.#idempotent = extras?.idempotent ?? settings.idempotent;
    this.#bounded = core.bounded;
    if (extras === undefined) return;
    if (extras.signal !== undefined) this.signal = extras.signal;
    if (extras.totalTimeoutMs !== undefined) this.totalTimeoutMs = extras.totalTimeoutMs;
    this.#bounded ||= extras.signal !== undefined || extras.totalTimeoutMs !== undefined;
  }

  get leftMs(): number {
    return this.#leftMs;
  }

  set leftMs(value: number) {
    this.#leftMs = value;
  }

  run(attempt: Attempt): Promise<driver.QueryResult> {
    if (this.#guarded) return this.#replay(attempt);
    const core = this.#core;
    // The usual way, in callbacks: a promise a query is what the driver's own pool costs.
    if (!this.#bounded && !core.connector.mustWait()) {
      attempt.phase = 'acquire';
      return new Promise((resolve, reject) => {
        core.checkOut((error, client) => {
          if (client !== undefined) this.#send(client, attempt, resolve, reject);
          else if (core.connector.isOutage(error)) {
            core.connector.failed(error);
            this.#acquire(attempt).then(
              (late) => this.#send(late, attempt, resolve, reject),
              reject,
            );
          } else reject(core.connector.judged(error));
        });
      });
    }
    return this.#acquire(attempt).then(
      (client) =>
        new Promise((resolve, reject) => {
          this.#send(client, attempt, resolve, reject);
        }),
    );
  }

  /** What looks like a read may run again: its replay is guarded, and refuses what is none after all. */
  get idempotent(): boolean {
    return this.#idempotent || this.#guarded;
  }

  classify(error: unknown, phase: Phase): Failure {
    if (error === this.#demoted) return DEMOTED;
    const text = textOf(this.#config);
    const failure = classifyStatement(error, phase, text);
    if (!this.#nameless && this.#lostItsName(error)) {
      this.#nameless = true;
      return healed(failure);
    }
    // Until a replay has shown that it only reads its outcome stays unknown.
    if (failure.outcome === 'unknown') this.#guarded = !this.#idempotent && this.#mayBeRead(text);
    return failure;
  }

  /** An attempt took too long: wait until the server has been told to stop it. */
  stop(): Promise<void> | undefined {
    return this.#stopping;
  }

  #lostItsName(error: unknown): boolean {
    return preparedName(this.#config) !== undefined && stalePrepared(error) !== undefined;
  }

  #mayBeRead(text: string): boolean {
    return !this.#refused && !isSubmittable(this.#config) && looksLikeRead(text);
  }

  #acquire(attempt: Attempt): Promise<driver.PoolClient> {
    return this.#core.connector.acquire(attempt, this, this.#bounded);
  }

  #send(
    client: driver.PoolClient,
    attempt: Attempt,
    resolve: (result: driver.QueryResult) => void,
    reject: (error: unknown) => void,
  ): void {
    attempt.phase = 'sent';
    this.#client = client;
    const finish: Callback = (error, result) => {
      // It was stopped, and its client is gone.
      if (this.#client !== client) return;
      this.#client = undefined;
      if (!error) {
        client.release();
        return resolve(result);
      }
      this.#fail(client, error, reject);
    };
    if (this.#bounded) this.#stopOnAbort(client, attempt);
    try {
      (client.query as DriverQuery)(this.#copy(), this.#values, finish);
    } catch (error) {
      // The driver refused the arguments; the client has not been touched.
      this.#client = undefined;
      client.release();
      reject(error);
    }
  }

  #fail(client: driver.PoolClient, error: Error, reject: (error: unknown) => void): void {
    if (isReadOnlyRefusal(error)) {
      void this.#refusedWrite(client, error, reject);
      return;
    }
    if (isServerError(error) && !isFatal(error)) {
      // An SQL error is an answer: the connection that brought it is in order.
      const name = preparedName(this.#config);
      client.release(name !== undefined && forgetPrepared(client, error, name));
      reject(error);
      return;
    }
    this.#lost = error;
    if (isReadTimeout(error)) {
      const stopped = cancelStatement(client);
      client.release(error);
      stopped.then(() => reject(error), reject);
      return;
    }
    client.release(error);
    reject(error);
  }

  // Asked to be read-only by the application, or become so: then another host has the write.
  async #refusedWrite(
    client: driver.PoolClient,
    error: Error,
    reject: (error: unknown) => void,
  ): Promise<void> {
    if (await this.#core.connector.isDemoted(client)) this.#demoted = error;
    client.release(error);
    reject(error);
  }

  #stopOnAbort(client: driver.PoolClient, { signal }: Attempt): void {
    const stop = (): void => {
      if (this.#client !== client) return;
      this.#client = undefined;
      this.#lost = signal.reason;
      this.#stopping = cancelStatement(client);
      client.release(true);
    };
    signal.addEventListener('abort', stop, { once: true });
  }

  // The driver may write into a config object, and the caller's is not to be changed.
  #copy(): unknown {
    const config = this.#config;
    const plain = typeof config === 'object' && config !== null && !isSubmittable(config);
    if (!plain) return config;
    return this.#nameless ? unnamed(config) : Object.create(config);
  }

  async #replay(attempt: Attempt): Promise<driver.QueryResult> {
    const client = await this.#acquire(attempt);
    attempt.phase = 'sent';
    this.#client = client;
    if (this.#bounded) this.#stopOnAbort(client, attempt);
    const run: Run = (config, values) =>
      (client.query as unknown as Run)(
        typeof config === 'object' && config !== null ? Object.create(config) : config,
        values,
      );
    try {
      const text = textOf(this.#config);
      const result = await replayRead(run, text, this.#copy(), this.#values);
      this.#release(client);
      return result;
    } catch (error) {
      const intact = error instanceof NotARead || (isServerError(error) && !isFatal(error));
      const stopped = isReadTimeout(error) ? cancelStatement(client) : undefined;
      this.#release(client, intact ? undefined : (error as Error));
      await stopped;
      if (!(error instanceof NotARead)) throw error;
      this.#refused = true;
      throw this.#lost;
    }
  }

  #release(client: driver.PoolClient, error?: Error): void {
    if (this.#client !== client) return;
    this.#client = undefined;
    client.release(error);
  }
}
