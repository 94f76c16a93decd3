import {
  type Check,
  callable,
  checkOptions,
  duration,
  invalidOption,
  type Known,
} from '@outlast/core-retry/connector';
import type { Notification } from 'pg';

/** Called with each notification; its payload is '' if it has none. */
export type ListenHandler = (payload: string, notification: Notification) => unknown;

/** What may have been missed. */
export interface ListenGap {
  readonly channel: string;
  /** From the loss of the connection until the server listened again, in milliseconds. */
  readonly downMs: number;
}

/** Options of `pool.listen()`. */
export interface ListenOptions {
  /** Called once after each loss, as soon as the server listens again: read what may have been missed. */
  readonly onGap?: (gap: ListenGap) => unknown;
  /**
   * Told what `fn` and `onGap` throw, and why the server refuses to listen again; it is then asked again
   * all the same. Default: a warning of the process, once a subscription.
   */
  readonly onError?: (error: unknown) => unknown;
  /**
   * How long the shared connection may be left alone before it is asked whether it lives, in
   * milliseconds; the smallest of all subscriptions counts. Its answer may take as long again, 5000 at
   * most. Default 10 000; Infinity never asks.
   */
  readonly keepAliveMs?: number;
}

/** What `pool.listen()` resolves with. */
export interface Subscription {
  /** Ends it: `fn` is not called any more. With the last one the connection is closed. Never rejects. */
  close(): Promise<void>;
}

export const KEEP_ALIVE_MS = 10_000;

const MAX_CHANNEL_BYTES = 63;

const KNOWN: Known<ListenOptions> = {
  onGap: callable,
  onError: callable,
  keepAliveMs: duration({ min: 1, infinite: true }),
};

// A longer name would be cut by the server, and its notifications come under the short one.
const isChannel: Check = (value) =>
  typeof value === 'string' &&
  value.length > 0 &&
  !value.includes('\0') &&
  Buffer.byteLength(value) <= MAX_CHANNEL_BYTES
    ? undefined
    : `a text of 1 to ${MAX_CHANNEL_BYTES} bytes without NUL`;

/** @throws OptionError naming the argument or option, the value and what is valid */
export function checkListen(channel: unknown, fn: unknown, options: ListenOptions): void {
  const valid = isChannel(channel);
  if (valid !== undefined) throw invalidOption('listen(channel)', channel, valid);
  if (typeof fn !== 'function') throw invalidOption('listen(channel, fn)', fn, 'a function');
  checkOptions('listen', options, KNOWN);
}
