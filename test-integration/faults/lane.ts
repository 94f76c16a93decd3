import type { Socket } from 'node:net';

/** Bytes that may wait in a lane before its source is asked to pause. */
const HIGH_WATER = 1_048_576;

interface Item {
  /** Without bytes: the end of the stream. */
  chunk?: Buffer;
  /** On `performance.now()`'s scale. */
  due: number;
  inspected: boolean;
}

/** What a lane hands its bytes to, in order, once their time has come. */
export interface LaneEnd {
  /** `inspected`: these bytes were put back and are not to be matched again. */
  deliver(chunk: Buffer, inspected: boolean): void;
  finish(): void;
}

/** One direction of a connection: a queue that can be slowed and frozen; order is kept whatever happens. */
export class Lane {
  /** Bytes that came in, delivered or not. */
  bytes = 0;
  /** How late a chunk is delivered, ms. */
  delayMs = 0;
  readonly #source: Socket;
  readonly #sink: Socket;
  readonly #end: LaneEnd;
  readonly #queue: Item[] = [];
  #queued = 0;
  #frozen = false;
  #dropping = false;
  #spoilt = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(source: Socket, sink: Socket, end: LaneEnd) {
    this.#source = source;
    this.#sink = sink;
    this.#end = end;
    source.on('data', (chunk: Buffer) => this.#push(chunk));
    source.on('end', () => this.#push());
    sink.on('drain', () => this.#press());
  }

  /** Nothing is delivered until `thaw`; what comes in is kept, or lost with `drop`. */
  freeze(drop: boolean): void {
    this.#frozen = true;
    this.#dropping = drop;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Delivers what was kept. A lane that lost bytes stays silent, for a stream with a hole in it is no stream. */
  thaw(): void {
    this.#frozen = false;
    this.#dropping = false;
    this.#drain();
  }

  /** Puts `chunk` back in front, to be delivered `ms` from now; what comes later waits behind it. */
  stall(chunk: Buffer, ms: number): void {
    this.#queue.unshift({ chunk, due: performance.now() + ms, inspected: true });
    this.#queued += chunk.length;
    this.#drain();
  }

  /** Forgets everything that waits. */
  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#queue.length = 0;
    this.#queued = 0;
  }

  #push(chunk?: Buffer): void {
    if (chunk) {
      this.bytes += chunk.length;
      if (this.#dropping) this.#spoilt = true;
      if (this.#spoilt) return;
      this.#queued += chunk.length;
    }
    const due = Math.max(performance.now() + this.delayMs, this.#queue.at(-1)?.due ?? 0);
    this.#queue.push({ ...(chunk && { chunk }), due, inspected: false });
    this.#drain();
  }

  #drain(): void {
    if (this.#timer) return;
    while (!this.#frozen || this.#spoilt) {
      const item = this.#queue[0];
      if (!item) break;
      const wait = item.due - performance.now();
      if (wait > 0) {
        this.#timer = setTimeout(() => {
          this.#timer = undefined;
          this.#drain();
        }, Math.ceil(wait));
        break;
      }
      this.#queue.shift();
      this.#queued -= item.chunk?.length ?? 0;
      if (item.chunk) this.#end.deliver(item.chunk, item.inspected);
      else this.#end.finish();
      // the fault that `deliver` ran into may have stalled the lane
      if (this.#timer) break;
    }
    this.#press();
  }

  #press(): void {
    const waiting = this.#queued + (this.#sink.destroyed ? 0 : this.#sink.writableLength);
    if (waiting > HIGH_WATER) this.#source.pause();
    else if (this.#source.isPaused()) this.#source.resume();
  }
}
