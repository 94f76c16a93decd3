import type { Clock } from '@outlast/core-retry';
import type { DownloadProgress } from './download-options.js';

const EVERY_MS = 100;

/** Tells how far it is, at most ten times a second. */
export class Progress {
  receivedBytes = 0;
  private readonly clock: Clock;
  private readonly listener: ((progress: DownloadProgress) => void) | undefined;
  private toldAt = -Infinity;

  constructor(clock: Clock, listener: ((progress: DownloadProgress) => void) | undefined) {
    this.clock = clock;
    this.listener = listener;
  }

  /** @param last whether nothing will follow, so that it is told in any case */
  tell(bytes: number, total: number | undefined, resumedBytes: number, last = false): void {
    const { listener, clock, receivedBytes } = this;
    if (listener === undefined) return;
    const now = clock.now();
    if (!last && now - this.toldAt < EVERY_MS) return;
    this.toldAt = now;
    try {
      listener({ bytes, ...(total !== undefined && { total }), resumedBytes, receivedBytes });
    } catch {
      // A listener that throws changes nothing.
    }
  }
}
