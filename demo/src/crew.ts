import { setTimeout as sleep } from 'node:timers/promises';
import { seeded } from './random.js';
import { within } from './within.js';

export interface CrewOptions {
  readonly workers: number;
  /** Same seed, same work. */
  readonly seed: number;
  /** The pause between two operations, [from, to) ms. */
  readonly thinkMs: readonly [number, number];
  /** One operation of worker `n`. Must not reject. */
  readonly work: (worker: number, random: () => number) => Promise<unknown>;
}

/** Workers that do one operation after the other until they are told to go home. */
export class Crew {
  readonly #done: Promise<unknown>;
  #stopped = false;

  constructor(options: CrewOptions) {
    this.#done = Promise.all(
      Array.from({ length: options.workers }, (_, n) => this.#labour(n, options)),
    );
    // whoever asks by `home` hears of it; until then it must not end the process
    this.#done.catch(() => {});
  }

  /** Begins nothing new; true when all are home within `ms`. */
  home(ms: number): Promise<boolean> {
    this.#stopped = true;
    return within(this.#done, ms);
  }

  async #labour(n: number, { seed, thinkMs, work }: CrewOptions): Promise<void> {
    const random = seeded(seed + n * 7919);
    const [from, to] = thinkMs;
    while (!this.#stopped) {
      await work(n, random);
      await sleep(from + random() * (to - from));
    }
  }
}
