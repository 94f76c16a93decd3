import { checkOptions, type Known } from '@outlast/core-retry/connector';
import { type GraceOptions, graceOf } from './consumer-options.js';

/** What can be shut down: a `Kafka` with all its clients, or one consumer. */
export interface Stoppable {
  shutdown(options?: GraceOptions): Promise<void>;
}

/** Options of `shutdownOnSignal()`. */
export interface SignalOptions extends GraceOptions {
  /** Default: SIGTERM and SIGINT. */
  readonly signals?: readonly NodeJS.Signals[];
}

const KNOWN: Known<SignalOptions> = {
  graceMs: undefined,
  signals: (value) =>
    Array.isArray(value) && value.every((one) => /^SIG[A-Z0-9]+$/.test(String(one)))
      ? undefined
      : "a list of signals, such as ['SIGTERM']",
};

/**
 * At the first of the signals shuts it down, then lets the process end as the signal would have ended it; a second
 * signal ends it at once. Where somebody else listens to the signal too, the process is theirs to end.
 *
 * @returns how to listen no more
 * @throws OptionError naming the option, the value and what is valid
 */
export function shutdownOnSignal(target: Stoppable, options: SignalOptions = {}): () => void {
  checkOptions('', options, KNOWN);
  const graceMs = graceOf(options);
  const signals = options.signals ?? ['SIGTERM', 'SIGINT'];
  const off = (): void => {
    for (const signal of signals) process.off(signal, handle);
  };
  const handle = (signal: NodeJS.Signals): void => {
    off();
    const end = (): void => {
      if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
    };
    target.shutdown({ graceMs }).then(end, end);
  };
  for (const signal of signals) process.on(signal, handle);
  return off;
}
