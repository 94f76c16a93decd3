import type { RetryPolicy } from '@outlast/core-retry';
import type { Query } from './address.js';
import { isMlflowError } from './errors.js';
import { checkHealth, type Health } from './health.js';
import { optionsOf } from './input.js';
import { type CallBounds, clientSettings, type MlflowClientOptions } from './options.js';
import { unlessMissing } from './resolve.js';
import { type Method, Transport } from './transport.js';
import type { ServerInfo } from './types.js';

/** What a method changes on the server, and may change again. */
interface Change {
  readonly operation: string;
  /** Default POST. */
  readonly method?: Method;
  readonly path: string;
  readonly body?: object;
  readonly bounds: CallBounds;
  /** Whether "there is no such thing" is what it wanted, if it says so only of a repetition. Default false. */
  readonly removes?: boolean;
  /** Whether it may be repeated although it may have been done. Default true. */
  readonly idempotent?: boolean;
}

/** What every part of the client stands on. */
export abstract class Tracking {
  /** Retries, and tells what happens: `client.policy.on('retry', …)`. */
  readonly policy: RetryPolicy;
  /** @internal */
  readonly transport: Transport;
  #info: ServerInfo | undefined;

  /**
   * @param options what is not given is looked for in MLflow's environment variables
   * @throws OptionError naming the option or variable, the value and what is valid
   */
  constructor(options: MlflowClientOptions = {}) {
    const settings = clientSettings(options);
    this.policy = settings.policy;
    this.transport = new Transport(settings);
  }

  /** Where the server is, without credentials. */
  get trackingUri(): string {
    return this.transport.base;
  }

  /** Asks whether the server lives, and whether its database answers. Never rejects. */
  healthCheck(): Promise<Health> {
    return checkHealth(this.transport);
  }

  /** What the server says of itself; empty of those older than 3. It does not change, and is remembered. */
  async serverInfo(options?: CallBounds): Promise<ServerInfo> {
    this.#info ??= await this.#askInfo(optionsOf('serverInfo', options));
    return this.#info;
  }

  /** Rejects what waits for the server, and what comes; closes all connections. */
  close(): void {
    this.transport.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  /** @internal A question that changes nothing. */
  protected async read<T>(
    operation: string,
    path: string,
    query: Query,
    // biome-ignore lint/suspicious/noExplicitAny: the server's JSON
    pick: (answer: any) => T,
    bounds: CallBounds | undefined,
  ): Promise<T> {
    return this.transport.json({
      operation,
      path,
      query,
      pick,
      bounds: optionsOf(operation, bounds),
    });
  }

  /** @internal Something that is as it is asked for afterwards, however often it is asked. */
  protected async change(change: Change): Promise<void> {
    const { removes = false, idempotent = true, method = 'POST', ...call } = change;
    await this.transport.json<true>({
      ...call,
      method,
      idempotent,
      pick: () => true,
      ...(removes && { settled: async ({ category }) => category === 'not-found' || undefined }),
    });
  }

  /**
   * @internal Whether a metric that is written twice is there once.
   * @throws what the server could not be reached for: the metric, not sent yet, would only wait for it again
   */
  protected async metricsOnce(bounds: CallBounds): Promise<boolean> {
    try {
      return (await this.serverInfo(bounds)).store_type === 'SqlStore';
    } catch (error) {
      if (isMlflowError(error)) return false;
      throw error;
    }
  }

  async #askInfo(bounds: CallBounds): Promise<ServerInfo> {
    const asked = this.transport.json<ServerInfo>({
      operation: 'serverInfo',
      path: '/api/3.0/mlflow/server-info',
      pick: (answer) => answer,
      bounds,
    });
    try {
      return (await unlessMissing(this.transport, asked)) ?? {};
    } catch (error) {
      // Servers older than 3 have no such route, and say so with a page.
      const { category } = this.transport.classify(error);
      if (category === 'invalid' || category === 'auth') return {};
      throw error;
    }
  }
}
