import type { Clock } from './clock.js';

// Milliseconds after the service came back at which the first new connections may be opened. The
// connection that found it is there already; after the last of these there is no limit any more.
// A server that comes up for 200 ms a second is dialled at most six times a second.
const SCHEDULE_MS: readonly number[] = [20, 80, 200, 450, 800];

/** Staggers the connections that are opened right after an outage, so that waiters are no storm. */
export class SlowStart {
  private readonly clock: Clock;
  private since = -Infinity;
  private opened: number = SCHEDULE_MS.length;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  begin(): void {
    this.since = this.clock.now();
    this.opened = 0;
  }

  /** Milliseconds until a connection may be opened; 0 means now, and counts it as opened. */
  admit(): number {
    const at = SCHEDULE_MS[this.opened];
    if (at === undefined) return 0;
    const wait = this.since + at - this.clock.now();
    if (wait > 0) return wait;
    this.opened += 1;
    return 0;
  }
}
