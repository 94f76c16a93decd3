import {
  mkdir,
  open as openFile,
  readdir,
  readFile,
  rename,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { SpoolFullError } from './errors.js';
import { FRAME_HEADER } from './spool-frames.js';
import { lockSpool } from './spool-lock.js';
import { type OpenFile, Segment } from './spool-segment.js';

/** Where a spool is, and how much it may hold. */
export interface SpoolFiles {
  readonly directory: string;
  readonly maxBytes: number;
  /** Whether a record is on the disk, and not only with the system, before it counts as durable. */
  readonly sync: boolean;
  /** What one file holds at most. Default: an eighth of `maxBytes`, from 64 KiB to 8 MiB. */
  readonly segmentBytes?: number;
  readonly open?: OpenFile;
}

/** One record: a number, counting up, and what was given to be kept. */
export interface Spooled {
  readonly number: number;
  readonly payload: Buffer;
}

interface Append {
  readonly payload: Buffer;
  readonly resolve: (number: number) => void;
  readonly reject: (error: unknown) => void;
}

const NAME = /^(\d{16})\.spool$/;
const LEAST_SEGMENT = 64 * 1024;
const MOST_SEGMENT = 8 * 1024 * 1024;
const MOST_AT_ONCE = 4 * 1024 * 1024;

/**
 * Records in files of one folder, in order: appended (those that come while the disk is busy go together), read
 * once, and struck off when they are done with. What was not struck off is there again after a crash.
 */
export class Spool {
  /** Bytes of all its files. */
  bytes = 0;
  /** Records whose bytes had changed since they were written. */
  damaged = 0;
  private readonly files: Required<SpoolFiles>;
  private readonly unlock: () => Promise<void>;
  private readonly segments: Segment[] = [];
  private readonly queue: Append[] = [];
  private queuedBytes = 0;
  private flushing: Promise<void> | undefined;
  /** The number of the record that is read next. */
  private cursor = 0;
  /** All before it are done with. */
  private low = 0;
  private readonly done = new Set<number>();
  private noted = -1;
  private noting: Promise<void> | undefined;
  private idle: (() => void)[] = [];

  private constructor(files: Required<SpoolFiles>, unlock: () => Promise<void>) {
    this.files = files;
    this.unlock = unlock;
  }

  /** @throws SpoolLockedError; the system's errors */
  static async open(given: SpoolFiles): Promise<Spool> {
    const eighth = Math.floor(given.maxBytes / 8);
    const files = {
      open: openFile as OpenFile,
      segmentBytes: Math.min(MOST_SEGMENT, Math.max(LEAST_SEGMENT, eighth)),
      ...given,
    };
    await mkdir(files.directory, { recursive: true, mode: 0o700 });
    const unlock = await lockSpool(files.directory);
    const spool = new Spool(files, unlock);
    try {
      await spool.recover();
    } catch (error) {
      await unlock();
      throw error;
    }
    return spool;
  }

  /** Whether everything in it has been read, and nothing is being written. */
  get isRead(): boolean {
    return this.queue.length === 0 && this.flushing === undefined && this.cursor === this.next;
  }

  /** Whether everything in it is done with. */
  get isEmpty(): boolean {
    return this.queue.length === 0 && this.flushing === undefined && this.low === this.next;
  }

  /** Records that are not done with. */
  get size(): number {
    return this.next - this.low - this.done.size;
  }

  /** Whether a record of this size may be appended. */
  hasRoom(payloadBytes: number): boolean {
    const wanted = this.bytes + this.queuedBytes + payloadBytes + FRAME_HEADER;
    return wanted <= this.files.maxBytes;
  }

  /**
   * Resolves with its number when it is durable.
   *
   * @throws SpoolFullError, the system's error as its cause if the disk is full
   */
  append(payload: Buffer): Promise<number> {
    return new Promise((resolve, reject) => {
      this.queue.push({ payload, resolve, reject });
      this.queuedBytes += payload.length + FRAME_HEADER;
      this.beginFlushing();
    });
  }

  /** The next records, in order, that have not been read yet; none if there is none. See {@link isRead}. */
  async read(): Promise<Spooled[]> {
    const segment = this.segments.find(({ next }) => next > this.cursor);
    if (segment === undefined) return [];
    const first = Math.max(this.cursor, segment.first);
    let payloads: (Buffer | undefined)[];
    try {
      payloads = await segment.read(first);
    } catch (error) {
      // All of it has been struck off meanwhile, and its file is gone.
      if (!this.segments.includes(segment)) return [];
      throw error;
    }
    this.cursor = Math.max(this.cursor, first + payloads.length);
    if (this.cursor === segment.next && segment !== this.segments.at(-1)) await segment.close();
    return payloads.flatMap((payload, i) => {
      if (payload !== undefined) return [{ number: first + i, payload }];
      this.damaged += 1;
      this.strikeOff(first + i);
      return [];
    });
  }

  /** Whether it has been struck off. */
  isDone(number: number): boolean {
    return number < this.low || this.done.has(number);
  }

  /** It is done with: it will not be there again. */
  strikeOff(number: number): void {
    if (number < this.low) return;
    this.done.add(number);
    while (this.done.delete(this.low)) this.low += 1;
    this.cursor = Math.max(this.cursor, this.low);
    this.beginTidying();
  }

  /** Resolves when everything in it is done with. */
  async emptied(): Promise<void> {
    while (!this.isEmpty || this.noting !== undefined)
      await new Promise<void>((resolve) => this.idle.push(resolve));
  }

  /** Resolves when what has been appended by now is written, or could not be. */
  async written(): Promise<void> {
    while (this.flushing !== undefined) await this.flushing;
  }

  /** Resolves when the files in which nothing is left are gone. */
  async tidied(): Promise<void> {
    while (this.noting !== undefined) await this.noting;
  }

  /** Resolves when what is being written is, and the folder is given back. */
  async close(): Promise<void> {
    while (this.flushing !== undefined || this.noting !== undefined) {
      await Promise.all([this.flushing, this.noting]);
    }
    await this.tidy().catch(() => {});
    for (const segment of this.segments) await segment.close().catch(() => {});
    await this.unlock();
  }

  private get next(): number {
    return this.segments.at(-1)?.next ?? this.low;
  }

  private async recover(): Promise<void> {
    const { directory, open, sync } = this.files;
    const names = (await readdir(directory)).filter((name) => NAME.test(name)).sort();
    for (const name of names) {
      const first = Number(NAME.exec(name)?.[1]);
      const segment = await Segment.recover(open, join(directory, name), first, sync);
      const before = this.segments.at(-1);
      if (before !== undefined && before.next < first) this.miss(before.next, first);
      await before?.close();
      this.segments.push(segment);
      this.bytes += segment.end;
    }
    const start = this.segments[0]?.first ?? 0;
    const noted = await readFile(join(directory, 'done'), 'utf8').catch(() => '');
    const low = /^\d+$/.test(noted) ? Number(noted) : 0;
    this.low = Math.max(start, this.segments.length === 0 ? low : Math.min(low, this.next));
    while (this.done.delete(this.low)) this.low += 1;
    this.cursor = this.low;
    this.noted = this.low;
    await this.tidy();
  }

  /** Records that cannot be found in a file any more, for its bytes have changed. */
  private miss(from: number, to: number): void {
    this.damaged += to - from;
    for (let number = from; number < to; number++) this.done.add(number);
  }

  private async flush(): Promise<void> {
    // What is given in the same turn is written together.
    await Promise.resolve();
    while (this.queue.length > 0) {
      const batch: Append[] = [];
      for (let bytes = 0; this.queue.length > 0 && bytes < MOST_AT_ONCE; ) {
        const one = this.queue.shift() as Append;
        batch.push(one);
        bytes += one.payload.length;
        this.queuedBytes -= one.payload.length + FRAME_HEADER;
      }
      try {
        const segment = await this.tail();
        const before = segment.end;
        const first = segment.next;
        await segment.append(batch.map(({ payload }) => payload));
        this.bytes += segment.end - before;
        for (const [i, { resolve }] of batch.entries()) resolve(first + i);
      } catch (error) {
        const why = (error as NodeJS.ErrnoException).code ?? 'its file could not be written';
        for (const { reject } of batch) reject(new SpoolFullError(why, { cause: error }));
      }
    }
  }

  private async tail(): Promise<Segment> {
    const last = this.segments.at(-1);
    if (last !== undefined && last.end < this.files.segmentBytes) return last;
    const { directory, open, sync } = this.files;
    const first = this.next;
    const path = join(directory, `${String(first).padStart(16, '0')}.spool`);
    const segment = await Segment.create(open, path, first, sync).catch(async (error: unknown) => {
      await unlink(path).catch(() => {});
      throw error;
    });
    if (sync) await syncFolder(open, directory);
    await last?.close();
    this.segments.push(segment);
    this.bytes += segment.end;
    return segment;
  }

  /** Notes how far everything is done with, and removes files in which nothing is left. */
  private async tidy(): Promise<void> {
    while (this.noted < this.low) {
      const { directory } = this.files;
      const { low } = this;
      // Only a hint: without it some would be published again, under the same message ids.
      const draft = join(directory, 'done.new');
      await writeFile(draft, String(low), { mode: 0o600 })
        .then(() => rename(draft, join(directory, 'done')))
        .catch(() => {});
      this.noted = low;
    }
    for (;;) {
      const [first] = this.segments;
      if (first === undefined || first.next > this.low || first.count === 0) return;
      // The last one is still written to, unless all of it is done with.
      if (this.segments.length === 1 && !this.isEmpty) return;
      this.segments.shift();
      this.bytes -= first.end;
      await first.close().catch(() => {});
      await unlink(first.path).catch(() => {});
    }
  }

  private beginFlushing(): void {
    this.flushing ??= this.flush().finally(() => {
      this.flushing = undefined;
      // Whoever was told that his record is written may have appended the next at once.
      if (this.queue.length > 0) this.beginFlushing();
      else this.tell();
    });
  }

  private beginTidying(): void {
    this.noting ??= this.tidy().finally(() => {
      this.noting = undefined;
      if (this.noted < this.low) this.beginTidying();
      else this.tell();
    });
  }

  private tell(): void {
    for (const tell of this.idle.splice(0)) tell();
  }
}

async function syncFolder(open: OpenFile, directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
