import { abortSignal, duration, invalidOption } from '@outlast/core-retry/connector';

/** What may ride in a `send`, beside kafkajs' own keys. */
export interface SendBounds {
  /** Aborts it, with the signal's reason: what has not been sent is not, the rest is unknown. */
  readonly signal?: AbortSignal;
  /** Bound on everything, in milliseconds; the shorter of this and the producer's counts. */
  readonly totalTimeoutMs?: number;
}

const total = duration({ min: 1, infinite: true });

/** @throws OptionError naming the option, the value and what is valid */
export function checkBounds({ signal, totalTimeoutMs }: SendBounds): void {
  if (totalTimeoutMs !== undefined) {
    const valid = total(totalTimeoutMs);
    if (valid !== undefined) throw invalidOption('send.totalTimeoutMs', totalTimeoutMs, valid);
  }
  if (signal !== undefined) {
    const valid = abortSignal(signal);
    if (valid !== undefined) throw invalidOption('send.signal', signal, valid);
  }
}
