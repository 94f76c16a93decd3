import type { RetryPolicy } from '@outlast/core-retry';
import { type CallBounds, clientSettings, type MlflowClientOptions } from './options.js';
import { type ApiCall, Transport } from './transport.js';

/** What every part of the client stands on. */
export abstract class Tracking {
  /** Retries, and tells what happens: `client.policy.on('retry', …)`. */
  readonly policy: RetryPolicy;
  /** @internal */
  readonly transport: Transport;

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

  /** Rejects what waits for the server, and what comes; closes all connections. */
  close(): void {
    this.transport.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}
