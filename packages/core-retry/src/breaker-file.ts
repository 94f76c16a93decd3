import { open, rm, stat, writeFile } from 'node:fs/promises';
import { type Entries, parseEntries } from './breaker-entries.js';
import type { Clock } from './clock.js';
import { OutlastError } from './errors.js';

/** The file as it was found: what it holds, or what is wrong with it. */
interface Reading {
  readonly entries: Entries;
  /** A sentence without the file's path and contents; only if the file cannot be used. */
  readonly damage?: string;
  /** What it holds instead; only with `damage`. */
  readonly bytes?: Uint8Array;
}

interface Cached {
  readonly stamp: string;
  readonly entries: Entries;
  readonly damage: string | undefined;
}

// Twice the coarsest tick by which a local file system tells the time.
const TICKS_MS = 40;

/** The file of a `FileBreakerStore`: `{ version: 1, breakers: { key: { snapshot, probe? } } }`. */
export class BreakerFile {
  private readonly path: string;
  private readonly clock: Clock;
  private cached: Cached | undefined;
  private looking: Promise<Entries> | undefined;

  constructor(path: string, clock: Clock) {
    this.path = path;
    this.clock = clock;
  }

  /**
   * For looking things up: read again only if the file was replaced; those who ask at the same time
   * share one look. A missing file is an empty one.
   *
   * @throws OutlastError `OUTLAST_STORE_CORRUPT`; the system's error
   */
  entries(): Promise<Entries> {
    if (this.looking === undefined) {
      const looking = this.look().finally(() => {
        if (this.looking === looking) this.looking = undefined;
      });
      this.looking = looking;
    }
    return this.looking;
  }

  /** Lets whoever asks from now on see what was just published. */
  published(): void {
    this.looking = undefined;
  }

  /** Reads the file whatever is known of it: for those who are about to replace it. */
  async read(): Promise<Reading> {
    return (await this.readStamped()) ?? { entries: new Map() };
  }

  /** Keeps what the file held before it was replaced: one copy, of the newest. */
  async keepAside(bytes: Uint8Array): Promise<void> {
    const aside = `${this.path}.corrupt`;
    await rm(aside, { force: true });
    await writeFile(aside, bytes, { mode: 0o600, flag: 'wx' });
  }

  private async look(): Promise<Entries> {
    if (this.cached === undefined || this.cached.stamp !== (await this.stamp())) {
      const reading = await this.readStamped();
      if (reading === undefined) return new Map();
      const { stamp, entries, damage } = reading;
      this.cached = { stamp, entries, damage };
    }
    const { entries, damage } = this.cached;
    if (damage === undefined) return entries;
    throw new OutlastError(
      'OUTLAST_STORE_CORRUPT',
      `The breakers' file cannot be read: ${damage}. The next save keeps it aside as *.corrupt and begins a new one.`,
    );
  }

  private async stamp(): Promise<string | undefined> {
    try {
      return stampOf(await stat(this.path, { bigint: true }));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  private async readStamped(): Promise<(Reading & { readonly stamp: string }) | undefined> {
    const handle = await open(this.path, 'r').catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    });
    if (handle === undefined) return undefined;
    try {
      const stats = await handle.stat({ bigint: true });
      const bytes = await handle.readFile();
      // A file this young may yet be replaced by one of the same stamp, within one tick.
      const young = Math.abs(this.clock.wallNow() - Number(stats.mtimeMs)) < TICKS_MS;
      const stamp = young ? 'young' : stampOf(stats);
      const found = parseEntries(bytes.toString());
      return typeof found === 'string'
        ? { stamp, entries: new Map(), damage: found, bytes }
        : { stamp, entries: found };
    } finally {
      await handle.close();
    }
  }
}

/** What tells one version of a file, which is only ever replaced, from another. */
function stampOf(stats: { ino: bigint; size: bigint; mtimeNs: bigint }): string {
  return `${stats.ino}:${stats.size}:${stats.mtimeNs}`;
}
