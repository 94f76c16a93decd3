import type { Clock } from '@outlast/core-retry';
import { onAbort } from '@outlast/core-retry/connector';

/** How long a send may wait. */
export interface Bounds {
  /** Monotonic, in milliseconds. */
  readonly deadline: number;
  readonly signal: AbortSignal | undefined;
}

/** A send that waits for room in the spool. */
interface InLine {
  readonly bounds: Bounds;
  readonly size: number;
  /** What it is refused with when its time is over. */
  readonly full: Error;
  readonly enter: () => void;
  readonly refuse: (error: unknown) => void;
}

interface Place {
  readonly one: InLine;
  readonly stop: () => void;
  over: boolean;
}

/** Sends that wait for room in the spool, in order. */
export class SpoolLine {
  private readonly clock: Clock;
  private places: Place[] = [];

  constructor(clock: Clock) {
    this.clock = clock;
  }

  get length(): number {
    return this.places.length;
  }

  join(one: InLine): void {
    const { clock } = this;
    const { deadline, signal } = one.bounds;
    const leave = (error: unknown): void => this.leave(place, error);
    const timer = clock.setTimeout(() => leave(one.full), deadline - clock.now());
    const unwatch = signal && onAbort(signal, leave);
    const place: Place = {
      one,
      over: false,
      stop: () => {
        timer.cancel();
        unwatch?.();
      },
    };
    this.places.push(place);
  }

  /** There may be room. */
  letIn(hasRoom: (size: number) => boolean): void {
    for (let first = this.places[0]; first !== undefined; first = this.places[0]) {
      if (!first.over && !hasRoom(first.one.size)) return;
      this.places.shift();
      if (first.over) continue;
      first.over = true;
      first.stop();
      first.one.enter();
    }
  }

  /** There will be none. */
  end(error: unknown): void {
    for (const place of this.places.splice(0)) this.leave(place, error);
  }

  private leave(place: Place, error: unknown): void {
    if (place.over) return;
    place.over = true;
    place.stop();
    place.one.refuse(error);
  }
}
