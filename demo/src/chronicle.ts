import { setTimeout as sleep } from 'node:timers/promises';

/** `outage`: the server could answer nobody; `storm`: it went on for a while; `blow`: a moment. */
export type FaultClass = 'outage' | 'storm' | 'blow';

/** A fault as it happened, in ms since the load began. */
export interface FaultEvent {
  readonly kind: FaultClass;
  readonly label: string;
  readonly at: number;
  /** Undefined while it lasts. */
  until?: number;
  /** What it did, known when it is over. */
  note?: string;
}

/** The clock of a run, and what was done to the server on it. */
export class Chronicle {
  readonly events: FaultEvent[] = [];
  readonly #start: number = performance.now();

  /** Ms since the run began. */
  now(): number {
    return performance.now() - this.#start;
  }

  /** Waits until `ms` of the run have passed. */
  async until(ms: number): Promise<void> {
    const left = ms - this.now();
    if (left > 0) await sleep(left);
  }

  /** Does something to the server and notes when it began and ended; what `act` returns is the note. */
  async during(
    kind: FaultClass,
    label: string,
    act: () => Promise<string | undefined>,
  ): Promise<void> {
    const event: FaultEvent = { kind, label, at: this.now() };
    this.events.push(event);
    try {
      const note = await act();
      if (note !== undefined) event.note = note;
    } finally {
      event.until = this.now();
    }
  }

  /** The longest time for which the server could answer nobody, ms. */
  get longestOutageMs(): number {
    const outages = this.events.filter(({ kind }) => kind === 'outage');
    return Math.max(0, ...outages.map(({ at, until = at }) => until - at));
  }
}
