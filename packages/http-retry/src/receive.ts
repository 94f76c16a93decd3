import type { Readable } from 'node:stream';
import type { Clock, Timer } from '@outlast/core-retry';
import { onAbort } from '@outlast/core-retry/connector';
import { IncompleteBodyError, WrongSizeError } from './errors.js';
import type { Partial } from './partial.js';
import { Sink } from './sink.js';

export interface Receiving {
  readonly partial: Partial;
  /** What the body begins with, as it is here already; compared, not written. */
  readonly overlap: Buffer;
  /** How long the file must be in the end, if anybody has said so. */
  readonly total: number | undefined;
  readonly idleTimeoutMs: number;
  /** Until the first byte. */
  readonly firstByteMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Told of each piece of the body that was taken. */
  readonly onBytes: (received: number) => void;
}

/** What comes differs from what is here: `false`; the rest has arrived: `true`. */
export type Received = boolean;

/**
 * Takes a body to disk, hashing on the way. It ends with the body's end, with its error, with silence, or
 * with the signal; whatever has arrived by then is written.
 */
export function receive(body: Readable, how: Receiving): Promise<Received> {
  return new Promise((resolve, reject) => {
    const { partial, clock, total } = how;
    let { overlap } = how;
    let heardAt = clock.now();
    let limitMs = how.firstByteMs;
    let timer: Timer | undefined;
    let ended = false;

    const finish = (settle: () => void): void => {
      if (ended) return;
      ended = true;
      timer?.cancel();
      unwatch();
      body.destroy();
      // What has arrived is written before anybody counts it. If it cannot be, nobody knows what is there.
      sink.end().then(settle, (error: unknown) => partial.spoilt().then(() => reject(error)));
    };
    const fail = (error: unknown): void => finish(() => reject(error));
    const unwatch = onAbort(how.signal, fail);
    const watch = (): void => {
      const left = heardAt + limitMs - clock.now();
      if (left > 0 || body.isPaused()) timer = clock.setTimeout(watch, Math.max(left, 100));
      else fail(silence(limitMs));
    };

    const sink = new Sink(partial.handle, partial.bytes, {
      onRoom() {
        heardAt = clock.now();
        body.resume();
      },
      onError: fail,
    });
    body.on('error', fail);
    body.on('close', () => fail(new IncompleteBodyError(partial.bytes, total)));
    body.on('end', () => {
      if (overlap.length > 0) return finish(() => resolve(false));
      if (total !== undefined && partial.bytes < total) {
        return fail(new IncompleteBodyError(partial.bytes, total));
      }
      finish(() => resolve(true));
    });
    body.on('data', (piece: Buffer) => {
      if (ended) return;
      heardAt = clock.now();
      if (limitMs !== how.idleTimeoutMs) {
        limitMs = how.idleTimeoutMs;
        timer?.cancel();
        timer = clock.setTimeout(watch, limitMs);
      }
      let rest = piece;
      if (overlap.length > 0) {
        const length = Math.min(overlap.length, rest.length);
        if (!rest.subarray(0, length).equals(overlap.subarray(0, length))) {
          return finish(() => resolve(false));
        }
        overlap = overlap.subarray(length);
        rest = rest.subarray(length);
      }
      if (total !== undefined && partial.bytes + rest.length > total) {
        return fail(new WrongSizeError(partial.bytes + rest.length, total));
      }
      if (rest.length > 0) {
        partial.appended(rest);
        if (!sink.write(rest)) body.pause();
      }
      how.onBytes(piece.length);
    });
    if (how.signal.aborted) fail(how.signal.reason);
    else timer = clock.setTimeout(watch, limitMs);
  });
}

/** As the system says it of a connection that is silent. */
export function silence(ms: number): Error {
  return Object.assign(new Error(`No byte came for ${ms} ms.`), { code: 'ETIMEDOUT' });
}
