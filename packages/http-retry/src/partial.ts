import { createHash, type Hash, randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import {
  type FileHandle,
  mkdir,
  open,
  readFile,
  rename,
  rm,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Claim, claim } from './claim.js';
import type { Held } from './range.js';

export interface PartialOptions {
  /** Where the file is to be at the end. */
  readonly path: string;
  readonly partialPath: string;
  /** What the bytes are: those of another identity are thrown away. */
  readonly identity: string;
  readonly expectedSize: number | undefined;
  readonly hashed: boolean;
  /** The caller sees to it that nobody else writes here. */
  readonly exclusive: boolean;
}

interface Sidecar {
  readonly version: 1;
  readonly identity: string;
  readonly etag?: string | undefined;
  readonly etagOf?: string | undefined;
  readonly total?: number | undefined;
}

const READ_BYTES = 1 << 20;
// A link that somebody laid in the way is not followed.
const FLAGS = constants.O_RDWR | constants.O_CREAT | (constants.O_NOFOLLOW ?? 0);

/** The bytes of a file on their way: beside the target, with a note of what they are, until they are all. */
export class Partial implements Held {
  bytes = 0;
  etag: string | undefined = undefined;
  etagOf: string | undefined = undefined;
  /** How many there will be, once a server has said so. */
  total: number | undefined = undefined;
  found = false;
  /** Bytes that were here at the start, and still are. */
  foundBytes = 0;
  readonly handle: FileHandle;
  private hash: Hash | undefined;
  private readonly options: PartialOptions;
  private readonly file: string;
  private readonly lock: Claim | undefined;

  /**
   * Opens what is there of this file, or begins it. If somebody else is at it in this moment, the bytes
   * go to a file of their own, which is not kept.
   */
  static async open(options: PartialOptions): Promise<Partial> {
    const { partialPath, exclusive } = options;
    await mkdir(dirname(options.path), { recursive: true });
    await mkdir(dirname(partialPath), { recursive: true });
    const lock = exclusive ? undefined : await claim(`${partialPath}.lock`);
    const own = exclusive || lock !== undefined;
    const file = own ? partialPath : `${partialPath}-${randomUUID()}`;
    let handle: FileHandle | undefined;
    try {
      // Whoever wakes up and writes on shall do so in a file that nobody reads.
      if (lock?.contested) await remove(file);
      handle = await openFile(file);
      const partial = new Partial(options, file, handle, lock);
      await partial.adopt();
      return partial;
    } catch (error) {
      await handle?.close();
      await lock?.release();
      throw error;
    }
  }

  private constructor(
    options: PartialOptions,
    file: string,
    handle: FileHandle,
    lock: Claim | undefined,
  ) {
    this.options = options;
    this.file = file;
    this.handle = handle;
    this.lock = lock;
    this.hash = options.hashed ? createHash('sha256') : undefined;
  }

  /** Bytes were written at the end. */
  appended(chunk: Buffer): void {
    this.bytes += chunk.length;
    this.found = false;
    this.hash?.update(chunk);
  }

  /** The last bytes, to be compared with what comes. */
  async tail(length: number): Promise<Buffer> {
    const buffer = Buffer.alloc(length);
    const { bytesRead } = await this.handle.read(buffer, 0, length, this.bytes - length);
    return buffer.subarray(0, bytesRead);
  }

  /** Throws away what is there: the whole comes anew, as what is noted here. */
  async restart(note: {
    readonly etag?: string | undefined;
    readonly etagOf?: string | undefined;
    readonly total?: number | undefined;
  }): Promise<void> {
    if (this.bytes > 0) {
      await this.handle.truncate(0);
      this.bytes = 0;
      this.foundBytes = 0;
      if (this.hash !== undefined) this.hash = createHash('sha256');
    }
    this.found = false;
    this.etag = note.etag;
    this.etagOf = note.etagOf;
    this.total = note.total;
    await this.note();
  }

  /** A write failed: what is there is not what was counted. Never rejects. */
  spoilt(): Promise<void> {
    return this.restart({}).catch(() => {});
  }

  /** From here on nothing vouches for the whole but its size. */
  async unvouched(): Promise<void> {
    if (this.etag === undefined) return;
    this.etag = undefined;
    this.etagOf = undefined;
    await this.note();
  }

  sha256(): string | undefined {
    return this.hash?.copy().digest('hex');
  }

  /** Puts the file in its place, in one step. */
  async publish(durable: boolean): Promise<void> {
    if (durable) await this.handle.datasync();
    await this.handle.close();
    if (this.lock !== undefined && !(await this.lock.held())) {
      throw new Error('Somebody else has taken over this download.');
    }
    await rename(this.file, this.options.path);
    await rm(sidecarOf(this.file), { force: true });
    await this.lock?.release();
  }

  /** Leaves what is there to whoever comes next. */
  async keep(): Promise<void> {
    const shared = this.file === this.options.partialPath;
    if (!shared || this.bytes === 0) return this.discard();
    await this.handle.close().catch(() => {});
    await this.lock?.release();
  }

  async discard(): Promise<void> {
    await this.handle.close().catch(() => {});
    // If somebody else has taken over it is his.
    if (this.lock === undefined || (await this.lock.held())) {
      await remove(this.file).catch(() => {});
    }
    await this.lock?.release();
  }

  private async adopt(): Promise<void> {
    const { size } = await this.handle.stat();
    if (size === 0) return;
    const sidecar = await readSidecar(sidecarOf(this.file));
    const limit = this.options.expectedSize ?? sidecar?.total ?? Infinity;
    if (sidecar?.identity !== this.options.identity || size > limit) {
      await this.handle.truncate(0);
      return;
    }
    if (this.hash !== undefined) {
      const buffer = Buffer.allocUnsafe(READ_BYTES);
      for (let at = 0; at < size; ) {
        const { bytesRead } = await this.handle.read(buffer, 0, READ_BYTES, at);
        if (bytesRead === 0) break;
        this.hash.update(buffer.subarray(0, bytesRead));
        at += bytesRead;
      }
    }
    this.bytes = size;
    this.foundBytes = size;
    this.found = true;
    this.etag = sidecar.etag;
    this.etagOf = sidecar.etagOf;
    this.total = sidecar.total;
  }

  private async note(): Promise<void> {
    const { etag, etagOf, total } = this;
    const sidecar: Sidecar = { version: 1, identity: this.options.identity, etag, etagOf, total };
    const path = sidecarOf(this.file);
    const draft = `${path}-${randomUUID()}`;
    try {
      await writeFile(draft, JSON.stringify(sidecar), { flag: 'wx' });
      await rename(draft, path);
    } catch (error) {
      await rm(draft, { force: true }).catch(() => {});
      throw error;
    }
  }
}

function sidecarOf(file: string): string {
  return `${file}.json`;
}

async function remove(file: string): Promise<void> {
  await rm(file, { force: true });
  await rm(sidecarOf(file), { force: true });
}

async function openFile(file: string): Promise<FileHandle> {
  try {
    return await open(file, FLAGS);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ELOOP') throw error;
    await unlink(file);
    return open(file, FLAGS);
  }
}

async function readSidecar(path: string): Promise<Sidecar | undefined> {
  try {
    const sidecar = JSON.parse(await readFile(path, 'utf8')) as Sidecar;
    if (sidecar?.version !== 1 || typeof sidecar.identity !== 'string') return undefined;
    const { etag, etagOf, total } = sidecar;
    const sound =
      (etag === undefined || typeof etag === 'string') &&
      (etagOf === undefined || typeof etagOf === 'string') &&
      (total === undefined || Number.isSafeInteger(total));
    return sound ? sidecar : undefined;
  } catch {
    return undefined;
  }
}
