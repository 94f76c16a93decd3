import { RetryPolicy } from '@outlast/core-retry';
import {
  type ConnectorDefaults,
  type ConnectorRetryOptions,
  connectorOptions,
} from '@outlast/core-retry/connector';
import { classifyHttp } from './classify.js';

const ENV_PREFIXES: readonly string[] = ['HTTP_RETRY'];

/** Three attempts, 2 s to 30 s between them. */
const DEFAULTS: ConnectorDefaults = { maxAttempts: 3, baseDelayMs: 2000, maxDelayMs: 30_000 };

/**
 * Options of a client; durations in milliseconds. Defaults: `maxAttempts` 3, `baseDelayMs` 2000, `maxDelayMs` 30 000,
 * `waitMs` 30 000, a `budget` of its own, `idempotent` by method and headers.
 */
export interface HttpRetryOptions extends ConnectorRetryOptions {}

/** A policy, and how long an operation waits while its server cannot be reached. */
export interface ClientSettings {
  readonly policy: RetryPolicy;
  readonly waitMs: number;
}

/** @throws OptionError naming the option or variable, the value and what is valid */
export function clientSettings(options: HttpRetryOptions | undefined): ClientSettings {
  const { retry, waitMs } = connectorOptions(options, ENV_PREFIXES, DEFAULTS);
  return { policy: new RetryPolicy({ classify: classifyHttp, ...retry }), waitMs };
}

/**
 * A retry policy with the classifier, the environment (`HTTP_RETRY_…`) and the defaults of this package,
 * for what is not wrapped: `fetch`, undici, other clients. `idempotent` is false unless said otherwise.
 *
 * @throws OptionError naming the option or variable, the value and what is valid
 */
export function httpRetry(options?: HttpRetryOptions): RetryPolicy {
  return clientSettings(options).policy;
}
