import { type Clock, isClosedError, type Timer } from '@outlast/core-retry';
import {
  abortSignal,
  callable,
  checkOptions,
  duration,
  flag,
  invalidOption,
  onAbort,
} from '@outlast/core-retry/connector';
import { FETCH_OPTIONS, type FetchedModel, type FetchOptions } from './fetch-model-options.js';
import { parseModelUri } from './model-uri.js';

/** Options of `watchModel()`. */
export interface WatchOptions extends FetchOptions {
  /** How long between two looks, in milliseconds, ±10 %. Default 60 000. */
  readonly intervalMs?: number;
  /** What a look failed with, and what `onChange` threw. The watch goes on. Default: nothing is told. */
  readonly onError?: (error: unknown) => void;
  /** Whether the process may end while only the watch is left. Default false. */
  readonly unref?: boolean;
}

/** Called once for each model that the URI comes to stand for, when it is complete on this disk. */
export type ModelListener = (
  model: FetchedModel,
  previous: FetchedModel | undefined,
) => void | PromiseLike<void>;

/** A watch that is under way. */
export interface ModelWatch {
  /** Ends it; a fetch that is under way is called off. `onChange` is not called any more. */
  close(): void;
}

interface WatchSetup {
  readonly options: WatchOptions;
  readonly clock: Clock;
  readonly random: () => number;
  /** Aborts when the client is closed: nothing may keep the process alive then. */
  readonly closing: AbortSignal;
}

const JITTER = 0.1;
const KNOWN = {
  ...FETCH_OPTIONS,
  signal: abortSignal,
  intervalMs: duration({ min: 1 }),
  onError: callable,
  unref: flag,
};

/**
 * Looks at once, and then again and again, what a URI stands for, and fetches it where that changed. While a
 * look takes place no other begins.
 *
 * @param fetch fetches the model of the URI
 * @throws OptionError naming the option, the value and what is valid
 */
export function watchModel(
  fetch: (options: FetchOptions) => Promise<FetchedModel>,
  uri: string,
  onChange: ModelListener,
  setup: WatchSetup,
): ModelWatch {
  parseModelUri(uri);
  if (typeof onChange !== 'function') throw invalidOption('onChange', onChange, 'a function');
  checkOptions('', setup.options, KNOWN);
  return new Watch(fetch, onChange, setup);
}

class Watch implements ModelWatch {
  readonly #fetch: (options: FetchOptions) => Promise<FetchedModel>;
  readonly #onChange: ModelListener;
  readonly #options: WatchOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #controller = new AbortController();
  readonly #offs: readonly (() => void)[];
  #previous: FetchedModel | undefined;
  #timer: Timer | undefined;

  constructor(
    fetch: (options: FetchOptions) => Promise<FetchedModel>,
    onChange: ModelListener,
    { options, clock, random, closing }: WatchSetup,
  ) {
    this.#fetch = fetch;
    this.#onChange = onChange;
    this.#options = options;
    this.#clock = clock;
    this.#random = random;
    const signals = [closing, ...(options.signal ? [options.signal] : [])];
    const close = (): void => this.close();
    this.#offs = signals.map((signal) => onAbort(signal, close));
    if (signals.some(({ aborted }) => aborted)) this.close();
    void this.#look();
  }

  close(): void {
    this.#timer?.cancel();
    for (const off of this.#offs) off();
    this.#controller.abort();
  }

  async #look(): Promise<void> {
    const { signal } = this.#controller;
    if (signal.aborted) return;
    const { intervalMs = 60_000, onError, unref = false, ...fetch } = this.#options;
    try {
      const model = await this.#fetch({ ...fetch, signal });
      if (signal.aborted) return;
      const previous = this.#previous;
      if (model.path !== previous?.path) {
        this.#previous = model;
        await this.#onChange(model, previous);
      }
    } catch (error) {
      if (signal.aborted) return;
      // The client was closed: nothing will come any more.
      if (isClosedError(error)) this.close();
      try {
        onError?.(error);
      } catch {
        // A hook that throws changes nothing.
      }
    }
    if (signal.aborted) return;
    const ms = intervalMs * (1 - JITTER + 2 * JITTER * this.#random());
    this.#timer = this.#clock.setTimeout(() => void this.#look(), ms, { unref });
  }
}
