import type { CallOptions } from '@outlast/core-retry';
import { callable, duration, invalidOption } from '@outlast/core-retry/connector';
import type { AxiosRequestConfig, AxiosResponse, InternalAxiosRequestConfig } from 'axios';

/** What one request may say under its key `retry`: any option of the policy, narrowed, and its own. */
export interface RequestRetryOptions
  extends Omit<CallOptions<AxiosResponse>, 'resolve' | 'stop' | 'signal'> {
  /** How long it waits while the server cannot be reached, in milliseconds. */
  readonly waitMs?: number;
  /**
   * Makes the body anew for each attempt, instead of `data`: a stream can be sent only once. A stream, a buffer or
   * a string, or a promise of one: what axios would make of it (JSON, a form, headers) has been done by then.
   */
  readonly data?: () => unknown;
}

/** A request's config, with ours. `retry: false` is plain axios, for this request. */
export interface RetryRequestConfig<D = unknown> extends AxiosRequestConfig<D> {
  readonly retry?: RequestRetryOptions | false;
}

/** What a request says of itself. */
export interface RequestFacts {
  readonly call: CallOptions<AxiosResponse>;
  readonly waitMs: number | undefined;
  readonly data: (() => unknown) | undefined;
}

const NO_FACTS: RequestFacts = Object.freeze({ call: {}, waitMs: undefined, data: undefined });
const waiting = duration({ infinite: true });

/** @throws OptionError naming the option, the value and what is valid */
export function factsOf(config: InternalAxiosRequestConfig): RequestFacts {
  const { retry } = config as RetryRequestConfig;
  if (retry === undefined) return NO_FACTS;
  if (retry === false) return NO_FACTS;
  if (typeof retry !== 'object' || retry === null || Array.isArray(retry)) {
    throw invalidOption('retry', retry, 'an object of options, or false');
  }
  const { waitMs, data, ...call } = retry;
  checkWait(waitMs);
  if (data !== undefined && callable(data) !== undefined) {
    throw invalidOption('retry.data', data, 'a function that returns the body');
  }
  return { call, waitMs, data };
}

/** @throws OptionError for what is no `retry.waitMs` */
export function checkWait(waitMs: unknown): void {
  const valid = waitMs === undefined ? undefined : waiting(waitMs);
  if (valid !== undefined) throw invalidOption('retry.waitMs', waitMs, valid);
}

// RFC 9110, 9.2.2; QUERY by its own draft. What they do twice, they do once.
const IDEMPOTENT: ReadonlySet<string> = new Set([
  'get',
  'head',
  'options',
  'put',
  'delete',
  'trace',
  'query',
]);

/** Headers under which a server answers a repeated request as the first one. */
export const IDEMPOTENCY_HEADERS: readonly string[] = Object.freeze([
  'idempotency-key',
  'x-idempotency-key',
]);

/** Whether it may run twice, as its method and its headers say. */
export function isIdempotent(config: InternalAxiosRequestConfig): boolean {
  if (IDEMPOTENT.has((config.method ?? 'get').toLowerCase())) return true;
  const { headers } = config;
  return IDEMPOTENCY_HEADERS.some((name) => {
    const value: unknown = headers?.get?.(name);
    return value !== undefined && value !== null && value !== '';
  });
}

/** Whether the body is gone once it has been sent. */
export function isConsumed(data: unknown): boolean {
  if (typeof data !== 'object' || data === null) return false;
  const it = data as { pipe?: unknown; getReader?: unknown };
  return typeof it.pipe === 'function' || typeof it.getReader === 'function';
}
