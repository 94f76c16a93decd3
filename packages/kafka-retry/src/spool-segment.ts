import type { FileHandle } from 'node:fs/promises';
import { FRAME_HEADER, frameOf, isSound, MAGIC, scan, sizeAt } from './spool-frames.js';

/** Opens files; in tests, files that fail. */
export type OpenFile = (path: string, flags: string, mode?: number) => Promise<FileHandle>;

const READ_BYTES = 256 * 1024;

/** One file of the spool: frames, one behind the other, numbered from `first`. */
export class Segment {
  readonly path: string;
  /** The number of its first record. */
  readonly first: number;
  /** How many records are whole and durable in it. */
  count = 0;
  /** Up to where its bytes count. */
  end: number = MAGIC.length;
  /** Open only while it is written to or read: a full spool has many files. */
  private handle: FileHandle | undefined;
  private readonly open: OpenFile;
  private readonly sync: boolean;
  /** Whether bytes stand behind `end`: of an append that failed, or that a crash cut short. */
  torn = false;
  private places: number[] = [];

  private constructor(open: OpenFile, path: string, first: number, sync: boolean) {
    this.open = open;
    this.path = path;
    this.first = first;
    this.sync = sync;
  }

  /** The number behind its last record's. */
  get next(): number {
    return this.first + this.count;
  }

  static async create(
    open: OpenFile,
    path: string,
    first: number,
    sync: boolean,
  ): Promise<Segment> {
    const segment = new Segment(open, path, first, sync);
    segment.handle = await open(path, 'wx+', 0o600);
    try {
      await segment.write([MAGIC], 0);
    } catch (error) {
      await segment.close();
      throw error;
    }
    return segment;
  }

  /** Takes up a file that another process has left, torn at its end or not. */
  static async recover(
    open: OpenFile,
    path: string,
    first: number,
    sync: boolean,
  ): Promise<Segment> {
    const segment = new Segment(open, path, first, sync);
    const handle = await segment.file();
    const bytes = await handle.readFile();
    if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) {
      // It was not even begun.
      await handle.truncate(0);
      await segment.write([MAGIC], 0);
      return segment;
    }
    const { places, end } = scan(bytes);
    segment.places = places;
    segment.count = places.length;
    segment.end = end;
    segment.torn = end < bytes.length;
    return segment;
  }

  /**
   * Resolves when all of them are written, and on the disk if that is asked for.
   *
   * @throws the system's error; then none of them is there
   */
  async append(payloads: readonly Buffer[]): Promise<void> {
    if (this.torn) await this.cut();
    const frames = payloads.map(frameOf);
    try {
      await this.write(frames, this.end);
    } catch (error) {
      this.torn = true;
      await this.cut().catch(() => {});
      throw error;
    }
    for (const frame of frames) {
      this.places.push(this.end);
      this.end += frame.length;
    }
    this.count += frames.length;
  }

  /**
   * The payload of a record, and of those that follow, as they come in one read; at least one. Undefined stands
   * for one whose bytes have changed since they were written: it keeps its number.
   */
  async read(number: number): Promise<(Buffer | undefined)[]> {
    const index = number - this.first;
    const from = this.places[index] as number;
    if (from < 0) return [undefined];
    const bytes = await this.bytes(from, Math.min(READ_BYTES, this.end - from));
    const found: (Buffer | undefined)[] = [];
    for (const place of this.places.slice(index)) {
      const at = place - from;
      const size = place < 0 ? undefined : sizeAt(bytes, at);
      if (size === undefined) break;
      found.push(payloadAt(bytes, at, size));
    }
    if (found.length > 0) return found;
    // It is longer than what is read at once.
    const size = Math.min(FRAME_HEADER + bytes.readUInt32BE(0), this.end - from);
    return [payloadAt(await this.bytes(from, size), 0, size)];
  }

  /** Gives its file back; it is opened again when it is needed. */
  async close(): Promise<void> {
    const { handle } = this;
    this.handle = undefined;
    await handle?.close();
  }

  private async file(): Promise<FileHandle> {
    this.handle ??= await this.open(this.path, 'r+');
    return this.handle;
  }

  private async cut(): Promise<void> {
    const handle = await this.file();
    await handle.truncate(this.end);
    if (this.sync) await handle.datasync();
    this.torn = false;
  }

  private async write(pieces: readonly Buffer[], at: number): Promise<void> {
    const handle = await this.file();
    const bytes = pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces);
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, at + done);
      done += bytesWritten;
    }
    if (this.sync) await handle.datasync();
  }

  private async bytes(from: number, length: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafe(length);
    let done = 0;
    while (done < length) {
      // Asked for each time: the writer may have given it back.
      const handle = await this.file();
      const { bytesRead } = await handle.read(buffer, done, length - done, from + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return buffer.subarray(0, done);
  }
}

function payloadAt(bytes: Buffer, at: number, size: number): Buffer | undefined {
  if (!isSound(bytes, at, size)) return undefined;
  return Buffer.from(bytes.subarray(at + FRAME_HEADER, at + size));
}
