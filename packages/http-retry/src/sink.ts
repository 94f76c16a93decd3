import type { FileHandle } from 'node:fs/promises';

// Written in batches of up to so much, while the next one arrives.
const BUFFERED_BYTES = 1 << 20;

export interface SinkListener {
  /** There is room again, after a `write` that said that there is none. */
  onRoom(): void;
  onError(error: unknown): void;
}

/**
 * Writes pieces one after the other, as many at once as have come meanwhile. The file stays open and the
 * caller's: a stream of Node would close it when a write fails.
 */
export class Sink {
  private readonly handle: FileHandle;
  private readonly listener: SinkListener;
  private position: number;
  private queue: Buffer[] = [];
  /** Of bytes, those that are being written included. */
  private pending = 0;
  private full = false;
  private writing: Promise<void> | undefined = undefined;
  private failed: { readonly error: unknown } | undefined = undefined;

  constructor(handle: FileHandle, position: number, listener: SinkListener) {
    this.handle = handle;
    this.position = position;
    this.listener = listener;
  }

  /** @returns false if that is enough until there is room */
  write(piece: Buffer): boolean {
    if (this.failed !== undefined) return false;
    this.queue.push(piece);
    this.pending += piece.length;
    this.full = this.pending >= BUFFERED_BYTES;
    this.writing ??= this.drain();
    return !this.full;
  }

  /** Resolves when all is written; nothing may be written after it. @throws what the first write failed with */
  async end(): Promise<void> {
    await this.writing;
    if (this.failed !== undefined) throw this.failed.error;
  }

  private async drain(): Promise<void> {
    try {
      while (this.queue.length > 0) {
        const pieces = this.queue;
        this.queue = [];
        await this.writeAll(pieces);
        if (this.full && this.pending < BUFFERED_BYTES) {
          this.full = false;
          this.listener.onRoom();
        }
      }
    } catch (error) {
      this.failed = { error };
      this.queue = [];
      this.listener.onError(error);
    }
    this.writing = undefined;
  }

  /** A disk that is nearly full takes less than it is given. */
  private async writeAll(pieces: Buffer[]): Promise<void> {
    let rest = pieces;
    while (rest.length > 0) {
      const { bytesWritten } = await this.handle.writev(rest, this.position);
      this.position += bytesWritten;
      this.pending -= bytesWritten;
      rest = without(rest, bytesWritten);
    }
  }
}

function without(pieces: Buffer[], bytes: number): Buffer[] {
  let left = bytes;
  for (const [index, piece] of pieces.entries()) {
    if (left < piece.length) return [piece.subarray(left), ...pieces.slice(index + 1)];
    left -= piece.length;
  }
  return [];
}
