import {
  abortSignal,
  checkOptions,
  duration,
  flag,
  type Known,
  onAbort,
} from '@outlast/core-retry/connector';
import type { Command, RedisInternals, Sink } from './driver.js';

/** What a command, or several, may have otherwise than their client. */
export interface CommandOptions {
  /** Running it twice is safe (true) or not (false), whatever the table of commands says. */
  readonly idempotent?: boolean;
  /** Aborts the command, which rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Bound on everything, in milliseconds; the shorter of this and the client's counts. */
  readonly totalTimeoutMs?: number;
  /** How long it waits while Redis cannot be reached, in milliseconds. */
  readonly waitMs?: number;
}

/** What a command has otherwise than its client. */
export const NARROWED: unique symbol = Symbol('outlast.narrowed');

declare module './driver.js' {
  interface Command {
    [NARROWED]?: CommandOptions;
  }
}

const KNOWN: Known<CommandOptions> = {
  idempotent: flag,
  signal: abortSignal,
  totalTimeoutMs: duration({ min: 1, infinite: true }),
  waitMs: duration({ infinite: true }),
};

/**
 * The same client, whose commands, pipelines and transactions have these options.
 *
 * @throws OptionError for an unknown key or a bad value
 */
export function narrowed<T extends object>(client: T, options: CommandOptions): T {
  checkOptions('with', options, KNOWN);
  const internals = client as unknown as RedisInternals;
  const frozen = Object.freeze({ ...options });
  return Object.create(client, {
    // All methods of a client make a command and hand it to `this.sendCommand`.
    sendCommand: {
      value(command: Command, ...rest: [Sink?]): unknown {
        command[NARROWED] ??= frozen;
        return internals.sendCommand(command, ...rest);
      },
    },
    // Commands of others must not ride in the same pipeline.
    options: {
      value: Object.create(internals.options, { enableAutoPipelining: { value: false } }),
    },
  }) as T;
}

/** Listens to a command's signal until the command has ended. */
export function watchSignal(command: Command, abort: (reason: unknown) => void): void {
  const signal = command[NARROWED]?.signal;
  if (signal === undefined) return;
  const unwatch = onAbort(signal, abort);
  command.promise.then(unwatch, unwatch);
}
